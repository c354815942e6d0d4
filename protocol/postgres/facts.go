package postgres

// Facts that a decision depends on and only the server knows: the planner's
// estimate, and how many rows a condition picks. They are asked for on the
// session's own connection, inside whatever transaction the client has open, and
// taken back: a savepoint, or a transaction of the gateway's own, keeps an error
// of the question from being one of the client's.

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/access"
	"sluice/protocol/postgres/wire"
)

const (
	factTime    = 2 * time.Second // how long a question may take
	maxPlanText = 4 << 20         // bytes of a plan
	textOID     = 25
)

// A question is a statement of the gateway's own, with the client's values.
type question struct {
	sql    string
	types  []uint32
	values [][]byte
	binary []bool
	found  *finding // nil: nobody looks at the answer
}

// find answers what a decision needs to know. What cannot be found out stays
// unknown, with the reason; an error ends the session.
func (s *session) find(a *access.Action, fact access.FactSet) (access.Facts, error) {
	facts := a.SQL.Facts
	unknown := func(why error) (access.Facts, error) {
		facts.Why = why.Error()
		return facts, nil
	}
	q, err := s.questionFor(a, fact)
	if err != nil {
		return unknown(err)
	}
	guarded, err := s.mayAsk(fact)
	if err != nil {
		if errors.Is(err, errUnasked) {
			return unknown(err)
		}
		return facts, err
	}
	if err := s.answerFact(a, q, guarded); err != nil {
		return facts, err
	}
	if q.found.failed {
		return unknown(fmt.Errorf("the server says %s", q.found.why))
	}
	if err := takeFact(&facts, fact, q.found.row); err != nil {
		return unknown(err)
	}
	return facts, nil
}

var errUnasked = errors.New("it cannot be asked for")

// mayAsk reports whether a question can be asked so that its failure is no one
// else's.
func (s *session) mayAsk(fact access.FactSet) (guarded bool, err error) {
	if err := s.settleQueue(); err != nil {
		return false, err
	}
	switch {
	case s.queue.skips():
		return false, fmt.Errorf("%w behind an error", errUnasked)
	case byte(s.status.Load()) == 'E':
		return false, fmt.Errorf("%w in a failed transaction", errUnasked)
	case s.bound && fact == access.FactCount:
		return false, fmt.Errorf("%w in the middle of a pipeline", errUnasked)
	}
	return !s.bound, nil
}

// answerFact asks q, on record, and waits for the answer.
func (s *session) answerFact(a *access.Action, q *question, guarded bool) error {
	p, err := s.gate.Own(s.ownAction(a, q.sql))
	if err != nil {
		return journalFatal(err)
	}
	if guarded {
		err = s.askGuarded(q)
	} else {
		err = s.askAll([]*question{q}, 'H', false, q.found)
	}
	if err != nil {
		return err
	}
	s.blocks()
	select {
	case <-q.found.done:
	case <-s.ctx.Done():
		return errEnded
	}
	if err := p.Durable(s.ctx); err != nil {
		return journalFatal(err)
	}
	o := access.Outcome{Rows: 1}
	if q.found.failed {
		o = access.Outcome{Error: q.found.why}
	}
	p.Done(o)
	return nil
}

// ownAction is what the record says of a question: as much of the client's text
// as the record of its own action would.
func (s *session) ownAction(a *access.Action, sql string) access.Action {
	own := access.Action{Verb: access.VerbExplain, Op: "SLUICE", Text: sql, Confidence: access.Exact, Pure: true,
		SQL: &access.SQL{Scoped: true, Limit: -1, Changes: access.ChangesNone}}
	switch {
	case a.Shown != "":
		own.Shown = "EXPLAIN of " + a.Shown
	case s.gate.Posture().Masked:
		hidden := own
		own.Shown = s.withoutLiterals(&hidden, []access.ColumnID{{}})
	}
	return own
}

// askGuarded asks q so that nothing of it stays, whether it fails or not.
func (s *session) askGuarded(q *question) error {
	plain := func(list ...string) (qs []*question) {
		for _, sql := range list {
			qs = append(qs, &question{sql: sql})
		}
		return qs
	}
	timeout := fmt.Sprintf("SET LOCAL statement_timeout = %d", orDefault(s.srv.factTime, factTime).Milliseconds())
	name := s.marker + "_fact"
	before, behind := plain("BEGIN READ ONLY", timeout), plain("ROLLBACK")
	if byte(s.status.Load()) == 'T' {
		before = plain("SAVEPOINT "+name, timeout, "SET LOCAL transaction_read_only = on")
		behind = plain("ROLLBACK TO SAVEPOINT "+name, "RELEASE SAVEPOINT "+name)
	}
	if err := s.askAll(append(before, q), 'S', true, nil); err != nil {
		return err
	}
	if err := s.askAll(behind, 'S', true, q.found); err != nil {
		return err
	}
	return s.flush()
}

