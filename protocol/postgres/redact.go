package postgres

import (
	"sluice/access"
	query "sluice/query/postgres"
)

// redactedLiteral stands for a literal in what is stored and shown.
const redactedLiteral = "'[redacted]'"

// maxRedacted bounds the texts that a session remembers redacted.
const maxRedacted = 1024

// maxRedactedText is the longest text, in bytes, worth remembering.
const maxRedactedText = 4 << 10

// redact keeps the values of masked columns out of the record: where a mask
// applies to an action, its literals and bound values are not stored. The
// digest stays over the real ones.
func (s *session) redact(a *access.Action, d *access.Decision) {
	columns := maskedColumns(d)
	if d.Effect != access.Allow && len(columns) == 0 && s.gate.Posture().Masked {
		columns = s.wouldMask(a)
	}
	if len(columns) == 0 {
		return
	}
	a.Shown = s.withoutLiterals(a, columns)
	if len(a.Args) > 0 {
		a.Args = append([]access.Arg(nil), a.Args...)
		for i := range a.Args {
			a.Args[i].Secret = true
		}
	}
	// What is stored of the action is no longer what its origin says.
	a.Origin = nil
}

// wouldMask returns what would be masked in a denied action: a denial carries no
// obligations, but what was typed about a masked column is no less secret.
func (s *session) wouldMask(a *access.Action) (columns []access.ColumnID) {
	var cols []access.Column
	known := a.Confidence == access.Exact
	for i := range a.Objects {
		o := &a.Objects[i]
		if o.Kind != access.KindTable || o.System {
			continue
		}
		known = known && o.ColumnsKnown
		for _, c := range o.Columns {
			id := access.ColumnID{Schema: o.Schema, Table: o.Name, Column: c.Name}
			cols = append(cols, access.Column{Origins: []access.ColumnID{id}, Traced: true})
		}
	}
	if !known {
		cols = append(cols, access.Column{})
	}
	r := access.Request{Subject: s.gate.Subject(), Resource: s.target.Resource, Action: *a,
		Context: access.Context{Time: s.srv.Now(), Client: s.info.Client}}
	masks, err := s.srv.Gate.Decider.Result(r, access.Decision{Effect: access.Allow}, cols)
	if err != nil {
		return []access.ColumnID{{}}
	}
	for _, m := range masks {
		if m.With != "" && len(m.Detect) == 0 {
			columns = append(columns, m.Column)
		}
	}
	return columns
}

func maskedColumns(d *access.Decision) (columns []access.ColumnID) {
	for _, o := range d.Obligations {
		if m, ok := o.(access.Mask); ok && len(m.Detect) == 0 {
			columns = append(columns, m.Column)
		}
	}
	return columns
}

func (s *session) withoutLiterals(a *access.Action, columns []access.ColumnID) string {
	if shown, ok := s.redacted[a.Origin]; ok && a.Origin != nil {
		return shown
	}
	st := query.Statement{Action: *a}
	shown := cutSpans(a.Text, st.LiteralSpans(columns))
	if a.Origin != nil && len(a.Text) <= maxRedactedText {
		if len(s.redacted) >= maxRedacted {
			clear(s.redacted)
		}
		s.redacted[a.Origin] = shown
	}
	return shown
}

func cutSpans(text string, spans []query.Span) string {
	var out []byte
	at := 0
	for _, sp := range spans {
		if sp.Start < at || sp.End > len(text) {
			continue
		}
		out = append(append(out, text[at:sp.Start]...), redactedLiteral...)
		at = sp.End
	}
	return string(append(out, text[at:]...))
}
