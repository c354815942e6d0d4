package e2e

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"sluice/demo/stage"
	"sluice/internal/pgserver"
)

// TestDemo starts what `make demo` starts, twice, with a kill -9 in between:
// each time it must print where to go, serve, and clean up after Ctrl+C.
func TestDemo(t *testing.T) {
	root := t.TempDir()
	// What a killed demo leaves behind is here. The server's account must be able
	// to enter, so it is no folder of t's.
	temp, err := os.MkdirTemp("", "sluice-demo-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(temp)
	if err := os.Chmod(temp, 0o755); err != nil {
		t.Fatal(err)
	}
	for path, target := range map[string]string{"bin/sluice": filepath.Join(house.bin, "sluice"), "demo/config": filepath.Join(house.root, "demo", "config")} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, filepath.Join(root, path)); err != nil {
			t.Fatal(err)
		}
	}
	// Another demo's data: neither one elsewhere nor one that finds the ports in
	// use may take it away.
	other := filepath.Join(root, "demo-data")
	if err := os.Mkdir(other, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, end := range []syscall.Signal{syscall.SIGKILL, syscall.SIGINT, syscall.SIGTERM} {
		demoOnce(t, root, temp, end)
	}
	demoInUse(t, root)
	if left, _ := filepath.Glob(filepath.Join(root, "*")); len(left) != 3 {
		t.Errorf("left: %q, want bin, demo and demo-data", left)
	}
}

// demoInUse starts the demo on its own ports, one of which is taken.
func demoInUse(t *testing.T, root string) {
	t.Helper()
	if ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", stage.WebPort)); err == nil {
		defer ln.Close()
	}
	out, err := exec.Command(filepath.Join(house.bin, "demo"), "-root", root).CombinedOutput()
	if err == nil || !strings.Contains(string(out), fmt.Sprintf("port %d is in use", stage.WebPort)) || !strings.Contains(string(out), "-anywhere") {
		t.Errorf("with a port in use: %v\n%s", err, out)
	}
}

var exportPort = regexp.MustCompile(`PGPORT=(\d+)`)

func demoOnce(t *testing.T, root, temp string, end syscall.Signal) {
	t.Helper()
	cmd := exec.Command(filepath.Join(house.bin, "demo"), "-root", root, "-anywhere")
	cmd.Env = append(os.Environ(), "TMPDIR="+temp)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var seen strings.Builder
	port := ""
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		seen.WriteString(lines.Text() + "\n")
		if m := exportPort.FindStringSubmatch(lines.Text()); m != nil {
			port = m[1]
		}
		if strings.HasPrefix(lines.Text(), "Ctrl+C") {
			break
		}
	}
	if port == "" {
		cmd.Process.Kill()
		t.Fatalf("the demo did not start:\n%s", seen.String())
	}
	psql := exec.Command(pgserver.Program("psql"), "-XAt", "-h", "127.0.0.1", "-p", port, "-U", "carol", "-c", "SELECT count(*) FROM customers", "shop")
	psql.Env = append(pgserver.CleanEnv(), "PGPASSWORD=demo")
	if got, err := psql.CombinedOutput(); err != nil || strings.TrimSpace(string(got)) != "2000" {
		t.Errorf("psql: %v: %s", err, got)
	}
	cmd.Process.Signal(end)
	for lines.Scan() { // until everything that holds the pipe has ended
		seen.WriteString(lines.Text() + "\n")
	}
	if err := cmd.Wait(); end != syscall.SIGKILL && err != nil {
		t.Errorf("after %v: %v\n%s", end, err, seen.String())
	}
}
