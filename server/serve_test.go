package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// waitFor is how long slow machines may take; nothing is decided by it.
const waitFor = 60 * time.Second

func TestServe(t *testing.T) {
	folder := folderOf(t, map[string]string{"house.yaml": plain, "rules.yaml": rules})
	read, write := io.Pipe()
	var log bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(ctx, ServeOptions{Config: folder, Pprof: "127.0.0.1:0", LogFormat: "json", Out: write, Err: &locked{w: &log}, Version: "1.2.3"})
		write.Close()
	}()
	said := make([]byte, 4096)
	n, err := read.Read(said)
	if err != nil {
		t.Fatalf("%v: %v\n%s", err, <-ended, &log)
	}
	text := string(said[:n])
	for _, want := range []string{`(?m)^sluice 1.2.3$`, `(?m)^listen postgres +127.0.0.1:\d+ +TLS by the CA in .*ca.pem, or clear text \(loopback\)$`,
		`(?m)^resource shop +postgres://127.0.0.1:1/ +as app, TLS disable$`, `(?m)^policy +1 policy +[0-9a-f]{16}$`, `(?m)^ready$`} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	web := regexp.MustCompile(`(?m)^listen web +(\S+)`).FindStringSubmatch(text)
	if web == nil {
		t.Fatal("no web listener")
	}
	hangup(t, folder, web[1])
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("%v\n%s", err, &log)
	}
	again, err := openFolder(filepath.Join(folder, "data"))
	if err != nil {
		t.Fatalf("the data folder is still held: %v", err)
	}
	again.close()
}

// hangup changes a rule, sends SIGHUP and waits until the metrics say that it
// was taken up.
func hangup(t *testing.T, folder, web string) {
	t.Helper()
	changed := strings.Replace(rules, "say which rows", "which rows?", 1)
	if err := os.WriteFile(filepath.Join(folder, "rules.yaml"), []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(waitFor); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		res, err := http.Get("http://" + web + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if regexp.MustCompile(`sluice_config_reloads_total\{result="ok"\} [1-9]`).Match(b) {
			return
		}
	}
	t.Error("SIGHUP changed nothing")
}

func TestServeRefuses(t *testing.T) {
	good := map[string]string{"house.yaml": plain, "rules.yaml": rules}
	for name, o := range map[string]ServeOptions{
		"profiles for everybody": {Config: folderOf(t, good), Pprof: "0.0.0.0:0"},
		"an unknown log format":  {Config: folderOf(t, good), LogFormat: "xml"},
		"no configuration":       {Config: t.TempDir()},
	} {
		o.Out, o.Err = io.Discard, io.Discard
		if err := Serve(t.Context(), o); err == nil {
			t.Errorf("served with %s", name)
		}
	}
	var bad *ConfigError
	err := Serve(t.Context(), ServeOptions{Config: folderOf(t, map[string]string{"house.yaml": plain, "rules.yaml": strings.Replace(rules, "verbs", "verb", 1)}),
		Out: io.Discard, Err: io.Discard})
	if !errors.As(err, &bad) || len(bad.Problems) != 1 || !strings.Contains(bad.Problems[0], "rules.yaml:10:") {
		t.Errorf("%v", err)
	}
}

// A gateway that cannot open one of its listeners opens none and lets go of its
// folder.
func TestTakenPort(t *testing.T) {
	g := open(t, folderOf(t, map[string]string{"house.yaml": plain, "rules.yaml": rules}))
	taken := g.Addr("postgres").String()
	folder := folderOf(t, map[string]string{"house.yaml": strings.Replace(plain, `postgres: "127.0.0.1:0"`, `postgres: "`+taken+`"`, 1), "rules.yaml": rules})
	err := Serve(t.Context(), ServeOptions{Config: folder, Out: io.Discard, Err: io.Discard})
	if err == nil || !strings.Contains(err.Error(), "house.yaml:8:") || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("%v", err)
	}
	again, err := openFolder(filepath.Join(folder, "data"))
	if err != nil {
		t.Fatal(err)
	}
	again.close()
}
