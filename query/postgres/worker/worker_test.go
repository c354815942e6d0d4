package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	query "sluice/query/postgres"
)

// TestMain lets the test binary be its own parse-worker, and one that misbehaves.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == Command {
		if len(os.Args) > 2 && os.Args[2] == "escape" {
			os.Exit(escape())
		}
		os.Exit(Main())
	}
	os.Exit(m.Run())
}

func newTestPool(t testing.TB, o Options) *Pool {
	t.Helper()
	p, err := NewPool(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func TestParseAndDeparse(t *testing.T) {
	p := newTestPool(t, Options{N: 1})
	tree, err := p.Parse(t.Context(), "ann", "select  a from t where b=1")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := p.Deparse(t.Context(), "ann", tree); err != nil || text != "SELECT a FROM t WHERE b = 1" {
		t.Errorf("%q, %v", text, err)
	}
	_, err = p.Parse(t.Context(), "ann", "selec 1")
	var se *query.SyntaxError
	if !errors.As(err, &se) || se.Message != `syntax error at or near "selec"` || se.Position != 1 {
		t.Errorf("%v", err)
	}
}

func TestATextThatKillsCostsItselfOnly(t *testing.T) {
	p := newTestPool(t, Options{N: 1, Timeout: 20 * time.Second})
	for name, text := range map[string]string{
		"operators": "select 1" + strings.Repeat("+1", 1_000_000),
	} {
		if _, err := p.Parse(t.Context(), "mallory", text); !errors.Is(err, query.ErrHostile) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := p.Parse(t.Context(), "ann", "select 1"); err != nil {
			t.Errorf("after %s: %v", name, err)
		}
	}
}

func TestAStalledChildIsReplaced(t *testing.T) {
	p := newTestPool(t, Options{N: 1, Timeout: 50 * time.Millisecond})
	if _, err := p.Parse(t.Context(), "mallory", "select 1"+strings.Repeat(",1", 5_000_000)); !errors.Is(err, query.ErrHostile) {
		t.Errorf("%v", err)
	}
	eventually := time.Now().Add(10 * time.Second)
	for {
		if _, err := p.Parse(t.Context(), "ann", "select 1"); err == nil {
			break
		} else if time.Now().After(eventually) {
			t.Fatal(err)
		}
	}
}

func TestAKilledChildIsReplacedUnnoticed(t *testing.T) {
	p := newTestPool(t, Options{N: 1})
	for _, pid := range children(t) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.Parse(t.Context(), "ann", "select 1"); err != nil {
		t.Error(err)
	}
}

func TestClosedPool(t *testing.T) {
	p, err := NewPool(Options{N: 1})
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	if _, err := p.Parse(t.Context(), "ann", "select 1"); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func TestSubjectsTakeTurns(t *testing.T) {
	var l line
	l.init()
	for _, s := range []string{"a", "a", "a", "b", "c", "b"} {
		l.put(s, &job{body: []byte(s), done: make(chan struct{})})
	}
	var got []byte
	for range 6 {
		got = append(got, l.take().body...)
	}
	if string(got) != "abcaba" {
		t.Errorf("served %s", got)
	}
}

func TestManyAtOnce(t *testing.T) {
	p := newTestPool(t, Options{N: 2})
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			text := fmt.Sprintf("SELECT %d", i)
			tree, err := p.Parse(context.Background(), fmt.Sprint(i%5), text)
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := p.Deparse(context.Background(), "x", tree); err != nil || got != text {
				t.Errorf("%q, %v; want %q", got, err, text)
			}
		})
	}
	wg.Wait()
}

// escape is what a taken-over grammar would try.
func escape() int {
	if err := confine(); err != nil {
		fmt.Println("confine:", err)
		return 2
	}
	for name, try := range map[string]func() error{
		"read a file":  func() error { _, err := os.ReadFile("/etc/hostname"); return err },
		"write a file": func() error { return os.WriteFile("/tmp/escaped", nil, 0o600) },
		"run":          func() error { return exec.Command("/bin/true").Run() },
		"unlink":       func() error { return os.Remove("/tmp/escaped") },
		"list":         func() error { _, err := os.ReadDir("/"); return err },
	} {
		if err := try(); !errors.Is(err, os.ErrPermission) {
			fmt.Printf("%s: %v\n", name, err)
			return 3
		}
	}
	fmt.Println("confined")
	return 0
}

func TestAChildCannotReachAnything(t *testing.T) {
	out, err := exec.Command(os.Args[0], Command, "escape").CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "confined" {
		t.Errorf("%s, %v", out, err)
	}
}

// children are the ids of this process's parse-workers.
func children(t *testing.T) []int {
	t.Helper()
	list, err := exec.Command("pgrep", "-P", fmt.Sprint(os.Getpid()), "-f", Command).Output()
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, f := range strings.Fields(string(list)) {
		pid, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

func TestAChildStartsWithNothing(t *testing.T) {
	p := newTestPool(t, Options{N: 1})
	_ = p
	pid := fmt.Sprint(children(t)[0])
	env, err := os.ReadFile("/proc/" + pid + "/environ")
	if err != nil || len(env) != 0 {
		t.Errorf("environment %q, %v", env, err)
	}
	fds, err := os.ReadDir("/proc/" + pid + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		to, _ := os.Readlink("/proc/" + pid + "/fd/" + fd.Name())
		// The Go runtime itself keeps its cgroup's CPU limit open.
		if !strings.HasPrefix(to, "pipe:") && !strings.HasPrefix(to, "/sys/fs/cgroup/") && to != "/dev/null" && !strings.HasPrefix(to, "anon_inode:") {
			t.Errorf("descriptor %s is %s", fd.Name(), to)
		}
	}
	limits, _ := os.ReadFile("/proc/" + pid + "/limits")
	if !bytes.Contains(limits, []byte(fmt.Sprint(stackLimit))) {
		t.Errorf("limits:\n%s", limits)
	}
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte{kindParse, 0, 0, 0, 8, 's', 'e', 'l', 'e', 'c', 't', ' ', '1'})
	f.Add([]byte{kindResult, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		kind, body, err := readFrame(bytes.NewReader(b), 1<<20)
		if err != nil {
			return
		}
		var buf bytes.Buffer
		if err := writeFrame(&buf, kind, body); err != nil || !bytes.Equal(buf.Bytes(), b[:buf.Len()]) {
			t.Errorf("%q came back as %q", b, buf.Bytes())
		}
		outcome(kind, slices.Clone(body))
	})
}

func TestAnnouncedLengthAllocatesNothing(t *testing.T) {
	if _, _, err := readFrame(io.LimitReader(bytes.NewReader([]byte{kindResult, 0x0f, 0, 0, 0, 1}), 6), maxAnswer); err != io.ErrUnexpectedEOF {
		t.Error(err)
	}
	if _, _, err := readFrame(bytes.NewReader([]byte{kindResult, 0xff, 0, 0, 0}), maxAnswer); !errors.Is(err, errFrame) {
		t.Error(err)
	}
}
