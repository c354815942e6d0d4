package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/access"
)

const allowAll = "  - {id: all, effect: allow}\n"

func approvalRule(id, extra, from string) string {
	return fmt.Sprintf("  - {id: %s, match: {access: [write, admin]}%s, effect: require_approval, approval: {from: [%s], expires: 10m}}\n", id, extra, from)
}

func TestApprovalsAreMerged(t *testing.T) {
	s := loadRules(t, allowAll+
		approvalRule("one", "", "{group: dba}, {group: lead, count: 2}")+
		"  - {id: two, match: {verbs: [update]}, effect: require_approval, approval: {from: [{group: dba, count: 3}], expires: 5m}, message: ask first, hint: wait}\n")
	d := s.Decide(ask(access.VerbUpdate))
	want := access.Quorum{From: []access.Approvers{{Group: "dba", Count: 3}, {Group: "lead", Count: 2}}, Expires: 5 * time.Minute, Rules: []string{"p/one", "p/two"}}
	if d.Effect != access.RequireApproval || fmt.Sprint(d.Approval) != fmt.Sprint(want) {
		t.Errorf("got %s %+v, want %+v", d.Effect, d.Approval, want)
	}
	if d.By() != "p/one" || len(d.Reasons) != 3 || !d.Reasons[slices.IndexFunc(d.Reasons, func(r access.Reason) bool { return r.Rule == "all" })].Lost {
		t.Errorf("reasons %+v", d.Reasons)
	}
}

func TestApprovalGrantsNothing(t *testing.T) {
	s := loadRules(t, approvalRule("one", "", "{group: dba}")+"  - {id: readers, match: {access: [read]}, effect: allow}\n")
	d := s.Decide(ask(access.VerbUpdate))
	if d.Effect != access.Deny || d.By() != "default" || !strings.Contains(d.Hint, "p/one asks for approval but grants nothing") {
		t.Errorf("got %+v", d)
	}
}

func person(id string, groups ...string) access.Subject {
	return access.Subject{Issuer: "local", ID: id, Kind: access.Human, Groups: groups}
}

func TestApproved(t *testing.T) {
	rules := allowAll + approvalRule("dba", "", "{group: dba}") + approvalRule("security", "", "{group: security}") +
		"  - {id: never, match: {tables: [finance.*]}, effect: deny}\n"
	s := loadRules(t, rules)
	for _, c := range []struct {
		name string
		by   []access.Subject
		edit change
		want access.Effect
	}{
		{"two people", []access.Subject{person("bob", "dba"), person("eve", "security")}, nil, access.Allow},
		{"two people, groups crossed", []access.Subject{person("bob", "dba", "security"), person("eve", "dba")}, nil, access.Allow},
		{"one person in both groups", []access.Subject{person("bob", "dba", "security")}, nil, access.RequireApproval},
		{"the same person twice", []access.Subject{person("bob", "dba"), person("bob", "security")}, nil, access.RequireApproval},
		{"one vote missing", []access.Subject{person("bob", "dba")}, nil, access.RequireApproval},
		{"nobody", nil, nil, access.RequireApproval},
		{"by the requester", []access.Subject{person("alice", "dba"), person("eve", "security")}, nil, access.RequireApproval},
		{"by an agent", []access.Subject{{Issuer: "local", ID: "bot", Kind: access.Agent, Groups: []string{"dba"}}, person("eve", "security")}, nil, access.RequireApproval},
		{"by the owner", []access.Subject{person("bob", "dba"), person("eve", "security")}, func(r *access.Request) { r.Subject.Owner = "bob" }, access.RequireApproval},
		{"by the actor's owner", []access.Subject{person("bob", "dba"), person("eve", "security")}, func(r *access.Request) {
			r.Subject.Actor = &access.Subject{Issuer: "local", ID: "bot", Kind: access.Agent, Owner: "bob"}
		}, access.RequireApproval},
		{"denied since", []access.Subject{person("bob", "dba"), person("eve", "security")}, reads("finance.x"), access.Deny},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := ask(access.VerbUpdate)
			if c.edit != nil {
				c.edit(&r)
			}
			r.Context.Approved = &access.Approval{Approved: true, By: c.by, Digest: r.Digest(), Expires: evening.Add(time.Minute)}
			d := s.Decide(r)
			if d.Effect != c.want {
				t.Errorf("got %s (%s), want %s", d.Effect, d.Message, c.want)
			}
			if d.Stable {
				t.Error("a decision with an approval must not be reused")
			}
			if c.want != access.Allow {
				return
			}
			for name, spoil := range map[string]func(*access.Approval){
				"rejected": func(a *access.Approval) { a.Approved = false },
				"expired":  func(a *access.Approval) { a.Expires = evening },
				"foreign":  func(a *access.Approval) { a.Digest[0] ^= 1 },
			} {
				a := *r.Context.Approved
				spoil(&a)
				bad := r
				bad.Context.Approved = &a
				if d := s.Decide(bad); d.Effect != access.RequireApproval {
					t.Errorf("%s: got %s", name, d.Effect)
				}
			}
		})
	}
}

