package approval

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/access"
	"sluice/store"
)

func TestApprovedOnceUsedOnce(t *testing.T) {
	w := newWorld()
	e := w.open(t)
	r, d := ask(w.who("alice"), "DELETE FROM t"), demand(oneDBA)
	id := requested(t, e, r, d)
	if again := requested(t, e, r, d); again != id {
		t.Errorf("asked twice: %s and %s", id, again)
	}
	vote(t, e, w, id, "bob", true)
	a, err := e.Approve(ctx, r, d, noTell)
	if err != nil || !a.Approved || a.Digest != r.Digest() || len(a.By) != 1 || a.By[0].ID != "bob" {
		t.Fatalf("%+v, %v", a, err)
	}
	if err := e.Use(ctx, a); err != nil {
		t.Fatal(err)
	}
	if err := e.Use(ctx, a); !errors.Is(err, ErrUsed) {
		t.Errorf("used twice: %v", err)
	}
	if next := requested(t, e, r, d); next == id {
		t.Error("a used request was taken up again")
	}
	want := []access.EventType{access.ApprovalRequested, access.ApprovalApproved, access.ApprovalUsed}
	if got := w.types(id); !slices.Equal(got, want) {
		t.Errorf("journal %v", got)
	}
}

func TestWhoMayAnswer(t *testing.T) {
	w := newWorld()
	e := w.open(t)
	delegated := w.who("alice")
	bot := w.who("bot")
	delegated.Actor = &bot
	acting := w.who("carol")
	acting.Actor = &bot
	for _, c := range []struct {
		name      string
		requester access.Subject
		voter     access.Subject
		want      error
	}{
		{"a member", w.who("alice"), w.who("bob"), nil},
		{"oneself, though a member", w.who("alice"), w.who("alice"), ErrSelf},
		{"an administrator", w.who("alice"), w.who("root"), ErrNotAsked},
		{"an administrator's own", w.who("root"), w.who("root"), ErrSelf},
		{"somebody else", w.who("alice"), w.who("eve"), ErrNotFound},
		{"an agent", w.who("alice"), bot, ErrNotHuman},
		{"an agent acting for a member", w.who("alice"), acting, ErrNotFound},
		{"nobody", w.who("alice"), access.Subject{}, ErrNotFound},
		{"the agent's owner", bot, w.who("bob"), ErrSelf},
		{"the owner's other account", bot, w.who("bob-at-work"), ErrSelf},
		{"the principal of an agent", delegated, w.who("alice"), ErrSelf},
		{"the owner of an agent in the chain", delegated, w.who("bob"), ErrSelf},
		{"a member, for a chain", delegated, w.who("carol"), nil},
		{"one's second account", w.who("bob"), w.who("bob-at-work"), ErrSelf},
	} {
		id := requested(t, e, ask(c.requester, c.name), demand(oneDBA))
		_, err := e.Vote(ctx, id, c.voter, true, "")
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if c.want != nil && w.state(id) != store.Pending {
			t.Errorf("%s: it counted", c.name)
		}
		if _, err := e.Vote(ctx, id, c.voter, false, ""); c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: may veto: %v", c.name, err)
		}
	}
}

// The owner at the time of the vote counts, not only the one at the time of asking.
func TestNewOwnerIsBarredToo(t *testing.T) {
	w := newWorld()
	e := w.open(t)
	id := requested(t, e, ask(w.who("bot"), "x"), demand(oneDBA))
	bot := w.who("bot")
	bot.Owner = "carol"
	w.people["bot"] = bot
	for _, owner := range []string{"bob", "carol"} {
		if _, err := e.Vote(ctx, id, w.who(owner), true, ""); !errors.Is(err, ErrSelf) {
			t.Errorf("%s: %v", owner, err)
		}
	}
}

