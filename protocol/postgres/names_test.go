package postgres

import (
	"testing"

	"pgregory.net/rapid"
)

// A nameWorld is a model of the upstream: it carries out messages late, lets
// some fail, and skips what is behind a failure up to the next Sync.
type nameWorld struct {
	names    *names
	queue    []nameOp
	stmts    map[string]*prepared
	skipping bool
	t        *rapid.T
}

type nameOp struct {
	what  byte // P, C, S, U
	name  string
	def   *prepared
	fails bool
	entry *entry
}

// step lets the upstream carry out one message.
func (w *nameWorld) step() {
	op := w.queue[0]
	w.queue = w.queue[1:]
	switch {
	case op.what == 'S':
		w.skipping = false
	case w.skipping:
		w.names.settle(op.entry, 0, skippedByError)
		return
	case op.fails:
		w.skipping = true
		if op.what == 'P' && op.name == "" {
			delete(w.stmts, "") // Parse drops the unnamed statement first
		}
		w.names.settle(op.entry, 0, failedUpstream)
		return
	case op.what == 'P':
		w.stmts[op.name] = op.def
	case op.what == 'C':
		delete(w.stmts, op.name)
	case op.what == 'U':
		if got := w.stmts[op.name]; got != op.def {
			w.t.Fatalf("decided about %q, and %q runs", text(op.def), text(got))
		}
	}
	w.names.settle(op.entry, 0, confirmed)
}

func text(p *prepared) string {
	if p == nil {
		return "nothing"
	}
	return p.text
}

// TestNamesMeanWhatRuns: whatever fails or is skipped, and however late the
// answers come, a name is judged by what will run under it.
func TestNamesMeanWhatRuns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &nameWorld{names: newNames(), stmts: map[string]*prepared{}, t: t}
		drain := func() error {
			for len(w.queue) > 0 {
				w.step()
			}
			return nil
		}
		segment := uint64(0)
		for i := range rapid.IntRange(1, 60).Draw(t, "messages") {
			op := nameOp{
				what:  rapid.SampledFrom([]byte("PPCSUUU")).Draw(t, "what"),
				name:  rapid.SampledFrom([]string{"", "a"}).Draw(t, "name"),
				fails: rapid.IntRange(0, 3).Draw(t, "fails") == 0,
				entry: &entry{},
			}
			switch op.what {
			case 'P':
				op.def = &prepared{text: string(rune('A' + i))}
				if op.name == "" {
					w.names.add(change{segment: segment, owner: op.entry, index: -1, space: statements})
				}
				w.names.add(change{segment: segment, owner: op.entry, space: statements, name: op.name, stmt: op.def})
			case 'C':
				w.names.add(change{segment: segment, owner: op.entry, space: statements, name: op.name})
			case 'U':
				def, err := w.names.statement(op.name, segment, nil, drain)
				if err != nil {
					t.Fatal(err)
				}
				if def == nil {
					continue // refused: nothing runs
				}
				op.def = def
			case 'S':
				segment++
			}
			w.queue = append(w.queue, op)
			for range rapid.IntRange(0, 2).Draw(t, "answers") {
				if len(w.queue) > 0 {
					w.step()
				}
			}
		}
		drain()
	})
}

func TestEndOfTransactionDropsPortalsButNotCursors(t *testing.T) {
	n := newNames()
	e := &entry{}
	n.add(change{owner: e, space: portals, name: "cursor", portal: &portal{def: &prepared{}}})
	n.settle(e, 0, confirmed)
	if got, _ := n.portal("cursor", 0, nil, nil); got == nil {
		t.Fatal("the cursor is not known")
	}
	n.endTransaction()
	if got, _ := n.portal("cursor", 0, nil, nil); got == nil {
		t.Error("a cursor that may be WITH HOLD is gone")
	}
}

func TestTaintMakesKnownStatementsOpaque(t *testing.T) {
	n := newNames()
	e := &entry{}
	n.add(change{owner: e, space: statements, name: "p", stmt: &prepared{text: "select 1"}})
	n.settle(e, 0, confirmed)
	n.taint()
	if got, _ := n.statement("p", 0, nil, nil); got == nil || !got.opaque {
		t.Errorf("after a DO block p is %+v", got)
	}
}

func TestQueueSkipsUpToSync(t *testing.T) {
	q := newQueue()
	q.push(&entry{kind: kindParse})
	q.push(&entry{kind: kindBind})
	q.push(&entry{kind: kindSync})
	q.push(&entry{kind: kindQuery})
	q.pop() // the Parse failed
	if got := len(q.skip()); got != 1 || q.head().kind != kindSync {
		t.Fatalf("skipped %d, head %v", got, q.head())
	}
	q.pop()
	q.pop()
	// An error while no Sync is there: what comes is skipped as it comes.
	q.push(&entry{kind: kindParse})
	q.pop()
	q.skip()
	if q.push(&entry{kind: kindBind}) != pushSkipped || q.push(&entry{kind: kindQuery}) != pushSkipped {
		t.Error("messages behind an error were queued")
	}
	if q.push(&entry{kind: kindSync}) != pushQueued || q.push(&entry{kind: kindQuery}) != pushQueued {
		t.Error("the Sync did not end the skipping")
	}
}

func TestQueueKeepsOrderWhileGrowing(t *testing.T) {
	q := newQueue()
	next := uint64(0)
	for i := range uint64(1000) {
		q.push(&entry{segment: i})
		if i%3 == 0 {
			if got := q.head().segment; got != next {
				t.Fatalf("head %d, want %d", got, next)
			}
			q.pop()
			next++
		}
	}
	for ; !q.idle(); next++ {
		if got := q.head().segment; got != next {
			t.Fatalf("head %d, want %d", got, next)
		}
		q.pop()
	}
	if next != 1000 {
		t.Errorf("%d entries came out", next)
	}
}

// Marks that nothing answers must not fill the queue: a client could send them
// for ever and hold its session.
func TestMarksAloneDoNotFillTheQueue(t *testing.T) {
	q := newQueue()
	for range 3 * maxInFlight {
		if got := q.push(&entry{kind: kindCopyEnd}); got != pushQueued {
			t.Fatalf("push = %v", got)
		}
	}
	if !q.idle() || len(q.ring) > 16 {
		t.Errorf("%d entries, room for %d", q.n, len(q.ring))
	}
}
