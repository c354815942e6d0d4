package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// canned is a gateway that answers each "METHOD path" with a fixed text and
// notes what it was asked.
type canned struct {
	answers map[string]string
	status  int
	asked   []string
	auth    []string
}

func (c *canned) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := r.Method + " " + r.URL.RequestURI()
	c.asked = append(c.asked, key)
	c.auth = append(c.auth, r.Header.Get("Authorization"))
	body, ok := c.answers[key]
	if !ok {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusNotFound)
		body = `{"title":"Not Found","status":404,"detail":"nothing like that","hint":"look elsewhere"}`
	} else if c.status != 0 {
		w.WriteHeader(c.status)
	}
	w.Write([]byte(body))
}

// run is one run of the program.
type run struct {
	code     int
	out, err string
	exec     []string // what the process would have become
	env      []string
}

func sluice(t *testing.T, gateway *canned, env map[string]string, args ...string) run {
	t.Helper()
	vars := map[string]string{"SLUICE_USER": "alice", "SLUICE_PASSWORD": "pw"}
	if gateway != nil {
		srv := httptest.NewServer(gateway)
		defer srv.Close()
		vars["SLUICE_GATEWAY"] = srv.URL
	}
	for k, v := range env {
		vars[k] = v
	}
	var r run
	var out, errs bytes.Buffer
	r.code = Main(context.Background(), args, IO{
		In: strings.NewReader(""), Out: &out, Err: &errs, Version: "test",
		Env: func(k string) string { return vars[k] },
		Environ: func() []string {
			return []string{"HOME=/home/alice", "PGPASSWORD=old", "SLUICE_PASSWORD=pw", "PGOPTIONS=-c x=y"}
		},
		Exec: func(path string, argv, env []string) error { r.exec, r.env = argv, env; return nil },
	})
	r.out, r.err = out.String(), errs.String()
	return r
}

const requests = `[{"id":"r7","state":"pending","requester":"alice","resource":"shop","action":"DELETE FROM orders\nWHERE id = 7","rule":"sql/prod-writes","expires":"2026-03-01T12:15:00Z","created":"2026-03-01T12:00:00Z","may_vote":true}]`

func TestTables(t *testing.T) {
	tests := []struct {
		args   string
		answer map[string]string
		want   string
	}{
		{"whoami", map[string]string{"GET /api/v1/whoami": `{"issuer":"local","id":"alice","kind":"human","groups":["engineering","dba"],"roles":[],"credential":"password#1"}`},
			"id          alice\nissuer      local\nkind        human\ngroups      engineering, dba\ncredential  password#1\n"},
		{"ls", map[string]string{"GET /api/v1/resources": `[{"name":"shop","protocol":"postgres","labels":{"env":"prod","app":"x"},"connect":"psql -h 127.0.0.1"}]`},
			"NAME  PROTOCOL  LABELS          CONNECT\nshop  postgres  app=x,env=prod  psql -h 127.0.0.1\n"},
		{"ls", map[string]string{"GET /api/v1/resources": `[]`}, "NAME  PROTOCOL  LABELS  CONNECT\n"},
		{"request ls", map[string]string{"GET /api/v1/requests": requests},
			"ID  STATE    REQUESTER  RESOURCE  ACTION                           RULE             EXPIRES\n" +
				"r7  pending  alice      shop      DELETE FROM orders WHERE id = 7  sql/prod-writes  2026-03-01 12:15:00Z\n"},
		{"token", map[string]string{"POST /api/v1/tokens": `{"id":"tok-1","secret":"slc_abc"}`}, "slc_abc\n"},
		{"token revoke tok-1", map[string]string{"DELETE /api/v1/tokens/tok-1": `{"id":"tok-1","revoked":true}`}, "revoked tok-1\n"},
		{"request approve r7", map[string]string{"POST /api/v1/requests/r7/approve": `{"id":"r7","state":"pending","from":[{"group":"dba","count":2}]}`},
			"r7: pending; still needed: 2 of dba in all\n"},
		{"request reject r7", map[string]string{"POST /api/v1/requests/r7/reject": `{"id":"r7","state":"rejected"}`}, "r7: rejected\n"},
		{"session kill s1", map[string]string{"POST /api/v1/sessions/s1/kill": `{"id":"s1"}`}, "ended s1\n"},
		{"audit key", map[string]string{"GET /api/v1/audit/checkpoint": `{"key":"sluice+k","note":"n\n"}`}, "sluice+k\n"},
		{"audit verify", map[string]string{"POST /api/v1/audit/verify": `{"ok":true,"entries":9,"covered":7,"erased":0,"problems":[]}`},
			"ok: 9 entries, 7 covered by a signed checkpoint, 0 by an anchor, 0 erased\n"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			r := sluice(t, &canned{answers: tt.answer}, nil, strings.Fields(tt.args)...)
			if r.code != 0 || r.out != tt.want {
				t.Errorf("code %d\n got %q\nwant %q\nerr %s", r.code, r.out, tt.want, r.err)
			}
		})
	}
}

