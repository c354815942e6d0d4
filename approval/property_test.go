package approval

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/access"
	"sluice/store"
)

// A machine plays users, approvers, time, crashes and a breaking journal against
// two engines over one store, and keeps its own simple account of what may run.
type machine struct {
	*world
	clock   time.Time
	engines []*Engine
	groups  map[string][]string // membership, as the machine remembers it
	granted []access.Approval   // answers that Approve returned, also stale ones
	ran     map[string]int      // by request
	demand  access.Decision     // of most requests: what is asked for rarely is rarely met
	asker   string              // of most requests
}

func newMachine(rt *rapid.T) *machine {
	m := &machine{world: newWorld(), clock: noon, ran: map[string]int{}, groups: map[string][]string{}}
	m.world.now = func() time.Time { return m.clock }
	for id, s := range m.people {
		m.groups[id] = s.Groups
	}
	m.engines = []*Engine{m.open(rt), m.open(rt)}
	m.demand, m.asker = anyDemand(rt), rapid.SampledFrom(askers).Draw(rt, "usual asker")
	if m.demand.Approval.Glass != nil {
		m.asker = "eve"
	}
	return m
}

var (
	askers = []string{"alice", "bob", "eve", "bot", "root"}
	voters = []string{"alice", "bob", "carol", "dan", "eve", "root", "bot", "bob-at-work"}
	texts  = []string{"one", "two"}
	rules  = [][]access.Approvers{
		{oneDBA}, {{Group: "dba", Count: 2}}, {oneDBA, {Group: "security", Count: 1}}, {{Group: "nobody", Count: 1}},
	}
	escalations = []*access.Escalation{
		nil, nil, {After: 5 * time.Minute, To: []access.Approvers{{Group: "security", Count: 1}}},
	}
	grants = []*access.Grant{
		nil, nil, {For: 8 * time.Minute, Uses: 3, Rows: 10}, {For: 20 * time.Minute, Uses: 2, Rows: 10},
	}
)

func (m *machine) engine(rt *rapid.T) *Engine { return rapid.SampledFrom(m.engines).Draw(rt, "node") }

func (m *machine) request(rt *rapid.T) (access.Request, access.Decision) {
	asker, d := m.asker, m.demand
	if rapid.IntRange(0, 4).Draw(rt, "unusual") == 0 {
		asker, d = rapid.SampledFrom(askers).Draw(rt, "asker"), anyDemand(rt)
	}
	r := ask(m.who(asker), rapid.SampledFrom(texts).Draw(rt, "text"))
	r.Action.SQL, r.Action.Confidence = &access.SQL{Fingerprint: "f"}, access.Exact
	return r, d
}

func anyDemand(rt *rapid.T) access.Decision {
	d := demand(rapid.SampledFrom(rules).Draw(rt, "rule")...)
	d.Approval.Escalate = rapid.SampledFrom(escalations).Draw(rt, "escalation")
	d.Approval.Grant = rapid.SampledFrom(grants).Draw(rt, "grant")
	if rapid.IntRange(0, 3).Draw(rt, "glass") == 0 {
		d.Approval.Glass = &access.Glass{Groups: []string{"sales"}, For: 5 * time.Minute, Review: 10 * time.Minute}
	}
	return d
}

// poll has everybody agree to a request, each for themselves.
func (m *machine) poll(rt *rapid.T) {
	if len(m.rows) == 0 {
		rt.Skip()
	}
	id := m.rows[len(m.rows)-1].ID
	for _, v := range voters {
		_, _ = m.engine(rt).Vote(ctx, id, m.who(v), true, "")
	}
}

// claim asks again and uses the answer at once, as a client does.
func (m *machine) claim(rt *rapid.T) {
	before := len(m.granted)
	m.ask(rt)
	for _, a := range m.granted[before:] {
		m.useOne(rt, a)
	}
}

// breakGlass keeps its own account of who may act without an answer, and until when.
func (m *machine) breakGlass(rt *rapid.T) {
	who := m.who(rapid.SampledFrom(askers).Draw(rt, "who"))
	terms := demand(oneDBA).Approval
	terms.Glass = &access.Glass{Groups: []string{"sales"}, For: 5 * time.Minute, Review: 10 * time.Minute}
	overdue := slices.ContainsFunc(m.rows, func(r store.Approval) bool {
		return r.Kind == store.Review && r.State == store.Pending && r.Requester.ID == who.ID && !m.clock.Before(r.Expires)
	})
	v, err := m.engine(rt).BreakGlass(ctx, who, shop, &terms, "fire")
	switch {
	case err != nil:
	case who.ID != "eve":
		rt.Fatalf("%s broke the glass", who.ID)
	case overdue && v.Created.Equal(m.clock):
		rt.Fatal("broken in spite of overdue reviews")
	}
}

