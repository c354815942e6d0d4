package pipeline

import "sluice/access"

// maxFacts bounds how often the target is asked about one action: once for each
// fact there is.
const maxFacts = 2

// find asks the target for the facts that a decision needs, the cheapest first,
// and decides again with each answer. What cannot be found out stays unknown, and
// the policy's answer to that stands.
func (s *Session) find(p *Permit) error {
	for range maxFacts {
		needs := p.Decision.Needs
		if needs == 0 || s.Find == nil || p.Request.Action.SQL == nil {
			return nil
		}
		fact := needs & -needs
		facts, err := s.Find(&p.Request.Action, fact)
		if err != nil {
			return err
		}
		facts.Asked |= p.Request.Action.SQL.Facts.Asked | fact
		p.know(facts)
		p.Decision = s.evaluate(p)
	}
	return nil
}

// inform finds out what people should know before they agree: what the target
// expects, and how many rows would change. Unlike for a decision, nothing depends
// on an answer.
func (s *Session) inform(p *Permit) error {
	if s.Find == nil || p.Request.Action.SQL == nil {
		return nil
	}
	wanted := access.FactEstimate
	if v := p.Request.Action.Verb; v == access.VerbUpdate || v == access.VerbDelete {
		wanted |= access.FactCount
	}
	for wanted &^= p.Request.Action.SQL.Facts.Asked; wanted != 0; wanted &= wanted - 1 {
		facts, err := s.Find(&p.Request.Action, wanted&-wanted)
		if err != nil {
			return err
		}
		facts.Asked |= p.Request.Action.SQL.Facts.Asked | wanted&-wanted
		p.know(facts)
	}
	return nil
}

// know gives the permit's action facts of its own: what an analysis found is
// shared.
func (p *Permit) know(f access.Facts) {
	sql := *p.Request.Action.SQL
	sql.Facts = f
	p.Request.Action.SQL = &sql
}

// forget drops what the target said.
func (p *Permit) forget() {
	if sql := p.Request.Action.SQL; sql != nil && sql.Facts != (access.Facts{}) {
		p.know(access.Facts{})
	}
}