func TestRequestListFields(t *testing.T) {
	r := sluice(t, &canned{answers: map[string]string{"GET /api/v1/requests": requests}}, nil, "request", "ls", "-o", "json")
	var list []map[string]any
	if err := json.Unmarshal([]byte(r.out), &list); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"id", "state", "requester", "resource", "action", "rule", "expires"} {
		if list[0][name] == nil || list[0][name] == "" {
			t.Errorf("no %s in %s", name, r.out)
		}
	}
}

func TestEmptyListIsAnArray(t *testing.T) {
	r := sluice(t, &canned{answers: map[string]string{"GET /api/v1/requests": `null`}}, nil, "request", "ls", "-o", "json")
	if strings.TrimSpace(r.out) != "[]" {
		t.Errorf("%q", r.out)
	}
}

// YAML must say the same as JSON, also for texts that YAML would read as something else.
func TestYAMLSaysTheSame(t *testing.T) {
	answer := `[{"id":"1e3","state":"true","requester":"null","resource":"2026-01-01","action":"a: b # c\n- d","rule":"","expires":"2026-03-01T12:15:00Z","created":"2026-03-01T12:00:00Z","may_vote":true}]`
	gateway := &canned{answers: map[string]string{"GET /api/v1/requests": answer}}
	asYAML := sluice(t, gateway, nil, "request", "ls", "-o", "yaml")
	var got []map[string]any
	if err := yaml.Unmarshal([]byte(asYAML.out), &got); err != nil {
		t.Fatalf("%v\n%s", err, asYAML.out)
	}
	for name, want := range map[string]any{"id": "1e3", "state": "true", "requester": "null", "resource": "2026-01-01", "action": "a: b # c\n- d", "may_vote": true} {
		if got[0][name] != want {
			t.Errorf("%s: %#v, want %#v\n%s", name, got[0][name], want, asYAML.out)
		}
	}
	if strings.Contains(asYAML.out, "{") {
		t.Errorf("not block style:\n%s", asYAML.out)
	}
}

