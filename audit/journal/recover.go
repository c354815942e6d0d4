package journal

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"sluice/audit"
)

// A DamageError says that a journal does not hold what it acknowledged.
type DamageError struct {
	Segment string
	Offset  int64
	Seq     uint64 // the first record that is not as it was written
	Why     string
}

// Error names the record and says what to do.
func (e *DamageError) Error() string {
	return fmt.Sprintf("journal: record %d (%s at %d): %s; the files are left as they are: "+
		"run sluice audit verify, keep the folder as evidence and start with a new one", e.Seq, e.Segment, e.Offset, e.Why)
}

// A recovered is what opening a folder found.
type recovered struct {
	tail   tail
	leaves []audit.Hash // of the last segment
	chains []audit.Hash // of the last segment
}

// recoverDir reads the end of the journal and cuts off what was half written.
func recoverDir(opts *Options) (*recovered, error) {
	if err := redoErase(opts.Dir); err != nil {
		return nil, err
	}
	for {
		firsts, err := audit.Segments(os.DirFS(opts.Dir))
		if err != nil {
			return nil, err
		}
		if len(firsts) == 0 {
			r := new(recovered)
			rand.Read(r.tail.log[:])
			return r, nil
		}
		r, err := recoverSegment(opts, firsts[len(firsts)-1])
		if !errors.Is(err, errUnused) {
			return r, err
		}
	}
}

// errUnused says that the last segment was begun and never used; it is gone.
var errUnused = errors.New("journal: unused segment")

func recoverSegment(opts *Options, first uint64) (*recovered, error) {
	name := audit.SegmentName(first)
	path := filepath.Join(opts.Dir, name)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("journal: recover: %w", err)
	}
	head, err := audit.ParseSegmentHeader(data)
	if err != nil {
		return nil, dropUnused(path, first, data)
	}
	if head.First != first {
		return nil, &DamageError{name, 0, first, fmt.Sprintf("the segment's header says %d", head.First)}
	}
	r := &recovered{tail: tail{seq: first - 1, chain: head.Prev, log: head.Log, first: first, off: audit.SegmentHead, limit: int64(len(data))}}
	if err := r.scan(data, name); err != nil {
		return nil, err
	}
	if err := cutTail(path, data, r.tail.off); err != nil {
		return nil, err
	}
	if r.tail.file, err = opts.create(path); err != nil {
		return nil, fmt.Errorf("journal: recover: %w", err)
	}
	return r, nil
}

// dropUnused removes a segment whose header was never written. If anything
// else was, it is damage.
func dropUnused(path string, first uint64, data []byte) error {
	if late := len(data) - len(bytes.TrimRight(data, "\x00")); late < len(data)-audit.SegmentHead {
		return &DamageError{filepath.Base(path), 0, first, "the segment's header is damaged"}
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("journal: recover: %w", err)
	}
	return errUnused
}

// scan walks the segment's records, checking what every one of them says
// about itself and its predecessor.
func (r *recovered) scan(data []byte, name string) error {
	for {
		f, err := audit.DecodeFrame(data[r.tail.off:])
		if err != nil {
			return r.judge(data, name)
		}
		leaf := f.Leaf()
		if f.Seq != r.tail.seq+1 || f.Chain != audit.Chain(r.tail.chain, leaf) {
			return &DamageError{name, r.tail.off, r.tail.seq + 1, "it does not follow the record before it"}
		}
		r.tail.seq, r.tail.chain = f.Seq, f.Chain
		r.tail.off = min(r.tail.off+int64(f.Size()), int64(len(data)))
		r.leaves = append(r.leaves, leaf)
		r.chains = append(r.chains, f.Chain)
	}
}

// judge tells a write that was cut short from damage: behind the first, there
// can be whole records, but only of the same write. A record of a later write
// proves that this one was complete once.
func (r *recovered) judge(data []byte, name string) error {
	missing := r.tail.seq + 1
	for off := audit.NextFrame(data, int(r.tail.off)); off >= 0; off = audit.NextFrame(data, off) {
		f, err := audit.DecodeFrame(data[off:])
		if err == nil && f.Seq > missing && f.Seq-uint64(f.Back) > missing {
			return &DamageError{name, r.tail.off, missing, fmt.Sprintf("it is damaged, but record %d behind it is whole", f.Seq)}
		}
	}
	return nil
}

// cutTail replaces whatever stands behind the last record by zeros, keeping a
// copy.
func cutTail(path string, data []byte, off int64) error {
	rest := bytes.TrimRight(data[off:], "\x00")
	if len(rest) == 0 {
		return nil
	}
	if err := writeSync(fmt.Sprintf("%s.cut-%d", path, off), rest); err != nil {
		return fmt.Errorf("journal: recover: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("journal: recover: %w", err)
	}
	defer f.Close()
	if _, err = f.WriteAt(make([]byte, len(rest)), off); err == nil {
		err = f.Sync()
	}
	if err != nil {
		return fmt.Errorf("journal: recover: %w", err)
	}
	return nil
}

// rebuildTree reads all segments before the last, for want of a usable leaves
// file.
func rebuildTree(dir string, before uint64) (*audit.Tree, error) {
	tree := new(audit.Tree)
	r := audit.NewLog(os.DirFS(dir), nil).Read(audit.Position{})
	defer r.Close()
	for tree.Size()+1 < before {
		rec, err := r.Next(noContext)
		if errors.Is(err, io.EOF) {
			return nil, &DamageError{audit.SegmentName(before), 0, tree.Size() + 1, "it is missing"}
		}
		if err != nil {
			return nil, err
		}
		if rec.At.Seq != tree.Size()+1 {
			return nil, &DamageError{audit.SegmentName(before), 0, tree.Size() + 1, "it is missing"}
		}
		tree.Add(rec.Leaf())
	}
	return tree, nil
}
