package e2e

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/demo/stage"
	"sluice/internal/pgserver"
)

// TestReadme types the console sessions of README.md at the demo's stage and
// compares what comes back. In a ```console block
//
//	$ COMMAND           is typed into the one shell of all blocks, in which
//	                    nothing is set but what they set; `$ psql ...` starts
//	                    psql there, the next command behind it leaves it
//	shop=> STATEMENT    is typed into psql, in any state of its prompt; without
//	                    a statement, only the prompt's state is told
//	#other> COMMAND     a comment for the reader; skipped
//	anything else       is what it answers; a line "..." stands for any lines,
//	                    "..." inside a line for anything in it
//
// Identifiers, times and the demo's ports may differ; nothing else may. Blocks
// that start with "$ make" are not typed: TestDemo does that.
func TestReadme(t *testing.T) {
	s := onStage(t)
	text, err := os.ReadFile(filepath.Join(house.root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := consoleBlocks(string(text))
	if len(blocks) == 0 {
		t.Fatal("README.md shows no session")
	}
	sh := newShell(t, s)
	for i, b := range blocks {
		if strings.HasPrefix(b.steps[0].input, "make") {
			continue
		}
		t.Run(fmt.Sprintf("block%d", i+1), func(t *testing.T) { b.play(t, sh, s) })
	}
}

// A block is one session; a step is a line typed and the answer shown.
type block struct{ steps []step }

type step struct {
	line   int
	sql    bool // typed into psql
	input  string
	answer []string
}

var (
	fence   = regexp.MustCompile("(?ms)^```console\n(.*?)^```")
	prompt  = regexp.MustCompile(`^\w+[=!*^-]*[>#] ?(.*)$`)
	comment = regexp.MustCompile(`^#`)
)

func consoleBlocks(text string) (all []block) {
	for _, m := range fence.FindAllStringSubmatchIndex(text, -1) {
		b := block{}
		line := 1 + strings.Count(text[:m[2]], "\n")
		for _, l := range strings.Split(strings.TrimSuffix(text[m[2]:m[3]], "\n"), "\n") {
			b.add(l, line)
			line++
		}
		if len(b.steps) > 0 {
			all = append(all, b)
		}
	}
	return all
}

func (b *block) add(l string, line int) {
	if command, ok := strings.CutPrefix(l, "$ "); ok {
		b.steps = append(b.steps, step{line: line, input: command})
		return
	}
	if m := prompt.FindStringSubmatch(l); m != nil && len(b.steps) > 0 {
		b.steps = append(b.steps, step{line: line, sql: true, input: m[1]})
		return
	}
	if len(b.steps) == 0 || comment.MatchString(l) {
		return
	}
	last := &b.steps[len(b.steps)-1]
	last.answer = append(last.answer, l)
}

// play types a block into a shell whose standard input stays open, so that
// psql in it reads from there too.
func (b block) play(t *testing.T, sh *shell, s *stage.Stage) {
	sh.t = t
	for _, st := range b.steps {
		switch {
		case st.sql && st.input == "":
			continue
		case st.sql:
			sh.typed(st.input + "\n\\echo " + endMark + "\n")
		case strings.HasPrefix(st.input, "psql") && !strings.Contains(st.input, " -c"):
			sh.typed(ports(s, st.input) + "; echo " + endMark + "\n\\echo " + endMark + "\n")
			sh.inPsql = true
		default:
			if sh.inPsql {
				sh.typed("\\q\n")
				sh.answer(st.line) // psql reads ahead: what is typed now must be for the shell
				sh.inPsql = false
			}
			sh.typed("{ " + ports(s, st.input) + "\n}; echo " + endMark + "\n")
		}
		got := sh.answer(st.line)
		if !matches(st.answer, got) {
			t.Errorf("README.md:%d: %s\nshould answer\n%s\nbut answers\n%s", st.line, st.input, strings.Join(st.answer, "\n"), strings.Join(got, "\n"))
		}
	}
}

// ports puts the stage's addresses in place of the demo's.
func ports(s *stage.Stage, text string) string {
	_, gateway, _ := strings.Cut(s.Gateway, ":")
	_, web, _ := strings.Cut(s.Web, ":")
	return strings.NewReplacer("15432", gateway, "8080", web).Replace(text)
}

const endMark = "--end-of-answer--"

// A shell is bash as a README's reader has it, but that it finds the stage's
// gateway, which is not where the demo's is.
type shell struct {
	t      *testing.T // of the block that is played
	in     io.Writer
	lines  chan string
	inPsql bool
}

func newShell(t *testing.T, s *stage.Stage) *shell {
	t.Helper()
	// psql at a terminal takes its encoding from the locale, which may be C; elsewhere
	// it does so if told to.
	terminal := []string{"LC_ALL=C", "PGCLIENTENCODING=auto"}
	// Line by line: psql keeps its output back when it writes to a pipe.
	cmd := exec.Command("stdbuf", "-oL", "bash", "--norc")
	cmd.Dir = t.TempDir() // with a bin, as the project has; what a session writes is gone after it
	if err := os.Symlink(house.bin, filepath.Join(cmd.Dir, "bin")); err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Env = append(pgserver.CleanEnv(), "PATH="+path(), "HOME="+t.TempDir(), "PGTZ=UTC",
		"SLUICE_GATEWAY=http://"+s.Web, "PSQLRC="+os.DevNull, "PAGER=cat")
	cmd.Env = append(cmd.Env, terminal...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w // one pipe, so that order is kept
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	sh := &shell{t: t, in: in, lines: make(chan string)}
	go func() {
		defer close(sh.lines)
		for sc := bufio.NewScanner(out); sc.Scan(); {
			sh.lines <- sc.Text()
		}
	}()
	t.Cleanup(func() {
		in.Close()
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // the shell and what it started, if it waits for something
		for range sh.lines {
		}
		cmd.Wait()
	})
	return sh
}

func (sh *shell) typed(text string) {
	if _, err := io.WriteString(sh.in, text); err != nil {
		sh.t.Fatal(err)
	}
}

// answer reads up to the mark that the last typed line ends with.
func (sh *shell) answer(line int) (got []string) {
	for {
		select {
		case l, ok := <-sh.lines:
			if !ok {
				sh.t.Fatalf("README.md:%d: the shell ended:\n%s", line, strings.Join(got, "\n"))
			}
			if l == endMark {
				return got
			}
			got = append(got, l)
		case <-time.After(patience):
			sh.t.Fatalf("README.md:%d: no end after %v:\n%s", line, patience, strings.Join(got, "\n"))
		}
	}
}

// matches compares an answer with what the README shows.
func matches(want, got []string) bool {
	if len(want) == 0 {
		return len(got) == 0 || strings.TrimSpace(strings.Join(got, "")) == ""
	}
	if want[0] == "..." {
		for i := range len(got) + 1 {
			if matches(want[1:], got[i:]) || len(want) == 1 {
				return true
			}
		}
		return false
	}
	if strings.TrimSpace(want[0]) == "" && (len(got) == 0 || strings.TrimSpace(got[0]) != "") {
		return matches(want[1:], got) // an empty line of layout
	}
	return len(got) > 0 && sameLine(want[0], got[0]) && matches(want[1:], got[1:])
}

// varying are the parts of an answer that differ every time.
var varying = []*regexp.Regexp{
	regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`),
	regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?( ?UTC|Z)?`),
	regexp.MustCompile(`\breq-[a-z0-9]+`),
	regexp.MustCompile(`127\.0\.0\.1:\d+`),
	regexp.MustCompile(`\d+(\.\d+)?(µs|ms| us)\b`),
}

func sameLine(want, got string) bool {
	for _, v := range varying {
		want, got = v.ReplaceAllString(want, "~"), v.ReplaceAllString(got, "~")
	}
	parts := strings.Split(strings.Join(strings.Fields(want), " "), "...")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile("^" + strings.Join(parts, ".*") + "$").MatchString(strings.Join(strings.Fields(got), " "))
}

func TestMatches(t *testing.T) {
	lines := func(s string) []string { return strings.Split(s, "\n") }
	for _, test := range []struct {
		want, got string
		ok        bool
	}{
		{"a\nb", "a\nb", true},
		{"a\nb", "a", false},
		{"a", "a\nb", false},
		{"a  |  b", "a | b", true},
		{"id 0198c6a2-1111-7aaa-8bbb-0123456789ab", "id 0198ffff-2222-7ccc-8ddd-ba9876543210", true},
		{"id 0198c6a2-1111-7aaa-8bbb-0123456789ab", "id none", false},
		{"a\n...\nz", "a\nb\nc\nz", true},
		{"a\n...\nz", "a\nb\nc", false},
		{"a\n...", "a\nb\nc", true},
		{"took ... of time", "took 3 hours of time", true},
		{"a ... b", "a b c", false},
		{"at 2026-01-02 03:04:05 UTC", "at 2031-11-12 13:14:15 UTC", true},
		{"rows 3", "rows 4", false},
	} {
		if got := matches(lines(test.want), lines(test.got)); got != test.ok {
			t.Errorf("%q ~ %q: %t", test.want, test.got, got)
		}
	}
}

func TestConsoleBlocks(t *testing.T) {
	blocks := consoleBlocks("text\n```console\n$ psql shop\nshop=> SELECT 1;\n 1\nshop=!> ROLLBACK;\nROLLBACK\nshop=> \n```\n```sh\n$ no\n```\n```console\n$ make test\n```\n")
	if len(blocks) != 2 || len(blocks[0].steps) != 4 || blocks[1].steps[0].input != "make test" {
		t.Fatalf("got %+v", blocks)
	}
	for i, want := range []step{{3, false, "psql shop", nil}, {4, true, "SELECT 1;", []string{" 1"}}, {6, true, "ROLLBACK;", []string{"ROLLBACK"}}, {8, true, "", nil}} {
		if got := blocks[0].steps[i]; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("step %d: %+v, want %+v", i, got, want)
		}
	}
}
