// Package search finds events in a journal.
//
// The index is one row for about a megabyte of records ([store.Block]): where
// it is, what time it spans, and the tags of everything in it (package audit).
// [Index.Update] writes those rows behind the journal's back; nothing waits for
// them. [Index.Search] asks the index which blocks may hold what is wanted,
// reads only those, passes over most of their records by their tags, and parses
// the rest. What is not indexed yet, it reads: a durable record is never missed.
//
// The index holds nothing that the journal does not; [Index.Rebuild] makes it
// again. Without one (a nil store) everything is read, which is how a folder is
// searched without a gateway.
package search

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"sluice/access"
	"sluice/audit"
	"sluice/internal/uuid7"
	"sluice/store"
)

// blockBytes is how much of the journal one row of the index covers.
const blockBytes = 1 << 20

// page is how many rows of the index a search reads at once.
const page = 256

// An Index is one journal's index. It is safe for concurrent use.
type Index struct {
	log    *audit.Log
	name   string
	blocks store.Blocks

	mu    sync.Mutex // guards what follows: one update at a time
	start bool       // the store was asked where the index ends
	at    audit.Position
	open  store.Block // of records that are not indexed yet
	tags  audit.TagSet
	begun audit.Position // of the open block
	size  int64
	count uint64
	err   error // of the last update by Run
}

// New indexes log under a name of its own in blocks. A nil blocks means that
// there is no index and every search reads everything.
func New(log *audit.Log, name string, blocks store.Blocks) *Index {
	return &Index{log: log, name: name, blocks: blocks}
}

