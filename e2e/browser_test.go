package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sluice/demo/stage"
)

// A chromium is a real browser with several people's sessions.
type chromium struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Scanner
}

func openChromium(t *testing.T, s *stage.Stage) *chromium {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("%v: make install-deps installs it", err)
	}
	cmd := exec.Command("node", "testdata/browser/approve.js")
	cmd.Env = append(os.Environ(), "PLAYWRIGHT="+filepath.Join(house.root, "e2e/browser/node_modules/playwright-core"), "WEB=http://"+s.Web, "CHROMIUM="+path, "TZ=UTC")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close() // it closes the browser and ends
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 4<<20)
	return &chromium{t, in, lines}
}

// do has the browser do one thing and returns what it says.
func (c *chromium) do(what, who string, more ...string) string {
	c.t.Helper()
	command := map[string]any{"do": what, "who": who}
	for i := 0; i+1 < len(more); i += 2 {
		command[more[i]] = more[i+1]
	}
	return c.send(command)
}

func (c *chromium) send(command map[string]any) string {
	c.t.Helper()
	line, err := json.Marshal(command)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.in.Write(append(line, '\n')); err != nil || !c.out.Scan() {
		c.t.Fatalf("the browser has ended: %v", err)
	}
	var said struct{ OK, Error string }
	if err := json.Unmarshal(c.out.Bytes(), &said); err != nil || said.Error != "" {
		c.t.Fatalf("%s: %v %s", line, err, said.Error)
	}
	return said.OK
}

// waiting starts psql as alice with a statement that waits for people.
func waiting(t *testing.T, s *stage.Stage, sql string) (out *bytes.Buffer, done func()) {
	t.Helper()
	host, port, _ := splitAddr(s.Gateway)
	cmd := exec.Command("psql", "-X", "-At", "-v", "ON_ERROR_STOP=1", "-c", "SET sluice.reason = '<script>alert(1)</script>'", "-c", sql)
	cmd.Env = append(os.Environ(), "PGHOST="+host, "PGPORT="+port, "PGUSER=alice", "PGPASSWORD=demo", "PGDATABASE=shop", "LC_ALL=C")
	out = &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return out, func() { _ = cmd.Wait() }
}

// A psql session waits, is approved, rejected or withdrawn in a browser, and goes
// on: with and without JavaScript, on a desk and on a phone.
func TestBrowser(t *testing.T) {
	s := onStage(t)
	c := openChromium(t, s)
	c.do("open", "bob")
	c.do("appears", "bob", "text", "Nothing waits for your answer")

	// The page that is open shows what comes, by itself.
	out, done := waiting(t, s, "UPDATE orders SET status = 'paid' WHERE id = 11 /* <img src=x> */")
	c.do("appears", "bob", "text", "WHERE id = 11")
	page := c.do("follow", "bob", "text", "WHERE id = 11")
	for _, want := range []string{"alice asks to run UPDATE on shop", "prod", "<script>alert(1)</script>", "guardrails/prod-writes", "a second pair of eyes", "Changes 1 row"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	if page := c.do("answer", "bob", "reason", "seen the wire", "button", "Approve"); !strings.Contains(page, "Approved") || !strings.Contains(page, "seen the wire") {
		t.Errorf("approved: %s", page)
	}
	done()
	if !strings.Contains(out.String(), "UPDATE 1") || !strings.Contains(out.String(), "http://"+s.Web+"/requests/req-") {
		t.Errorf("psql: %s", out)
	}

	// Without JavaScript, on a phone.
	c.send(map[string]any{"do": "open", "who": "alice", "phone": true, "script": false})
	out, done = waiting(t, s, "DELETE FROM orders WHERE id = 12")
	c.do("go", "bob", "path", "/requests")
	c.do("appears", "bob", "text", "WHERE id = 12")
	c.do("go", "alice", "path", "/requests/mine")
	if page := c.do("follow", "alice", "text", "WHERE id = 12"); strings.Contains(page, "Approve\n") || !strings.Contains(page, "somebody else has to answer") {
		t.Errorf("the requester's page: %s", page)
	}
	if wide := c.do("wide", "alice"); wide != "false" {
		t.Error("the page is wider than a phone")
	}
	c.do("follow", "bob", "text", "WHERE id = 12")
	if page := c.do("answer", "bob", "reason", "not these", "button", "Reject"); !strings.Contains(page, "Rejected") {
		t.Errorf("rejected: %s", page)
	}
	done()
	if !strings.Contains(out.String(), "rejected by bob: not these") {
		t.Errorf("psql: %s", out)
	}

	// Taken back on the phone, while the approver's page is open: that says so.
	out, done = waiting(t, s, "DELETE FROM orders WHERE id = 13")
	c.do("go", "bob", "path", "/requests")
	c.do("appears", "bob", "text", "WHERE id = 13")
	c.do("follow", "bob", "text", "WHERE id = 13")
	c.do("go", "alice", "path", "/requests/mine")
	c.do("follow", "alice", "text", "WHERE id = 13")
	if page := c.do("withdraw", "alice"); !strings.Contains(page, "Withdrawn") {
		t.Errorf("withdrawn: %s", page)
	}
	c.do("appears", "bob", "text", "Withdrawn by the requester")
	done()
	if strings.Contains(out.String(), "DELETE 1") {
		t.Errorf("psql: %s", out)
	}
	if said := c.do("complaints", ""); said != "" {
		t.Errorf("the browser complains: %s", said)
	}
}
