package audit

import "sluice/access"

// Modes of a decision as events spell them.
const (
	modeEnforce = "enforce"
	modeMonitor = "monitor" // some rule in monitor mode would have decided otherwise
)

func appendDecision(b []byte, d *access.Decision) []byte {
	o := open(b)
	o.str("id", d.ID)
	o.raw("effect", d.Effect.String())
	if len(d.Would) > 0 {
		o.raw("mode", modeMonitor)
	} else {
		o.raw("mode", modeEnforce)
	}
	appendReasons(&o, "reasons", d.Reasons)
	appendReasons(&o, "would", d.Would)
	appendObligations(&o, d.Obligations)
	if len(d.Approval.From) > 0 {
		o.key("approval")
		o.b = appendQuorum(o.b, &d.Approval)
	}
	o.note("message", d.Message)
	o.note("hint", d.Hint)
	o.str("policy", d.Policy)
	return o.close()
}

func appendReasons(o *obj, key string, reasons []access.Reason) {
	if len(reasons) == 0 {
		return
	}
	o.key(key)
	o.b = append(o.b, '[')
	for i := range reasons[:min(len(reasons), MaxList)] {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = appendReason(o.b, &reasons[i])
	}
	o.b = append(o.b, ']')
}

func appendReason(b []byte, r *access.Reason) []byte {
	o := open(b)
	o.str("policy", r.Policy)
	o.must("rule", r.Rule)
	o.must("effect", r.Effect)
	o.note("message", r.Message)
	o.str("file", r.File)
	o.count("line", int64(r.Line))
	o.note("because", r.Because)
	o.flag("lost", r.Lost)
	return o.close()
}

func appendObligations(o *obj, obligations []access.Obligation) {
	if len(obligations) == 0 {
		return
	}
	o.key("obligations")
	o.b = append(o.b, '[')
	for i, ob := range obligations[:min(len(obligations), MaxList)] {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = appendObligation(o.b, ob)
	}
	o.b = append(o.b, ']')
}

// The kinds of obligation as events spell them.
const (
	kindMask   = "mask"
	kindLimit  = "limit"
	kindRecord = "record"
	kindNotify = "notify"
)

func appendObligation(b []byte, ob access.Obligation) []byte {
	o := open(b)
	switch ob := ob.(type) {
	case access.Mask:
		o.raw("kind", kindMask)
		appendMask(&o, &ob)
	case access.Limit:
		o.raw("kind", kindLimit)
		o.count("rows", ob.Rows)
		o.count("bytes", ob.Bytes)
		o.count("affected_rows", ob.AffectedRows)
		o.count("timeout_us", ob.Timeout.Microseconds())
		o.str("rule", ob.Rule)
	case access.Record:
		o.raw("kind", kindRecord)
		o.str("rule", ob.Rule)
	case access.Notify:
		o.raw("kind", kindNotify)
		o.str("channel", ob.Channel)
		o.str("rule", ob.Rule)
	}
	return o.close()
}

func appendMask(o *obj, m *access.Mask) {
	if m.Column != (access.ColumnID{}) {
		o.key("column")
		c := open(o.b)
		c.must("schema", m.Column.Schema)
		c.must("table", m.Column.Table)
		c.must("column", m.Column.Column)
		o.b = c.close()
	}
	o.flag("unknown", m.Unknown)
	o.strings("detect", m.Detect)
	o.str("with", m.With)
	o.str("rule", m.Rule)
	o.strings("paths", m.Paths)
	o.str("key", m.Key)
}

func appendQuorum(b []byte, q *access.Quorum) []byte {
	o := open(b)
	appendFrom(&o, q.From)
	o.num("expires", int64(q.Expires))
	o.strings("rules", q.Rules)
	return o.close()
}

func appendFrom(o *obj, from []access.Approvers) {
	if len(from) == 0 {
		return
	}
	o.key("from")
	o.b = append(o.b, '[')
	for i, f := range from[:min(len(from), MaxList)] {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		a := open(o.b)
		a.must("group", f.Group)
		a.num("count", int64(f.Count))
		o.b = a.close()
	}
	o.b = append(o.b, ']')
}

func appendApproval(b []byte, f *access.ApprovalFact) []byte {
	o := open(b)
	o.must("request", f.Request)
	o.must("state", f.State)
	appendFrom(&o, f.From)
	o.strings("by", f.By[:min(len(f.By), MaxList)])
	o.note("evidence", f.Evidence)
	o.note("reason", f.Reason)
	if !f.Expires.IsZero() {
		o.time("expires", f.Expires)
	}
	o.str("requester", f.Requester)
	return o.close()
}

func appendOutcome(b []byte, t *access.Outcome) []byte {
	o := open(b)
	o.num("rows", t.Rows)
	o.num("bytes", t.Bytes)
	o.count("masked", t.Masked)
	o.num("duration_us", t.Duration)
	o.note("error", t.Error)
	o.flag("undone", t.Undone)
	o.flag("not_run", t.NotRun)
	o.flag("unknown", t.Unknown)
	o.flag("truncate", t.Truncate)
	return o.close()
}
