package audit

import (
	"hash/maphash"
	"sync/atomic"

	"sluice/access"
)

// Limits of one event.
const (
	// MaxText bounds the text of an action: the parser's own limit, so that
	// whatever was understood is also recorded in full.
	MaxText = 1 << 20
	// MaxArg bounds one bound value, one message and one claim.
	MaxArg = 4 << 10
	// MaxArgs bounds the bound values of one action together.
	MaxArgs = 64 << 10
	// MaxList bounds every list: objects, columns, reasons, groups, voters.
	MaxList = 1000
	// MaxBody bounds a record's body. An event beyond it, which takes a
	// deliberate effort within the limits above, is written without its lists.
	MaxBody = 8 << 20
)

// Redacted stands where a secret value was.
const Redacted = "[redacted]"

// EventErased reports that the record its Ref names was erased.
const EventErased access.EventType = "audit.erased"

// An Encoder writes events as JSON. It remembers the unchanging part of
// actions that share an [access.Action.Origin]: most statements a gateway sees
// were seen before, and the text is most of the work. The zero Encoder is
// ready; it is safe for concurrent use and its memory is bounded (1,024
// entries of at most 8 KiB).
type Encoder struct {
	memo [memoSlots]atomic.Pointer[memo]
	seed atomic.Pointer[maphash.Seed]
}

const (
	memoSlots = 1024
	memoBytes = 8 << 10
)

// A memo is the part of an action that does not change with its arguments.
type memo struct {
	origin *access.Origin // keeps the pointer from being reused while the entry lives
	json   []byte
	tags   []Tag
}

// AppendEvent appends e as one JSON object on one line, without a newline.
func AppendEvent(dst []byte, e *access.Event) []byte {
	var static memo
	if e.Action != nil {
		static.json = appendStatic(nil, e.Action)
	}
	return appendEvent(dst, e, &static)
}

// AppendEvent is the package's AppendEvent with a memory. It does not allocate
// for actions it remembers, if dst has room.
func (enc *Encoder) AppendEvent(dst []byte, e *access.Event) []byte {
	var fresh memo
	return appendEvent(dst, e, enc.static(e.Action, &fresh))
}

// AppendBody appends a record's body: the tags, then the JSON.
func (enc *Encoder) AppendBody(dst []byte, e *access.Event) []byte {
	var fresh memo
	static := enc.static(e.Action, &fresh)
	start := len(dst)
	dst = appendTags(dst, e, static.tags)
	dst = appendEvent(dst, e, static)
	if len(dst)-start > MaxBody {
		lean := lean(e)
		dst = appendTags(dst[:start], lean, static.tags)
		dst = appendEvent(dst, lean, &memo{json: appendStatic(nil, lean.Action)})
	}
	return dst
}

// static returns what is remembered of a, or works it out.
func (enc *Encoder) static(a *access.Action, fresh *memo) *memo {
	if a == nil {
		return fresh
	}
	if a.Origin == nil {
		fresh.json = appendStatic(nil, a)
		fresh.tags = actionTags(a)
		return fresh
	}
	slot := enc.slot(a.Origin)
	if m := slot.Load(); m != nil && m.origin == a.Origin {
		return m
	}
	m := &memo{origin: a.Origin, json: appendStatic(nil, a), tags: actionTags(a)}
	if len(m.json) <= memoBytes {
		slot.Store(m)
	}
	return m
}

func (enc *Encoder) slot(o *access.Origin) *atomic.Pointer[memo] {
	seed := enc.seed.Load()
	if seed == nil {
		s := maphash.MakeSeed()
		enc.seed.CompareAndSwap(nil, &s)
		seed = enc.seed.Load()
	}
	return &enc.memo[maphash.Comparable(*seed, o)%memoSlots]
}

