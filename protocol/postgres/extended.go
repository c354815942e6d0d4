package postgres

// The extended protocol's half of readClient: Parse, Bind, Describe, Execute,
// Close and Sync.

import (
	"fmt"
	"strings"

	"sluice/access"
	"sluice/pipeline"
	"sluice/protocol/postgres/wire"
	query "sluice/query/postgres"
)

// parse handles Parse: it gets the decision that holds for all values before
// it is forwarded. Where its Bind was read with it, the Bind's own record
// covers it.
func (s *session) parse(msg []byte) error {
	p, err := wire.ParseParse(msg[wire.HeaderLen:])
	if err != nil {
		return s.protocolError(err)
	}
	b, err := s.analyze(string(p.Query))
	if err != nil {
		return err
	}
	e := &entry{kind: kindParse, segment: s.segment}
	d := s.describer(e)
	def := &prepared{text: b.Text, source: b.Text, env: d.env}
	for i := range p.NumTypes() {
		def.types = append(def.types, p.Type(i))
	}
	name := string(p.Name)
	covered := s.boundNext(name)
	refused, asks, err := s.askParse(e, d, b, def, covered)
	if err != nil {
		return err
	}
	if refused == nil {
		refused = s.canonicalParse(e, b, def, asks)
	}
	s.parsed = nil
	if covered && refused == nil {
		s.parsed = e
	}
	if refused != nil {
		e.deny, e.permits = refused, nil
		s.dropUnnamed(e, name)
		if err := s.push(e); err != nil {
			return err
		}
		s.out = wire.AppendParse(s.out, name, refused.stand(), nil)
		return nil
	}
	s.dropUnnamed(e, name)
	s.names.add(change{segment: e.segment, owner: e, space: statements, name: name, stmt: def})
	if err := s.push(e); err != nil {
		return err
	}
	if !def.canonical {
		s.out = append(s.out, msg...)
	} else {
		s.out = wire.AppendParse(s.out, name, def.text, def.types)
	}
	return nil
}

// dropUnnamed notes that a Parse of the unnamed statement drops it first,
// whatever becomes of the Parse.
func (s *session) dropUnnamed(e *entry, name string) {
	if name == "" {
		s.names.add(change{segment: e.segment, owner: e, index: -1, space: statements})
	}
}

// askParse decides about the statement without its values. asks reports
// whether running it will need an approval.
func (s *session) askParse(e *entry, d *describer, b *query.Batch, def *prepared, covered bool) (refused *refusal, asks bool, err error) {
	actions, err := d.actions(b)
	if err != nil {
		return nil, false, err
	}
	if def.opaque = !def.readable(); s.distrusted(def) {
		for i := range actions {
			actions[i] = unknownCode(actions[i], "reading a value of a parameter's type may run a user's code")
		}
	}
	switch len(b.Statements) {
	case 0:
	case 1:
		def.st = b.Statements[0]
	default:
		def.opaque = true // the server refuses it; should it not, nothing is known
	}
	for i := range actions {
		d := s.gate.Preview(actions[i])
		if d.Needs != 0 {
			asks = true // the answer comes with the values, at Bind
			continue
		}
		switch d.Effect {
		case access.Deny:
			// Asking for real records the denial and explains it.
			if refused, err = s.askInVain(actions[i]); refused != nil || err != nil {
				return refused, false, err
			}
		case access.RequireApproval:
			asks = true
		}
	}
	for i := range actions {
		actions[i] = preparing(actions[i])
	}
	if covered {
		s.parsing = actions
		return nil, asks, nil
	}
	permits, refused, err := s.ask(actions...)
	if refused == nil && err == nil {
		e.permits = permits
		s.hold(permits...)
	}
	return refused, asks, err
}

// readable reports whether reading the parameters, whose types the client chose, runs
// nothing but code that only computes.
func (def *prepared) readable() bool {
	for _, oid := range def.types {
		if def.env == nil || !def.env.Computes(oid) {
			return false
		}
	}
	return true
}

// askInVain asks about an action that a preview denied. Should it be allowed
// after all, nothing runs under that permit.
func (s *session) askInVain(a access.Action) (*refusal, error) {
	permits, refused, err := s.ask(a)
	for _, p := range permits {
		p.Done(access.Outcome{NotRun: true})
	}
	return refused, err
}

// canonicalParse sets the text to forward, where that is not the client's.
func (s *session) canonicalParse(e *entry, b *query.Batch, def *prepared, asks bool) *refusal {
	texts, own, err := s.forwarded(b, asks)
	if err != nil {
		s.settleParse(e, access.Outcome{NotRun: true, Error: err.Error()})
		return notCanonical("", err)
	}
	if !own {
		def.text = strings.Join(texts, "; ")
	}
	// The client may have written just what the deparse says.
	def.canonical = !own || asks || s.gate.Posture().Restricted
	return nil
}