// Run keeps the index up to date until ctx ends, looking every so often. A
// failure is kept for Lag and tried again: without the index, searches are
// slow, not wrong. It returns ctx's error.
func (x *Index) Run(ctx context.Context, every time.Duration) error {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		err := x.Update(ctx)
		x.mu.Lock()
		x.err = err
		x.mu.Unlock()
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Lag returns how many durable records were not looked at yet, and what kept
// Run from it, if something did.
func (x *Index) Lag() (records uint64, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	durable, seen := x.log.Durable(), uint64(0)
	if x.at.Seq > 0 {
		seen = x.at.Seq - 1
	}
	return durable - min(seen, durable), x.err
}

// Update indexes what was written since the last time. The last, unfinished
// block stays open: searches read it.
func (x *Index) Update(ctx context.Context) error {
	if x.blocks == nil {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.find(ctx); err != nil {
		return err
	}
	r := x.log.Read(x.at)
	defer r.Close()
	var full []store.Block
	for {
		rec, err := r.Next(ctx)
		if err == nil {
			full = x.add(&rec, r.At(), full)
		}
		if len(full) == page || err != nil && len(full) > 0 {
			if perr := x.blocks.PutBlocks(ctx, full); perr != nil {
				x.start = false // begin again from what the store has
				return fmt.Errorf("search: update: %w", perr)
			}
			full = full[:0]
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("search: update: %w", err)
		}
	}
}

// find begins behind the last indexed block. That block is indexed again: it
// says where it begins, but not where it ends.
func (x *Index) find(ctx context.Context) error {
	if x.start {
		return nil
	}
	last, err := x.blocks.Blocks(ctx, store.BlockFilter{Log: x.name, Newest: true, Limit: 1})
	if err != nil {
		return fmt.Errorf("search: update: %w", err)
	}
	x.at, x.begun, x.size, x.count, x.tags = audit.Position{}, audit.Position{}, 0, 0, audit.TagSet{}
	if len(last) > 0 {
		x.at = position(&last[0])
	}
	x.start = true
	return nil
}

func position(b *store.Block) audit.Position {
	return audit.Position{Segment: b.Segment, Offset: b.Offset, Seq: b.First}
}

// add puts a record into the open block, and that among the full ones if it is.
func (x *Index) add(rec *audit.Record, next audit.Position, full []store.Block) []store.Block {
	if x.count == 0 {
		x.begun = rec.At
		x.open = store.Block{Log: x.name, First: rec.At.Seq, Segment: rec.At.Segment, Offset: rec.At.Offset, MinTime: rec.Time, MaxTime: rec.Time}
	}
	x.count++
	x.open.Last = rec.At.Seq
	if rec.Time.Before(x.open.MinTime) {
		x.open.MinTime = rec.Time
	}
	if rec.Time.After(x.open.MaxTime) {
		x.open.MaxTime = rec.Time
	}
	x.tags.Add(rec)
	x.size += next.Offset - rec.At.Offset
	x.at = next
	if x.size < blockBytes {
		return full
	}
	x.open.Tags = x.tags.Encode()
	full = append(full, x.open)
	x.size, x.count = 0, 0
	return full
}

// tail returns where the records begin that the index does not cover.
func (x *Index) tail() audit.Position {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.count > 0 {
		return x.begun
	}
	return x.at
}

// Rebuild forgets the index and makes it again.
func (x *Index) Rebuild(ctx context.Context) error {
	if x.blocks == nil {
		return nil
	}
	if err := x.blocks.DropBlocks(ctx, x.name); err != nil {
		return fmt.Errorf("search: rebuild: %w", err)
	}
	x.mu.Lock()
	x.start = false
	x.mu.Unlock()
	return x.Update(ctx)
}

// A Hit is one event that a search found, and where.
type Hit struct {
	Event access.Event
	At    audit.Position
	JSON  []byte // as it stands in the journal
}

// A Query is a filter and how many of what it finds are wanted, in which order.
type Query struct {
	audit.Filter
	Newest bool // newest first; otherwise oldest first
	Limit  int  // zero: no limit
}

// errEnough ends a search whose caller has seen enough.
var errEnough = errors.New("enough")

// Search calls yield with every event that q wants, in the order of the
// journal or its reverse, until yield returns false.
func (x *Index) Search(ctx context.Context, q Query, yield func(Hit) bool) error {
	m, err := q.Prepare()
	if err != nil {
		return err
	}
	s := &search{x: x, q: q, m: m, yield: yield}
	// An index that cannot be kept up is not consulted either.
	if x.Update(ctx) == nil {
		s.blocks, s.tail = x.blocks, x.tail()
	}
	if err := s.run(ctx); err != nil && err != errEnough {
		return fmt.Errorf("search: %w", err)
	}
	return nil
}

// Find returns what q wants; q.Limit should be set.
func (x *Index) Find(ctx context.Context, q Query) ([]Hit, error) {
	var hits []Hit
	err := x.Search(ctx, q, func(h Hit) bool {
		hits = append(hits, h)
		return true
	})
	return hits, err
}

// Story returns the event with this id and those that refer to it, in the
// order of the journal: a decision and what came of it. No events: not found.
func (x *Index) Story(ctx context.Context, id string) ([]Hit, error) {
	hits, err := x.Find(ctx, Query{Filter: audit.Filter{ID: id}, Limit: 1})
	if err != nil || len(hits) == 0 {
		return nil, err
	}
	e := &hits[0].Event
	later, err := x.Find(ctx, Query{Filter: audit.Filter{Ref: id, Session: e.Session}, Limit: 100})
	return append(hits, later...), err
}

// A search is one run.
type search struct {
	x     *Index
	q     Query
	m     *audit.Matcher
	yield func(Hit) bool
	found int

	blocks store.Blocks   // nil: no index
	tail   audit.Position // where the records begin that the index does not cover
}

func (s *search) run(ctx context.Context) error {
	if s.q.Newest {
		if err := s.stretch(ctx, s.tail, 0); err != nil {
			return err
		}
		return s.indexed(ctx)
	}
	if err := s.indexed(ctx); err != nil {
		return err
	}
	return s.stretch(ctx, s.tail, 0)
}

// indexed goes through the blocks before the tail.
func (s *search) indexed(ctx context.Context) error {
	if s.blocks == nil || s.tail.Seq <= 1 {
		return nil
	}
	f := store.BlockFilter{Log: s.x.name, Newest: s.q.Newest, Limit: page, Before: s.tail.Seq}
	f.Since, f.Until = s.window()
	for {
		blocks, err := s.blocks.Blocks(ctx, f)
		if err != nil {
			return err
		}
		for i := range blocks {
			if s.m.MayBlock(blocks[i].Tags) {
				if err := s.stretch(ctx, position(&blocks[i]), blocks[i].Last); err != nil {
					return err
				}
			}
		}
		if len(blocks) < page {
			return nil
		}
		if last := blocks[len(blocks)-1].First; s.q.Newest {
			f.Before = last
		} else {
			f.After = last
		}
	}
}

// window narrows the time by what is known about ids: they tell their time,
// and an event that refers to another comes after it.
func (s *search) window() (since, until time.Time) {
	const slack = 2 * time.Second // between an id and its event's time
	since, until = s.q.Since, s.q.Until
	if t, err := uuid7.Time(s.q.ID); err == nil {
		since, until = latest(since, t.Add(-slack)), earliest(until, t.Add(slack))
	}
	if t, err := uuid7.Time(s.q.Ref); err == nil {
		since = latest(since, t.Add(-slack))
	}
	return since, until
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// stretch searches the records from one on to number last; 0: to the end.
func (s *search) stretch(ctx context.Context, from audit.Position, last uint64) error {
	r := s.x.log.Read(from)
	defer r.Close()
	var hits []Hit // newest first: what one stretch holds is turned around
	for last == 0 || r.At().Seq <= last {
		rec, err := r.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		hit, ok := s.match(&rec)
		switch {
		case !ok:
		case s.q.Newest:
			if hits = append(hits, hit); s.q.Limit > 0 && len(hits) >= 2*s.q.Limit {
				hits = slices.Delete(hits, 0, len(hits)-s.q.Limit)
			}
		default:
			if err := s.give(hit); err != nil {
				return err
			}
		}
	}
	for _, hit := range slices.Backward(hits) {
		if err := s.give(hit); err != nil {
			return err
		}
	}
	return nil
}

func (s *search) match(rec *audit.Record) (Hit, bool) {
	if !s.m.May(rec) {
		return Hit{}, false
	}
	e, err := rec.Event()
	if err != nil || !s.m.Match(&e) {
		return Hit{}, false
	}
	return Hit{Event: e, At: rec.At, JSON: slices.Clone(rec.JSON)}, true
}

func (s *search) give(hit Hit) error {
	s.found++
	if !s.yield(hit) || s.found == s.q.Limit {
		return errEnough
	}
	return nil
}
