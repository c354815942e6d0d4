package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"sluice/audit"
)

var noContext = context.Background()

// maxLeaves is how many leaf hashes gather before the sealer is woken early.
const maxLeaves = 1 << 16

// A sealer keeps the tree over the leaves, off the path of the records, and
// signs checkpoints.
type sealer struct {
	dir    string
	now    func() time.Time
	signer note.Signer
	origin string
	public string
	kick   chan struct{}
	quit   chan struct{}
	wg     sync.WaitGroup

	mu     sync.Mutex // guards what the writer hands over, and newest
	leaves []audit.Hash
	chain  audit.Hash
	bounds []uint64 // where new segments begin
	newest []byte
	err    error

	// The goroutine's own.
	tree   *audit.Tree
	file   *os.File // leaves of the segment in hand; nil: none yet
	signed uint64   // size of the newest checkpoint
	kept   uint64   // size of the newest one in the checkpoints file
	keptAt time.Time
	head   audit.Hash
	spare  []audit.Hash
}

// newSealer continues the tree where recovery found its end, and checks it
// against the newest checkpoint.
func newSealer(opts *Options, r *recovered) (*sealer, error) {
	s := &sealer{dir: opts.Dir, now: opts.Now, signer: opts.Signer, chain: r.tail.chain, head: r.tail.chain,
		kick: make(chan struct{}, 1), quit: make(chan struct{})}
	if err := s.identify(r.tail.log); err != nil {
		return nil, err
	}
	if err := s.resume(r); err != nil {
		return nil, err
	}
	s.wg.Add(1)
	go s.run(opts.Checkpoint)
	return s, nil
}

// identify finds the signing key and the journal's name.
func (s *sealer) identify(log [16]byte) (err error) {
	s.origin = fmt.Sprintf("sluice/audit/%x", log)
	if s.signer != nil {
		return nil
	}
	s.signer, s.public, err = loadKey(s.dir, s.origin)
	return err
}

// resume rebuilds the tree's end from the last segment.
func (s *sealer) resume(r *recovered) error {
	if r.tail.first == 0 {
		s.tree = new(audit.Tree)
		return nil
	}
	if err := trimCheckpoints(filepath.Join(s.dir, audit.CheckpointsFile)); err != nil {
		return err
	}
	last, err := s.lastCheckpoint()
	if err != nil {
		return err
	}
	if last.Size > r.tail.seq {
		return &DamageError{audit.SegmentName(r.tail.first), r.tail.off, r.tail.seq + 1,
			fmt.Sprintf("it is missing: the last checkpoint covers %d records", last.Size)}
	}
	tree := s.treeBefore(r.tail.first)
	if tree != nil {
		err = s.continueTree(tree, r, &last)
	}
	if tree == nil || err != nil {
		if tree, err = rebuildTree(s.dir, r.tail.first); err != nil {
			return err
		}
		err = s.continueTree(tree, r, &last)
	}
	return err
}

// treeBefore reads the tree's edge from the leaves file; nil: not there.
func (s *sealer) treeBefore(first uint64) *audit.Tree {
	b, err := os.ReadFile(filepath.Join(s.dir, audit.LeavesName(first)))
	if err != nil {
		return nil
	}
	tree, _, err := audit.ParseLeaves(b)
	if err != nil || tree.Size() != first-1 {
		return nil
	}
	return tree
}

// continueTree adds the last segment's leaves, writes its leaves file anew and
// compares with the last checkpoint on the way.
func (s *sealer) continueTree(tree *audit.Tree, r *recovered, last *audit.Checkpoint) error {
	if err := s.newFile(r.tail.first, tree); err != nil {
		return err
	}
	s.tree = tree
	if err := s.writeLeaves(r.leaves); err != nil {
		return err
	}
	for i, leaf := range r.leaves {
		tree.Add(leaf)
		if tree.Size() == last.Size && (tree.Root() != last.Root || r.chains[i] != last.Chain) {
			return &DamageError{audit.SegmentName(r.tail.first), 0, last.Size, "history up to it is not what the last checkpoint signed"}
		}
	}
	s.signed, s.kept = last.Size, last.Size
	return nil
}

// lastCheckpoint reads the newest checkpoint. One that cannot be read was lost
// in a crash, which proves nothing.
func (s *sealer) lastCheckpoint() (audit.Checkpoint, error) {
	signed, err := os.ReadFile(filepath.Join(s.dir, audit.CheckpointFile))
	if err != nil || s.public == "" {
		return audit.Checkpoint{}, nil
	}
	v, err := note.NewVerifier(s.public)
	if err != nil {
		return audit.Checkpoint{}, fmt.Errorf("journal: %s: %w", audit.PublicKeyFile, err)
	}
	c, err := audit.OpenCheckpoint(signed, v)
	if err != nil {
		return audit.Checkpoint{}, nil
	}
	s.newest = signed
	return c, nil
}

