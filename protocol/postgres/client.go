package postgres

import (
	"errors"
	"fmt"
	"io"
	"time"

	"sluice/access"
	"sluice/pipeline"
	"sluice/protocol/postgres/wire"
	query "sluice/query/postgres"
)

// readClient reads messages, decides and forwards. What was collected is
// written when the next message is not complete yet: one write for what was
// read together, and never a wait for a Sync.
func (s *session) readClient() error {
	for {
		typ, size, ok, err := s.in.Header()
		if err != nil {
			return s.protocolError(err)
		}
		if !ok || !s.in.Whole(size) {
			if ok && typ == 'd' && size > s.in.Cap() {
				if err := s.streamCopy(size); err != nil {
					return err
				}
				continue
			}
			if err := s.fill(); err != nil {
				return err
			}
			continue
		}
		if err := s.message(typ, s.in.Take(size)); err != nil {
			return err
		}
		if len(s.out) >= flushAt {
			if err := s.flush(); err != nil {
				return err
			}
		}
	}
}

func (s *session) fill() error {
	if err := s.flush(); err != nil {
		return err
	}
	s.in.Shrink(clientBuffer)
	err := s.in.Fill()
	s.active.Store(s.srv.Now().UnixNano())
	if err == io.EOF && s.in.Buffered() > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}

// flush writes what was collected, once the records of what is in it are
// durable. Records of pure reads are waited for before their answer instead.
func (s *session) flush() error {
	if len(s.out) == 0 {
		return nil
	}
	for _, p := range s.unsent {
		if err := p.Durable(s.ctx); err != nil {
			return journalFatal(err)
		}
	}
	s.unsent = s.unsent[:0]
	_, err := s.up.Conn.Write(s.out)
	s.out = s.out[:0]
	if cap(s.out) > 4*flushAt {
		s.out = nil
	}
	return err
}

