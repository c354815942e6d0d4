package secret

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/access"
)

func write(t *testing.T, name, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestResolve(t *testing.T) {
	t.Setenv("SECRET_TEST_SET", "from env")
	t.Setenv("SECRET_TEST_EMPTY", "")
	t.Setenv("SECRET_TEST_LONG", strings.Repeat("x", maxSecret+1))
	for _, c := range []struct {
		name, want, fails string
		ref               Ref
	}{
		{name: "env", ref: Ref{Env: "SECRET_TEST_SET"}, want: "from env"},
		{name: "env empty", ref: Ref{Env: "SECRET_TEST_EMPTY"}, fails: "not set or empty"},
		{name: "env unset", ref: Ref{Env: "SECRET_TEST_UNSET"}, fails: "SECRET_TEST_UNSET"},
		{name: "env long", ref: Ref{Env: "SECRET_TEST_LONG"}, fails: "longer than"},
		{name: "file", ref: Ref{File: write(t, "s", "hunter2\n", 0o600)}, want: "hunter2"},
		{name: "file keeps inner line ends and spaces", ref: Ref{File: write(t, "s", " a\nb \r\n", 0o600)}, want: " a\nb "},
		{name: "file of one line end", ref: Ref{File: write(t, "s", "\n", 0o600)}, fails: "is empty"},
		{name: "file missing", ref: Ref{File: "/nonexistent/s"}, fails: "no such file"},
		{name: "file too long", ref: Ref{File: write(t, "s", strings.Repeat("x", maxSecret+1), 0o600)}, fails: "more than"},
		{name: "endless file", ref: Ref{File: "/dev/zero"}, fails: "more than"},
		{name: "exec", ref: Ref{Exec: []string{"printf", "%s\\n", "$HOME; a b"}}, want: "$HOME; a b"},
		{name: "exec fails", ref: Ref{Exec: []string{"sh", "-c", "echo topsecret >&2; exit 3"}}, fails: "exit status 3"},
		{name: "exec missing", ref: Ref{Exec: []string{"/nonexistent/program"}}, fails: "no such file"},
		{name: "exec endless", ref: Ref{Exec: []string{"yes"}}, fails: "more than"},
		{name: "exec silent", ref: Ref{Exec: []string{"true"}}, fails: "is empty"},
		{name: "value", ref: Ref{Value: access.NewSecret("v")}, want: "v"},
		{name: "zero", fails: "0 sources"},
		{name: "two", ref: Ref{Env: "SECRET_TEST_SET", File: "x"}, fails: "2 sources"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.ref.Resolve(context.Background())
			if c.fails == "" {
				if err != nil || got.Reveal() != c.want {
					t.Fatalf("got %q, %v; want %q", got.Reveal(), err, c.want)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Fatalf("error %v, want one with %q", err, c.fails)
			}
			if !got.Empty() || strings.Contains(err.Error(), "topsecret") {
				t.Fatalf("a failure gave away %q, %v", got.Reveal(), err)
			}
		})
	}
}

func TestExecEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := (Ref{Exec: []string{"sleep", "600"}}).Resolve(ctx); err == nil {
		t.Fatal("a cancelled program gave a secret")
	}
}

// A program that forks and lets its child keep the pipe must not hold a client for ever.
func TestExecDoesNotWaitForGrandchildren(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, err := Ref{Exec: []string{"sh", "-c", "sleep 30 & echo s"}}.Resolve(ctx)
	if ctx.Err() != nil {
		t.Fatal("waited for the grandchild")
	}
	if err == nil {
		t.Fatal("output that never ended was taken as complete")
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	r := Ref{Value: access.NewSecret("topsecret")}
	if s := fmt.Sprintf("%v %+v %#v", r, r, r); strings.Contains(s, "topsecret") {
		t.Fatal(s)
	}
}

func TestKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	var wg sync.WaitGroup
	keys := make([]string, 8)
	for i := range keys {
		wg.Go(func() {
			k, err := Key(path)
			if err != nil {
				t.Error(err)
			}
			keys[i] = k.Reveal()
		})
	}
	wg.Wait()
	for _, k := range keys {
		if k != keys[0] || len(k) != KeySize {
			t.Fatal("processes that start together must agree on one key")
		}
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".key-*")); len(left) != 0 {
		t.Fatalf("left %v behind", left)
	}
	other, err := Key(filepath.Join(t.TempDir(), "key"))
	if err != nil || other.Reveal() == keys[0] {
		t.Fatal("two folders share a key", err)
	}
}

func TestKeyRefuses(t *testing.T) {
	for _, c := range []struct {
		name, path, want string
	}{
		{"readable by others", write(t, "k", strings.Repeat("k", KeySize), 0o644), "may be read by others"},
		{"cut short", write(t, "k", "short", 0o600), "5 bytes long"},
		{"no folder", "/nonexistent/k", "no such file"},
	} {
		if k, err := Key(c.path); err == nil || !strings.Contains(err.Error(), c.want) || !k.Empty() {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