func (m *machine) withdraw(rt *rapid.T) {
	if len(m.rows) == 0 {
		rt.Skip()
	}
	row := rapid.SampledFrom(m.rows).Draw(rt, "request")
	who := rapid.SampledFrom(askers).Draw(rt, "who")
	_, err := m.engine(rt).Withdraw(ctx, row.ID, m.who(who))
	if err == nil && who != row.Requester.ID {
		rt.Fatalf("%s withdrew what %s asked for", who, row.Requester.ID)
	}
}

func (m *machine) ask(rt *rapid.T) {
	r, d := m.request(rt)
	a, err := m.engine(rt).Approve(ctx, r, d, noTell)
	if err == nil && a.Approved {
		if a.Digest != r.Digest() {
			rt.Fatal("an answer for another question")
		}
		m.granted = append(m.granted, a)
	}
}

// giveUp asks, and gives up as soon as it is told to wait.
func (m *machine) giveUp(rt *rapid.T) {
	r, d := m.request(rt)
	r.Context.Wait = 0
	client, cancel := context.WithCancel(ctx)
	defer cancel()
	id := ""
	_, err := m.engine(rt).Approve(client, r, d, func(p access.Pending) { id = p.ID; cancel() })
	if id != "" && (err == nil || !m.world.notes.broken && !m.failCommit && m.state(id) == store.Pending) {
		rt.Fatalf("gave up, and the request is %s, %v", m.state(id), err)
	}
}

func (m *machine) vote(rt *rapid.T) {
	if len(m.rows) == 0 {
		rt.Skip()
	}
	id := rapid.SampledFrom(m.rows).Draw(rt, "request").ID
	_, _ = m.engine(rt).Vote(ctx, id, m.who(rapid.SampledFrom(voters).Draw(rt, "voter")), rapid.IntRange(0, 4).Draw(rt, "no") > 0, "")
}

func (m *machine) use(rt *rapid.T) {
	if len(m.granted) == 0 {
		rt.Skip()
	}
	m.useOne(rt, m.granted[max(0, len(m.granted)-1-rapid.IntRange(0, 5).Draw(rt, "answer"))])
}

func (m *machine) useOne(rt *rapid.T, a access.Approval) {
	if m.engine(rt).Use(ctx, a) != nil {
		return
	}
	m.ran[a.ID]++
	row, _ := m.Approval(ctx, a.ID)
	if a.Glass == "" && row.Kind != store.Request {
		rt.Fatalf("%s is a %s, and served as an approval", a.ID, row.Kind)
	}
	if a.Glass != "" {
		m.behindGlass(rt, a, row)
		return
	}
	most := 1
	if g := row.Quorum.Grant; g != nil {
		most = g.Uses
		if a.Shape != row.Shape {
			rt.Fatalf("grant %s covered another shape", a.ID)
		}
	}
	if m.ran[a.ID] > most {
		rt.Fatalf("request %s ran %d times, not %d", a.ID, m.ran[a.ID], most)
	}
	if !m.clock.Before(row.Expires) {
		rt.Fatalf("request %s ran after its expiry", a.ID)
	}
	if !m.enough(row) {
		rt.Fatalf("request %s of %s ran without quorum %v: %+v", a.ID, row.Requester.ID, row.Quorum.From, row.Votes)
	}
	if types := m.types(a.ID); types[len(types)-1] != access.ApprovalUsed {
		rt.Fatalf("request %s ran unrecorded: %v", a.ID, types)
	}
}

// behindGlass checks an action that ran without an answer.
func (m *machine) behindGlass(rt *rapid.T, a access.Approval, review store.Approval) {
	glass, _ := m.Approval(ctx, a.Glass)
	switch {
	case m.ran[a.ID] > 1:
		rt.Fatalf("two actions for review %s", a.ID)
	case review.Kind != store.Review || review.Digest != a.Digest || review.Requester.ID != "eve":
		rt.Fatalf("ran behind glass with review %+v", review)
	case glass.State != store.Approved || !glass.Requester.Same(review.Requester) || !m.clock.Before(glass.Created.Add(5*time.Minute)):
		rt.Fatalf("ran behind glass %+v at %s", glass, m.clock)
	case !slices.Contains(m.types(a.ID), access.GlassUsed):
		rt.Fatalf("ran behind glass unrecorded: %v", m.types(a.ID))
	}
}

// enough is the oracle: it tries every way of giving the places to the voters.
func (m *machine) enough(row store.Approval) bool {
	var places, people []string
	for _, f := range row.Quorum.From {
		for range f.Count {
			places = append(places, f.Group)
		}
	}
	for _, v := range row.Votes {
		if !v.Approve {
			return false
		}
		person := strings.TrimSuffix(v.Voter.ID, "-at-work") // bob has two accounts
		requester := row.Requester.ID
		if person == requester || v.Voter.ID == "bot" || requester == "bot" && person == "bob" {
			return false // nobody involved, and no agent, may even have voted
		}
		people = append(people, v.Voter.ID)
	}
	if m.seat(places, people, nil) {
		return true
	}
	x := row.Quorum.Escalate
	if x == nil || row.Escalated.IsZero() || row.Escalated.Before(row.Created.Add(x.After)) {
		return false
	}
	return m.seat([]string{"security"}, people, nil)
}

