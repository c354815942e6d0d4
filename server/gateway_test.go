package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/access"
	"sluice/api/client"
	v1 "sluice/api/v1"
	"sluice/config"
	"sluice/internal/pgtest"
)

// The test binary is its own parse worker, as the program is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == ParseWorkerCommand {
		os.Exit(ParseWorker())
	}
	os.Exit(m.Run())
}

const house = `
apiVersion: sluice/v1
kind: Gateway
metadata: {name: test}
spec:
  demo: true
  data: data
  listen: {web: "127.0.0.1:0", postgres: "127.0.0.1:0"}
  tls: {auto: true}
  roles: {admin: [dba], auditor: [security]}
---
apiVersion: sluice/v1
kind: Resource
metadata: {name: shop, labels: {env: prod}}
spec: {protocol: postgres, address: "%s", database: %s, credential: {user: %s, password: {value: "%s"}}}
---
apiVersion: sluice/v1
kind: User
metadata: {name: alice}
spec: {groups: [engineering], password: {value: pw}}
---
apiVersion: sluice/v1
kind: User
metadata: {name: bob}
spec: {groups: [dba], password: {value: pw}}
---
apiVersion: sluice/v1
kind: User
metadata: {name: erin}
spec: {groups: [security], password: {value: pw}}
`

const rules = `
apiVersion: sluice/v1
kind: Policy
metadata: {name: access}
spec:
  rules:
  - {id: engineers, match: {groups: [engineering], access: [read, write]}, effect: allow}
  - {id: dba, match: {groups: [dba], access: [read, write, admin]}, effect: allow}
  - id: no-unscoped-writes
    match: {protocols: [postgres], verbs: [delete, update]}
    when: "!sql.scoped"
    effect: deny
    message: say which rows
  - id: prod-deletes
    match: {groups: [engineering], verbs: [delete]}
    effect: require_approval
    approval: {from: [{group: dba, count: 1}], expires: 5m}
  - id: mask-email
    match: {columns: ["*.customers.email"], groups: [engineering]}
    effect: mask
    mask: {with: "null"}
`

// A gateway is one under test, with the folder of its configuration.
type gateway struct {
	*Server
	folder string
	log    *bytes.Buffer
}

