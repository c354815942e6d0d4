package policy

import (
	"strings"
	"testing"
	"time"

	"sluice/access"
)

const stepUp = `
apiVersion: sluice/v1
kind: Policy
metadata: {name: p}
spec:
  protocols: [postgres]
  rules:
  - {id: read, match: {access: [read]}, effect: allow}
  - {id: write, match: {verbs: [insert]}, effect: allow, identity: {max_age: 15m}, message: writing}
  - {id: asked, match: {verbs: [update]}, effect: allow}
  - {id: ask, match: {verbs: [update]}, effect: require_approval, approval: {from: [{group: dba}]}, identity: {max_age: 15m}}
  - {id: gate, match: {verbs: [delete]}, effect: deny, identity: {max_age: 15m}}
  - {id: deletes, match: {verbs: [delete]}, effect: allow}
  - {id: watched, match: {access: [read]}, effect: deny, mode: monitor, identity: {max_age: 15m}}
`

func TestMaxAge(t *testing.T) {
	set := load(t, stepUp)
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		verb         access.Verb
		fresh, stale access.Effect
	}{
		{access.VerbSelect, access.Allow, access.Allow},
		{access.VerbInsert, access.Allow, access.Deny},
		{access.VerbUpdate, access.RequireApproval, access.Deny},
		{access.VerbDelete, access.Allow, access.Deny},
	} {
		for name, at := range map[string]struct {
			at    time.Time
			stale bool
		}{
			"just now": {now, false}, "in time": {now.Add(-15 * time.Minute), false}, "by a clock ahead": {now.Add(time.Second), false},
			"too long ago": {now.Add(-15*time.Minute - time.Second), true}, "nobody knows when": {time.Time{}, true},
		} {
			r := access.Request{Subject: access.Subject{Issuer: "local", ID: "ann", Kind: access.Human, AuthTime: at.at},
				Resource: access.Resource{Name: "shop", Protocol: "postgres"},
				Action:   access.Action{Verb: c.verb, Op: strings.ToUpper(c.verb.String()), Confidence: access.Exact, SQL: &access.SQL{Scoped: true, Limit: -1}},
				Context:  access.Context{Time: now}}
			d, want := set.Decide(r), c.fresh
			if at.stale {
				want = c.stale
			}
			if d.Effect != want {
				t.Errorf("%s, %s: %s, want %s: %s", c.verb, name, d.Effect, want, d.Message)
			}
			if d.Stable {
				t.Errorf("%s, %s: the decision may be remembered", c.verb, name)
			}
			if want == access.Deny && (d.Hint != loginHint || !strings.Contains(d.Message, "not older than 15m")) {
				t.Errorf("%s, %s: %q, hint %q", c.verb, name, d.Message, d.Hint)
			}
			if would := len(d.Would) > 0; c.verb == access.VerbSelect && would != at.stale {
				t.Errorf("monitored, %s: %v", name, d.Would)
			}
			for _, rule := range Explain(set, r).Rules {
				if rule.Rule == "p/gate" && rule.Outcome == "yes" && !(c.verb == access.VerbDelete && at.stale) {
					t.Errorf("%s, %s: explained as %+v", c.verb, name, rule)
				}
			}
		}
	}
	// At the start of a session nobody knows what will be asked.
	if p := set.Posture(access.Subject{ID: "ann", Kind: access.Human}, access.Resource{Name: "shop", Protocol: "postgres"}); !p.May {
		t.Error("nobody may connect")
	}
}

func TestMaxAgeIsRefused(t *testing.T) {
	for want, rule := range map[string]string{
		"identity.max_age: want more than 0s": `{id: x, match: {access: [read]}, effect: allow, identity: {max_age: 0s}}`,
		"only a rule that allows, denies":     `{id: x, match: {columns: ["*.c.e"]}, effect: mask, mask: {with: "null"}, identity: {max_age: 15m}}`,
		`key "max_age" is missing`:            `{id: x, match: {access: [read]}, effect: allow, identity: {}}`,
		`unknown key "maxAge"`:                `{id: x, match: {access: [read]}, effect: allow, identity: {maxAge: 5m}}`,
	} {
		_, problems := Load(parse(t, "apiVersion: sluice/v1\nkind: Policy\nmetadata: {name: p}\nspec:\n  rules:\n  - "+rule+"\n"))
		found := false
		for _, p := range problems {
			found = found || strings.Contains(p.Message, want) && p.Line == 6
		}
		if !found {
			t.Errorf("%s: %v", want, problems)
		}
	}
}
