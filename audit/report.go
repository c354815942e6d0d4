package audit

import (
	"bytes"
	"fmt"
	"time"
)

// A FindingKind says what is wrong with a journal.
type FindingKind string

// The kinds of finding.
const (
	Altered   FindingKind = "altered"   // a record is not as it was written
	Missing   FindingKind = "missing"   // records are not there
	Reordered FindingKind = "reordered" // a record stands in another's place
	Truncated FindingKind = "truncated" // records at the end that a checkpoint covers are not there
	Rewritten FindingKind = "rewritten" // the records agree with each other, and not with a checkpoint
	Forged    FindingKind = "forged"    // a checkpoint is not signed by the key
	Derived   FindingKind = "derived"   // a file that can be rebuilt differs; the records are sound
)

// A Finding is one thing that is wrong.
type Finding struct {
	Kind    FindingKind `json:"kind"`
	Segment string      `json:"segment,omitempty"`
	Offset  int64       `json:"offset,omitempty"`
	Seq     uint64      `json:"seq,omitempty"`   // the record, or the first of several
	Until   uint64      `json:"until,omitempty"` // the last of several; 0: just Seq
	ID      string      `json:"id,omitempty"`    // the event's id, as far as it can still be read
	Detail  string      `json:"detail"`
}

// String is one line for people.
func (f Finding) String() string {
	var b bytes.Buffer
	b.WriteString(string(f.Kind))
	switch {
	case f.Until > f.Seq:
		fmt.Fprintf(&b, " records %d to %d", f.Seq, f.Until)
	case f.Seq > 0:
		fmt.Fprintf(&b, " record %d", f.Seq)
	}
	if f.ID != "" {
		fmt.Fprintf(&b, " (event %s)", f.ID)
	}
	if f.Segment != "" {
		fmt.Fprintf(&b, " in %s at %d", f.Segment, f.Offset)
	}
	return b.String() + ": " + f.Detail
}

// A Report is what Verify found.
type Report struct {
	Origin      string    `json:"origin"`       // the journal's name, as its checkpoints say
	Segments    int       `json:"segments"`     //
	Records     uint64    `json:"records"`      // found whole
	Last        uint64    `json:"last"`         // sequence number of the last one
	Checkpoints int       `json:"checkpoints"`  // that agree with the records
	Anchors     int       `json:"anchors"`      // that agree with the records
	Signed      uint64    `json:"signed"`       // records up to here are covered by a checkpoint
	SignedAt    time.Time `json:"signed_at"`    // when it was signed
	Anchored    uint64    `json:"anchored"`     // records up to here are covered by an anchor
	Unsigned    uint64    `json:"unsigned"`     // records behind Signed: nothing vouches for them yet
	Erased      []uint64  `json:"erased"`       // records whose content was removed on purpose, at most 1000
	ErasedCount uint64    `json:"erased_count"` //
	Unfinished  int64     `json:"unfinished"`   // bytes at the end that are no whole record: a write in progress or cut short
	Head        string    `json:"head"`         // chain hash of the last record, hex
	Root        string    `json:"root"`         // RFC 6962 root over all records, hex
	Findings    []Finding `json:"findings"`     // at most 1000
}

// Sound reports whether nothing is wrong with the records.
func (r *Report) Sound() bool {
	for _, f := range r.Findings {
		if f.Kind != Derived {
			return false
		}
	}
	return true
}

// maxFindings bounds every list of a report.
const maxFindings = 1000

func (r *Report) find(f Finding) {
	if len(r.Findings) < maxFindings {
		r.Findings = append(r.Findings, f)
	}
}

// eventID reads an event's id from the beginning of its JSON, without trusting
// the rest.
func eventID(json []byte) string {
	rest, ok := bytes.CutPrefix(json, []byte(`{"id":"`))
	if end := bytes.IndexByte(rest, '"'); ok && end >= 0 && end <= 64 {
		return string(rest[:end])
	}
	return ""
}

// findID looks for an event's id in a damaged frame.
func findID(raw []byte) string {
	raw = raw[:min(len(raw), frameHead+4*2*maxTags+128)]
	if at := bytes.Index(raw, []byte(`{"id":"`)); at >= 0 {
		return eventID(raw[at:])
	}
	return ""
}