func approved(permits []*pipeline.Permit) bool {
	for _, p := range permits {
		if p.Approval != nil || p.Deferred() != pipeline.NotDeferred {
			return true
		}
	}
	return false
}

// recordParse gives a Parse a record of its own if it is about to be sent before
// its Bind is judged: it is longer than what is collected, or people are asked
// about the Bind.
func (s *session) recordParse() error {
	e := s.parsed
	if e == nil {
		return nil
	}
	s.parsed = nil
	permits, err := s.gate.Ask(s.ctx, s.parsing...)
	if err != nil {
		// Too late for a stand-in; nothing of the Parse has been sent.
		return &fatal{code: codeDenied, message: "sluice: a statement may not be prepared: " + err.Error()}
	}
	for _, p := range permits {
		p.Done(access.Outcome{})
	}
	e.cover.Store(permits[0])
	s.hold(permits...)
	return nil
}

// preparing turns an action into the one of preparing it: it discloses the
// schema and changes nothing.
func preparing(a access.Action) access.Action {
	a.Op, a.Verb, a.Origin, a.Args = "PARSE", access.VerbPrepare, nil, nil
	return a
}

// boundNext reports whether the next message, already read, binds the
// statement just parsed.
func (s *session) boundNext(name string) bool {
	typ, size, ok, err := s.in.Header()
	if err != nil || !ok || typ != 'B' || !s.in.Whole(size) {
		return false
	}
	b, err := wire.ParseBind(s.in.Peek(size)[wire.HeaderLen:])
	return err == nil && string(b.Statement) == name
}

// bind handles Bind: the action proper is decided here, with its values.
func (s *session) bind(msg []byte) error {
	m, err := wire.ParseBind(msg[wire.HeaderLen:])
	if err != nil {
		return s.protocolError(err)
	}
	def, err := s.names.statement(string(m.Statement), s.segment, nil, s.flushWait)
	if err != nil {
		return err
	}
	e := &entry{kind: kindBind, segment: s.segment}
	if def == nil {
		return s.refuseBind(e, noStatement(string(m.Statement)))
	}
	if def, err = s.renewed(def); err != nil {
		return err
	}
	if s.mustBeCanonical(def) {
		return s.refuseBind(e, missing("0A000", "sluice: the policy has changed since this statement was prepared; prepare it again"))
	}
	d := s.describer(e)
	action, err := d.bound(def, m)
	if err != nil {
		return err
	}
	s.debts.mixed, s.debts.returns = false, d.judged[len(d.judged)-1] == nil || d.judged[len(d.judged)-1].ReturnsRows
	permits, refused, err := s.ask(action)
	if err != nil {
		return err
	}
	if refused != nil {
		return s.refuseBind(e, refused)
	}
	po := newPortal(def, permits[0], s.srv.Now())
	po.judged, po.refers = d.judged[len(d.judged)-1], d.refers
	if n := len(d.cursors); n > 0 && d.cursors[n-1] != nil {
		po.cur.cursor = &d.cursors[n-1].cur
	}
	if err := s.copyPortal(po); err != nil {
		po.permit.Done(access.Outcome{NotRun: true, Error: err.Error()})
		return s.refuseBind(e, notCanonical(permits[0].ID(), err))
	}
	e.permits, e.portal = permits, po
	s.bound = true
	if s.parsed != nil {
		s.parsed.cover.Store(permits[0])
		s.parsed = nil
	}
	s.names.add(change{segment: e.segment, owner: e, space: portals, name: string(m.Portal), portal: po})
	s.input(permits)
	s.hold(permits...)
	if err := s.push(e); err != nil {
		return err
	}
	s.out = append(s.out, msg...)
	if s.gate.Posture().Masked {
		return s.describeHidden(po, string(m.Portal))
	}
	return nil
}

// describeHidden asks the upstream what the portal returns, for the mask plan:
// a client may execute what it described long ago, or never.
func (s *session) describeHidden(po *portal, name string) error {
	po.asked = true
	e := &entry{kind: kindDescribe, segment: s.segment, portal: po, hidden: true}
	if err := s.push(e); err != nil {
		return err
	}
	s.out = wire.AppendTarget(s.out, 'D', 'P', name)
	return nil
}

// refuseBind forwards a Bind that fails, in the place of the refused one. It
// names a statement that cannot exist, so that the unnamed one stays.
func (s *session) refuseBind(e *entry, r *refusal) error {
	e.deny = r
	if err := s.push(e); err != nil {
		return err
	}
	s.out = wire.AppendBind(s.out, "", s.marker)
	return nil
}