func obligations(d access.Decision) string {
	var parts []string
	for _, o := range d.Obligations {
		parts = append(parts, fmt.Sprintf("%T%+v", o, o))
	}
	return strings.Join(parts, "\n")
}

func TestObligationsAreMerged(t *testing.T) {
	s := loadRules(t, `
  - {id: all, effect: allow, limit: {rows: 1000}, record: true}
  - {id: few, match: {access: [read]}, effect: limit, limit: {rows: 10, bytes: 500}}
  - {id: change, effect: limit, limit: {affected_rows: 5, timeout: 1m}}
  - {id: tell, effect: notify, notify: [ops, sec]}
  - {id: tell-too, effect: notify, notify: [ops]}
  - {id: tape, effect: record}
`)
	got := obligations(s.Decide(ask(access.VerbSelect)))
	want := `access.Limit{Rows:10 Bytes:500 AffectedRows:0 Timeout:0s Rule:p/few}
access.Limit{Rows:0 Bytes:0 AffectedRows:5 Timeout:1m0s Rule:p/change}
access.Record{Rule:p/all}
access.Notify{Channel:ops Rule:p/tell}
access.Notify{Channel:sec Rule:p/tell}`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if d := s.Decide(ask(access.VerbUpdate)); strings.Contains(obligations(d), "Rows:10 ") {
		t.Errorf("a limit on reads applied to a write: %s", obligations(d))
	}
}

const maskRules = allowAll + `
  - {id: partial, match: {columns: ["*.customers.email", "*.customers.card"], not: {groups: [lead]}}, effect: mask, mask: {with: partial}}
  - {id: hash, match: {columns: ["public.customers.email"]}, effect: mask, mask: {with: hash}}
  - {id: monitored, mode: monitor, match: {columns: ["public.customers.*"]}, effect: mask, mask: {with: "null"}}
`

func TestMasks(t *testing.T) {
	s := loadRules(t, maskRules)
	unknownColumns := touches("public.customers", func(o *access.Object) { o.Read = true })
	for _, c := range []struct {
		name string
		r    access.Request
		want []string // column with, ! for unknown
	}{
		{"no masked column", ask(access.VerbSelect, reads("public.customers", "id")), nil},
		{"one", ask(access.VerbSelect, reads("public.customers", "card", "id")), []string{"public.customers.card partial"}},
		{"the strictest", ask(access.VerbSelect, reads("public.customers", "email", "card")), []string{"public.customers.card partial", "public.customers.email hash"}},
		{"exempt", ask(access.VerbSelect, groups("lead"), reads("public.customers", "email", "card")), []string{"public.customers.email hash"}},
		{"another schema", ask(access.VerbSelect, reads("crm.customers", "email")), []string{"crm.customers.email partial"}},
		{"columns not known", ask(access.VerbSelect, groups("lead"), unknownColumns), []string{"public.customers.email hash !"}},
		{"partial, another table", ask(access.VerbSelect, groups("lead"), reads("public.orders", "id"), confidence(access.Partial)), []string{".. hash !"}},
		{"partial, strictest", ask(access.VerbSelect, reads("public.customers", "card"), confidence(access.Partial)), []string{".. hash !", "public.customers.card partial"}},
		{"twice", ask(access.VerbSelect, reads("public.customers", "card"), reads("public.customers", "card")), []string{"public.customers.card partial"}},
		{"session", ask(access.VerbShow), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := s.Decide(c.r)
			var got []string
			for _, o := range d.Obligations {
				m := o.(access.Mask)
				line := m.Column.String() + " " + m.With
				if m.Unknown {
					line += " !"
				}
				got = append(got, line)
			}
			if d.Effect != access.Allow || !slices.Equal(got, c.want) {
				t.Errorf("got %s %q, want %q", d.Effect, got, c.want)
			}
		})
	}
}

