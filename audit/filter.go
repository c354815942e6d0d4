package audit

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"sluice/access"
)

// A Filter says which events are wanted. Zero fields do not restrict; all
// others must hold.
type Filter struct {
	Since, Until time.Time // Since <= event time < Until
	Subject      string    // id, issuer/id or e-mail of the subject or anyone acting for it
	Issuer       string    // with Subject: that subject itself, vouched for by this issuer, not one of its actors
	Resource     string
	Session      string
	Type         string // event type; "approval.*" for a group
	Verb         string
	Effect       string // allow, deny, require_approval; mask: something was masked; monitor: a monitoring rule would have acted
	Rule         string // RULE or POLICY/RULE, also those that lost or only monitor
	Object       string // name or schema.name, in any case; * and ? match as in file names
	Text         string // part of the text, message or error, in any case
	ID           string // of the event
	Ref          string // id of the event it is about
	Request      string // approval request
}

// A Matcher is a filter made ready: it can say no to a block or a record by its
// tags, without parsing.
type Matcher struct {
	f      Filter
	shared []Tag // a block or record must have them all
	own    []Tag // a record must have them all
	text   string
	object string
}

// Prepare checks a filter and makes it ready.
func (f Filter) Prepare() (*Matcher, error) {
	m := &Matcher{f: f, text: strings.ToLower(f.Text), object: strings.ToLower(f.Object)}
	if _, err := path.Match(m.object, ""); err != nil {
		return nil, fmt.Errorf("audit: filter: object %q: %w", f.Object, err)
	}
	m.want(tagResource, f.Resource)
	m.want(tagSession, f.Session)
	m.want(tagVerb, f.Verb)
	m.want(tagEffect, f.Effect)
	m.want(tagRequest, f.Request)
	m.want(tagRule, f.Rule[strings.LastIndexByte(f.Rule, '/')+1:])
	if !strings.HasSuffix(f.Type, "*") {
		m.want(tagType, f.Type)
	}
	if !strings.ContainsAny(m.object, `*?[\`) {
		m.want(tagObject, m.object)
	}
	if _, id, qualified := strings.Cut(f.Subject, "/"); !qualified || strings.Contains(id, "/") {
		m.want(tagSubject, f.Subject)
	}
	if f.Ref != "" {
		m.own = append(m.own, tag(tagRef, f.Ref))
	}
	return m, nil
}

func (m *Matcher) want(kind byte, s string) {
	if s != "" {
		m.shared = append(m.shared, tag(kind, s))
	}
}

// MayBlock reports whether a block with these tags, as Block.Tags encodes them,
// may hold what is wanted.
func (m *Matcher) MayBlock(tags []byte) bool {
	if hasSorted(tags, many) {
		return true
	}
	for _, t := range m.shared {
		if !hasSorted(tags, t) {
			return false
		}
	}
	return true
}

// May reports whether a record may be wanted. It does not parse it.
func (m *Matcher) May(r *Record) bool {
	if r.Erased {
		return false
	}
	if m.f.ID != "" && eventID(r.JSON) != m.f.ID {
		return false
	}
	shared, own := r.frame.tags()
	for _, t := range m.shared {
		if !hasTag(shared, t) {
			return false
		}
	}
	for _, t := range m.own {
		if !hasTag(own, t) {
			return false
		}
	}
	return true
}

// Match reports whether an event is wanted.
func (m *Matcher) Match(e *access.Event) bool {
	f := &m.f
	switch {
	case !f.Since.IsZero() && e.Time.Before(f.Since):
	case !f.Until.IsZero() && !e.Time.Before(f.Until):
	case f.ID != "" && e.ID != f.ID:
	case f.Ref != "" && e.Ref != f.Ref:
	case f.Session != "" && e.Session != f.Session:
	case f.Resource != "" && (e.Resource == nil || e.Resource.Name != f.Resource):
	case f.Request != "" && (e.Approval == nil || e.Approval.Request != f.Request):
	case !matchType(f.Type, string(e.Type)):
	case !m.matchSubject(e.Subject):
	case !m.matchAction(e.Action):
	case !m.matchDecision(e):
	case m.text != "" && !m.matchText(e):
	default:
		return true
	}
	return false
}

func matchType(want, got string) bool {
	if group, ok := strings.CutSuffix(want, "*"); ok {
		return strings.HasPrefix(got, group)
	}
	return want == "" || want == got
}

func (m *Matcher) matchSubject(s *access.Subject) bool {
	want, issuer := m.f.Subject, m.f.Issuer
	if issuer != "" {
		return s != nil && s.Issuer == issuer && s.ID == want
	}
	if want == "" {
		return true
	}
	for ; s != nil; s = s.Actor {
		if s.ID == want || s.Email == want || s.Issuer+"/"+s.ID == want {
			return true
		}
	}
	return false
}

func (m *Matcher) matchAction(a *access.Action) bool {
	if m.f.Verb == "" && m.object == "" {
		return true
	}
	if a == nil || m.f.Verb != "" && a.Verb.String() != m.f.Verb {
		return false
	}
	return m.object == "" || slices.ContainsFunc(a.Objects, m.matchObject)
}

func (m *Matcher) matchObject(o access.Object) bool {
	for _, name := range [...]string{o.Name, o.Qualified()} {
		if ok, _ := path.Match(m.object, strings.ToLower(name)); ok {
			return true
		}
	}
	return false
}

func (m *Matcher) matchDecision(e *access.Event) bool {
	if m.f.Effect != "" && !matchEffect(m.f.Effect, e) {
		return false
	}
	if m.f.Rule == "" {
		return true
	}
	named := func(r access.Reason) bool { return r.Rule == m.f.Rule || r.Name() == m.f.Rule }
	return e.Decision != nil && (slices.ContainsFunc(e.Decision.Reasons, named) || slices.ContainsFunc(e.Decision.Would, named))
}

func matchEffect(want string, e *access.Event) bool {
	d := e.Decision
	switch want {
	case kindMask:
		return d != nil && masks(d) || e.Outcome != nil && e.Outcome.Masked > 0
	case modeMonitor:
		return d != nil && len(d.Would) > 0
	}
	return d != nil && d.Effect.String() == want
}

func (m *Matcher) matchText(e *access.Event) bool {
	has := func(s string) bool { return strings.Contains(strings.ToLower(s), m.text) }
	return e.Action != nil && has(e.Action.Visible()) || has(e.Message) || has(e.Reason) ||
		e.Outcome != nil && has(e.Outcome.Error) || e.Decision != nil && has(e.Decision.Message)
}

// A TagSet collects the distinct tags of many records. The zero TagSet is ready.
type TagSet struct {
	recent [256]Tag // those seen last: most records repeat what others said
	all    map[Tag]struct{}
}

// maxBlockTags bounds a block's tags; beyond it the block may hold anything.
const maxBlockTags = 4096

// Add adds a record's tags.
func (s *TagSet) Add(r *Record) {
	if s.all == nil {
		s.all = map[Tag]struct{}{}
	}
	shared, _ := r.frame.tags()
	for ; len(shared) >= 4; shared = shared[4:] {
		t := Tag(binary.LittleEndian.Uint32(shared))
		if slot := &s.recent[t%256]; *slot != t {
			*slot = t
			if len(s.all) < maxBlockTags {
				s.all[t] = struct{}{}
			} else {
				s.all[many] = struct{}{}
			}
		}
	}
}

// Encode returns the tags, sorted, four bytes each, and empties the set.
func (s *TagSet) Encode() []byte {
	tags := make([]Tag, 0, len(s.all))
	for t := range s.all {
		tags = append(tags, t)
	}
	slices.Sort(tags)
	b := make([]byte, 0, 4*len(tags))
	for _, t := range tags {
		b = binary.BigEndian.AppendUint32(b, uint32(t))
	}
	*s = TagSet{}
	return b
}

// hasSorted looks a tag up in what Encode made.
func hasSorted(b []byte, t Tag) bool {
	var want [4]byte
	binary.BigEndian.PutUint32(want[:], uint32(t))
	lo, hi := 0, len(b)/4
	for lo < hi {
		mid := (lo + hi) / 2
		switch bytes.Compare(b[4*mid:4*mid+4], want[:]) {
		case 0:
			return true
		case -1:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return false
}
