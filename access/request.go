package access

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"time"
)

// A Request is the question put to the decision point: AuthZEN's four parts.
type Request struct {
	Subject  Subject
	Action   Action
	Resource Resource
	Context  Context
}

// A Context holds the circumstances of a request: what is true now and need
// not be true when the same question is asked again.
type Context struct {
	Time    time.Time
	Session SessionInfo
	Client  Client
	Reason  string // why the subject says it needs this; empty: not given
	Ticket  string // a reference the subject gave; empty: not given
	// Wait is how long the subject waits for an approval. Zero: as long as the
	// request lives; negative: not at all, answer with a [PendingError].
	Wait     time.Duration
	Approved *Approval // set when the request is decided again after an answer
	Counts   Counts    // never nil when a policy is asked to decide live; nil counts as zero
}

// SessionInfo is what a session did so far.
type SessionInfo struct {
	ID            string
	Opened        time.Time
	Statements    int64 // decided before this one
	Denied        int64
	Writes        int64
	Rows          int64 // returned so far
	InTransaction bool
}

// Counts answers how often something happened for this subject and resource.
// Implementations are safe for concurrent use.
type Counts interface {
	// Count returns how many events of the named kind fell in the window that
	// ends now, this action included. Kinds: statements, reads, writes, admin,
	// denied, rows.
	Count(kind string, window time.Duration) int64
}

// A Digest identifies a question: who, what, where, with the bound values,
// without time and session.
type Digest [sha256.Size]byte

// Digest identifies exactly this question; an approval is bound to it. Fields
// are written with their lengths before them, so that no two requests share an
// encoding. Group membership, claims and labels are left out: they are
// evaluated again when the approval is used.
func (r *Request) Digest() Digest {
	d := digester{sha256.New()}
	d.str("sluice request v1")
	d.parties(r)
	a := &r.Action
	d.str(a.Verb.String())
	d.str(a.Op)
	d.str(a.Text)
	d.args(a.Args)
	d.settings(a.Binding)
	if len(a.Parts) > 0 {
		d.parts(a.Parts)
	}
	var out Digest
	d.h.Sum(out[:0])
	return out
}

// Shape identifies every question of the same kind: who, where, the statement but
// for its constants, and the objects it touches, without bound values. It is what
// a [Grant] covers. Zero: the action has no shape, because it is not fully
// understood.
func (r *Request) Shape() Digest {
	a := &r.Action
	if a.SQL == nil || a.SQL.Fingerprint == "" || a.Confidence != Exact {
		return Digest{}
	}
	d := digester{sha256.New()}
	d.str("sluice shape v1")
	d.parties(r)
	d.str(a.Verb.String())
	d.str(a.Op)
	d.str(a.SQL.Fingerprint)
	d.bool(a.SQL.Scoped) // a constant condition is a constant too
	d.num(len(a.Objects))
	for i := range a.Objects {
		o := &a.Objects[i]
		d.str(string(o.Kind))
		d.str(o.Schema)
		d.str(o.Name)
		d.bool(o.Read)
		d.bool(o.Write)
	}
	d.settings(a.Binding)
	var out Digest
	d.h.Sum(out[:0])
	return out
}

// parties writes who asks, and where.
func (d digester) parties(r *Request) {
	chain := r.Subject.Chain()
	d.num(len(chain))
	for _, s := range chain {
		d.str(s.Issuer)
		d.str(s.ID)
	}
	d.str(r.Resource.Name)
	d.str(r.Resource.Protocol)
	d.str(r.Resource.Database)
}

func (d digester) args(all []Arg) {
	d.num(len(all))
	for _, v := range all {
		d.bool(v.Null)
		d.bool(v.Binary)
		d.num(int(v.Type))
		d.str(string(v.Value))
	}
}

func (d digester) parts(all []Part) {
	d.num(len(all))
	for i := range all {
		p := &all[i]
		d.str(p.Op)
		d.str(p.Text)
		d.args(p.Args)
		d.settings(p.Binding)
		d.num(int(p.Rows))
	}
}

func (d digester) settings(all []Setting) {
	d.num(len(all))
	for _, b := range all {
		d.str(b.Name)
		d.str(b.Value)
	}
}

type digester struct{ h hash.Hash }

func (d digester) num(n int) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(n))
	d.h.Write(b[:])
}

func (d digester) str(s string) {
	d.num(len(s))
	d.h.Write([]byte(s))
}

func (d digester) bool(b bool) {
	if b {
		d.num(1)
	} else {
		d.num(0)
	}
}
