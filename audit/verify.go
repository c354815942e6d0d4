package audit

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// Verify checks the journal in fsys with the public key alone (the text of
// key.pub) and says everything that is wrong with it. anchors are signed
// checkpoints that were copied elsewhere before; without one, history that was
// rewritten by somebody who holds the signing key cannot be told from real
// history. The error is about not being able to check, not about findings.
//
// The folder may be in use. It takes about a second for a million records.
func Verify(ctx context.Context, fsys fs.FS, key string, anchors ...[]byte) (Report, error) {
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return Report{}, fmt.Errorf("audit: verify: the public key: %w", err)
	}
	firsts, err := Segments(fsys)
	if err != nil {
		return Report{}, err
	}
	v := &verification{fsys: fsys, expect: 1, missed: map[uint64]int{}}
	// Checkpoints first: a gateway that is running signs new ones while we read.
	v.readCheckpoints(verifier)
	v.readAnchors(verifier, anchors)
	slices.SortStableFunc(v.claims, func(a, b claim) int { return compare(a.Size, b.Size) })
	for i, first := range firsts {
		if err := ctx.Err(); err != nil {
			return Report{}, err
		}
		if err := v.segment(first, i == len(firsts)-1); err != nil {
			return Report{}, err
		}
	}
	return v.finish(len(firsts)), nil
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// A claim is a checkpoint to hold the records against.
type claim struct {
	Checkpoint
	anchor bool
}

// A verification is one run of Verify.
type verification struct {
	fsys   fs.FS
	report Report

	claims   []claim // not judged yet, by size
	highest  claim   // the claim of the greatest size
	good     uint64  // the size of the last claim that agreed
	broken   bool    // a checkpoint disagreed: later ones must, too
	unhinged bool    // an anchor disagreed

	expect    uint64 // sequence number of the next record
	chain     Hash
	guess     bool // chain is not known: a record before could not be read
	rechained bool // an altered record is known: the chain may have been made to fit it, up to the next segment
	blind     bool // some leaf is not known: no claim can be judged
	// records has the leaves as the records say; leaves as the leaves files say,
	// where there is one. The second tells which record was altered.
	records, leaves Tree
	suspects        []Finding      // records whose leaf is not the leaves file's, since the last claim
	breaks          []Finding      // segments that do not continue the one before, since the last claim
	missed          map[uint64]int // finding index by sequence number, for those that may turn up elsewhere

	name    string // of the segment in hand
	sidecar []Hash // its leaves file
	first   uint64 // its first record
	unread  int64  // bytes at its end that are no record
}

func (v *verification) readCheckpoints(verifier note.Verifier) {
	data, err := fs.ReadFile(v.fsys, CheckpointsFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		v.report.find(Finding{Kind: Forged, Segment: CheckpointsFile, Detail: err.Error()})
	}
	for i, signed := range SplitCheckpoints(data) {
		v.claim(signed, verifier, false, fmt.Sprintf("checkpoint %d", i+1))
	}
	if newest, err := fs.ReadFile(v.fsys, CheckpointFile); err == nil && len(newest) > 0 {
		v.claim(newest, verifier, false, "the newest checkpoint")
	}
}

func (v *verification) readAnchors(verifier note.Verifier, anchors [][]byte) {
	for i, signed := range anchors {
		v.claim(signed, verifier, true, fmt.Sprintf("anchor %d", i+1))
	}
}

func (v *verification) claim(signed []byte, verifier note.Verifier, anchor bool, what string) {
	c, err := OpenCheckpoint(signed, verifier)
	if err != nil {
		v.report.find(Finding{Kind: Forged, Detail: fmt.Sprintf("%s is not signed by this key: %v", what, err)})
		return
	}
	if v.report.Origin == "" {
		v.report.Origin = c.Origin
	}
	if c.Origin != v.report.Origin {
		v.report.find(Finding{Kind: Forged, Detail: fmt.Sprintf("%s is about another journal, %s", what, c.Origin)})
		return
	}
	cl := claim{c, anchor}
	v.claims = append(v.claims, cl)
	if c.Size > v.highest.Size {
		v.highest = cl
	}
}

// take accounts for one record's leaf, real or as the leaves file has it, and
// judges the claims that end there.
func (v *verification) take(record, sidecar Hash) {
	v.records.Add(record)
	v.leaves.Add(sidecar)
	v.expect++
	for len(v.claims) > 0 && v.claims[0].Size <= v.records.Size() {
		c := v.claims[0]
		v.claims = v.claims[1:]
		if c.Size == v.records.Size() {
			v.judge(&c)
		}
	}
}

// judge compares a claim with the records up to it.
func (v *verification) judge(c *claim) {
	switch {
	case v.blind || c.anchor && v.unhinged || !c.anchor && v.broken:
		return
	case v.records.Root() == c.Root:
		v.agree(c)
	case v.leaves.Root() == c.Root:
		// The leaves file has what was signed, so the records that differ from it
		// are the altered ones, and explain a broken chain.
		v.flush(&v.suspects)
		v.breaks, v.records, v.rechained = nil, v.leaves, true
		v.agree(c)
	default:
		v.disagree(c)
	}
}

// flush moves findings into the report.
func (v *verification) flush(findings *[]Finding) {
	for _, f := range *findings {
		v.report.find(f)
	}
	*findings = nil
}

func (v *verification) agree(c *claim) {
	v.flush(&v.breaks)
	if len(v.suspects) > 0 {
		v.report.find(Finding{Kind: Derived, Seq: v.suspects[0].Seq, Detail: "the leaves file differs from records that the checkpoint confirms; rebuild it"})
		v.suspects, v.leaves = nil, v.records
	}
	v.good = c.Size
	if c.anchor {
		v.report.Anchors++
		v.report.Anchored = c.Size
		return
	}
	v.report.Checkpoints++
	v.report.Signed, v.report.SignedAt = c.Size, c.Time
}

func (v *verification) disagree(c *claim) {
	what := "checkpoint"
	if c.anchor {
		what, v.unhinged = "anchor", true
	} else {
		v.broken = true
	}
	v.flush(&v.suspects)
	v.report.find(Finding{Kind: Rewritten, Seq: v.good + 1, Until: c.Size,
		Detail: fmt.Sprintf("the records up to %d are not those that the %s of %s signed; up to %d they are",
			c.Size, what, c.Time.Format(time.RFC3339), v.good)})
}

func (v *verification) finish(segments int) Report {
	r := &v.report
	last := v.expect - 1
	if v.highest.Size > last {
		r.find(Finding{Kind: Truncated, Segment: v.name, Seq: v.expect, Until: v.highest.Size,
			Detail: fmt.Sprintf("a checkpoint of %s covers %d records", v.highest.Time.Format(time.RFC3339), v.highest.Size)})
	}
	v.flush(&v.suspects) // no checkpoint says which side is right
	v.flush(&v.breaks)
	root := v.records.Root()
	r.Segments, r.Last = segments, last
	r.Unsigned = last - min(last, r.Signed)
	r.Unfinished = v.unread
	r.Head, r.Root = hex.EncodeToString(v.chain[:]), hex.EncodeToString(root[:])
	return *r
}