func TestQuorum(t *testing.T) {
	dba2, sec1 := access.Approvers{Group: "dba", Count: 2}, access.Approvers{Group: "security", Count: 1}
	for _, c := range []struct {
		name   string
		from   []access.Approvers
		voters []string
		met    bool
	}{
		{"one of one", []access.Approvers{oneDBA}, []string{"bob"}, true},
		{"none", []access.Approvers{oneDBA}, nil, false},
		{"two of one group", []access.Approvers{dba2}, []string{"bob", "carol"}, true},
		{"one is not two", []access.Approvers{dba2}, []string{"bob"}, false},
		{"one person in both groups is one person", []access.Approvers{oneDBA, sec1}, []string{"carol"}, false},
		{"people are moved on", []access.Approvers{oneDBA, sec1}, []string{"carol", "bob"}, true},
		{"people are moved on, the other way", []access.Approvers{oneDBA, sec1}, []string{"carol", "dan"}, true},
		{"three places", []access.Approvers{dba2, sec1}, []string{"bob", "carol"}, false},
		{"three people", []access.Approvers{dba2, sec1}, []string{"bob", "carol", "dan"}, true},
		{"wrong group only", []access.Approvers{oneDBA}, []string{"dan"}, false},
		{"two accounts of one person", []access.Approvers{dba2}, []string{"bob", "bob-at-work"}, false},
	} {
		w := newWorld()
		e := w.open(t)
		id := requested(t, e, ask(w.who("eve"), "x"), demand(c.from...))
		for _, v := range c.voters {
			_, _ = e.Vote(ctx, id, w.who(v), true, "")
		}
		if got := w.state(id) == store.Approved; got != c.met {
			t.Errorf("%s: met %v", c.name, got)
		}
	}
}

func TestUnmeetableQuorumsAreRefused(t *testing.T) {
	w := newWorld()
	e := w.open(t)
	for _, from := range [][]access.Approvers{nil, {{Group: "dba"}}, {{Count: 1}}, {{Group: "dba", Count: -1}}, {{Group: "dba", Count: maxPlaces}, oneDBA}} {
		if a, err := e.Approve(ctx, ask(w.who("alice"), "x"), demand(from...), noTell); err == nil || a.Approved {
			t.Errorf("%v: accepted", from)
		}
		if met(from, []access.Subject{w.who("bob"), w.who("carol")}) {
			t.Errorf("%v: met", from)
		}
	}
	if len(w.rows) != 0 {
		t.Error("they were stored")
	}
}

func TestOneVetoRejects(t *testing.T) {
	w := newWorld()
	e := w.open(t)
	r, d := ask(w.who("eve"), "x"), demand(access.Approvers{Group: "dba", Count: 2})
	id := requested(t, e, r, d)
	vote(t, e, w, id, "bob", true)
	if _, err := e.Vote(ctx, id, w.who("bob"), true, ""); !errors.Is(err, ErrVoted) {
		t.Error(err)
	}
	if _, err := e.Cast(ctx, id, Ballot{Voter: w.who("bob"), Reason: "second thoughts", Evidence: Evidence{Channel: "test"}}); err != nil {
		t.Fatal(err)
	}
	if w.state(id) != store.Rejected {
		t.Error(w.state(id))
	}
	if _, err := e.Vote(ctx, id, w.who("carol"), true, ""); !errors.Is(err, ErrClosed) {
		t.Errorf("overruled a veto: %v", err)
	}
	last := w.events[len(w.events)-1]
	if last.Type != access.ApprovalRejected || last.Approval.Evidence != "test" || last.Approval.Reason != "second thoughts" || last.Subject.ID != "bob" {
		t.Errorf("event %+v %+v", last, last.Approval)
	}
	if w.events[1].Type != access.ApprovalApproved || w.events[1].Approval.State != store.Pending {
		t.Errorf("a vote short of the quorum: %+v", w.events[1].Approval)
	}
}

// Who leaves the group between vote and use takes the vote along, for good.
func TestMembershipIsCheckedAgainAtUse(t *testing.T) {
	for name, leave := range map[string]func(*world){
		"left the group":   func(w *world) { w.move("bob", "sales") },
		"removed":          func(w *world) { delete(w.people, "bob") },
		"no longer human":  func(w *world) { s := w.people["bob"]; s.Kind = access.Workload; w.people["bob"] = s },
		"became the owner": func(w *world) { s := w.people["eve"]; s.Owner = "bob"; w.people["eve"] = s },
	} {
		w := newWorld()
		e := w.open(t)
		r, d := ask(w.who("eve"), "x"), demand(oneDBA)
		id := requested(t, e, r, d)
		vote(t, e, w, id, "bob", true)
		a, err := e.Approve(ctx, r, d, noTell)
		if err != nil {
			t.Fatal(err)
		}
		before := w.who("bob")
		eve := w.who("eve")
		leave(w)
		if err := e.Use(ctx, a); !errors.Is(err, ErrLost) {
			t.Errorf("%s: %v", name, err)
		}
		w.people["bob"], w.people["eve"] = before, eve
		if err := e.Use(ctx, a); err == nil {
			t.Errorf("%s: came back to life", name)
		}
		if w.state(id) != store.Rejected {
			t.Errorf("%s: %s", name, w.state(id))
		}
	}
}

