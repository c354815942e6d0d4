package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/access"
	"sluice/internal/strictyaml"
)

// folder writes files and returns where.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		write(t, filepath.Join(dir, name), content)
	}
	return dir
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

const gateway = `apiVersion: sluice/v1
kind: Gateway
metadata: {name: local}
spec:
  data: ./data
  listen: {web: "127.0.0.1:8080", postgres: "127.0.0.1:15432"}
  roles: {admin: [platform], auditor: [security]}
`

const shop = `apiVersion: sluice/v1
kind: Resource
metadata: {name: shop, labels: {env: prod}}
spec:
  protocol: postgres
  address: "127.0.0.1:5432"
  database: shop
  credential: {user: app, password: {env: CONFIG_TEST_PASSWORD}}
`

const alice = `apiVersion: sluice/v1
kind: User
metadata: {name: alice}
spec: {groups: [engineering], email: alice@example.test, password: {file: alice.pw}, sshKeys: ["ssh-ed25519 AAAA"]}
`

const rest = `apiVersion: sluice/v1
kind: User
metadata: {name: bot}
spec: {kind: agent, owner: alice}
---
apiVersion: sluice/v1
kind: Policy
metadata: {name: p}
spec: {rules: []}
---
apiVersion: sluice/v1
kind: PolicyTest
metadata: {name: p}
spec: {cases: []}
`

func whole(t testing.TB) string {
	return folder(t, map[string]string{
		"a.yaml": gateway + "---\n" + shop, "sub/b.yml": alice + "---\n" + rest, "sub/alice.pw": "wonderland\n",
		".hidden.yaml": "nonsense", ".git/x.yaml": "nonsense", "readme.txt": "nonsense",
	})
}

func messages(problems []strictyaml.Problem) string {
	var all []string
	for _, p := range problems {
		all = append(all, p.String())
	}
	return strings.Join(all, "\n")
}

func TestLoad(t *testing.T) {
	t.Setenv("CONFIG_TEST_PASSWORD", "secret")
	dir := whole(t)
	c, problems := Load(dir)
	if problems != nil {
		t.Fatal(messages(problems))
	}
	g := c.Gateway
	if g.Name != "local" || g.Data != filepath.Join(dir, "data") || g.Listen["postgres"].Value != "127.0.0.1:15432" || !slices.Equal(g.Roles.Admin, []string{"platform"}) {
		t.Errorf("gateway %+v", g)
	}
	if g.Approval.MaxHold != 5*time.Minute || g.Limits.HandshakeTimeout <= 0 || g.Demo || g.TLS.On() {
		t.Errorf("defaults %+v", g)
	}
	r := c.Resources[0]
	if r.Name != "shop" || r.Labels["env"] != "prod" || r.Credential.User != "app" || r.Credential.Password.Env != "CONFIG_TEST_PASSWORD" || r.TLS.Mode.Value != Disable {
		t.Errorf("resource %+v", r)
	}
	u := c.Users[0]
	if u.Name != "alice" || u.Kind != access.Human || u.Password.File != filepath.Join(dir, "sub", "alice.pw") {
		t.Errorf("user %+v", u)
	}
	if c.Users[1].Owner != "alice" || c.Users[1].Kind != access.Agent || len(c.Policies) != 1 || len(c.Tests) != 1 || len(c.Warnings) != 0 {
		t.Errorf("rest %+v %v", c.Users, c.Warnings)
	}
	want := []string{filepath.Join(dir, "a.yaml"), filepath.Join(dir, "sub", "b.yml"), u.Password.File}
	if !slices.Equal(c.Files, want) {
		t.Errorf("files %v", c.Files)
	}
}

func TestLoadFile(t *testing.T) {
	dir := folder(t, map[string]string{"only.yaml": gateway, "other.yaml": "nonsense"})
	if _, problems := Load(filepath.Join(dir, "only.yaml")); problems != nil {
		t.Fatal(messages(problems))
	}
}