func TestExitCodes(t *testing.T) {
	verdict := func(effects ...string) map[string]string {
		var list []string
		for _, e := range effects {
			list = append(list, `{"effect":"`+e+`"}`)
		}
		return map[string]string{"POST /api/v1/can": "[" + strings.Join(list, ",") + "]"}
	}
	tests := []struct {
		name   string
		args   []string
		answer map[string]string
		code   int
		err    string
	}{
		{"unknown command", []string{"frobnicate"}, nil, 2, "unknown command"},
		{"unknown flag", []string{"ls", "--frob"}, nil, 2, "unknown flag"},
		{"missing argument", []string{"why"}, nil, 2, "usage: sluice why DECISION-ID; sluice why --help"},
		{"bad format", []string{"ls", "-o", "xml"}, nil, 2, "none of table, json, yaml"},
		{"two ways to sign in", []string{"login", "--device", "--token-env", "X"}, nil, 2, "is enough"},
		{"no gateway", []string{"ls", "--gateway", "http://127.0.0.1:1"}, nil, 1, "is it running there?"},
		{"group without a command", []string{"request"}, nil, 2, ""},
		{"unknown subcommand", []string{"request", "frob"}, nil, 2, "unknown command"},
		{"no configuration", []string{"serve"}, nil, 2, "which configuration"},
		{"configuration twice", []string{"check", "-c", "a", "b"}, nil, 2, "once"},
		{"bad export", []string{"audit", "export", "--format", "xml"}, nil, 2, "none of jsonl, csv"},
		{"key without a journal", []string{"audit", "verify", "--key", "k"}, nil, 2, "FOLDER"},
		{"negative speed", []string{"session", "play", "x", "--speed", "-1"}, nil, 2, "negative"},
		{"refused", []string{"why", "d1"}, nil, 1, "nothing like that"},
		{"refused, with the hint", []string{"why", "d1"}, nil, 1, "hint: look elsewhere"},
		{"no such file", []string{"session", "play", "./none.rec"}, nil, 1, "no such file"},
		{"can: allowed", []string{"can", "alice", "shop", "--", "select", "1"}, verdict("allow"), 0, ""},
		{"can: denied", []string{"can", "alice", "shop", "--", "drop"}, verdict("allow", "deny", "require_approval"), 1, ""},
		{"can: approval", []string{"can", "alice", "shop", "--", "delete"}, verdict("allow", "require_approval"), 3, ""},
		{"can: an effect of the future", []string{"can", "alice", "shop", "--", "x"}, verdict("postpone"), 1, ""},
		{"can: nothing", []string{"can", "alice", "shop", "--", ";"}, verdict(), 1, ""},
		{"journal altered", []string{"audit", "verify"}, map[string]string{"POST /api/v1/audit/verify": `{"ok":false,"entries":9,"problems":["segment 1, entry 3: altered"]}`}, 1, "entry 3: altered"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := sluice(t, &canned{answers: tt.answer}, nil, tt.args...)
			if r.code != tt.code || !strings.Contains(r.err, tt.err) {
				t.Errorf("code %d, want %d; %s", r.code, tt.code, r.err)
			}
		})
	}
}

func TestCredentials(t *testing.T) {
	gateway := func() *canned { return &canned{answers: map[string]string{"GET /api/v1/whoami": `{"id":"alice"}`}} }
	g := gateway()
	sluice(t, g, nil, "whoami")
	if g.auth[0] != "Basic YWxpY2U6cHc=" {
		t.Errorf("user and password: %q", g.auth)
	}
	g = gateway()
	sluice(t, g, map[string]string{"SLUICE_TOKEN": "slc_x"}, "whoami")
	if g.auth[0] != "Bearer slc_x" {
		t.Errorf("a token comes first: %q", g.auth)
	}
	r := sluice(t, gateway(), map[string]string{"SLUICE_USER": ""}, "whoami")
	if r.code != 1 || !strings.Contains(r.err, "SLUICE_TOKEN") {
		t.Errorf("without: %d %s", r.code, r.err)
	}
	r = sluice(t, nil, map[string]string{"SLUICE_GATEWAY": "http://gateway.test:8080"}, "whoami")
	if r.code != 1 || !strings.Contains(r.err, "without TLS") {
		t.Errorf("in clear to another machine: %d %s", r.code, r.err)
	}
}

// What others wrote must not reach the terminal as control sequences, nor break
// a table's rows.
func TestHostileTextIsEscaped(t *testing.T) {
	answer := `[{"id":"r7","state":"pending","requester":"a\u001b[2J","resource":"s\u202eb","action":"select 1; \u001b]0;x\u0007\n\t-- harmless","rule":"r"}]`
	r := sluice(t, &canned{answers: map[string]string{"GET /api/v1/requests": answer}}, nil, "request", "ls")
	if strings.ContainsAny(r.out, "\x1b\x07\u202e") || strings.Count(r.out, "\n") != 2 {
		t.Errorf("%q", r.out)
	}
	if !strings.Contains(r.out, `\x1b[2J`) {
		t.Errorf("the escape is hidden rather than shown: %q", r.out)
	}
}

