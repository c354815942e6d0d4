package audit

import (
	"errors"
	"fmt"
	"io/fs"
)

// maxSegment bounds what Verify reads into memory at once.
const maxSegment = 1 << 30

// segment walks the records of one segment.
func (v *verification) segment(first uint64, last bool) error {
	v.name = SegmentName(first)
	data, err := readSegment(v.fsys, v.name)
	if err != nil {
		return err
	}
	head, err := ParseSegmentHeader(data)
	if errors.Is(err, ErrEnd) && last {
		return nil // prepared and not used yet
	}
	v.gap(first, "a segment is missing, or the end of the one before", 0)
	v.loadSidecar(first)
	switch {
	case err != nil || head.First != first:
		v.report.find(Finding{Kind: Altered, Segment: v.name, Seq: first, Detail: "the segment's header is damaged"})
		v.guess = true
	case v.expect > first:
		v.report.find(Finding{Kind: Reordered, Segment: v.name, Seq: first, Detail: fmt.Sprintf("the segment should begin with record %d", v.expect)})
	case v.guess || v.rechained:
		v.chain, v.guess, v.rechained = head.Prev, false, false
	case head.Prev != v.chain:
		v.breaks = append(v.breaks, Finding{Kind: Altered, Segment: v.name, Seq: first,
			Detail: "the segment does not continue the one before: its header was altered, or records before it"})
		v.chain = head.Prev
	}
	v.walk(data, last)
	return nil
}

func readSegment(fsys fs.FS, name string) ([]byte, error) {
	st, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, fmt.Errorf("audit: verify: %w", err)
	}
	if st.Size() > maxSegment {
		return nil, fmt.Errorf("audit: verify: %s has %d bytes, limit %d", name, st.Size(), maxSegment)
	}
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, fmt.Errorf("audit: verify: %w", err)
	}
	return data, nil
}

// loadSidecar reads the segment's leaves file, if there is a usable one.
func (v *verification) loadSidecar(first uint64) {
	v.first, v.sidecar = first, nil
	data, err := fs.ReadFile(v.fsys, LeavesName(first))
	if err != nil {
		return
	}
	tree, leaves, err := ParseLeaves(data)
	if err == nil && tree.Size() == first-1 {
		v.sidecar = leaves
	}
}

// leaf returns what the leaves file says about a record.
func (v *verification) leaf(seq uint64) (Hash, bool) {
	if seq < v.first || seq-v.first >= uint64(len(v.sidecar)) {
		return Hash{}, false
	}
	return v.sidecar[seq-v.first], true
}

// walk goes through the frames behind the header.
func (v *verification) walk(data []byte, last bool) {
	off := min(SegmentHead, len(data))
	for off < len(data) {
		f, err := DecodeFrame(data[off:])
		if err == nil {
			v.frame(&f, int64(off))
			off += f.Size()
			continue
		}
		next := NextFrame(data, off)
		if next < 0 {
			v.unread = int64(len(data) - off)
			if errors.Is(err, ErrEnd) || isZero(data[off:]) {
				v.unread = 0
			}
			v.damagedTail(data[off:], int64(off), last)
			return
		}
		v.damaged(data[off:next], int64(off), data[next:])
		off = next
	}
}

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// damagedTail judges bytes that no record follows: a write that was cut short,
// unless a checkpoint covers the record or there is another segment.
func (v *verification) damagedTail(raw []byte, off int64, last bool) {
	if v.unread == 0 || last && v.expect > v.highest.Size {
		return
	}
	v.unread = 0
	v.report.find(Finding{Kind: Altered, Segment: v.name, Offset: off, Seq: v.expect, ID: findID(raw), Detail: "the record is damaged"})
	v.substitute(v.expect + 1)
}

// damaged reports the records between two whole ones.
func (v *verification) damaged(raw []byte, off int64, next []byte) {
	f, err := DecodeFrame(next)
	if err != nil || f.Seq <= v.expect {
		v.report.find(Finding{Kind: Altered, Segment: v.name, Offset: off, Seq: v.expect, Detail: "there are bytes that are no record"})
		return
	}
	finding := Finding{Kind: Altered, Segment: v.name, Offset: off, Seq: v.expect, ID: findID(raw), Detail: "the record is damaged"}
	if isZero(raw) {
		finding.Kind, finding.Detail = Missing, "the record was overwritten with zeros"
	}
	if f.Seq > v.expect+1 {
		finding.Until, finding.Detail = f.Seq-1, "the records are damaged"
	}
	v.report.find(finding)
	v.substitute(f.Seq)
}

// substitute goes on to record seq with the leaves file's word for those
// between, so that what follows can still be checked.
func (v *verification) substitute(seq uint64) {
	for v.expect < seq {
		leaf, ok := v.leaf(v.expect)
		if !ok {
			v.loadSidecar(v.expect) // of a segment that is missing itself
			leaf, ok = v.leaf(v.expect)
		}
		if !ok {
			v.guess, v.blind = true, true
		}
		v.chain = Chain(v.chain, leaf)
		v.take(leaf, leaf)
	}
}

// gap reports records that should be here and are not.
func (v *verification) gap(seq uint64, why string, off int64) {
	if seq <= v.expect {
		return
	}
	const plausible = 1 << 32
	if seq-v.expect > plausible {
		v.report.find(Finding{Kind: Altered, Segment: v.name, Offset: off, Seq: v.expect, Detail: fmt.Sprintf("a record says it is number %d", seq)})
		return
	}
	if seq == v.expect+1 {
		v.missed[v.expect] = len(v.report.Findings)
	}
	v.report.find(Finding{Kind: Missing, Segment: v.name, Offset: off, Seq: v.expect, Until: seq - 1, Detail: why})
	v.substitute(seq)
}

// frame checks one whole frame against the place it stands in.
func (v *verification) frame(f *Frame, off int64) {
	if f.Seq > v.expect {
		v.gap(f.Seq, "the record before it is "+fmt.Sprint(v.expect-1), off)
	}
	if f.Seq < v.expect {
		v.displaced(f, off)
		return
	}
	if f.Seq != v.expect {
		return
	}
	v.report.Records++
	v.erased(f)
	leaf := f.Leaf()
	finding := Finding{Kind: Altered, Segment: v.name, Offset: off, Seq: f.Seq, ID: eventID(f.JSON()),
		Detail: "its content is not what the chain of hashes says"}
	reported := false
	if want := Chain(v.chain, leaf); f.Chain != want && !v.guess {
		v.report.find(finding)
		reported = true
	}
	sidecar, ok := v.leaf(f.Seq)
	switch {
	case !ok:
		sidecar = leaf
	case sidecar != leaf && !reported:
		finding.Detail = "its content is not what was signed"
		v.suspects = append(v.suspects, finding)
	}
	v.chain, v.guess = f.Chain, false
	v.take(leaf, sidecar)
}

// displaced reports a record that stands behind its place.
func (v *verification) displaced(f *Frame, off int64) {
	finding := Finding{Kind: Reordered, Segment: v.name, Offset: off, Seq: f.Seq, ID: eventID(f.JSON()),
		Detail: fmt.Sprintf("it stands behind record %d", v.expect-1)}
	if i, ok := v.missed[f.Seq]; ok && i < len(v.report.Findings) {
		v.report.Findings[i] = finding
		return
	}
	v.report.find(finding)
}

func (v *verification) erased(f *Frame) {
	if !f.Erased() {
		return
	}
	v.report.ErasedCount++
	if len(v.report.Erased) < maxFindings {
		v.report.Erased = append(v.report.Erased, f.Seq)
	}
}
