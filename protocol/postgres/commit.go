package postgres

// Approval at commit. Under a rule that asks at commit an action runs in the
// client's own transaction, and is a debt of it until the commit, which waits for
// people. Outside of a transaction an action may run in one of its own: like one
// that may change so many rows only (affected.go), it is sent without what comes
// behind it, and stays only if people agree.
//
// What can be held back is what a transaction takes back: plain INSERT, UPDATE,
// DELETE and MERGE that are fully understood and call nothing with an effect of its
// own. Everything else is asked about before it runs. It must be sure that the
// transaction is still open when it runs, so that the upstream's answers are waited
// for, and no command about transactions may stand before it in a pipeline or
// beside it in a Query.
//
// A debt is never forgotten early: it goes when its transaction has ended, by the
// upstream's own word, or when a ROLLBACK TO that stood alone has taken it back.
// A debt too many is shown to people as something that was undone later; one too
// few would be a bypass.

import (
	"math"

	"sluice/access"
	"sluice/pipeline"
	"sluice/protocol/postgres/wire"
	query "sluice/query/postgres"
)

// maxDebts bounds what one transaction can owe; what comes then is asked about
// before it runs.
const maxDebts = 1000

// debts are what has run in the open transaction and is not approved yet. They
// belong to readClient.
type debts struct {
	list    []debt
	since   uint64 // session.ended when the first was made
	used    bool   // the session has deferred something: savepoints matter
	mixed   bool   // the Query being judged holds commands about transactions, and more
	returns bool   // what is being judged returns rows
	segment uint64 // plus one: of the last command about transactions that was forwarded
	backTo  string // of a ROLLBACK TO whose success is not known yet

	cleared  *pipeline.Permit // of a commit that was judged with all debts
	clearedN int              // how many there were
	refused  *refusal         // people said no: nothing but a rollback is forwarded
}

// A debt is a permit, or a savepoint between them.
type debt struct {
	permit    *pipeline.Permit
	savepoint string
}

func (d *debts) any() bool { return len(d.list) > 0 }

// judging notes what matters of a Query that is about to be judged.
func (d *debts) judging(b *query.Batch) {
	d.mixed, d.returns = false, false
	for _, st := range b.Statements {
		d.mixed = d.mixed || st.Tx != query.TxNone && len(b.Statements) > 1
		d.returns = d.returns || st.ReturnsRows
	}
}

// queried notes a Query that is forwarded. Its ReadyForQuery will tell how it
// leaves the transaction.
func (d *debts) queried(b *query.Batch) {
	d.segment, d.backTo = 0, ""
	if len(b.Statements) == 1 && b.Statements[0].Tx == query.TxRollbackTo {
		d.backTo = b.Statements[0].TxName
	}
}

// follow takes up a statement that is forwarded.
func (d *debts) follow(st *query.Statement, segment uint64) {
	if st.Tx == query.TxNone && st.Action.Confidence == access.Exact {
		return
	}
	d.segment, d.backTo = segment+1, ""
	if st.Tx == query.TxSavepoint && d.used {
		d.list = append(d.list, debt{savepoint: st.TxName})
	}
}

// defers says how far an action's changes can be held back.
func (s *session) defers(a *access.Action, q *access.Quorum) pipeline.Deferral {
	d := &s.debts
	if !undoable(a) || d.mixed || len(d.list) >= maxDebts || d.segment == s.segment+1 {
		return pipeline.NotDeferred
	}
	if s.settleQueue() != nil || s.queue.skips() {
		return pipeline.NotDeferred
	}
	switch byte(s.status.Load()) {
	case 'T':
		d.settle(s)
		d.used = true
		if d.refused != nil {
			return pipeline.NotDeferred
		}
		return pipeline.ToCommit
	case 'I':
		if q.Preview && a.SQL.Statements == 1 && !d.returns {
			return pipeline.ToEnd
		}
	}
	return pipeline.NotDeferred
}

// undoable reports whether a transaction takes back all that an action does.
func undoable(a *access.Action) bool {
	switch a.Verb {
	case access.VerbInsert, access.VerbUpdate, access.VerbDelete, access.VerbMerge:
	default:
		return false
	}
	if a.Op == "EXECUTE" { // the text says little of what runs
		return false
	}
	if a.Confidence != access.Exact || a.SQL == nil || a.SQL.Changes != access.ChangesCounted {
		return false
	}
	for i := range a.Objects {
		if a.Objects[i].Kind != access.KindTable {
			return false
		}
	}
	return true
}

// settle forgets the debts of a transaction that has ended, and those that a
// ROLLBACK TO has taken back. Everything forwarded has been answered.
func (d *debts) settle(s *session) {
	if now := s.ended.Load(); now != d.since {
		*d = debts{since: now, used: d.used, mixed: d.mixed, returns: d.returns, segment: d.segment}
		return
	}
	if name := d.backTo; name != "" && byte(s.status.Load()) == 'T' {
		for i := len(d.list) - 1; i >= 0; i-- {
			if d.list[i].savepoint == name {
				d.list = d.list[:i+1]
				break
			}
		}
	}
	d.backTo = ""
}