const stored = `{"id":"e1","time":"2026-03-01T12:00:00.5Z","type":"action.decided","session":"s1","subject":{"issuer":"local","id":"alice","actor":{"issuer":"local","id":"bot"}},"resource":{"name":"shop","database":"orders"},"client":{"address":"127.0.0.1:5"},"action":{"verb":"delete","text":"=DELETE FROM orders"},"decision":{"effect":"deny","reasons":[{"policy":"sql","rule":"no-unscoped-writes"}]}}
{"id":"e2","time":"2026-03-01T12:00:01Z","type":"action.completed","ref":"e0","subject":{"id":"alice"},"outcome":{"rows":3,"masked":2,"duration_us":1500}}
`

func TestAuditSearch(t *testing.T) {
	g := &canned{answers: map[string]string{"GET /api/v1/audit?effect=deny&limit=5&subject=alice": stored}}
	r := sluice(t, g, nil, "audit", "search", "--subject", "alice", "--effect", "deny", "--limit", "5")
	want := "TIME                      TYPE              SUBJECT        RESOURCE     EFFECT  RULE                    TEXT                 ID\n" +
		"2026-03-01 12:00:00.500Z  action.decided    alice via bot  shop/orders  deny    sql/no-unscoped-writes  =DELETE FROM orders  e1\n" +
		"2026-03-01 12:00:01.000Z  action.completed  alice                       3 rows                                               e2\n"
	if r.code != 0 || r.out != want {
		t.Errorf("%d %s\n%s\n%q", r.code, r.err, r.out, g.asked)
	}
	r = sluice(t, g, nil, "audit", "search", "--subject", "alice", "--effect", "deny", "--limit", "5", "-o", "json")
	var list []map[string]any
	if err := json.Unmarshal([]byte(r.out), &list); err != nil || len(list) != 2 || list[0]["id"] != "e1" {
		t.Errorf("%v %s", err, r.out)
	}
}

// A rule in monitor mode is named where it would have made a difference.
func TestMonitoredInTables(t *testing.T) {
	for effect, want := range map[string]string{
		"allow": "allow (monitored)  p/watch",
		"deny":  "deny    default",
	} {
		decided := `{"id":"e1","time":"2026-03-01T12:00:00.5Z","type":"action.decided","decision":{"effect":"` + effect + `","would":[{"policy":"p","rule":"watch","effect":"deny"}]}}`
		r := sluice(t, &canned{answers: map[string]string{"GET /api/v1/audit?limit=5": decided}}, nil, "audit", "search", "--limit", "5")
		if !strings.Contains(r.out, want) {
			t.Errorf("%s: %s%s", effect, r.out, r.err)
		}
	}
}

func TestAuditTail(t *testing.T) {
	g := &canned{answers: map[string]string{"GET /api/v1/audit/tail": stored}}
	if r := sluice(t, g, nil, "audit", "tail", "-o", "json"); r.out != stored {
		t.Errorf("%q", r.out)
	}
	d := yaml.NewDecoder(strings.NewReader(sluice(t, g, nil, "audit", "tail", "-o", "yaml").out))
	for _, want := range []string{"e1", "e2"} {
		var e map[string]any
		if err := d.Decode(&e); err != nil || e["id"] != want {
			t.Errorf("%v %v", err, e)
		}
	}
}

