package search

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"sluice/access"
	"sluice/audit"
	"sluice/audit/journal"
	"sluice/internal/uuid7"
	"sluice/store"
)

// memory keeps blocks as the store does, to be looked into by tests.
type memory struct {
	blocks []store.Block
	fail   error
	asked  int
}

func (m *memory) PutBlocks(_ context.Context, blocks []store.Block) error {
	if m.fail != nil {
		return m.fail
	}
	for _, b := range blocks {
		m.blocks = slices.DeleteFunc(m.blocks, func(o store.Block) bool { return o.Log == b.Log && o.First == b.First })
		m.blocks = append(m.blocks, b)
	}
	slices.SortFunc(m.blocks, func(a, b store.Block) int { return int(a.First) - int(b.First) })
	return nil
}

func (m *memory) Blocks(_ context.Context, f store.BlockFilter) ([]store.Block, error) {
	m.asked++
	var all []store.Block
	for _, b := range m.blocks {
		if b.Log == f.Log && (f.Since.IsZero() || !b.MaxTime.Before(f.Since)) && (f.Until.IsZero() || b.MinTime.Before(f.Until)) &&
			(f.After == 0 || b.First > f.After) && (f.Before == 0 || b.First < f.Before) {
			all = append(all, b)
		}
	}
	if f.Newest {
		slices.Reverse(all)
	}
	if f.Limit > 0 && len(all) > f.Limit {
		all = all[:f.Limit]
	}
	return all, m.fail
}

func (m *memory) DropBlocks(context.Context, string) error { m.blocks = nil; return m.fail }

// A world is a journal with an index and what was written into it.
type world struct {
	*testing.T
	journal *journal.Journal
	index   *Index
	blocks  *memory
	events  []*access.Event
}

