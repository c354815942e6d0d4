package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestKeyring(t *testing.T) {
	k := keyring{filepath.Join(t.TempDir(), "sluice", "credentials.json")}
	if c, err := k.load("http://a"); err != nil || c.Token != "" {
		t.Fatalf("nothing kept: %+v, %v", c, err)
	}
	for _, gateway := range []string{"http://a", "http://b"} {
		if err := k.store(gateway, kept{Token: "slc_" + gateway}); err != nil {
			t.Fatal(err)
		}
	}
	for path, mode := range map[string]os.FileMode{k.path: 0o600, filepath.Dir(k.path): 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	if err := k.store("http://a", kept{}); err != nil {
		t.Fatal(err)
	}
	if a, _ := k.load("http://a"); a.Token != "" {
		t.Error("not forgotten")
	}
	if b, _ := k.load("http://b"); b.Token != "slc_http://b" {
		t.Error("another's is forgotten")
	}
	if err := os.Chmod(k.path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := k.load("http://b"); err == nil || !strings.Contains(err.Error(), "may be read by others") {
		t.Errorf("open to all: %v", err)
	}
	if err := os.WriteFile(k.path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	os.Chmod(k.path, 0o600)
	if _, err := k.load("http://b"); err == nil {
		t.Error("half a file was read")
	}
	if err := (keyring{}).store("x", kept{Token: "y"}); err == nil {
		t.Error("kept nowhere")
	}
}