// Everything wrong in one run, each where it stands.
func TestAllProblemsInOneRun(t *testing.T) {
	dir := folder(t, map[string]string{"x.yaml": strings.ReplaceAll(gateway, "127.0.0.1:15432", "0.0.0.0:15432") + `  colour: red
---
apiVersion: sluice/v1
kind: Resource
metadata: {name: "shop/orders"}
spec: {protocol: postgre, address: "db", credential: {user: app, password: hunter2}}
---
apiVersion: sluice/v1
kind: User
metadata: {name: alice}
spec: {kind: robot, owner: nobody, password: {env: CONFIG_TEST_NONE}}
---
apiVersion: sluice/v1
kind: User
metadata: {name: alice}
spec: {grops: [x]}
---
apiVersion: sluice/v1
kind: Channel
metadata: {name: slack}
spec: {}
`})
	c, problems := Load(dir)
	if c != nil {
		t.Fatal("half a configuration")
	}
	got := messages(problems)
	for _, want := range []string{
		`x.yaml:6:45: listen: 0.0.0.0:15432 can be reached from other machines, so it needs TLS`,
		`x.yaml:8:3: unknown key "colour"`,
		`x.yaml:12:18: resource name "shop/orders"`,
		`x.yaml:13:18: this version has no protocol "postgre", did you mean "postgres"?`,
		`x.yaml:13:36: address "db" is not host:port`,
		`x.yaml:13:76: password: a secret must not stand in the YAML`,
		`x.yaml:17:18: kind "robot"`,
		`x.yaml:17:18: owner: there is no user "nobody"`,
		`x.yaml:18:46: password: environment variable CONFIG_TEST_NONE is not set`,
		`x.yaml:22:18: User "alice" is already defined`,
		`x.yaml:23:8: unknown key "grops", did you mean "groups"?`,
		`unknown kind "Channel"`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("missing: %s", want)
		}
	}
	if t.Failed() {
		t.Log("\n" + got)
	}
	if strings.Contains(got, "hunter2") {
		t.Error("a secret was printed")
	}
}

