package policy

import (
	"testing"

	"sluice/access"
)

func TestPostureKnowsWhoOnlyReads(t *testing.T) {
	alice := access.Subject{Issuer: "local", ID: "alice", Groups: []string{"analysts"}}
	shop := access.Resource{Name: "shop", Protocol: "postgres", Labels: map[string]string{"env": "prod"}}
	for _, tt := range []struct {
		name, rules string
		want        bool
	}{
		{"reads", `{id: a, match: {access: [read]}, effect: allow}`, true},
		{"some verbs", `{id: a, match: {verbs: [select, copy_out]}, effect: allow}`, true},
		{"anything", `{id: a, effect: allow}`, false},
		{"writes", `{id: a, match: {access: [read, write]}, effect: allow}`, false},
		{"one verb", `{id: a, match: {verbs: [select, nextval]}, effect: allow}`, false},
		{"what nobody understands", `{id: a, match: {verbs: [select, unknown]}, effect: allow}`, false},
		{"on one table", `{id: a, match: {tables: [public.scratch]}, effect: allow}`, false},
		{"at times", `{id: a, match: {access: [write]}, when: now.getHours() > 8, effect: allow}`, false},
		{"others write", `{id: a, match: {access: [read]}, effect: allow}
  - {id: b, match: {groups: [dba]}, effect: allow}`, true},
		{"elsewhere", `{id: a, match: {access: [read]}, effect: allow}
  - {id: b, match: {resource: {labels: {env: dev}}}, effect: allow}`, true},
		{"in monitor mode", `{id: a, match: {access: [read]}, effect: allow}
  - {id: b, mode: monitor, effect: allow}`, true},
	} {
		s := loadRules(t, "\n  - "+tt.rules+"\n")
		if got := s.Posture(alice, shop); got.ReadOnly != tt.want {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
	// A rule that allows only some tables restricts, read-only or not.
	s := loadRules(t, "\n  - {id: a, match: {tables: [public.scratch], access: [read]}, effect: allow}\n")
	if p := s.Posture(alice, shop); !p.Restricted || !p.ReadOnly {
		t.Errorf("%+v", p)
	}
}