func TestAuditExport(t *testing.T) {
	g := &canned{answers: map[string]string{"GET /api/v1/audit?limit=0&order=oldest": stored}}
	if r := sluice(t, g, nil, "audit", "export"); r.out != stored {
		t.Errorf("the journal's lines were changed: %q", r.out)
	}
	r := sluice(t, g, nil, "audit", "export", "--format", "csv")
	want := "id,time,type,session,subject,resource,client,verb,text,effect,rule,ref,rows,masked,duration_us,error,message\n" +
		"e1,2026-03-01T12:00:00.5Z,action.decided,s1,alice via bot,shop/orders,127.0.0.1:5,delete,'=DELETE FROM orders,deny,sql/no-unscoped-writes,,,,,,\n" +
		"e2,2026-03-01T12:00:01Z,action.completed,,alice,,,,,,,e0,3,2,1500,,\n"
	if r.out != want {
		t.Errorf("csv:\n%s", r.out)
	}
}

func TestPsql(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "psql"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", folder)
	g := &canned{answers: map[string]string{
		"GET /api/v1/resources": `[{"name":"shop","protocol":"postgres","host":"127.0.0.1","port":15432,"user":"o'hara","tls":true},{"name":"web-1","protocol":"ssh","port":22}]`,
		"POST /api/v1/tokens":   `{"id":"tok-1","secret":"slc_fresh"}`,
	}}
	r := sluice(t, g, nil, "psql", "shop/reports", "--reason", `why not\`, "--", "-c", "select 1")
	want := []string{"psql", `host='127.0.0.1' port='15432' user='o\'hara' dbname='shop/reports' sslmode='require' channel_binding='require' options='-c sluice.reason=why\\ not\\\\'`, "-c", "select 1"}
	if r.code != 0 || strings.Join(r.exec, "|") != strings.Join(want, "|") {
		t.Errorf("%d %s\n got %q\nwant %q", r.code, r.err, r.exec, want)
	}
	if got := strings.Join(r.env, " "); got != "HOME=/home/alice PGPASSWORD=slc_fresh" {
		t.Errorf("environment %q", got)
	}
	for _, tt := range []struct{ resource, err string }{{"web-1", "not a PostgreSQL resource"}, {"none", "no resource"}} {
		if r := sluice(t, g, nil, "psql", tt.resource); r.code != 1 || !strings.Contains(r.err, tt.err) || r.exec != nil {
			t.Errorf("%s: %d %s", tt.resource, r.code, r.err)
		}
	}
}

func TestWhyFacts(t *testing.T) {
	g := &canned{answers: map[string]string{"GET /api/v1/decisions/d1": `{"id":"d1","time":"2026-03-01T12:00:00Z","subject":"alice","resource":"shop","verb":"select","text":"select email\nfrom customers",
		"confidence":"exact","objects":["public.customers"],"effect":"allow","rule":"p/engineers","reasons":[{"rule":"p/engineers","effect":"allow","file":"p.yaml","line":7,"because":"now.getHours() = 12"}],
		"obligations":["mask public.customers.email with partial (p/mask)"],"outcome":{"rows":2,"bytes":80,"masked":2,"duration_us":1500,"state":"done"}}`}}
	r := sluice(t, g, nil, "why", "d1")
	want := `decision    d1
time        2026-03-01 12:00:00Z
subject     alice
resource    shop
text        select email
            from customers
verb        select
confidence  exact
objects     public.customers
effect      allow
rule        p/engineers
because     p/engineers (allow) at p.yaml:7: now.getHours() = 12
obligation  mask public.customers.email with partial (p/mask)
outcome     done: 2 rows, 80 bytes, 2 masked values, 1.500 ms
`
	if r.out != want {
		t.Errorf("%s\n%s", r.err, r.out)
	}
}

func TestCompletionAndHelp(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if r := sluice(t, nil, nil, "completion", shell); r.code != 0 || !strings.Contains(r.out, "sluice") {
			t.Errorf("%s: %d %s", shell, r.code, r.err)
		}
	}
	if r := sluice(t, nil, nil, "version"); r.out != "sluice test\n" {
		t.Errorf("%q", r.out)
	}
}