// An approval under an old rule does not do for a stricter one.
func TestStricterRuleAsksAgain(t *testing.T) {
	w := newWorld()
	e := w.open(t)
	r := ask(w.who("eve"), "x")
	id := requested(t, e, r, demand(oneDBA))
	if other := requested(t, e, r, demand(access.Approvers{Group: "dba", Count: 2})); other == id {
		t.Error("took up a request that asked for less")
	}
	vote(t, e, w, id, "bob", true)
	if err := claim(e, r, demand(access.Approvers{Group: "security", Count: 1})); err == nil {
		t.Error("a dba's word was taken for security's")
	}
	if err := claim(e, r, demand(oneDBA)); err != nil {
		t.Error(err)
	}
}

func TestBoundToRequesterAndAction(t *testing.T) {
	w := newWorld()
	e := w.open(t)
	d := demand(oneDBA)
	r := ask(w.who("alice"), "DELETE FROM t WHERE id = $1")
	vote(t, e, w, requested(t, e, r, d), "bob", true)
	other := ask(w.who("alice"), "DELETE FROM t WHERE id = $1")
	other.Action.Args[0].Value = []byte("4222222222222222")
	bound := ask(w.who("alice"), "DELETE FROM t WHERE id = $1")
	bound.Action.Binding = []access.Setting{{Name: "search_path", Value: "evil"}}
	acted := ask(w.who("alice"), "DELETE FROM t WHERE id = $1")
	bot := w.who("bot")
	acted.Subject.Actor = &bot
	for name, r := range map[string]access.Request{
		"another's": ask(w.who("eve"), "DELETE FROM t WHERE id = $1"), "other text": ask(w.who("alice"), "DELETE FROM t"),
		"other value": other, "other search_path": bound, "through an agent": acted,
	} {
		if err := claim(e, r, d); err == nil {
			t.Errorf("%s: ran", name)
		}
	}
	a, err := e.Approve(ctx, r, d, noTell)
	if err != nil {
		t.Fatal(err)
	}
	forged := a
	forged.Digest = other.Digest()
	if err := e.Use(ctx, forged); err == nil {
		t.Error("used for another digest")
	}
	if err := e.Use(ctx, a); err != nil {
		t.Error(err)
	}
}

func TestExpiry(t *testing.T) {
	w := newWorld()
	e := w.open(t)
	r, d := ask(w.who("alice"), "x"), demand(oneDBA)
	pending := requested(t, e, r, d)
	r2 := ask(w.who("alice"), "y")
	given := requested(t, e, r2, d)
	vote(t, e, w, given, "bob", true)
	a, err := e.Approve(ctx, r2, d, noTell)
	if err != nil || !a.Expires.Equal(noon.Add(15*time.Minute)) {
		t.Fatal(a, err)
	}
	w.now = func() time.Time { return noon.Add(15 * time.Minute) }
	if err := e.Use(ctx, a); !errors.Is(err, ErrUsed) {
		t.Errorf("used at expiry: %v", err)
	}
	if _, err := e.Vote(ctx, pending, w.who("bob"), true, ""); !errors.Is(err, ErrClosed) {
		t.Errorf("approved at expiry: %v", err)
	}
	if l, _ := e.List(ctx, w.who("bob"), Filter{}); len(l) != 0 {
		t.Error("listed as pending")
	}
	if err := e.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{pending, given} {
		row, _ := w.Approval(ctx, id)
		if row.State != store.Expired || row.Sealed != nil {
			t.Errorf("%s: %s, sealed %v", id, row.State, row.Sealed != nil)
		}
	}
	if next := requested(t, e, r, d); next == pending {
		t.Error("took up an expired request")
	}
}

func TestNoRecordNoChange(t *testing.T) {
	w := newWorld()
	e := w.open(t)
	r, d := ask(w.who("alice"), "x"), demand(oneDBA)
	w.broken = true
	if _, err := e.Approve(ctx, r, d, noTell); err == nil || len(w.rows) != 0 {
		t.Error("asked without a record")
	}
	w.broken = false
	id := requested(t, e, r, d)
	w.broken = true
	if _, err := e.Vote(ctx, id, w.who("bob"), true, ""); err == nil || w.state(id) != store.Pending {
		t.Error("approved without a record")
	}
	w.broken = false
	vote(t, e, w, id, "bob", true)
	a, err := e.Approve(ctx, r, d, noTell)
	if err != nil {
		t.Fatal(err)
	}
	w.broken = true
	if err := e.Use(ctx, a); err == nil || w.state(id) != store.Approved {
		t.Error("used without a record")
	}
}