// streamCopy forwards a CopyData message that is larger than the buffer.
func (s *session) streamCopy(size int) error {
	for size > 0 {
		n := min(size, s.in.Buffered())
		s.out = append(s.out, s.in.Take(n)...)
		size -= n
		if size == 0 {
			return nil
		}
		if err := s.flush(); err != nil {
			return err
		}
		if err := s.in.Fill(); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) protocolError(err error) error {
	return &fatal{code: "08P01", message: "sluice: " + err.Error()}
}

// message handles one whole message with its header.
func (s *session) message(typ byte, msg []byte) error {
	switch typ {
	case 'P', 'B', 'D', 'E', 'C':
		// Set behind the message: what the gateway itself asks before the first
		// one is outside the client's implicit transaction.
		defer func() { s.piping = true }()
	}
	switch typ {
	case 'Q':
		return s.query(msg[wire.HeaderLen:])
	case 'P':
		return s.parse(msg)
	case 'B':
		return s.bind(msg)
	case 'D':
		return s.describe(msg)
	case 'E':
		return s.execute(msg)
	case 'C':
		return s.closeName(msg)
	case 'S':
		return s.sync(msg)
	case 'H':
		s.out = append(s.out, msg...)
		return nil
	case 'F':
		return s.function(msg)
	case 'c', 'f':
		if err := s.push(&entry{kind: kindCopyEnd}); err != nil {
			return err
		}
		s.out = append(s.out, msg...)
		return nil
	case 'd':
		s.out = append(s.out, msg...)
		return nil
	case 'X':
		s.out = append(s.out, msg...)
		if err := s.flush(); err != nil {
			return err
		}
		return io.EOF
	}
	return s.protocolError(fmt.Errorf("unknown message type %q", typ))
}

// push queues the entry of a message that goes (or went) into out. An entry
// behind an error that waits for a Sync is skipped by the upstream: it is
// settled at once.
func (s *session) push(e *entry) error {
	if s.queue.full() {
		if err := s.flush(); err != nil {
			return err
		}
	}
	s.pushed = s.queue.push(e)
	switch s.pushed {
	case pushSkipped:
		s.skipped(e)
	case pushClosed:
		return errEnded
	case pushQueued, pushIgnored:
	}
	return nil
}

// ask decides about actions, waiting for people where a rule demands it. A
// refusal comes back as such; an error ends the session.
func (s *session) ask(actions ...access.Action) ([]*pipeline.Permit, *refusal, error) {
	s.gate.InTransaction = byte(s.status.Load()) != 'I'
	permits, err := s.gate.Ask(s.waiting.context(s.ctx), actions...)
	s.maskedNow.Store(s.gate.Posture().Masked)
	if werr := s.stopWatching(); werr != nil && err == nil {
		for _, p := range permits {
			p.Done(access.Outcome{NotRun: true, Error: "the client left"})
		}
		return nil, nil, werr
	}
	if err == nil {
		return permits, nil, nil
	}
	var d *pipeline.Denied
	if !errors.As(err, &d) {
		return nil, nil, &fatal{code: "XX000", message: "sluice: " + err.Error()}
	}
	if s.ctx.Err() != nil {
		return nil, nil, errEnded
	}
	return nil, s.refusal(d, actions[min(d.Index, len(actions)-1)]), nil
}

// hold notes that permits' records must be durable before out is written,
// unless they are pure reads.
func (s *session) hold(permits ...*pipeline.Permit) {
	for _, p := range permits {
		if !p.Request.Action.Pure {
			s.unsent = append(s.unsent, p)
		}
	}
}

// query handles a simple Query: every statement is decided before any is
// forwarded, since the server runs them in one implicit transaction.
func (s *session) query(body []byte) error {
	text, err := wire.ParseQuery(body)
	if err != nil {
		return s.protocolError(err)
	}
	e := &entry{kind: kindQuery, segment: s.segment}
	b, err := s.analyze(string(text))
	if err != nil {
		return err
	}
	d := s.describer(e)
	actions, err := d.actions(b)
	if err != nil {
		return err
	}
	permits, refused, err := s.ask(actions...)
	if err != nil {
		return err
	}
	s.segment++
	// exec_simple_query drops the unnamed statement and portal first.
	s.names.add(change{segment: e.segment, owner: e, index: -1, space: statements},
		change{segment: e.segment, owner: e, index: -1, space: portals})
	if refused != nil {
		e.deny = refused
		if err := s.push(e); err != nil {
			return err
		}
		s.out = wire.AppendQuery(s.out, refused.stand())
		s.settlePiping()
		return nil
	}
	return s.forwardQuery(e, b, d, permits)
}

// settlePiping notes that a Query or FunctionCall ended the pipeline, unless
// the upstream skips it: then only a Sync does.
func (s *session) settlePiping() {
	if s.pushed == pushQueued {
		s.endPiping()
	}
}

// endPiping notes the end of a pipeline, and so of its implicit transaction: if
// that fails, or the setting was local to it, a search_path set in it is gone.
func (s *session) endPiping() {
	s.piping = false
	s.env.unsure = s.env.unsure || s.env.moved
}

func (s *session) forwardQuery(e *entry, b *query.Batch, d *describer, permits []*pipeline.Permit) error {
	text, own, err := s.forwarded(b, approved(permits))
	if err != nil {
		return s.refuseForwarded(e, permits, err)
	}
	e.permits = permits
	e.run = s.newRun(d.judged, permits, own)
	if err := s.copyPlans(e.run, b, permits); err != nil {
		e.run, e.permits = nil, nil
		return s.refuseForwarded(e, permits, err)
	}
	s.names.add(d.changes...)
	for _, st := range b.Statements {
		s.follow(st)
	}
	s.input(permits)
	s.hold(permits...)
	e.sent = s.srv.Now()
	if err := s.push(e); err != nil {
		return err
	}
	s.out = wire.AppendQuery(s.out, text)
	s.settlePiping()
	return nil
}

// refuseForwarded refuses actions whose canonical text could not be made.
func (s *session) refuseForwarded(e *entry, permits []*pipeline.Permit, why error) error {
	for _, p := range permits {
		p.Done(access.Outcome{NotRun: true, Error: why.Error()})
	}
	e.deny = notCanonical(permits[0].ID(), why)
	if err := s.push(e); err != nil {
		return err
	}
	s.out = wire.AppendQuery(s.out, e.deny.stand())
	s.settlePiping()
	return nil
}

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
	def := &prepared{text: b.Text, source: b.Text, env: s.env.current()}
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
	switch len(b.Statements) {
	case 0:
	case 1:
		def.st = b.Statements[0]
	default:
		def.opaque = true // the server refuses it; should it not, nothing is known
	}
	for i := range actions {
		switch s.gate.Preview(actions[i]).Effect {
		case access.Deny:
			// Asking for real records the denial and explains it.
			if refused, err = s.askInVain(actions[i]); refused != nil || err != nil {
				return refused, false, err
			}
		case access.RequireApproval:
			asks = true
		}
	}
	if covered {
		return nil, asks, nil
	}
	for i := range actions {
		actions[i] = preparing(actions[i])
	}
	permits, refused, err := s.ask(actions...)
	if refused == nil && err == nil {
		e.permits = permits
		s.hold(permits...)
	}
	return refused, asks, err
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
	text, own, err := s.forwarded(b, asks)
	if err != nil {
		s.settleParse(e, access.Outcome{NotRun: true, Error: err.Error()})
		return notCanonical("", err)
	}
	if !own {
		def.text, def.canonical = text, true
	}
	return nil
}