func writeHouse(t *testing.T, policy string) string {
	t.Helper()
	pg := pgtest.Shared(t)
	db := pg.Database(t)
	pg.Exec(t, db, "CREATE TABLE customers (id int PRIMARY KEY, email text)", "INSERT INTO customers VALUES (1, 'ann@example.test'), (2, 'ben@example.test')")
	folder := t.TempDir()
	for name, text := range map[string]string{
		"house.yaml": fmt.Sprintf(house, pg.Addr, db, pg.User, pg.Password),
		"rules.yaml": policy,
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func open(t *testing.T, folder string) *gateway {
	t.Helper()
	cfg, problems := config.Load(folder)
	if err := problemsError(problems); err != nil {
		t.Fatal(err)
	}
	g := &gateway{folder: folder, log: &bytes.Buffer{}}
	s, err := New(t.Context(), cfg, Options{Path: folder, Version: "test", Log: slog.New(slog.NewTextHandler(&locked{w: g.log}, nil))})
	if err != nil {
		t.Fatal(err)
	}
	g.Server = s
	t.Cleanup(func() {
		if err := s.Shutdown(); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if t.Failed() {
			t.Logf("log:\n%s", g.log)
		}
	})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return g
}

func start(t *testing.T) *gateway { return open(t, writeHouse(t, rules)) }

func (g *gateway) client(t *testing.T, user string) *client.Client {
	t.Helper()
	c, err := client.New(client.Options{Gateway: "http://" + g.Addr("web").String(), User: user, Password: access.NewSecret("pw")})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// psql types statements and returns what came out and on standard error.
func (g *gateway) psql(t *testing.T, user, password string, statements ...string) (string, string) {
	t.Helper()
	host, port, _ := strings.Cut(g.Addr("postgres").String(), ":")
	args := []string{"-XAt", "-h", host, "-p", port, "-U", user, "-d", "shop"}
	for _, s := range statements {
		args = append(args, "-c", s)
	}
	cmd := exec.Command("psql", args...)
	cmd.Env = []string{"PGPASSWORD=" + password, "PATH=" + os.Getenv("PATH"), "PGSSLMODE=require", "PGCHANNELBINDING=require"}
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run() // a refusal is an exit code, too
	return out.String(), errs.String()
}

func TestOneStatementEndToEnd(t *testing.T) {
	g := start(t)
	out, errs := g.psql(t, "alice", "pw", "SELECT id, email FROM customers ORDER BY id", "DELETE FROM customers", "SELECT count(*) FROM customers")
	if out != "1|\n2|\n2\n" {
		t.Errorf("psql printed %q, %s", out, errs)
	}
	if !strings.Contains(errs, "denied by access/no-unscoped-writes: say which rows") {
		t.Errorf("the refusal: %s", errs)
	}
	erin := g.client(t, "erin")
	var denied []string
	err := erin.Audit(t.Context(), false, url.Values{"effect": {"deny"}, "subject": {"alice"}}, func(b []byte) error {
		_, id, _ := strings.Cut(string(b), `"id":"`)
		id, _, _ = strings.Cut(id, `"`)
		denied = append(denied, id)
		return nil
	})
	if err != nil || len(denied) != 1 {
		t.Fatalf("search: %v, %d denials", err, len(denied))
	}
	why, err := erin.Decision(t.Context(), denied[0])
	if err != nil || why.Rule != "access/no-unscoped-writes" || why.Text != "DELETE FROM customers" || why.Reasons[0].File == "" {
		t.Errorf("why: %v %+v", err, why)
	}
	own, err := g.client(t, "alice").Decision(t.Context(), denied[0])
	if err != nil || own.Rule != why.Rule || own.Reasons[0].File != "" {
		t.Errorf("why, for alice: %v %+v", err, own)
	}
	report, err := erin.Verify(t.Context())
	if err != nil || !report.OK || report.Entries < 4 {
		t.Errorf("verify: %v %+v", err, report)
	}
}

func TestApprovalReleasesAWaitingStatement(t *testing.T) {
	g := start(t)
	done := make(chan [2]string, 1)
	go func() {
		out, errs := g.psql(t, "alice", "pw", "DELETE FROM customers WHERE id = 2")
		done <- [2]string{out, errs}
	}()
	bob := g.client(t, "bob")
	id := waitForRequest(t, bob)
	if _, err := g.client(t, "alice").Vote(t.Context(), id, true, ""); err == nil {
		t.Error("alice approved her own statement")
	}
	shown, err := bob.Request(t.Context(), id)
	if err != nil || shown.Action != "DELETE FROM customers WHERE id = 2" || !shown.MayVote || shown.Rule != "access/prod-deletes" {
		t.Errorf("show: %v %+v", err, shown)
	}
	if r, err := bob.Vote(t.Context(), id, true, "fine"); err != nil || r.State != "approved" {
		t.Errorf("vote: %v %+v", err, r)
	}
	if got := <-done; got[0] != "DELETE 1\n" || !strings.Contains(got[1], "waiting for approval "+id) {
		t.Errorf("psql: %q", got)
	}
	if _, err := bob.Vote(t.Context(), id, true, "again"); err == nil {
		t.Error("a used request was approved again")
	}
}

func waitForRequest(t *testing.T, c *client.Client) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		list, err := c.Requests(ctx, "")
		if err != nil {
			t.Fatal(err)
		}
		if len(list) > 0 {
			return list[0].ID
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("no request appeared")
	return ""
}

func TestTokensOpenSessionsUntilRevoked(t *testing.T) {
	g := start(t)
	alice := g.client(t, "alice")
	token, err := alice.IssueToken(t.Context(), 10*time.Minute)
	if err != nil || len(token.Secret) > 64 {
		t.Fatalf("%v %+v", err, token)
	}
	if out, errs := g.psql(t, "alice", token.Secret, "SELECT 40 + 2"); out != "42\n" {
		t.Errorf("with the token: %q %s", out, errs)
	}
	if _, err := g.client(t, "erin").RevokeToken(t.Context(), token.ID); err == nil {
		t.Error("an auditor revoked somebody's token")
	}
	if _, err := alice.RevokeToken(t.Context(), token.ID); err != nil {
		t.Error(err)
	}
	if out, _ := g.psql(t, "alice", token.Secret, "SELECT 40 + 2"); out != "" {
		t.Errorf("with the revoked token: %q", out)
	}
	if _, err := alice.IssueToken(t.Context(), 1000*time.Hour); err == nil {
		t.Error("a token for a month")
	}
}

func TestSessionsAndRecording(t *testing.T) {
	g := start(t)
	g.psql(t, "alice", "pw", "SELECT 'needle'")
	alice, ctx := g.client(t, "alice"), t.Context()
	list := waitForClosed(t, alice)
	s := list[0]
	if s.Subject != "alice" || s.Live || s.Statements < 1 || !s.Recorded {
		t.Errorf("%+v", s)
	}
	if _, err := g.client(t, "bob").Session(ctx, s.ID); err != nil {
		t.Errorf("an administrator: %v", err)
	}
	content, err := alice.Recording(ctx, s.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	var out strings.Builder
	if err := Play(ctx, &out, content, 0); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"=> SELECT 'needle'", " needle\n", "SELECT 1"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("no %q in\n%s", part, &out)
		}
	}
}

func waitForClosed(t *testing.T, c *client.Client) []v1.Session {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		list, err := c.Sessions(t.Context(), true)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) > 0 && !list[0].Closed.IsZero() {
			return list
		}
	}
	t.Fatal("no session ended")
	return nil
}