// add hands a batch over. It copies 32 bytes a record and no more: the writer
// is calling.
func (s *sealer) add(leaves []audit.Hash, chain audit.Hash) {
	s.mu.Lock()
	s.leaves = append(s.leaves, leaves...)
	s.chain = chain
	many := len(s.leaves) >= maxLeaves
	s.mu.Unlock()
	if many {
		select {
		case s.kick <- struct{}{}:
		default:
		}
	}
}

// segment says that a new segment begins with record first.
func (s *sealer) segment(first uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bounds = append(s.bounds, first)
}

func (s *sealer) latest() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newest
}

func (s *sealer) run(every time.Duration) {
	defer s.wg.Done()
	var tick <-chan time.Time
	if every > 0 {
		t := time.NewTicker(every)
		defer t.Stop()
		tick = t.C
	}
	for {
		select {
		case <-tick:
			s.work(true, false)
		case <-s.kick:
			s.work(false, false)
		case <-s.quit:
			s.work(true, true)
			return
		}
	}
}

// work takes what has gathered into the tree and, if asked, signs it. A
// failure is tried again with the next checkpoint: the records are safe, and
// verification says from where on nothing is signed.
func (s *sealer) work(sign, final bool) {
	s.mu.Lock()
	leaves, bounds := s.leaves, s.bounds
	s.leaves, s.spare, s.bounds, s.head = s.spare[:0], leaves, nil, s.chain
	s.mu.Unlock()
	bounds, err := s.extend(leaves, bounds)
	if sign && s.tree.Size() > s.signed || final && s.signed > s.kept {
		err = errors.Join(err, s.checkpoint(final))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bounds = append(bounds, s.bounds...)
	if err != nil || sign {
		s.err = err
	}
}

// failure returns what went wrong with the last checkpoint.
func (s *sealer) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// extend adds leaves to the tree and to the files of their segments. It returns
// the bounds that were not reached yet. A leaves file that cannot be written is
// given up; the tree goes on without it.
func (s *sealer) extend(leaves []audit.Hash, bounds []uint64) ([]uint64, error) {
	var failed error
	for len(leaves) > 0 {
		n := len(leaves)
		if len(bounds) > 0 {
			n = int(min(uint64(n), bounds[0]-s.tree.Size()-1))
		}
		if n == 0 {
			failed = errors.Join(failed, s.newFile(bounds[0], s.tree))
			bounds = bounds[1:]
			continue
		}
		failed = errors.Join(failed, s.writeLeaves(leaves[:n]))
		for _, leaf := range leaves[:n] {
			s.tree.Add(leaf)
		}
		leaves = leaves[n:]
	}
	return bounds, failed
}

func (s *sealer) writeLeaves(leaves []audit.Hash) error {
	if s.file == nil {
		return nil
	}
	if _, err := s.file.Write(audit.AppendLeaves(nil, leaves)); err != nil {
		s.file.Close()
		s.file = nil
		return fmt.Errorf("journal: leaves: %w", err)
	}
	return nil
}

// newFile begins the leaves file of the segment that begins with first.
func (s *sealer) newFile(first uint64, tree *audit.Tree) error {
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
	f, err := os.OpenFile(filepath.Join(s.dir, audit.LeavesName(first)), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("journal: leaves: %w", err)
	}
	if _, err := f.Write(audit.AppendLeavesHeader(nil, first, tree.Edge())); err != nil {
		f.Close()
		return fmt.Errorf("journal: leaves: %w", err)
	}
	s.file = f
	return nil
}

// How often a checkpoint is also kept for good: what lies between two of them
// can be told apart by the leaves.
const (
	keepEvery   = time.Minute
	keepRecords = 10_000
)

// checkpoint signs what the tree holds. It need not be durable: it can be
// signed again, and a record it covers is durable already.
func (s *sealer) checkpoint(final bool) error {
	c := audit.Checkpoint{Origin: s.origin, Size: s.tree.Size(), Root: s.tree.Root(), Chain: s.head, Time: s.now()}
	signed, err := c.Sign(s.signer)
	if err != nil {
		return err
	}
	if final || c.Time.Sub(s.keptAt) >= keepEvery || c.Size-s.kept >= keepRecords {
		if err := appendWhole(filepath.Join(s.dir, audit.CheckpointsFile), signed); err != nil {
			return fmt.Errorf("journal: checkpoint: %w", err)
		}
		s.kept, s.keptAt = c.Size, c.Time
	}
	path := filepath.Join(s.dir, audit.CheckpointFile)
	if err := os.WriteFile(path+".new", signed, 0o600); err != nil {
		return fmt.Errorf("journal: checkpoint: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("journal: checkpoint: %w", err)
	}
	s.signed = c.Size
	s.mu.Lock()
	s.newest = signed
	s.mu.Unlock()
	return nil
}

// stop signs a last checkpoint and returns what went wrong, if anything did.
func (s *sealer) stop() error {
	close(s.quit)
	s.wg.Wait()
	var err error
	if s.file != nil {
		err = s.file.Close()
	}
	return errors.Join(s.failure(), err)
}