func TestGatewayProblems(t *testing.T) {
	self, pair := certificate(t)
	for _, c := range []struct{ name, spec, want string }{
		{"no listener", `{}`, "name at least one listener"},
		{"all interfaces", `{listen: {web: ":8080"}}`, "needs TLS"},
		{"a host name", `{listen: {web: "localhost.evil.test:80"}}`, "needs TLS"},
		{"IPv6", `{listen: {web: "[2001:db8::1]:80"}}`, "needs TLS"},
		{"no port", `{listen: {web: "127.0.0.1"}}`, "not host:port"},
		{"named port", `{listen: {web: "127.0.0.1:http"}}`, "not host:port"},
		{"later protocol", `{listen: {mysql: "127.0.0.1:1"}}`, `no "mysql" listener`},
		{"tls off", `{listen: {web: "127.0.0.1:1"}, tls: off}`, `want "auto" or a mapping`},
		{"tls empty", `{listen: {web: "127.0.0.1:1"}, tls: {}}`, "want auto, or cert and key"},
		{"tls both", `{listen: {web: "127.0.0.1:1"}, tls: {auto: true, cert: x, key: y}}`, "either auto or"},
		{"tls half", `{listen: {web: "127.0.0.1:1"}, tls: {cert: x}}`, "belong together"},
		{"tls missing", `{listen: {web: "127.0.0.1:1"}, tls: {cert: x, key: y}}`, "no such file"},
		{"tls names", `{listen: {web: "127.0.0.1:1"}, tls: {cert: ` + self + `, key: ` + pair + `, names: [a]}}`, "names are for auto"},
		{"client authority", `{listen: {web: "127.0.0.1:1"}, tls: {auto: true, clientCA: ` + pair + `}}`, "no certificate in"},
		{"pprof", `{listen: {web: "127.0.0.1:1"}, pprof: "0.0.0.0:6060"}`, "only a loopback"},
		{"url", `{listen: {web: "127.0.0.1:1"}, url: "javascript:alert(1)"}`, "url: want http"},
		{"zero limit", `{listen: {web: "127.0.0.1:1"}, limits: {idleTimeout: 0s}}`, "limits.idleTimeout must be more than zero"},
		{"negative", `{listen: {web: "127.0.0.1:1"}, approval: {max_hold: -5m}}`, "approval.maxHold must be"},
		{"size", `{listen: {web: "127.0.0.1:1"}, recording: {maxResult: 1 MB}}`, "want a size"},
		{"role", `{listen: {web: "127.0.0.1:1"}, roles: {admin: [""]}}`, "roles: a group's name is empty"},
		{"mask key named local", `{listen: {web: "127.0.0.1:1"}, demo: true, mask: {keys: [{id: local, secret: x}]}}`, `a key "local" already`},
		{"mask key twice", `{listen: {web: "127.0.0.1:1"}, demo: true, mask: {keys: [{id: a, secret: x}, {id: a, secret: y}]}}`, `a key "a" already`},
		{"mask key's id", `{listen: {web: "127.0.0.1:1"}, demo: true, mask: {keys: [{id: "a b", secret: x}]}}`, "starting with a letter or digit"},
		{"mask key in the YAML", `{listen: {web: "127.0.0.1:1"}, mask: {keys: [{id: a, secret: x}]}}`, "must not stand in the YAML"},
		{"mask key without a secret", `{listen: {web: "127.0.0.1:1"}, mask: {keys: [{id: a}]}}`, "secret"},
		{"both spellings", `{listen: {web: "127.0.0.1:1"}, approval: {max_hold: 5m, maxHold: 6m}}`, "already set"},
	} {
		_, problems := Load(folder(t, map[string]string{"g.yaml": "apiVersion: sluice/v1\nkind: Gateway\nmetadata: {name: g}\nspec: " + c.spec + "\n"}))
		if got := messages(problems); !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// A path that is not there is one problem.
func TestNothingThere(t *testing.T) {
	_, problems := Load(filepath.Join(t.TempDir(), "nowhere"))
	if len(problems) != 1 || !strings.Contains(problems[0].String(), "no such file") {
		t.Errorf("%v", problems)
	}
}

func TestGatewaySettings(t *testing.T) {
	cert, key := certificate(t)
	c, problems := Load(folder(t, map[string]string{"g.yaml": `apiVersion: sluice/v1
kind: Gateway
metadata: {name: g}
spec:
  listen: {web: "0.0.0.0:443", postgres: "[::1]:0"}
  tls: {cert: ` + cert + `, key: ` + key + `, clientCA: ` + cert + `}
  url: https://sluice.example.test
  approval: {max_hold: 90s}
  identity: {maxTokenTTL: 1h}
  recording: {off: true, maxSession: 2GiB, maxResult: 64KiB}
  audit: {segmentSize: 1048576}
  mask: {keys: [{id: k1, secret: {file: ` + key + `}}, {id: k2, secret: {file: mask.key}}]}
`, "mask.key": "0123456789abcdef"}))
	if problems != nil {
		t.Fatal(messages(problems))
	}
	g := c.Gateway
	if g.Approval.MaxHold != 90*time.Second || g.Identity.MaxTokenTTL != time.Hour || g.Identity.MaxSession != 12*time.Hour {
		t.Errorf("%+v", g)
	}
	if !g.Recording.Off || g.Recording.MaxSession != 2<<30 || g.Recording.MaxResult != 64<<10 || g.Audit.SegmentSize != 1<<20 {
		t.Errorf("%+v %+v", g.Recording, g.Audit)
	}
	if !g.TLS.On() || string(g.TLS.ClientCA) != cert || !slices.Contains(c.Files, key) || !slices.Contains(c.Files, g.Mask.Keys[1].Secret.File) {
		t.Errorf("%+v %v", g.TLS, c.Files)
	}
}

func TestTLSAuto(t *testing.T) {
	for _, spec := range []string{"auto", "{auto: true, names: [gw.example.test]}"} {
		c, problems := Load(folder(t, map[string]string{"g.yaml": strings.ReplaceAll(gateway, "127.0.0.1", "0.0.0.0") + "  tls: " + spec + "\n"}))
		if problems != nil || !c.Gateway.TLS.Auto {
			t.Errorf("%s: %s", spec, messages(problems))
		}
	}
}

func TestResourceProblems(t *testing.T) {
	cert, key := certificate(t)
	empty := filepath.Join(t.TempDir(), "empty")
	write(t, empty, "")
	for _, c := range []struct{ name, spec, want string }{
		{"nothing", `{}`, `key "protocol" is missing`},
		{"no user", `{protocol: postgres, address: "h:1", credential: {user: ""}}`, "user is empty"},
		{"mode", `{protocol: postgres, address: "h:1", credential: {user: a}, tls: {mode: verify_full}}`, `did you mean "verify-full"?`},
		{"half a pair", `{protocol: postgres, address: "h:1", credential: {user: a}, tls: {cert: x}}`, "belong together"},
		{"no authority", `{protocol: postgres, address: "h:1", credential: {user: a}, tls: {ca: /nonexistent}}`, "no such file"},
		{"key as authority", `{protocol: postgres, address: "h:1", credential: {user: a}, tls: {ca: ` + key + `}}`, "no certificate in"},
		{"disabled with certificates", `{protocol: postgres, address: "127.0.0.1:1", credential: {user: a}, tls: {mode: disable, ca: ` + cert + `}}`, "but mode is disable"},
		{"two sources", `{protocol: postgres, address: "h:1", credential: {user: a, password: {env: A, file: b}}}`, "exactly one"},
		{"no source", `{protocol: postgres, address: "h:1", credential: {user: a, password: {}}}`, "exactly one"},
		{"empty source", `{protocol: postgres, address: "h:1", credential: {user: a, password: {env: ""}}}`, "env is empty"},
		{"list", `{protocol: postgres, address: "h:1", credential: {user: a, password: [x]}}`, "want where the secret is"},
		{"empty text", `{protocol: postgres, address: "h:1", credential: {user: a, password: ""}}`, "password is empty"},
		{"vault", `{protocol: postgres, address: "h:1", credential: {user: a, password: {vault: x}}}`, "no vault client"},
		{"typo", `{protocol: postgres, address: "h:1", credential: {user: a, password: {evn: x}}}`, `did you mean "env"?`},
		{"file", `{protocol: postgres, address: "h:1", credential: {user: a, password: {file: ` + empty + `}}}`, "missing or empty"},
		{"program", `{protocol: postgres, address: "h:1", credential: {user: a, password: {exec: [./nonexistent]}}}`, "cannot be run"},
		{"number", `{protocol: postgres, address: "h:1", credential: {user: a, password: 4711}}`, "must not stand in the YAML"},
		{"value", `{protocol: postgres, address: "h:1", credential: {user: a, password: {value: s3cr3t}}}`, "must not stand in the YAML"},
	} {
		text := gateway + "---\napiVersion: sluice/v1\nkind: Resource\nmetadata: {name: r}\nspec: " + c.spec + "\n"
		_, problems := Load(folder(t, map[string]string{"g.yaml": text}))
		got := messages(problems)
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
		if strings.Contains(got, "s3cr3t") || strings.Contains(got, "4711") {
			t.Errorf("%s: printed the secret", c.name)
		}
	}
}

func TestDemoMayHoldLiterals(t *testing.T) {
	text := gateway + "  demo: true\n---\n" + strings.ReplaceAll(shop, "{env: CONFIG_TEST_PASSWORD}", "demo-secret")
	c, problems := Load(folder(t, map[string]string{"g.yaml": text}))
	if problems != nil || c.Resources[0].Credential.Password.Value.Reveal() != "demo-secret" {
		t.Fatal(messages(problems))
	}
}

func TestUpstreamDefaultIsVerified(t *testing.T) {
	for address, want := range map[string]string{"127.0.0.1:5432": Disable, "[::1]:1": Disable, "localhost:1": Disable, "db.example.test:5432": VerifyFull, "10.0.0.1:5432": VerifyFull} {
		text := gateway + "---\n" + strings.ReplaceAll(strings.ReplaceAll(shop, ", password: {env: CONFIG_TEST_PASSWORD}", ""), "127.0.0.1:5432", address)
		c, problems := Load(folder(t, map[string]string{"g.yaml": text}))
		if problems != nil || c.Resources[0].TLS.Mode.Value != want {
			t.Errorf("%s: %s", address, messages(problems))
		}
	}
}

func TestWarnings(t *testing.T) {
	open := filepath.Join(t.TempDir(), "open")
	write(t, open, "pw")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	text := gateway + `---
apiVersion: sluice/v1
kind: Resource
metadata: {name: r}
spec: {protocol: postgres, address: "db:1", tls: {mode: require}, credential: {user: a, password: {file: ` + open + `}}}
---
apiVersion: sluice/v1
kind: User
metadata: {name: bot}
spec: {kind: agent}
`
	c, problems := Load(folder(t, map[string]string{"g.yaml": text}))
	if problems != nil {
		t.Fatal(messages(problems))
	}
	for _, want := range []string{"does not verify who answers", "open to everybody", "has no owner"} {
		if !strings.Contains(messages(c.Warnings), want) {
			t.Errorf("no warning %q in %s", want, messages(c.Warnings))
		}
	}
}

func TestLoadFailures(t *testing.T) {
	for name, c := range map[string]struct {
		path string
		want string
	}{
		"no such path":  {"/nonexistent/config.yaml", "no such file"},
		"empty folder":  {t.TempDir(), "no document of kind Gateway"},
		"two gateways":  {folder(t, map[string]string{"g.yaml": gateway, "h.yaml": strings.ReplaceAll(gateway, "local", "other")}), "a second Gateway"},
		"not YAML":      {folder(t, map[string]string{"g.yaml": "a: b: c"}), "not valid YAML"},
		"no spec":       {folder(t, map[string]string{"g.yaml": "apiVersion: sluice/v1\nkind: Gateway\nmetadata: {name: g}\n"}), "spec is missing"},
		"other version": {folder(t, map[string]string{"g.yaml": strings.ReplaceAll(gateway, "sluice/v1", "sluice/v9")}), "unknown apiVersion"},
	} {
		if cfg, problems := Load(c.path); cfg != nil || !strings.Contains(messages(problems), c.want) {
			t.Errorf("%s: %s", name, messages(problems))
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(gateway + "---\n" + shop + "---\n" + alice + "---\n" + rest)
	f.Add(gateway + "  demo: true\n---\n" + strings.ReplaceAll(shop, "{env: CONFIG_TEST_PASSWORD}", "x"))
	f.Add("apiVersion: sluice/v1\nkind: Resource\nmetadata: {name: r}\nspec: {credential: {password: {exec: [a]}}}\n")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "file") || strings.Contains(text, "cert") || strings.Contains(text, "ca:") || strings.Contains(text, "CA") {
			return // would open whatever the fuzzer names
		}
		path := filepath.Join(dir, "f.yaml")
		write(t, path, text)
		if c, problems := Load(path); (c == nil) == (len(problems) == 0) {
			t.Fatalf("%v, %v", c, problems)
		}
	})
}