func TestKillEndsASession(t *testing.T) {
	g := start(t)
	done := make(chan string, 1)
	go func() {
		_, errs := g.psql(t, "alice", "pw", "SELECT pg_sleep(60)")
		done <- errs
	}()
	bob := g.client(t, "bob")
	var live []v1.Session
	for deadline := time.Now().Add(20 * time.Second); len(live) == 0 && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		live, _ = bob.Sessions(t.Context(), false)
	}
	if len(live) != 1 {
		t.Fatal("no live session")
	}
	if _, err := bob.Kill(t.Context(), live[0].ID); err != nil {
		t.Fatal(err)
	}
	if errs := <-done; !strings.Contains(errs, "administrator") {
		t.Errorf("the client was told %q", errs)
	}
	var who []string
	err := g.client(t, "erin").Audit(t.Context(), false, url.Values{"type": {"session.killed"}}, func(b []byte) error { who = append(who, string(b)); return nil })
	if err != nil || len(who) != 1 || !strings.Contains(who[0], `"bob"`) || !strings.Contains(who[0], live[0].ID) {
		t.Errorf("who ended it: %v %s", err, who)
	}
}

func TestReload(t *testing.T) {
	g := start(t)
	before := g.policy.Digest()
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(g.folder, "rules.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(strings.Replace(rules, "verbs: [delete, update]", "verb: [delete]", 1))
	if err := g.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "rules.yaml:") || g.policy.Digest() != before {
		t.Errorf("a bad change: %v, policy changed: %v", err, g.policy.Digest() != before)
	}
	if page := g.get(t, "/"); !strings.Contains(page, "configuration was refused") || strings.Contains(page, "rules.yaml") {
		t.Errorf("the page: %s", page)
	}
	write(strings.Replace(rules, "effect: require_approval\n    approval: {from: [{group: dba, count: 1}], expires: 5m}", "effect: deny", 1))
	if err := g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, errs := g.psql(t, "alice", "pw", "DELETE FROM customers WHERE id = 1"); !strings.Contains(errs, "denied by access/prod-deletes") {
		t.Errorf("the new rule: %s", errs)
	}
	changes := 0
	err := g.client(t, "erin").Audit(t.Context(), false, url.Values{"type": {"policy.changed"}}, func([]byte) error { changes++; return nil })
	if err != nil || changes != 1 {
		t.Errorf("%v, %d changes of policy recorded", err, changes)
	}
	body := g.get(t, "/metrics")
	for _, line := range []string{`sluice_config_reloads_total{result="refused"} 1`, `sluice_config_reloads_total{result="ok"} 1`, "sluice_config_current 1",
		`sluice_policy_revision_info{digest="` + g.policy.Digest() + `"} 1`, `sluice_decisions_total{effect="deny",mode="enforce",protocol="postgres"} 1`} {
		if !strings.Contains(body, line) {
			t.Errorf("no %s in the metrics", line)
		}
	}
	if strings.Contains(body, "alice") || strings.Contains(body, "shop") {
		t.Error("the metrics name a user or a resource")
	}
}