// askAll collects questions under names that no client can know, ending with Sync
// or Flush. last is settled with the last of them.
func (s *session) askAll(qs []*question, end byte, guarded bool, last *finding) error {
	name := s.marker + "_own"
	var out []byte
	var entries []*entry
	add := func(k kind) *entry {
		e := &entry{kind: k, segment: s.segment, hidden: true, guarded: guarded, piped: !guarded}
		entries = append(entries, e)
		return e
	}
	drop := func() {
		add(kindClose)
		add(kindClose)
		out = wire.AppendTarget(out, 'C', 'P', name)
		out = wire.AppendTarget(out, 'C', 'S', name)
	}
	drop() // what an error left behind
	for _, q := range qs {
		for _, k := range [...]kind{kindParse, kindBind, kindExecute} {
			add(k).finding = q.found
		}
		out = wire.AppendParse(out, name, q.sql, q.types)
		out = wire.AppendBindValues(out, name, name, q.values, q.binary)
		out = wire.AppendExecute(out, name)
		drop()
	}
	if end == 'S' {
		add(kindSync)
	}
	entries[len(entries)-1].last = last
	for _, e := range entries {
		if err := s.push(e); err != nil {
			return err
		}
	}
	s.out = wire.AppendEmpty(append(s.out, out...), end)
	if end == 'H' {
		return s.flush()
	}
	return nil
}

// planned are the statements that EXPLAIN takes.
var planned = []string{"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "EXECUTE", "DECLARE CURSOR"}

// questionFor makes the question about an action.
func (s *session) questionFor(a *access.Action, fact access.FactSet) (*question, error) {
	if a.Confidence != access.Exact {
		return nil, errors.New("what it does is not fully understood")
	}
	q := &question{found: &finding{done: make(chan struct{})}}
	if fact == access.FactCount {
		return q, s.counting(a, q)
	}
	if !slices.Contains(planned, a.Op) {
		return nil, fmt.Errorf("the server estimates no %s", a.Op)
	}
	q.sql = "EXPLAIN (FORMAT JSON) " + a.Text
	if a.Op == "EXECUTE" {
		if strings.Contains(a.Text, "$") {
			return nil, errors.New("EXECUTE with bound values is not estimated")
		}
		return q, nil
	}
	for _, v := range a.Args {
		q.add(v)
	}
	return q, nil
}

func (q *question) add(v access.Arg) {
	value := v.Value
	if v.Null {
		value = nil
	}
	q.types, q.values, q.binary = append(q.types, v.Type), append(q.values, value), append(q.binary, v.Binary)
}

// counting asks how many rows an UPDATE or DELETE would change. Parameters that
// stand elsewhere in it are declared, or the server could not tell their type.
func (s *session) counting(a *access.Action, q *question) error {
	if a.Op != "UPDATE" && a.Op != "DELETE" {
		return fmt.Errorf("rows are counted for UPDATE and DELETE, not for %s", a.Op)
	}
	sql, params, err := s.srv.Analyzer.Counting(s.ctx, s.info.Subject.ID, a.Text, s.env.current())
	if err != nil {
		return err
	}
	q.sql = sql
	for i, v := range a.Args {
		if !slices.Contains(params, i+1) {
			v = access.Arg{Null: true, Type: textOID}
		}
		q.add(v)
	}
	return nil
}

// takeFact reads the answer into the facts.
func takeFact(facts *access.Facts, fact access.FactSet, row []string) error {
	if len(row) != 1 {
		return errors.New("the server gave no answer")
	}
	if fact == access.FactEstimate {
		e, err := readPlan(row[0])
		facts.Estimate = e
		return err
	}
	n, err := strconv.ParseInt(row[0], 10, 64)
	if err != nil {
		return errors.New("the server's count is no number")
	}
	facts.Count = &n
	return nil
}

// A planNode is a node of EXPLAIN (FORMAT JSON).
type planNode struct {
	Type     string     `json:"Node Type"`
	Relation string     `json:"Parent Relationship"`
	Rows     float64    `json:"Plan Rows"`
	Cost     float64    `json:"Total Cost"`
	Plans    []planNode `json:"Plans"`
}

var errPlan = errors.New("the server's plan cannot be read")

// readPlan reads what EXPLAIN (FORMAT JSON) said.
func readPlan(text string) (*access.Estimate, error) {
	var plans []struct {
		Plan *planNode `json:"Plan"`
	}
	if len(text) > maxPlanText || json.Unmarshal([]byte(text), &plans) != nil || len(plans) != 1 || plans[0].Plan == nil {
		return nil, errPlan
	}
	p := plans[0].Plan
	return &access.Estimate{Rows: whole(math.Max(p.Rows, p.changed())), Cost: whole(p.Cost)}, nil
}

// changed is the most rows that a ModifyTable in the plan is fed: the node itself
// counts only what it returns.
func (p *planNode) changed() (rows float64) {
	own := 0.0
	for i := range p.Plans {
		c := &p.Plans[i]
		rows = math.Max(rows, c.changed())
		if p.Type == "ModifyTable" && c.Relation != "InitPlan" && c.Relation != "SubPlan" {
			own += c.Rows
		}
	}
	return math.Max(rows, own)
}

// whole rounds up to an integer that fits.
func whole(f float64) int64 {
	const most = 1 << 62
	switch {
	case f >= most:
		return most
	case f > 0:
		return int64(math.Ceil(f))
	}
	return 0
}