func approved(permits []*pipeline.Permit) bool {
	for _, p := range permits {
		if p.Approval != nil {
			return true
		}
	}
	return false
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
	def, err := s.names.statement(string(m.Statement), s.segment, nil, s.flush)
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
	permits, refused, err := s.ask(action)
	if err != nil {
		return err
	}
	if refused != nil {
		return s.refuseBind(e, refused)
	}
	po := newPortal(def, permits[0], s.srv.Now())
	po.judged = d.judged[len(d.judged)-1]
	if err := s.copyPortal(po); err != nil {
		po.permit.Done(access.Outcome{NotRun: true, Error: err.Error()})
		return s.refuseBind(e, notCanonical(permits[0].ID(), err))
	}
	e.permits, e.portal = permits, po
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
	po, err := s.names.portal(string(m.Portal), s.segment, nil, s.flush)
	if err != nil {
		return err
	}
	e := &entry{kind: kindExecute, segment: s.segment, portal: po, sent: s.srv.Now()}
	if po == nil {
		e.deny = missing("34000", fmt.Sprintf("portal %q does not exist", m.Portal))
		if err := s.push(e); err != nil {
			return err
		}
		s.out = wire.AppendExecute(s.out, s.marker)
		return nil
	}
	if po.permit == nil {
		return s.executeCursor(e, po, msg)
	}
	po.ran.Store(true)
	e.permits = []*pipeline.Permit{po.permit}
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
		e.deny = refused
		if err := s.push(e); err != nil {
			return err
		}
		s.out = wire.AppendExecute(s.out, s.marker)
		return nil
	}
	run := newPortal(po.def, permits[0], s.srv.Now())
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

func (s *session) forwardExecute(e *entry, po *portal, msg []byte) error {
	copyIn := po.def.st != nil && po.def.st.Copy != nil && po.def.st.Copy.From && po.def.st.Copy.Stdio
	var begun chan struct{}
	if copyIn {
		begun = make(chan struct{})
		e.begun = begun
	}
	s.addChanges(e, po)
	if err := s.push(e); err != nil {
		return err
	}
	s.out = append(s.out, msg...)
	if !copyIn {
		return nil
	}
	// The server ignores Sync and Flush while it reads COPY data, and answers
	// them otherwise. Which it is must be known before they are forwarded.
	if err := s.flush(); err != nil {
		return err
	}
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
	d.change(po.def.st, 0)
	s.names.add(d.changes...)
	s.follow(po.def.st)
}

// follow takes up what a statement that is forwarded does to the session.
func (s *session) follow(st *query.Statement) {
	s.env.follow(st)
	s.followLexical(st)
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

// function handles FunctionCall, the fast path: an action like any other.
func (s *session) function(msg []byte) error {
	f, err := wire.ParseFunctionCall(msg[wire.HeaderLen:])
	if err != nil {
		return s.protocolError(err)
	}
	e := &entry{kind: kindFunction, segment: s.segment, sent: s.srv.Now()}
	permits, refused, err := s.ask(s.describer(e).call(f))
	if err != nil {
		return err
	}
	s.segment++
	if refused != nil {
		e.deny = refused
		if err := s.push(e); err != nil {
			return err
		}
		s.settlePiping()
		s.out = wire.AppendBadFunctionCall(s.out)
		return nil
	}
	e.permits = permits
	s.input(permits)
	s.hold(permits...)
	if err := s.push(e); err != nil {
		return err
	}
	s.settlePiping()
	s.out = append(s.out, msg...)
	return nil
}

// input records what was typed.
func (s *session) input(permits []*pipeline.Permit) {
	if s.rec == nil {
		return
	}
	for _, p := range permits {
		s.rec.Input(p.ID(), p.Request.Action.Visible())
	}
}

// tell shows a waiting client where its request stands, and from then on
// watches the client: closing or cancelling withdraws the request.
func (s *session) tell(p access.Pending) {
	if s.watch == nil {
		s.flush() // an error shows at the next write; what came before must not wait for people
	}
	s.client.insert(wire.AppendReport(nil, 'N', waitingReport(p)))
	s.startWatching()
}

// startWatching reads ahead from the client while an action waits, up to a
// bound, so that its leaving is noticed.
func (s *session) startWatching() {
	if s.watch != nil {
		return
	}
	w := &watch{done: make(chan struct{})}
	s.watch = w
	s.waiting.set(true)
	go func() {
		defer close(w.done)
		buf := make([]byte, clientBuffer)
		for len(w.ahead) < readAhead {
			n, err := s.conn.Read(buf)
			w.ahead = append(w.ahead, buf[:n]...)
			if err != nil {
				if !errors.Is(err, errTimeout) {
					w.err = err
					s.waiting.withdraw()
				}
				return
			}
		}
	}()
}

// A watch is the reading ahead while an action waits. Its fields belong to its
// goroutine until done is closed.
type watch struct {
	done  chan struct{}
	ahead []byte
	err   error
}

// stopWatching takes the client's bytes back. An error means that it left.
func (s *session) stopWatching() error {
	w := s.watch
	if w == nil {
		return nil
	}
	s.watch = nil
	s.waiting.set(false)
	s.conn.SetReadDeadline(past)
	<-w.done
	s.conn.SetReadDeadline(time.Time{})
	s.in.Append(w.ahead)
	return w.err
}