// A reload that had to wait for another puts in force what the files say when it
// is its turn, not what they said when it was asked for.
func TestReloadReadsWhenItIsItsTurn(t *testing.T) {
	g := start(t)
	before := g.policy.Digest()
	g.reloading.Lock()
	done := make(chan error)
	go func() { done <- g.Reload(t.Context()) }()
	time.Sleep(50 * time.Millisecond) // time enough to read too early
	writeFile(t, g.folder, "rules.yaml", strings.Replace(rules, "expires: 5m", "expires: 6m", 1))
	g.reloading.Unlock()
	if err := <-done; err != nil || g.policy.Digest() == before {
		t.Errorf("%v, policy changed: %v", err, g.policy.Digest() != before)
	}
}

// What needs a restart is said.
func TestReloadSaysWhatItCannotChange(t *testing.T) {
	g := start(t)
	old := g.config.Load()
	next := *old
	next.Gateway.Name, next.Gateway.Pprof, next.Gateway.Recording.MaxResult = "other", "127.0.0.1:1", 1<<10
	kept := g.keep(old, &next)
	if log := g.log.String(); !strings.Contains(log, "recording, pprof, name") || kept.Gateway.Name != old.Gateway.Name {
		t.Errorf("%s %+v", log, kept.Gateway)
	}
	next = *old
	next.Gateway.Recording.Off = true
	g.log.Reset()
	if kept := g.keep(old, &next); !kept.Gateway.Recording.Off || g.log.Len() > 0 {
		t.Errorf("%s %+v", g.log, kept.Gateway.Recording)
	}
}

// TestMaskKeysRotate: a new key in front changes hashes with the reload; a rule
// that names the old one keeps them.
func TestMaskKeysRotate(t *testing.T) {
	hashing := strings.Replace(rules, `mask: {with: "null"}`, "mask: {with: hash}", 1)
	g := open(t, writeHouse(t, hashing))
	write := func(name, text string) error {
		if err := os.WriteFile(filepath.Join(g.folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return g.Reload(t.Context())
	}
	hash := func() string {
		out, errs := g.psql(t, "alice", "pw", "SELECT email FROM customers WHERE id = 1")
		if len(strings.TrimSpace(out)) < 32 {
			t.Fatal(out, errs)
		}
		return out
	}
	before := hash()
	home, err := os.ReadFile(filepath.Join(g.folder, "house.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	keyed := strings.Replace(string(home), "  demo: true\n", "  demo: true\n  mask: {keys: [{id: next, secret: {value: sixteen bytes or more}}]}\n", 1)
	if err := write("house.yaml", keyed); err != nil || hash() == before {
		t.Errorf("the new key is not in force: %v", err)
	}
	if err := write("rules.yaml", strings.Replace(hashing, "with: hash", "with: hash, key: local", 1)); err != nil || hash() != before {
		t.Errorf("the old key is not: %v", err)
	}
	if err := write("rules.yaml", strings.Replace(hashing, "with: hash", "with: hash, key: gone", 1)); err == nil || !strings.Contains(err.Error(), `no mask key "gone"`) {
		t.Errorf("a key that is not there: %v", err)
	}
	if err := write("house.yaml", strings.Replace(keyed, "sixteen bytes or more", "short", 1)); err == nil || strings.Contains(err.Error(), "short\n") {
		t.Errorf("a short key: %v", err)
	}
}

func (g *gateway) get(t *testing.T, path string) string {
	t.Helper()
	res, err := http.Get("http://" + g.Addr("web").String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRestartKeepsWhatMatters(t *testing.T) {
	folder := writeHouse(t, rules)
	g := open(t, folder)
	token, err := g.client(t, "alice").IssueToken(t.Context(), 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	g.psql(t, "alice", "pw", "SELECT 1")
	if err := g.Shutdown(); err != nil {
		t.Fatal(err)
	}
	again := open(t, folder)
	if out, errs := again.psql(t, "alice", token.Secret, "SELECT 2"); out != "2\n" {
		t.Errorf("the token: %q %s", out, errs)
	}
	report, err := Verify(t.Context(), VerifyOptions{Config: folder})
	if err != nil || !report.OK {
		t.Errorf("%v %+v", err, report)
	}
	starts := 0
	err = again.client(t, "erin").Audit(t.Context(), false, url.Values{"type": {"gateway.started"}}, func([]byte) error { starts++; return nil })
	if err != nil || starts != 2 {
		t.Errorf("%v, %d starts recorded", err, starts)
	}
}
