package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A Go that cannot read go.mod says something that helps nobody: install-deps
// says it first.
func TestInstallDepsWantsGo(t *testing.T) {
	for version, ok := range map[string]bool{"go1.9": false, "go1.19.8": false, "go1.20": false, "go1.21.0": true, "go1.22.12": true, "go1.26.8": true, "go2.0": true} {
		fake := filepath.Join(t.TempDir(), "go")
		if err := os.WriteFile(fake, []byte("#!/bin/sh\necho go version "+version+" linux/amd64\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := installDeps(fake); (err == nil) != ok || !ok && !strings.Contains(out, "https://go.dev/dl") {
			t.Errorf("%s: %v: %s", version, err, out)
		}
	}
	if out, err := installDeps("no-such-go"); err == nil || !strings.Contains(out, "not in PATH") {
		t.Errorf("without Go: %v: %s", err, out)
	}
}

// installDeps runs the script for no group: it looks at Go and installs nothing.
func installDeps(goCommand string) (string, error) {
	cmd := exec.Command(filepath.Join(house.root, "scripts", "install-deps"))
	cmd.Env = append(os.Environ(), "GO="+goCommand)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