// execute handles Execute: it runs under the permit of its portal.
func (s *session) execute(msg []byte) error {
	m, err := wire.ParseExecute(msg[wire.HeaderLen:])
	if err != nil {
		return s.protocolError(err)
	}
	po, err := s.names.portal(string(m.Portal), s.segment, nil, s.flushWait)
	if err != nil {
		return err
	}
	e := &entry{kind: kindExecute, segment: s.segment, portal: po, sent: s.srv.Now()}
	if po == nil {
		return s.refuseExecute(e, missing("34000", fmt.Sprintf("portal %q does not exist", m.Portal)))
	}
	s.bound = true
	if po.permit == nil {
		return s.executeCursor(e, po, msg)
	}
	if changed, err := s.changed(e, po); err != nil {
		return err
	} else if changed {
		return s.refuseChanged(e)
	}
	if po.counted && m.Limited() && po.judged.ReturnsRows {
		return s.refuseExecute(e, partial(po.permit))
	}
	if r, err := s.uncleared(po); r != nil || err != nil {
		if err == nil {
			e.deny = r
			err = s.push(e)
			s.out = wire.AppendExecute(s.out, s.marker)
		}
		return err
	}
	po.ran.Store(true)
	e.permits = []*pipeline.Permit{po.permit}
	s.owe(po.permit)
	return s.forwardExecute(e, po, msg)
}

// executeCursor handles Execute of a cursor that SQL declared: a fetch.
func (s *session) executeCursor(e *entry, po *portal, msg []byte) error {
	d := s.describer(e)
	permits, refused, err := s.ask(d.fetch(po.def))
	if err != nil {
		return err
	}
	if refused != nil {
		return s.refuseExecute(e, refused)
	}
	run := newPortal(po.def, permits[0], s.srv.Now())
	run.cur.cursor = &po.cur
	run.ran.Store(true)
	e.portal, e.permits = run, permits
	s.hold(permits...)
	if s.gate.Posture().Masked {
		m, _ := wire.ParseExecute(msg[wire.HeaderLen:])
		if err := s.describeHidden(run, string(m.Portal)); err != nil {
			return err
		}
	}
	return s.forwardExecute(e, run, msg)
}

// refuseExecute forwards an Execute that fails, in the place of the refused one.
func (s *session) refuseExecute(e *entry, r *refusal) error {
	e.deny = r
	if err := s.push(e); err != nil {
		return err
	}
	s.out = wire.AppendExecute(s.out, s.marker)
	return nil
}

func (s *session) forwardExecute(e *entry, po *portal, msg []byte) error {
	copyIn := po.def.st != nil && readsCopy(po.def.st)
	var begun chan struct{}
	var ch chan verdict
	if po.counted || timed(po.permit) {
		ch = make(chan verdict, verdicts)
		e.verdicts = ch
	}
	if copyIn {
		begun = make(chan struct{})
		e.begun = begun
	}
	s.addChanges(e, po)
	if err := s.push(e); err != nil {
		return err
	}
	if timed(po.permit) {
		s.out = wire.AppendEmpty(s.out, 'H') // what stands before it must be answered, or nobody knows that it runs
	}
	s.out = append(s.out, msg...)
	s.arm(e, po.permit)
	switch {
	case ch != nil && !copyIn:
		return s.awaitExecute(ch, e)
	case !copyIn:
		return nil
	}
	s.copying = ch
	// The server ignores Sync and Flush while it reads COPY data, and answers
	// them otherwise. Which it is must be known before they are forwarded.
	if err := s.flush(); err != nil {
		return err
	}
	s.blocks()
	select {
	case <-begun:
		return nil
	case <-s.ctx.Done():
		return errEnded
	}
}

// addChanges notes what executing a statement does to names: PREPARE,
// DEALLOCATE, DECLARE and CLOSE come through the extended protocol too.
func (s *session) addChanges(e *entry, po *portal) {
	if po.def.st == nil {
		return
	}
	d := s.describer(e)
	d.env = po.def.env
	d.change(po.def.st, 0)
	s.names.add(d.changes...)
	s.follow(po.def.st)
}

// describe handles Describe: it discloses the schema of what Parse or Bind
// were permitted for.
func (s *session) describe(msg []byte) error {
	if _, err := wire.ParseTarget(msg[wire.HeaderLen:]); err != nil {
		return s.protocolError(err)
	}
	e := &entry{kind: kindDescribe, segment: s.segment}
	if err := s.push(e); err != nil {
		return err
	}
	s.out = append(s.out, msg...)
	return nil
}

func (s *session) closeName(msg []byte) error {
	t, err := wire.ParseTarget(msg[wire.HeaderLen:])
	if err != nil {
		return s.protocolError(err)
	}
	e := &entry{kind: kindClose, segment: s.segment}
	c := change{segment: e.segment, owner: e, space: statements, name: string(t.Name)}
	if t.Kind == 'P' {
		c.space = portals
	}
	s.names.add(c)
	if err := s.push(e); err != nil {
		return err
	}
	s.out = append(s.out, msg...)
	return nil
}

func (s *session) sync(msg []byte) error {
	e := &entry{kind: kindSync, segment: s.segment}
	if err := s.push(e); err != nil {
		return err
	}
	if s.pushed == pushIgnored {
		return nil // inside COPY data the server would ignore it too
	}
	s.segment++
	s.endPiping()
	s.out = append(s.out, msg...)
	return nil
}