func column(origins ...string) access.Column {
	c := access.Column{Traced: true}
	for _, o := range origins {
		parts := strings.Split(o, ".")
		c.Origins = append(c.Origins, access.ColumnID{Schema: parts[0], Table: parts[1], Column: parts[2]})
	}
	return c
}

func TestResult(t *testing.T) {
	s := loadRules(t, maskRules+`
  - {id: find, match: {resource: {labels: {env: prod}}}, effect: mask, mask: {detect: [card, email], with: partial}}
  - {id: find-more, effect: mask, mask: {detect: [secrets], with: redact}}
  - {id: table, match: {tables: [finance.*], not: {groups: [finance]}}, effect: mask, mask: {with: year}}
`)
	cols := []access.Column{
		column("public.customers.id"),
		column("public.customers.email"),
		column("public.children.email", "public.customers.email"),
		column("crm.customers.card"),
		column("finance.salaries.amount"),
		column(),
		{Traced: false},
	}
	r := ask(access.VerbSelect, reads("public.customers", "id"))
	masks, err := s.Result(r, s.Decide(r), cols)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range masks {
		got = append(got, m.With+" "+strings.Join(m.Detect, ",")+" "+m.Rule)
	}
	want := []string{
		"redact card,email,secrets p/find", "hash  p/hash", "hash  p/hash", "partial  p/partial", "year  p/table",
		"redact card,email,secrets p/find", "null  p/partial",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if !masks[6].Unknown || masks[1].Column.Column != "email" {
		t.Errorf("%+v", masks)
	}
}

// TestPathsAreMerged: a mask of the whole value wins over parts of it, parts
// are added up, and the stricter method holds for all.
func TestPathsAreMerged(t *testing.T) {
	s := loadRules(t, allowAll+`
  - {id: a, match: {columns: [t.one, t.two, t.three, t.four]}, effect: mask, mask: {with: partial, paths: ["$.b", "$.a", "$.b"]}}
  - {id: b, match: {columns: [t.two]}, effect: mask, mask: {with: hash, key: old, paths: ["$..c", "$.a"]}}
  - {id: c, match: {columns: [t.three]}, effect: mask, mask: {with: email}}
  - {id: d, match: {columns: [t.four, t.five]}, effect: mask, mask: {with: hash, key: old}}
  - {id: e, match: {columns: [t.five]}, effect: mask, mask: {with: hash}}
`)
	r := ask(access.VerbSelect, reads("public.t", "one", "two", "three", "four", "five"))
	d := s.Decide(r)
	want := "one partial [$.a $.b] , two hash [$..c $.a $.b] old, three partial [] , four hash [] old, five hash [] "
	text := func(masks []access.Mask) string {
		var parts []string
		for _, m := range masks {
			parts = append(parts, fmt.Sprintf("%s %s %v %s", m.Column.Column, m.With, m.Paths, m.Key))
		}
		return strings.Join(parts, ", ")
	}
	masks, err := s.Result(r, d, []access.Column{column("public.t.one"), column("public.t.two"), column("public.t.three"), column("public.t.four"), column("public.t.five")})
	if got := text(masks); err != nil || got != want {
		t.Errorf("got  %s %v\nwant %s", got, err, want)
	}
	var decided []access.Mask
	for _, o := range d.Obligations {
		decided = append(decided, o.(access.Mask))
	}
	if got, sorted := text(decided), "five hash [] , four hash [] old, one partial [$.a $.b] , three partial [] , two hash [$..c $.a $.b] old"; got != sorted {
		t.Errorf("got  %s\nwant %s", got, sorted)
	}
	masks, _ = s.Result(r, d, []access.Column{column("public.t.one", "public.t.three"), {Traced: false, Origins: column("public.t.one").Origins}})
	for _, many := range []access.Column{{Mixed: true}, {Parts: [][]access.ColumnID{column("public.t.one").Origins, column("public.t.one").Origins}}} {
		many.Traced, many.Origins = true, column("public.t.one").Origins
		if parts, err := s.Result(r, d, []access.Column{many}); err != nil || len(parts[0].Paths) > 0 || parts[0].With == "" {
			t.Errorf("of many: %+v %v", parts, err)
		}
	}
	if masks[0].With != "partial" || masks[1].With != "null" || len(masks[0].Paths)+len(masks[1].Paths) > 0 {
		t.Errorf("%+v", masks)
	}
	if ps := s.Keyless([]string{"new", "local"}); len(ps) != 2 || !strings.Contains(ps[0].Message, `no mask key "old"`) {
		t.Errorf("%v", ps)
	}
}

// TestDetectorsBesidePaths: what paths leave is still looked into.
func TestDetectorsBesidePaths(t *testing.T) {
	s := loadRules(t, allowAll+`
  - {id: a, match: {columns: [t.one]}, effect: mask, mask: {with: partial, paths: ["$.a"]}}
  - {id: b, effect: mask, mask: {detect: [card], with: redact}}
`)
	r := ask(access.VerbSelect, reads("public.t", "one"))
	masks, err := s.Result(r, s.Decide(r), []access.Column{column("public.t.one"), column("public.t.two")})
	if got := fmt.Sprint(masks[0].With, masks[0].Paths, masks[0].Detect, masks[0].Finds, masks[1].Detect); err != nil || got != "partial[$.a] [card]redact[card]" {
		t.Errorf("%s %v", got, err)
	}
}

func TestResultWithoutMasks(t *testing.T) {
	s := loadRules(t, allowAll)
	r := ask(access.VerbSelect)
	masks, err := s.Result(r, s.Decide(r), []access.Column{{}, column("public.x.y")})
	if err != nil || len(masks) != 2 || masks[0].With != "" || masks[1].With != "" {
		t.Errorf("got %+v, %v", masks, err)
	}
}

func TestResultErrors(t *testing.T) {
	s := loadRules(t, allowAll+"  - {id: m, match: {columns: [t.c]}, when: resource.labels.none == 'x', effect: mask, mask: {with: redact}}\n")
	r := ask(access.VerbSelect, reads("public.t", "d"))
	allowed := access.Decision{Effect: access.Allow}
	if _, err := s.Result(r, allowed, []access.Column{{}}); err == nil {
		t.Error("a mask rule that fails must be an error")
	}
	if _, err := s.Result(r, access.Decision{}, []access.Column{{}}); err == nil {
		t.Error("a refused action has no result")
	}
	var none *Set
	if _, err := none.Result(r, allowed, []access.Column{{}}); err == nil {
		t.Error("no policy has no result")
	}
}

func TestMonitorChangesNothing(t *testing.T) {
	plain := loadRules(t, allowAll)
	watched := loadRules(t, allowAll+`
  - {id: d, mode: monitor, match: {verbs: [select]}, effect: deny, message: later}
  - {id: a, mode: monitor, effect: require_approval, approval: {from: [{group: x}]}}
  - {id: l, mode: monitor, effect: limit, limit: {rows: 1}}
  - {id: m, mode: monitor, when: session.writes >= 0, effect: mask, mask: {detect: [email], with: redact}}
  - {id: other, mode: monitor, match: {verbs: [drop]}, effect: deny}
`)
	r := ask(access.VerbSelect)
	d, base := watched.Decide(r), plain.Decide(r)
	if d.Effect != base.Effect || len(d.Obligations) != 0 || len(d.Reasons) != len(base.Reasons) {
		t.Errorf("got %+v", d)
	}
	var would []string
	for _, w := range d.Would {
		would = append(would, w.Rule+":"+w.Effect)
	}
	if got := strings.Join(would, " "); got != "d:deny a:require_approval l:limit m:mask" {
		t.Errorf("would %s", got)
	}
	if d.Would[3].Because != "session.writes >= 0 => true" {
		t.Errorf("because %q", d.Would[3].Because)
	}
	if loadRules(t, "  - {id: all, mode: monitor, effect: allow}\n").Decide(r).Effect != access.Deny {
		t.Error("a monitored allow granted something")
	}
}

func TestPolicyMode(t *testing.T) {
	text := strings.Replace(bundle("  - {id: a, effect: deny}\n  - {id: b, mode: enforce, effect: allow}\n"), "spec:\n", "spec:\n  mode: monitor\n", 1)
	if d := load(t, text).Decide(ask(access.VerbSelect)); d.Effect != access.Allow || len(d.Would) != 1 {
		t.Errorf("got %+v", d)
	}
}

func TestStable(t *testing.T) {
	for rule, want := range map[string]bool{
		`effect: limit, limit: {rows: 1}`:                                                   true,
		`when: 'subject.kind == "human" && client.tls', effect: deny`:                       true,
		`when: 'action.text.contains("x")', effect: deny`:                                   true,
		`when: 'now > timestamp("2000-01-01T00:00:00Z")', effect: limit, limit: {rows: 1}`:  false,
		`when: 'now < timestamp("2000-01-01T00:00:00Z")', effect: deny`:                     false,
		`when: 'rate("rows", "1h") > 5', effect: deny`:                                      false,
		`when: 'count("writes", "1h") > 5', effect: deny`:                                   false,
		`when: 'session.writes > 5', effect: deny`:                                          false,
		`when: 'has(context.reason)', effect: limit, limit: {rows: 1}`:                      false,
		`match: {protocols: [postgres]}, when: 'sql.args > 5', effect: deny`:                false,
		`match: {protocols: [postgres]}, when: '[sql].exists(s, s.args > 5)', effect: deny`: false,
		`match: {verbs: [drop]}, when: 'session.writes > 5', effect: deny`:                  true, // no candidate
		`match: {subjects: [bob]}, when: 'session.writes > 5', effect: deny`:                true,
		`mode: monitor, when: 'session.writes > 5', effect: deny`:                           false, // what it would do must be recorded
	} {
		d := loadRules(t, allowAll+"  - {id: it, "+rule+"}\n").Decide(ask(access.VerbSelect))
		if d.Effect != access.Allow || d.Stable != want {
			t.Errorf("%s: stable %v, want %v (%s %s)", rule, d.Stable, want, d.Effect, d.Message)
		}
	}
}

func TestSessionVerbs(t *testing.T) {
	for rules, want := range map[string]access.Effect{
		"  - {id: a, match: {tables: [public.x]}, effect: allow}\n":                                                      access.Allow,
		"  - {id: a, match: {access: [admin]}, when: session.writes > 100, effect: allow}\n":                             access.Allow,
		"  - {id: a, match: {access: [admin]}, when: subject.id == 'bob', effect: allow}\n":                              access.Deny,
		"  - {id: a, mode: monitor, effect: allow}\n":                                                                    access.Deny,
		"  - {id: a, match: {resource: {labels: {env: dev}}}, effect: allow}\n":                                          access.Deny,
		allowAll + "  - {id: d, match: {access: [session]}, effect: deny}\n":                                             access.Deny,
		allowAll + "  - {id: r, effect: require_approval, approval: {from: [{group: x}]}}\n":                             access.Allow,
		allowAll + "  - {id: r, match: {verbs: [listen]}, effect: require_approval, approval: {from: [{group: x}]}}\n":   access.Allow,
		allowAll + "  - {id: r, match: {access: [session]}, effect: require_approval, approval: {from: [{group: x}]}}\n": access.RequireApproval,
	} {
		d := loadRules(t, rules).Decide(ask(access.VerbBegin))
		if d.Effect != want {
			t.Errorf("%s: got %s (%s)", rules, d.Effect, d.Message)
		}
	}
}

func TestActorChain(t *testing.T) {
	bot := func(groups ...string) change {
		return func(r *access.Request) {
			r.Subject.Actor = &access.Subject{Issuer: "local", ID: "bot", Kind: access.Agent, Groups: groups}
		}
	}
	s := loadRules(t, `
  - {id: people, match: {groups: [engineering]}, effect: allow}
  - {id: bots, match: {kinds: [agent], access: [read]}, effect: allow}
  - {id: bots-not-finance, match: {kinds: [agent], tables: [finance.*]}, effect: deny}
  - {id: cleared, match: {tables: [secret.*], not: {groups: [cleared]}}, effect: deny}
`)
	for _, c := range []struct {
		name string
		r    access.Request
		want access.Effect
	}{
		{"person alone", ask(access.VerbUpdate), access.Allow},
		{"person by bot, read", ask(access.VerbSelect, bot()), access.Allow},
		{"person by bot, write", ask(access.VerbUpdate, bot()), access.Deny},
		{"person by bot in the group, write", ask(access.VerbUpdate, bot("engineering")), access.Allow},
		{"stranger by bot in the group", ask(access.VerbSelect, groups(), bot("engineering")), access.Deny},
		{"a rule on the bot", ask(access.VerbSelect, reads("finance.x"), bot()), access.Deny},
		{"only the person is cleared", ask(access.VerbSelect, groups("engineering", "cleared"), reads("secret.x"), bot()), access.Deny},
		{"both are cleared", ask(access.VerbSelect, groups("engineering", "cleared"), reads("secret.x"), bot("cleared")), access.Allow},
		{"session", ask(access.VerbBegin, bot()), access.Allow},
		{"session of a workload", ask(access.VerbBegin, func(r *access.Request) { r.Subject.Actor = &access.Subject{ID: "ci", Kind: access.Workload} }), access.Deny},
	} {
		if d := s.Decide(c.r); d.Effect != c.want {
			t.Errorf("%s: got %s by %s", c.name, d.Effect, d.By())
		}
	}
	long := ask(access.VerbSelect)
	for range maxChain {
		next := long.Subject
		long.Subject = access.Subject{ID: "x", Groups: []string{"engineering"}, Actor: &next}
	}
	if d := s.Decide(long); d.Effect != access.Deny || !strings.Contains(d.Message, "too many parties") {
		t.Errorf("a long chain: %+v", d)
	}
}

func TestPosture(t *testing.T) {
	s := loadRules(t, `
  - {id: readers, match: {groups: [engineering], access: [read]}, effect: allow}
  - {id: analysts, match: {groups: [analysts], tables: [reports.*]}, effect: allow}
  - {id: office, match: {groups: [office], client: {cidr: [10.0.0.0/8]}}, when: now.getHours("UTC") > 8, effect: allow}
  - {id: finance, match: {groups: [contractors], tables: [finance.*]}, effect: deny}
  - {id: cel, match: {groups: [celts], protocols: [postgres]}, when: 'sql.tables.exists(t, t.name == "x")', effect: require_approval, approval: {from: [{group: x}]}}
  - {id: pii, match: {groups: [masked], columns: ["*.c.email"]}, effect: mask, mask: {with: redact}}
  - {id: pii-eu, match: {groups: [engineering], columns: ["*.c.email"]}, when: resource.labels.region == "eu", effect: mask, mask: {with: redact}}
  - {id: watched, mode: monitor, match: {columns: ["*.c.email"]}, effect: mask, mask: {with: redact}}
  - {id: banned, match: {groups: [banned]}, effect: deny}
  - {id: sometimes, match: {groups: [engineering]}, when: session.denied > 10, effect: deny}
`)
	us := access.Resource{Name: "shop", Protocol: "postgres", Labels: map[string]string{"region": "us"}}
	eu := access.Resource{Name: "shop", Protocol: "postgres", Labels: map[string]string{"region": "eu"}}
	for _, c := range []struct {
		groups                  string
		res                     access.Resource
		may, restricted, masked bool
	}{
		{"", us, false, false, false},
		{"engineering", us, true, false, false},
		{"engineering", eu, true, true, true},
		{"analysts", us, true, true, false},
		{"office", us, true, false, false},
		{"engineering contractors", us, true, true, false},
		{"engineering celts", us, true, true, false},
		{"engineering masked", us, true, true, true},
		{"engineering banned", us, false, false, false},
	} {
		p := s.Posture(person("alice", strings.Fields(c.groups)...), c.res)
		if p.May != c.may || p.Restricted != c.restricted || p.Masked != c.masked {
			t.Errorf("%s in %s: got %+v", c.groups, c.res.Labels["region"], p)
		}
	}
	if p := (*Set)(nil).Posture(person("alice"), us); p != (access.Posture{}) {
		t.Errorf("no policy: %+v", p)
	}
}

func TestLive(t *testing.T) {
	var l Live
	r := ask(access.VerbSelect)
	if d := l.Decide(r); d.Effect != access.Deny || d.Message == "" || l.Version() != 0 || l.Posture(r.Subject, r.Resource).May {
		t.Errorf("an empty Live: %+v", d)
	}
	s := loadRules(t, allowAll)
	if v := l.Swap(s); v != 1 || l.Decide(r).Effect != access.Allow || l.Set() != s || l.Digest() != s.Digest() {
		t.Error("the set is not in force")
	}
	if p := l.Posture(r.Subject, r.Resource); !p.May || p.Version != 1 {
		t.Errorf("posture %+v", p)
	}
	if v := l.Swap(nil); v != 2 || l.Decide(r).Effect != access.Deny {
		t.Error("swapping in nothing must deny")
	}
}

func TestMessages(t *testing.T) {
	s := load(t, strings.Replace(bundle(`
  - {id: base, match: {groups: [engineering]}, effect: allow}
  - {id: said, match: {verbs: [delete]}, effect: deny, message: no deletes, hint: archive instead}
  - {id: mute, match: {verbs: [merge]}, effect: deny}
  - {id: doubt, match: {tables: [finance.*]}, effect: deny, message: finance is closed}
`), "{name: p}", "{name: p, labels: {owner: team-data}}", 1))
	why := func(r *access.Request) { r.Action.SQL.Why = "calls public.f" }
	for _, c := range []struct {
		r             access.Request
		message, hint string
	}{
		{ask(access.VerbDelete), "no deletes", "archive instead"},
		{ask(access.VerbMerge), "MERGE on shop is not allowed", "ask team-data, who owns this policy"},
		{ask(access.VerbSelect, confidence(access.Partial), why), "finance is closed: what this reaches is not fully understood (partial: calls public.f), and the rule may apply to it", "team-data"},
		{ask(access.VerbBegin, groups("sales")), "no rule allows BEGIN on shop", "p/base, which wants groups: [engineering]"},
		{ask(access.VerbSelect, groups("sales")), "no rule allows SELECT on shop", "the nearest rule that would allow it is p/base, which wants groups: [engineering]"},
	} {
		d := s.Decide(c.r)
		if d.Message != c.message || !strings.Contains(d.Hint, c.hint) {
			t.Errorf("got %q, %q; want %q, %q", d.Message, d.Hint, c.message, c.hint)
		}
	}
	if d := loadRules(t, "    []\n").Decide(ask(access.VerbSelect)); d.Hint != "" {
		t.Errorf("without rules there is no nearest one: %q", d.Hint)
	}
}

func TestBecause(t *testing.T) {
	s := loadRules(t, allowAll+`
  - {id: shift, match: {verbs: [update]}, when: '!(now.getHours("Europe/Berlin") >= 8 && now.getHours("Europe/Berlin") < 18) || subject.id == "bob"', effect: deny}
  - {id: fin, match: {tables: [finance.*]}, effect: deny}
  - {id: fast, match: {verbs: [merge]}, when: 'rate("statements", "1m") > 5', effect: deny}
`)
	for _, c := range []struct {
		r    access.Request
		want string
	}{
		{ask(access.VerbUpdate), `now.getHours("Europe/Berlin") >= 8 => true; now.getHours("Europe/Berlin") < 18 => false; subject.id == "bob" => false`},
		{ask(access.VerbSelect, reads("finance.salaries"), reads("public.x")), `tables: [finance.*] => finance.salaries, public.x`},
		{ask(access.VerbSelect, confidence(access.Opaque)), `tables: [finance.*] => unknown`},
		{ask(access.VerbMerge, func(r *access.Request) { r.Context.Counts = counts{"statements": 9} }), `rate("statements", "1m") > 5 => true`},
	} {
		if got := s.Decide(c.r).Reasons[0].Because; got != c.want {
			t.Errorf("got %q\nwant %q", got, c.want)
		}
	}
}

func TestExplain(t *testing.T) {
	s := loadRules(t, guardrails)
	e := Explain(s, ask(access.VerbSelect, groups("sales"), reads("public.orders", "id")))
	if e.Decision.Effect != access.Deny || len(e.Rules) != len(s.rules) {
		t.Fatalf("got %+v", e)
	}
	if !strings.Contains(e.Nearest, "is p/engineers, which wants") || !strings.Contains(e.Nearest, "(p.yaml:") || !strings.Contains(e.Nearest, "groups: [engineering]") {
		t.Errorf("nearest %q", e.Nearest)
	}
	outcomes := map[string]string{}
	for _, r := range e.Rules {
		outcomes[r.Rule] = r.Outcome + " " + r.Because
	}
	for rule, want := range map[string]string{
		"p/engineers":          "no groups: [engineering] => no",
		"p/no-unscoped-writes": "no verbs: [delete, update] => no",
		"p/finance-hidden":     "no tables: [finance.*] => no",
		"p/too-fast":           `no rate("statements", "1m") > 120 => false`,
	} {
		if outcomes[rule] != want {
			t.Errorf("%s: got %q, want %q", rule, outcomes[rule], want)
		}
	}
	if e := Explain(s, ask(access.VerbDelete, unscoped)); e.Nearest != "" {
		t.Errorf("a rule allows it already, and another denies it: %q", e.Nearest)
	}
	if e := Explain(nil, ask(access.VerbSelect)); e.Decision.Effect != access.Deny {
		t.Errorf("no policy: %+v", e)
	}
}
