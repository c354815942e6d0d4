package postgres

// A simple Query whose statements are limited one by one is sent as messages of
// the extended protocol: Parse, Bind, Describe and Execute for each, and one Sync.
// The server takes that for what it takes a Query for: one implicit transaction,
// or a part of the client's own. The client sees the answer to a Query.

import (
	"sluice/pipeline"
	"sluice/protocol/postgres/wire"
	query "sluice/query/postgres"
)

// A script is such a Query while it is sent. It belongs to readClient.
type script struct {
	e     *entry
	ch    <-chan verdict
	texts []string
	steps []step
	next  int
}

// A step says what to wait for behind a statement.
type step struct {
	counted bool             // how many rows it changed
	timed   *pipeline.Permit // set: it may take only so long
	copies  bool             // whether the upstream asks for COPY data
	copying bool             // the client has sent that data
}

// scripted reports whether a Query must be sent as a script.
func scripted(permits []*pipeline.Permit) bool {
	for _, p := range permits {
		if l := p.Limits(); counted(p, &l) || len(permits) > 1 && l.Timeout.N > 0 {
			return true
		}
	}
	return false
}

// forwardScript sends a Query as a script; the entry's fields are set.
func (s *session) forwardScript(e *entry, b *query.Batch, texts []string) error {
	if s.piping {
		// Behind an error the server would skip a Query, but not the script's Sync.
		if err := s.settleQueue(); err != nil {
			return err
		}
	}
	ch := make(chan verdict, verdicts)
	e.scripted, e.verdicts = true, ch
	sc := &script{e: e, ch: ch, texts: texts, steps: make([]step, len(texts))}
	for i, st := range b.Statements {
		l := e.permits[i].Limits()
		sc.steps[i] = step{counted: counted(e.permits[i], &l), copies: readsCopy(st)}
		if l.Timeout.N > 0 {
			sc.steps[i].timed = e.permits[i]
		}
	}
	if err := s.push(e); err != nil {
		return err
	}
	if s.pushed != pushQueued {
		return nil
	}
	s.endPiping()
	return s.continueScript(sc)
}

func readsCopy(st *query.Statement) bool {
	return st.Copy != nil && st.Copy.From && st.Copy.Stdio
}

// continueScript sends statements up to one whose COPY data the client sends, or
// to the end.
func (s *session) continueScript(sc *script) error {
	for {
		if sc.next > 0 {
			on, err := s.step(sc, sc.steps[sc.next-1])
			if err != nil || !on {
				return err
			}
		}
		if sc.next == len(sc.texts) {
			return s.endScript()
		}
		s.out = wire.AppendParse(s.out, "", sc.texts[sc.next], nil)
		s.out = wire.AppendBind(s.out, "", "")
		s.out = wire.AppendTarget(s.out, 'D', 'P', "")
		s.out = wire.AppendExecute(s.out, "")
		sc.next++
	}
}

// step waits for what must be known of the statement sent last, and reports
// whether the next may be sent.
func (s *session) step(sc *script, st step) (on bool, err error) {
	wait := st.counted || st.copies || st.timed != nil
	if st.timed != nil && !st.copying {
		s.arm(sc.e, st.timed)
	}
	if st.copies {
		// The first time for the beginning of the data, then for its end.
		sc.steps[sc.next-1].copies, sc.steps[sc.next-1].copying = false, true
	}
	if !wait {
		return true, nil
	}
	v, err := s.await(sc.ch)
	switch {
	case err != nil:
		return false, err
	case v.copying:
		s.script = sc
		return false, nil
	case v.over != nil:
		s.out = wire.AppendBind(s.out, "", s.marker)
		return false, s.endScript()
	case v.within:
		sc.e.disarm()
		refused, err := s.askEnded(sc.e.permits[sc.next-1])
		if err == nil && refused != nil {
			sc.e.unwanted.Store(refused)
			s.out = wire.AppendBind(s.out, "", s.marker)
			return false, s.endScript()
		}
		return err == nil, err
	}
	return false, s.endScript()
}

// endScript ends the implicit transaction and, as a Query does, drops the unnamed
// statement.
func (s *session) endScript() error {
	s.out = wire.AppendTarget(s.out, 'C', 'S', "")
	s.out = wire.AppendEmpty(s.out, 'S')
	return nil
}

// scriptFailed tells readClient that an error ended a script. While the client
// sends COPY data it may wait for the answer to its Query before it goes on: then
// the Sync must not wait for the client.
func (s *session) scriptFailed(e *entry) error {
	err := e.decide(verdict{})
	if e.copying {
		e.copying = false
		s.conn.SetReadDeadline(past)
		s.wake()
	}
	return err
}
