package audit

import (
	"encoding/binary"
	"errors"
	"strings"

	"sluice/access"
)

// A Tag is a short hash of one fact about a record, such as "subject alice".
// Equal facts have equal tags; different facts may too. A tag that a record
// does not have proves that the fact does not hold.
type Tag uint32

// The kinds of fact that tags tell.
const (
	tagSubject  = 1 + iota // id, issuer/id or e-mail of the subject or one of its actors
	tagResource            // name
	tagSession             // id
	tagType                // event type
	tagVerb                // action's verb
	tagEffect              // allow, deny, require_approval; also mask and monitor
	tagRule                // rule's name without its policy
	tagObject              // name, and schema.name
	tagRequest             // approval request
	tagRef                 // id of the event this one is about; only in records, not in blocks
	tagMany                // the tags are incomplete: every fact may hold
)

// many says that there were more facts than tags.
var many = tag(tagMany, "")

// maxTags bounds the tags of a record; a list's length is one byte.
const maxTags = 100

// maxObjectTags bounds the tags of an action's objects.
const maxObjectTags = 48

// tag hashes a fact, eight bytes at a time. It is part of the format: a change
// needs a new frame version.
func tag(kind byte, s string) Tag {
	const k = 0x9e3779b97f4a7c15
	h := (uint64(kind) + 1) * k
	for len(s) >= 8 {
		w := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		h = (h ^ w) * k
		h ^= h >> 29
		s = s[8:]
	}
	tail := uint64(len(s)) << 56
	for i := range len(s) {
		tail |= uint64(s[i]) << (8 * i)
	}
	h = (h ^ tail) * k
	h ^= h >> 32
	return Tag(h * k >> 32)
}

// A tagList collects tags without allocating for usual events.
type tagList struct {
	n    int
	full bool
	tags [maxTags]Tag
}

func (l *tagList) add(t Tag) {
	if l.n == maxTags-1 {
		if !l.full {
			l.tags[l.n], l.full = many, true
			l.n++
		}
		return
	}
	if l.n < maxTags-1 {
		l.tags[l.n] = t
		l.n++
	}
}

// text adds a fact unless it is empty.
func (l *tagList) text(kind byte, s string) {
	if s != "" {
		l.add(tag(kind, s))
	}
}

// appendTags writes the tags of e: two counts, the tags that a block collects,
// then those that only the record has.
func appendTags(dst []byte, e *access.Event, action []Tag) []byte {
	var l tagList
	l.text(tagType, string(e.Type))
	l.text(tagSession, e.Session)
	if e.Resource != nil {
		l.text(tagResource, e.Resource.Name)
	}
	depth := 0
	for s := e.Subject; s != nil && depth <= maxActors; s = s.Actor {
		subjectTags(&l, s)
		depth++
	}
	for _, t := range action {
		l.add(t)
	}
	verdictTags(&l, e)
	dst = append(dst, byte(l.n), 0)
	for _, t := range l.tags[:l.n] {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(t))
	}
	if e.Ref != "" {
		dst[len(dst)-4*l.n-1] = 1
		dst = binary.LittleEndian.AppendUint32(dst, uint32(tag(tagRef, e.Ref)))
	}
	return dst
}

func subjectTags(l *tagList, s *access.Subject) {
	l.text(tagSubject, s.ID)
	l.text(tagSubject, s.Email)
}

func verdictTags(l *tagList, e *access.Event) {
	if d := e.Decision; d != nil {
		l.text(tagEffect, d.Effect.String())
		for i := range d.Reasons {
			l.text(tagRule, d.Reasons[i].Rule)
		}
		for i := range d.Would {
			l.text(tagRule, d.Would[i].Rule)
		}
		if len(d.Would) > 0 {
			l.text(tagEffect, modeMonitor)
		}
		if masks(d) {
			l.text(tagEffect, kindMask)
		}
	}
	if e.Outcome != nil && e.Outcome.Masked > 0 {
		l.text(tagEffect, kindMask)
	}
	if e.Approval != nil {
		l.text(tagRequest, e.Approval.Request)
	}
}

func masks(d *access.Decision) bool {
	for _, o := range d.Obligations {
		if _, ok := o.(access.Mask); ok {
			return true
		}
	}
	return false
}

// actionTags are the tags that all actions of one origin share.
func actionTags(a *access.Action) []Tag {
	tags := []Tag{tag(tagVerb, a.Verb.String())}
	for i := range a.Objects {
		if len(tags) > maxObjectTags {
			return append(tags, many)
		}
		o := &a.Objects[i]
		tags = append(tags, tag(tagObject, strings.ToLower(o.Name)))
		if o.Schema != "" {
			tags = append(tags, tag(tagObject, strings.ToLower(o.Qualified())))
		}
	}
	return tags
}

var errTags = errors.New("audit: bad tags")

// splitBody takes a record's body apart. The tag lists are still encoded, four
// bytes each, little-endian.
func splitBody(body []byte) (shared, own, json []byte, err error) {
	if len(body) < 2 {
		return nil, nil, nil, errTags
	}
	n, m := 4*int(body[0]), 4*int(body[1])
	if len(body) < 2+n+m {
		return nil, nil, nil, errTags
	}
	return body[2 : 2+n], body[2+n : 2+n+m], body[2+n+m:], nil
}

// hasTag reports whether an encoded list holds t, or is incomplete.
func hasTag(list []byte, t Tag) bool {
	for ; len(list) >= 4; list = list[4:] {
		if got := Tag(binary.LittleEndian.Uint32(list)); got == t || got == many {
			return true
		}
	}
	return false
}