func (m *machine) seat(places, people, taken []string) bool {
	if len(places) == 0 {
		return true
	}
	for _, p := range people {
		person := strings.TrimSuffix(p, "-at-work")
		if !slices.Contains(taken, person) && slices.Contains(m.groups[p], places[0]) && m.seat(places[1:], people, append(taken, person)) {
			return true
		}
	}
	return false
}

func (m *machine) regroup(rt *rapid.T) {
	who := rapid.SampledFrom(voters).Draw(rt, "who")
	groups := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"dba", "security"}), rapid.ID[string]).Draw(rt, "groups")
	m.groups[who] = groups
	m.move(who, groups...)
}

// check holds after every step.
func (m *machine) check(rt *rapid.T) {
	for _, row := range m.rows {
		if row.Kind == store.Glass {
			continue
		}
		if (row.Sealed != nil) != (row.State == store.Pending) {
			rt.Fatalf("request %s is %s, content kept: %v", row.ID, row.State, row.Sealed != nil)
		}
		if types := m.types(row.ID); row.Kind == store.Request && !slices.Contains(types, eventOf[row.State]) {
			rt.Fatalf("request %s is %s, journal has %v", row.ID, row.State, types)
		}
	}
}

var eventOf = map[string]access.EventType{
	store.Pending: access.ApprovalRequested, store.Approved: access.ApprovalApproved, store.Rejected: access.ApprovalRejected,
	store.Withdrawn: access.ApprovalWithdrawn, store.Expired: access.ApprovalExpired, store.Used: access.ApprovalUsed,
}

// Whatever happens in whatever order: nothing runs without its quorum, nothing
// twice, nothing unrecorded.
func TestNeverWithoutQuorumNeverTwice(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newMachine(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"ask":      m.ask,
			"give up":  m.giveUp,
			"vote":     m.vote,
			"vote 2":   m.vote,
			"poll":     m.poll,
			"claim":    m.claim,
			"use":      m.use,
			"use 2":    m.use,
			"withdraw": m.withdraw, "glass": m.breakGlass,
			"regroup": m.regroup,
			"time": func(rt *rapid.T) {
				m.clock = m.clock.Add(time.Duration(rapid.IntRange(0, 6).Draw(rt, "m")) * time.Minute)
			},
			"sweep":   func(rt *rapid.T) { _ = m.engine(rt).Sweep(ctx) },
			"crash":   func(rt *rapid.T) { m.engines[rapid.IntRange(0, 1).Draw(rt, "node")] = m.open(rt) },
			"journal": func(rt *rapid.T) { m.world.notes.broken = rapid.IntRange(0, 3).Draw(rt, "broken") == 0 },
			"commit":  func(rt *rapid.T) { m.failCommit = rapid.IntRange(0, 3).Draw(rt, "fails") == 0 },
			"":        m.check,
		})
	})
}

// The matching agrees with trying everything.
func TestQuorumMatchesOracle(t *testing.T) {
	groups := []string{"a", "b", "c"}
	rapid.Check(t, func(rt *rapid.T) {
		m := &machine{groups: map[string][]string{}}
		var people []access.Subject
		var names []string
		for i := range rapid.IntRange(0, 5).Draw(rt, "people") {
			p := access.Subject{Issuer: "local", ID: string(rune('p' + i)), Groups: rapid.SliceOfDistinct(rapid.SampledFrom(groups), rapid.ID[string]).Draw(rt, "groups")}
			m.groups[p.ID] = p.Groups
			people, names = append(people, p), append(names, p.ID)
		}
		var q access.Quorum
		var places []string
		for range rapid.IntRange(1, 3).Draw(rt, "demands") {
			f := access.Approvers{Group: rapid.SampledFrom(groups).Draw(rt, "group"), Count: rapid.IntRange(1, 2).Draw(rt, "count")}
			q.From = append(q.From, f)
			for range f.Count {
				places = append(places, f.Group)
			}
		}
		if got, want := met(q.From, people), m.seat(places, names, nil); got != want {
			rt.Fatalf("met(%v, %v) = %v, want %v", q.From, people, got, want)
		}
	})
}

func FuzzSealed(f *testing.F) {
	w := newWorld()
	e := w.open(f)
	a := store.Approval{ID: "req-1"}
	sealed, err := e.seal.seal(&a, Content{Text: "x"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		// Workers are processes with nonces of their own, so that a seed that
		// opens need not be this process's.
		a := store.Approval{ID: "req-1", Sealed: b}
		c, err := e.seal.open(&a)
		if (err == nil) != (c.Text == "x") {
			t.Fatalf("%+v, %v", c, err)
		}
		if a.ID = "req-2"; err == nil {
			if _, err := e.seal.open(&a); err == nil {
				t.Fatal("opened for another request")
			}
		}
	})
}
