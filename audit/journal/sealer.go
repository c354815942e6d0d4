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
	if _, err := s.file.Write(audit.AppendLeaves(nil, r.leaves)); err != nil {
		return fmt.Errorf("journal: leaves: %w", err)
	}
	for i, leaf := range r.leaves {
		tree.Add(leaf)
		if tree.Size() == last.Size && (tree.Root() != last.Root || r.chains[i] != last.Chain) {
			return &DamageError{audit.SegmentName(r.tail.first), 0, last.Size, "history up to it is not what the last checkpoint signed"}
		}
	}
	s.signed = last.Size
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
			s.work(true)
		case <-s.kick:
			s.work(false)
		case <-s.quit:
			s.work(true)
			return
		}
	}
}

// work takes what has gathered into the tree and, if asked, signs it. The
// first failure ends the sealer's work: the records are safe, and verification
// says from where on nothing is signed.
func (s *sealer) work(sign bool) {
	s.mu.Lock()
	leaves, bounds, err := s.leaves, s.bounds, s.err
	s.leaves, s.spare, s.bounds, s.head = s.spare[:0], leaves, nil, s.chain
	s.mu.Unlock()
	if err != nil {
		return
	}
	bounds, err = s.extend(leaves, bounds)
	s.mu.Lock()
	s.bounds = append(bounds, s.bounds...)
	s.mu.Unlock()
	if err == nil && sign && s.tree.Size() > s.signed {
		err = s.checkpoint()
	}
	if err != nil {
		s.mu.Lock()
		s.err = err
		s.mu.Unlock()
	}
}

// extend adds leaves to the tree and to the files of their segments. It returns
// the bounds that were not reached yet.
func (s *sealer) extend(leaves []audit.Hash, bounds []uint64) ([]uint64, error) {
	for len(leaves) > 0 {
		n := len(leaves)
		if len(bounds) > 0 {
			n = int(min(uint64(n), bounds[0]-s.tree.Size()-1))
		}
		if n > 0 {
			if _, err := s.file.Write(audit.AppendLeaves(nil, leaves[:n])); err != nil {
				return bounds, fmt.Errorf("journal: leaves: %w", err)
			}
			for _, leaf := range leaves[:n] {
				s.tree.Add(leaf)
			}
			leaves = leaves[n:]
			continue
		}
		if err := s.newFile(bounds[0], s.tree); err != nil {
			return bounds, err
		}
		bounds = bounds[1:]
	}
	return bounds, nil
}

// newFile begins the leaves file of the segment that begins with first.
func (s *sealer) newFile(first uint64, tree *audit.Tree) error {
	if s.file != nil {
		s.file.Close()
	}
	f, err := os.OpenFile(filepath.Join(s.dir, audit.LeavesName(first)), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("journal: leaves: %w", err)
	}
	s.file = f
	if _, err := f.Write(audit.AppendLeavesHeader(nil, first, tree.Edge())); err != nil {
		return fmt.Errorf("journal: leaves: %w", err)
	}
	return nil
}

// checkpoint signs what the tree holds. It need not be durable: it can be
// signed again, and a record it covers is durable already.
func (s *sealer) checkpoint() error {
	c := audit.Checkpoint{Origin: s.origin, Size: s.tree.Size(), Root: s.tree.Root(), Chain: s.head, Time: s.now()}
	signed, err := c.Sign(s.signer)
	if err != nil {
		return err
	}
	if err := appendFile(filepath.Join(s.dir, audit.CheckpointsFile), signed); err != nil {
		return fmt.Errorf("journal: checkpoint: %w", err)
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
	return errors.Join(s.err, err)
}