func TestRestartKeepsRequests(t *testing.T) {
	w := newWorld()
	r, d := ask(w.who("alice"), "x"), demand(oneDBA)
	id := requested(t, w.open(t), r, d)
	if again := requested(t, w.open(t), r, d); again != id {
		t.Error("the restart lost the request")
	}
	vote(t, w.open(t), w, id, "bob", true)
	if err := claim(w.open(t), r, d); err != nil {
		t.Error(err)
	}
	if err := claim(w.open(t), r, d); err == nil {
		t.Error("used twice over a restart")
	}
}

// Many nodes claim at once; one wins.
func TestConcurrentClaims(t *testing.T) {
	w := newWorld()
	e := w.open(t)
	r, d := ask(w.who("alice"), "x"), demand(oneDBA)
	vote(t, e, w, requested(t, e, r, d), "bob", true)
	a, err := e.Approve(ctx, r, d, noTell)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	won := make(chan struct{}, 16)
	for range cap(won) {
		node := w.open(t)
		wg.Go(func() {
			if node.Use(ctx, a) == nil {
				won <- struct{}{}
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Errorf("%d claims succeeded", len(won))
	}
}

func TestPilingUpIsLimited(t *testing.T) {
	w := newWorld()
	e := w.open(t)
	for i := range maxPending {
		requested(t, e, ask(w.who("alice"), fmt.Sprint(i)), demand(oneDBA))
	}
	if _, err := e.Approve(ctx, ask(w.who("alice"), "one more"), demand(oneDBA), noTell); err == nil || !strings.Contains(err.Error(), "waiting already") {
		t.Error(err)
	}
	requested(t, e, ask(w.who("eve"), "x"), demand(oneDBA))
}

func TestNewRefuses(t *testing.T) {
	w := newWorld()
	good := Options{Store: &w.memory, Journal: &w.notes, People: &w.town, Key: access.NewSecret(strings.Repeat("k", 32))}
	for name, spoil := range map[string]func(*Options){
		"store": func(o *Options) { o.Store = nil }, "journal": func(o *Options) { o.Journal = nil },
		"people": func(o *Options) { o.People = nil }, "key": func(o *Options) { o.Key = access.NewSecret("short") },
	} {
		o := good
		spoil(&o)
		if _, err := New(o); err == nil {
			t.Errorf("without %s: accepted", name)
		}
	}
	e, err := New(good)
	if err != nil {
		t.Fatal(err)
	}
	if e.o.SeesAll(w.who("root")) {
		t.Error("by default somebody sees everything")
	}
}

func TestShorten(t *testing.T) {
	long := shorten(strings.Repeat("ü", maxShown))
	if len(long) > maxShown+3 || !strings.HasSuffix(long, "[shortened]") || shorten("a\xffb") != "a\uFFFDb" {
		t.Errorf("%d bytes", len(long))
	}
}

func TestCancelledBeforeAsking(t *testing.T) {
	w := newWorld()
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := w.open(t).Approve(gone, ask(w.who("alice"), "x"), demand(oneDBA), noTell); !errors.Is(err, context.Canceled) || len(w.rows) != 0 {
		t.Errorf("%v, %d requests", err, len(w.rows))
	}
}

// Two accounts turn out to be one person's after both voted.
func TestOnePersonCountsOnceAlsoAtUse(t *testing.T) {
	w := newWorld()
	e := w.open(t)
	twin := w.who("bob-at-work")
	twin.Email = "other@example.test"
	w.people[twin.ID] = twin
	r, d := ask(w.who("eve"), "x"), demand(access.Approvers{Group: "dba", Count: 2})
	id := requested(t, e, r, d)
	vote(t, e, w, id, "bob", true)
	vote(t, e, w, id, "bob-at-work", true)
	a, err := e.Approve(ctx, r, d, noTell)
	if err != nil || !a.Approved {
		t.Fatal(a, err)
	}
	twin.Email = w.who("bob").Email
	w.people[twin.ID] = twin
	if err := e.Use(ctx, a); !errors.Is(err, ErrLost) {
		t.Error(err)
	}
}

// An approval that expired before anybody swept is not an answer: people are
// asked again.
func TestExpiredApprovalIsAskedAgain(t *testing.T) {
	w := newWorld()
	e := w.open(t)
	r, d := ask(w.who("alice"), "x"), demand(oneDBA)
	id := requested(t, e, r, d)
	vote(t, e, w, id, "bob", true)
	w.now = func() time.Time { return noon.Add(time.Hour) }
	if again := requested(t, e, r, d); again == id {
		t.Error("taken up")
	}
}