// lean strips an oversized event of its lists, and says so in the message.
func lean(e *access.Event) *access.Event {
	l := *e
	l.Message = "the event was too large: its lists are left out. " + e.Message
	l.Extra = nil
	if e.Subject != nil {
		l.Subject = &access.Subject{Issuer: e.Subject.Issuer, ID: e.Subject.ID, Kind: e.Subject.Kind, Actor: e.Subject.Actor}
	}
	if e.Action != nil {
		a := e.Action
		l.Action = &access.Action{Verb: a.Verb, Op: a.Op, Confidence: a.Confidence, Shown: a.Shown, Text: a.Text}
	}
	if e.Decision != nil {
		d := *e.Decision
		d.Obligations, d.Would = nil, nil
		d.Reasons = d.Reasons[:min(len(d.Reasons), 1)]
		l.Decision = &d
	}
	return &l
}

func appendEvent(dst []byte, e *access.Event, static *memo) []byte {
	o := open(dst)
	o.must("id", e.ID)
	o.time("time", e.Time)
	o.must("type", string(e.Type))
	o.str("session", e.Session)
	if e.Subject != nil {
		o.key("subject")
		o.b = appendSubject(o.b, e.Subject, 0)
	}
	if e.Resource != nil {
		o.key("resource")
		o.b = appendResource(o.b, e.Resource)
	}
	if e.Client != nil {
		o.key("client")
		o.b = appendClient(o.b, e.Client)
	}
	o.str("ref", e.Ref)
	if e.Action != nil {
		o.key("action")
		o.b = appendAction(o.b, e, static)
	}
	appendVerdict(&o, e)
	return o.close()
}

// appendVerdict writes what was decided and what came of it.
func appendVerdict(o *obj, e *access.Event) {
	if e.Decision != nil {
		o.key("decision")
		o.b = appendDecision(o.b, e.Decision)
	}
	if e.Approval != nil {
		o.key("approval")
		o.b = appendApproval(o.b, e.Approval)
	}
	if e.Outcome != nil {
		o.key("outcome")
		o.b = appendOutcome(o.b, e.Outcome)
	}
	if e.Digest != nil && e.Action == nil {
		o.hex("digest", e.Digest[:])
	}
	o.note("reason", e.Reason)
	o.note("message", e.Message)
	if len(e.Extra) > 0 {
		o.key("extra")
		o.b = appendMap(o.b, e.Extra, 0)
	}
}

// note writes a text that came from outside, cut at MaxArg with a marker.
func (o *obj) note(k, v string) {
	short, was := cut(v, MaxArg)
	o.str(k, short)
	if was {
		o.num(k+"_truncated", int64(len(v)))
	}
}

// maxActors bounds the chain of actors.
const maxActors = 16

func appendSubject(b []byte, s *access.Subject, depth int) []byte {
	o := open(b)
	o.must("issuer", s.Issuer)
	o.must("id", s.ID)
	o.str("kind", string(s.Kind))
	o.str("email", s.Email)
	o.strings("groups", s.Groups[:min(len(s.Groups), MaxList)])
	if len(s.Claims) > 0 {
		o.key("claims")
		o.b = appendMap(o.b, s.Claims, 0)
	}
	o.str("owner", s.Owner)
	if s.Actor != nil && depth < maxActors {
		o.key("actor")
		o.b = appendSubject(o.b, s.Actor, depth+1)
	}
	if !s.AuthTime.IsZero() {
		o.time("auth_time", s.AuthTime)
	}
	return o.close()
}

func appendResource(b []byte, r *access.Resource) []byte {
	o := open(b)
	o.must("name", r.Name)
	o.str("protocol", r.Protocol)
	o.str("address", r.Address)
	o.str("database", r.Database)
	if len(r.Labels) > 0 {
		o.key("labels")
		o.b = appendLabels(o.b, r.Labels)
	}
	return o.close()
}

func appendClient(b []byte, c *access.Client) []byte {
	o := open(b)
	o.str("address", c.Address)
	o.flag("tls", c.TLS)
	o.note("program", c.Program)
	return o.close()
}
