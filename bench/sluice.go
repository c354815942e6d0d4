package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The users at the gateway: one whom no mask and no rule on tables concerns,
// and one for each number of masked columns.
const plainUser = "plain"

func maskedUser(columns int) string { return fmt.Sprintf("masked%d", columns) }

// startSluice runs the gateway as it would run in earnest: rules, masks for
// others, journal on disk, recordings, TLS, everything at its default.
func startSluice(s *stage) (*peer, error) {
	if _, err := os.Stat(s.sluice); err != nil {
		return nil, fmt.Errorf("not built (make build): %w", err)
	}
	program, err := filepath.Abs(s.sluice)
	if err != nil {
		return nil, err
	}
	var ports [3]int // PostgreSQL, web, profiles
	for i := range ports {
		if ports[i], err = freePort(); err != nil {
			return nil, err
		}
	}
	password := randomPassword()
	config := filepath.Join(s.dir, "sluice.yaml")
	if err := os.WriteFile(config, []byte(s.sluiceConfig(ports[0], ports[1])), 0o600); err != nil {
		return nil, err
	}
	pprof := fmt.Sprintf("127.0.0.1:%d", ports[2])
	args := []string{program, "serve", "-c", config}
	if s.profile != "" {
		args = append(args, "--pprof", pprof)
	}
	env := []string{"BENCH_PASSWORD=" + password, "SERVER_PASSWORD=" + s.direct().password}
	c, err := startChild(s.dir, "sluice", fmt.Sprintf("127.0.0.1:%d", ports[0]), nil, env, args...)
	if err != nil {
		return nil, err
	}
	p := &peer{name: "sluice", port: ports[0], proxy: c, login: login{plainUser, password, database}, masked: map[int]login{}}
	for _, n := range []int{1, len(maskedColumns)} {
		p.masked[n] = login{maskedUser(n), password, database}
	}
	if s.profile != "" {
		p.pprof = pprof
	}
	return p, nil
}

func randomPassword() string {
	b := make([]byte, 12)
	rand.Read(b) // never fails: crypto/rand, Go 1.24
	return hex.EncodeToString(b)
}

func (s *stage) sluiceConfig(port, web int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `apiVersion: sluice/v1
kind: Gateway
metadata: {name: bench}
spec:
  data: %q
  listen: {web: "127.0.0.1:%d", postgres: "127.0.0.1:%d"}
  tls: {cert: %q, key: %q}
---
apiVersion: sluice/v1
kind: Resource
metadata: {name: %s, labels: {env: bench}}
spec:
  protocol: postgres
  address: %q
  database: %s
  tls: {mode: disable}
  credential: {user: %s, password: {env: SERVER_PASSWORD}}
`, filepath.Join(s.dir, "gateway"), web, port, s.cert, s.key, database, s.server.Addr, database, s.direct().user)
	user(&b, plainUser)
	for _, n := range []int{1, len(maskedColumns)} {
		user(&b, maskedUser(n))
	}
	b.WriteString(s.policies())
	return b.String()
}

func user(b *strings.Builder, name string) {
	fmt.Fprintf(b, `---
apiVersion: sluice/v1
kind: User
metadata: {name: %s}
spec: {groups: [bench, %s], password: {env: BENCH_PASSWORD}}
`, name, name)
}

// policies are s.rules rules in all: those of a small company, over and over
// for other teams and environments, as a central policy looks to one subject.
func (s *stage) policies() string {
	rules := []string{
		`{id: all, match: {groups: [bench], resource: {labels: {env: bench}}, access: [read, write, admin]}, effect: allow}`,
		`{id: unscoped, match: {protocols: [postgres], verbs: [delete, update]}, when: "!sql.scoped", effect: deny}`,
		`{id: truncate, mode: monitor, match: {verbs: [truncate]}, effect: deny}`,
	}
	if s.dynamic {
		rules = append(rules, `{id: rate, match: {protocols: [postgres]}, when: 'rate("statements", "1m") > 100000000', effect: deny}`)
	}
	for _, n := range []int{1, len(maskedColumns)} {
		for i, column := range maskedColumns[:n] {
			rules = append(rules, fmt.Sprintf(`{id: mask%d-%d, match: {columns: ["*.people.%s"], groups: [%s]}, effect: mask, mask: {with: %s}}`,
				n, i, column, maskedUser(n), s.maskWith))
		}
	}
	for i := 0; len(rules) < s.rules; i++ {
		rules = append(rules, otherTeam(i))
	}
	return "---\napiVersion: sluice/v1\nkind: Policy\nmetadata: {name: bench}\nspec:\n  rules:\n  - " + strings.Join(rules, "\n  - ") + "\n"
}

func otherTeam(i int) string {
	team := i / 5
	switch i % 5 {
	case 0:
		return fmt.Sprintf(`{id: team%d-use, match: {groups: [team%d], resource: {labels: {team: t%d}}, access: [read, write]}, effect: allow}`, team, team, team)
	case 1:
		return fmt.Sprintf(`{id: team%d-ddl, match: {groups: [team%d], access: [admin]}, effect: require_approval, approval: {from: [{group: dba, count: 1}], expires: 15m}}`, team, team)
	case 2:
		return fmt.Sprintf(`{id: team%d-hours, match: {groups: [team%d], access: [write], resource: {labels: {env: prod}}}, when: 'now.getHours("Europe/Berlin") < 8', effect: deny}`, team, team)
	case 3:
		return fmt.Sprintf(`{id: team%d-ledger, match: {tables: ["ledger%d.*"], groups: [team%d]}, effect: deny}`, team, team, team)
	}
	return fmt.Sprintf(`{id: team%d-mask, match: {columns: ["*.customers%d.email"], groups: [team%d]}, effect: mask, mask: {with: partial}}`, team, team, team)
}