func newWorld(t *testing.T) *world {
	j, err := journal.Open(journal.Options{Dir: t.TempDir(), SegmentSize: 3 << 20, Checkpoint: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	m := &memory{}
	return &world{T: t, journal: j, index: New(j.Log(), "j", m), blocks: m}
}

var begin = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// write appends n events, one a second, of a few kinds.
func (w *world) write(n int) {
	r := rand.New(rand.NewPCG(1, uint64(len(w.events))))
	for range n {
		i := len(w.events)
		at := begin.Add(time.Duration(i) * time.Second)
		e := &access.Event{
			ID: uuid7.New(at), Time: at, Type: access.ActionDecided, Session: fmt.Sprintf("session-%d", i/100),
			Subject:  &access.Subject{Issuer: "local", ID: fmt.Sprintf("user%d", r.IntN(5)), Email: "u@example.test"},
			Resource: &access.Resource{Name: []string{"shop", "crm"}[r.IntN(2)]},
			Action: &access.Action{
				Verb: []access.Verb{access.VerbSelect, access.VerbDelete}[r.IntN(2)], Text: fmt.Sprintf("Statement %d", i),
				Objects: []access.Object{{Kind: access.KindTable, Schema: "public", Name: fmt.Sprintf("Table%d", r.IntN(10))}},
			},
			Decision: &access.Decision{Effect: access.Effect(r.IntN(3)), Reasons: []access.Reason{{Policy: "p", Rule: fmt.Sprintf("rule%d", r.IntN(4))}}},
		}
		switch i % 10 {
		case 3:
			e.Decision.Would = []access.Reason{{Policy: "p", Rule: "watch"}}
		case 5:
			e.Subject.Actor = &access.Subject{Issuer: "local", ID: "bot"}
			e.Decision.Obligations = []access.Obligation{access.Mask{With: "null"}}
		case 7:
			*e = access.Event{ID: e.ID, Time: at, Type: access.ActionCompleted, Session: e.Session, Ref: w.events[i-1].ID, Outcome: &access.Outcome{Rows: 1, Error: "42P01 Boom"}}
		case 8:
			*e = access.Event{ID: e.ID, Time: at, Type: access.ApprovalRequested, Approval: &access.ApprovalFact{Request: fmt.Sprintf("R%d", i)}}
		}
		w.events = append(w.events, e)
		if _, err := w.journal.Append(e); err != nil {
			w.Fatal(err)
		}
	}
	w.durable()
}

func (w *world) durable() {
	if err := w.journal.Wait(context.Background(), access.Mark(len(w.events))); err != nil {
		w.Fatal(err)
	}
}

// expect is what a search must find: every event, judged without index and tags.
func (w *world) expect(f audit.Filter) []string {
	m, err := f.Prepare()
	if err != nil {
		w.Fatal(err)
	}
	var ids []string
	for _, e := range w.events {
		if m.Match(e) {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

func ids(hits []Hit) []string {
	var all []string
	for _, h := range hits {
		all = append(all, h.Event.ID)
	}
	return all
}

func (w *world) check(f audit.Filter) {
	w.Helper()
	want := w.expect(f)
	got, err := w.index.Find(context.Background(), Query{Filter: f})
	if err != nil {
		w.Fatal(err)
	}
	if !slices.Equal(ids(got), want) {
		w.Errorf("%+v: found %d, want %d", f, len(got), len(want))
	}
	slices.Reverse(want)
	got, err = w.index.Find(context.Background(), Query{Filter: f, Newest: true})
	if err != nil {
		w.Fatal(err)
	}
	if !slices.Equal(ids(got), want) {
		w.Errorf("%+v, newest first: found %d, want %d", f, len(got), len(want))
	}
	if n := min(3, len(want)); n > 0 {
		if got, err = w.index.Find(context.Background(), Query{Filter: f, Newest: true, Limit: n}); err != nil || !slices.Equal(ids(got), want[:n]) {
			w.Errorf("%+v, the newest %d: found %v %v", f, n, ids(got), err)
		}
	}
}

func (w *world) filters() []audit.Filter {
	e := w.events[len(w.events)/2/10*10] // an action
	return []audit.Filter{
		{}, {Subject: "user1"}, {Subject: "local/user2"}, {Subject: "u@example.test", Verb: "delete"}, {Subject: "bot"}, {Subject: "user1", Issuer: "local"},
		{Subject: "bot", Issuer: "local"}, {Subject: "nobody"}, {Resource: "crm", Effect: "deny"}, {Session: "session-7"}, {Session: "session-0", Verb: "select"},
		{Type: "action.completed"}, {Type: "approval.*"}, {Type: "action.*", Resource: "shop"}, {Effect: "mask"}, {Effect: "monitor"}, {Effect: "require_approval"},
		{Rule: "rule1"}, {Rule: "p/rule2"}, {Rule: "q/rule2"}, {Rule: "watch"}, {Object: "table3"}, {Object: "PUBLIC.Table3"}, {Object: "public.*1"}, {Object: "other.table3"},
		{Text: "STATEMENT 77"}, {Text: "boom"}, {ID: e.ID}, {ID: "nonsense"}, {Ref: w.events[6].ID}, {Request: "R28"},
		{Since: begin.Add(500 * time.Second)}, {Until: begin.Add(300 * time.Second), Subject: "user0"},
		{Since: begin.Add(100 * time.Second), Until: begin.Add(900 * time.Second), Object: "table1", Effect: "allow"},
	}
}

// Whatever is asked, the index finds what reading everything finds: while part
// is indexed, after a restart, after a rebuild, and without any index.
func TestSearchFindsWhatIsThere(t *testing.T) {
	w := newWorld(t)
	for _, n := range []int{1500, 6000} {
		w.write(n)
		for _, f := range w.filters() {
			w.check(f)
		}
	}
	if len(w.blocks.blocks) < 3 {
		t.Fatalf("only %d blocks: the test is too small", len(w.blocks.blocks))
	}
	before := slices.Clone(w.blocks.blocks)
	w.index = New(w.journal.Log(), "j", w.blocks) // a restart
	w.write(10)
	w.check(audit.Filter{Subject: "user1"})
	if err := w.index.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(before, w.blocks.blocks[:len(before)], func(a, b store.Block) bool {
		return a.First == b.First && a.Last == b.Last && slices.Equal(a.Tags, b.Tags)
	}) {
		t.Error("the rebuilt index differs")
	}
	w.check(audit.Filter{Object: "table3"})
	w.index = New(w.journal.Log(), "j", nil)
	w.check(audit.Filter{Rule: "rule1", Verb: "delete"})
	w.index = New(audit.NewLog(os.DirFS(w.journal.Dir()), nil), "j", nil) // without a gateway
	w.check(audit.Filter{Rule: "rule1", Verb: "delete"})
}

// An index whose store fails makes searches slow, not wrong.
func TestSearchWithoutItsStore(t *testing.T) {
	w := newWorld(t)
	w.write(3000)
	w.blocks.fail = errors.New("no room")
	w.check(audit.Filter{Subject: "user3"})
	if err := w.index.Update(t.Context()); err == nil {
		t.Error("Update hides the failure")
	}
	w.blocks.fail = nil
	w.check(audit.Filter{Subject: "user3"})
	if lag, err := w.index.Lag(); lag != 0 || err != nil {
		t.Errorf("lag %d %v", lag, err)
	}
}

// A search reads the blocks that may hold what is wanted and no others.
func TestSearchPassesOverBlocks(t *testing.T) {
	w := newWorld(t)
	w.write(12000)
	if _, err := w.index.Find(t.Context(), Query{}); err != nil {
		t.Fatal(err)
	}
	m, err := audit.Filter{Session: "session-3"}.Prepare()
	if err != nil {
		t.Fatal(err)
	}
	may := 0
	for _, b := range w.blocks.blocks {
		if m.MayBlock(b.Tags) {
			may++
		}
	}
	if may != 1 || len(w.blocks.blocks) < 3 {
		t.Errorf("%d of %d blocks may hold one session of a hundred events", may, len(w.blocks.blocks))
	}
}

func TestStory(t *testing.T) {
	w := newWorld(t)
	w.write(5000)
	decided, completed := w.events[2006], w.events[2007]
	hits, err := w.index.Story(t.Context(), decided.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got := ids(hits); !slices.Equal(got, []string{decided.ID, completed.ID}) {
		t.Errorf("%v", got)
	}
	if hits, err := w.index.Story(t.Context(), "01936c5e-8a3f-7b21-9c4d-1234567890ab"); err != nil || len(hits) != 0 {
		t.Errorf("a decision that never was: %v %v", hits, err)
	}
}

func TestSearchEndsEarly(t *testing.T) {
	w := newWorld(t)
	w.write(100)
	n := 0
	if err := w.index.Search(t.Context(), Query{}, func(Hit) bool { n++; return n < 7 }); err != nil || n != 7 {
		t.Errorf("%d calls, %v", n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.index.Find(ctx, Query{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := w.index.Find(t.Context(), Query{Filter: audit.Filter{Object: "[x"}}); err == nil {
		t.Error("a malformed pattern is accepted")
	}
}

func TestErasedEventsAreNotFound(t *testing.T) {
	w := newWorld(t)
	w.write(50)
	if err := w.journal.Erase(11, &access.Event{ID: uuid7.New(begin), Time: begin, Type: audit.EventErased, Ref: w.events[10].ID}); err != nil {
		t.Fatal(err)
	}
	hits, err := w.index.Find(t.Context(), Query{Filter: audit.Filter{ID: w.events[10].ID}})
	if err != nil || len(hits) != 0 {
		t.Errorf("%v %v", hits, err)
	}
}