// owe notes what is about to be forwarded and is not approved yet.
func (s *session) owe(permits ...*pipeline.Permit) {
	for _, p := range permits {
		if p.Deferred() == pipeline.ToCommit {
			s.debts.list = append(s.debts.list, debt{permit: p})
		}
	}
}

// permits returns what is owed, each once.
func (d *debts) permits() (owed []*pipeline.Permit) {
	seen := map[*pipeline.Permit]bool{}
	for _, one := range d.list {
		if one.permit != nil && !seen[one.permit] {
			seen[one.permit] = true
			owed = append(owed, one.permit)
		}
	}
	return owed
}

// askIndebted is ask inside a transaction that owes something.
func (s *session) askIndebted(actions []access.Action) ([]*pipeline.Permit, *refusal, error) {
	d := &s.debts
	if err := s.settleQueue(); err != nil {
		return nil, nil, err
	}
	d.settle(s)
	ctx := s.waiting.context(s.ctx)
	commits, opaque := false, false
	for i := range actions {
		commits = commits || actions[i].Verb == access.VerbCommit
		opaque = opaque || actions[i].Confidence == access.Opaque
	}
	owed := d.permits()
	switch {
	case s.queue.skips(): // until a Sync; this will not run
	case len(owed) == 0 || s.aborted() && !opaque:
		// Nothing is owed any more, or nothing can be committed before a rollback.
	case d.refused != nil && (len(actions) != 1 || actions[0].Op != "ROLLBACK"):
		return nil, d.refused, nil
	case opaque:
		return s.asked(nil, s.gate.Reject(ctx, actions[0], "commit", "this transaction waits for approval at commit, and what this would do to it is not understood"), actions)
	case commits && len(actions) > 1:
		return s.asked(nil, s.gate.Reject(ctx, actions[0], "commit", "this transaction waits for approval at commit: send COMMIT alone"), actions)
	case commits:
		return s.askCommit(actions[0], owed)
	}
	permits, err := s.gate.Ask(ctx, actions...)
	return s.asked(permits, err, actions)
}

// askCommit asks people about everything that a commit makes final.
func (s *session) askCommit(commit access.Action, owed []*pipeline.Permit) ([]*pipeline.Permit, *refusal, error) {
	s.gate.InTransaction = true
	permits, err := s.gate.AskCommit(s.waiting.context(s.ctx), commit, owed)
	permits, refused, err := s.asked(permits, err, []access.Action{commit})
	switch {
	case err != nil:
	case refused != nil:
		refused.report.Hint = "Everything in this transaction is rolled back."
		s.debts.refused = refused
	default:
		s.debts.cleared, s.debts.clearedN = permits[0], len(s.debts.list)
	}
	return permits, refused, err
}

// uncleared refuses to execute a commit that was bound before all that it would
// make final had run.
func (s *session) uncleared(po *portal) (*refusal, error) {
	d := &s.debts
	if !d.any() || po.permit.Request.Action.Verb != access.VerbCommit {
		return nil, nil
	}
	if err := s.settleQueue(); err != nil {
		return nil, err
	}
	d.settle(s)
	if len(d.permits()) == 0 || s.aborted() || d.cleared == po.permit && d.clearedN == len(d.list) {
		return nil, nil
	}
	return &refusal{report: wire.Report{Severity: "ERROR", Code: codeDenied,
		Message: "sluice: denied: this transaction changed after its COMMIT was bound, and waits for approval",
		Hint:    "Bind COMMIT behind everything else."}}, nil
}

// aborted reports whether the transaction is known to have failed: a ROLLBACK TO in
// the same pipeline may have mended it, and nobody tells before its end.
func (s *session) aborted() bool {
	return byte(s.status.Load()) == 'E' && s.debts.segment != s.segment+1
}

// preview has an action that ran outside of a transaction held until people agree:
// as if it might change so many rows only.
func preview(permits []*pipeline.Permit) {
	for _, p := range permits {
		if p.Deferred() == pipeline.ToEnd {
			d := &p.Decision
			d.Obligations = append(d.Obligations[:len(d.Obligations):len(d.Obligations)], access.Limit{AffectedRows: math.MaxInt64, Rule: d.By()})
		}
	}
}

// askEnded asks people about an action that has run in a transaction of its own
// and must not stay otherwise.
func (s *session) askEnded(p *pipeline.Permit) (*refusal, error) {
	if p.Deferred() != pipeline.ToEnd {
		return nil, nil
	}
	commit := access.Action{Verb: access.VerbCommit, Op: "COMMIT", Confidence: access.Exact, Binding: p.Request.Action.Binding}
	s.gate.InTransaction = true
	permits, err := s.gate.AskCommit(s.waiting.context(s.ctx), commit, []*pipeline.Permit{p})
	permits, refused, err := s.asked(permits, err, []access.Action{commit})
	if err != nil || refused != nil {
		if refused != nil {
			refused.report.Hint = "What it changed is rolled back."
		}
		return refused, err
	}
	permits[0].Done(access.Outcome{})
	s.hold(permits...)
	return nil, nil
}
