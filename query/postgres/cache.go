package postgres

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// shards spreads a cache's lock.
const shards = 32

// A cache keeps values by text, bounded in bytes. What goes when it is full is
// left to chance: an order would cost a write on every hit. Safe for concurrent
// use.
type cache[V any] struct {
	seed  maphash.Seed
	max   int // bytes a shard
	shard [shards]cacheShard[V]
}

type cacheShard[V any] struct {
	mu      sync.RWMutex
	entries map[uint64]cacheEntry[V]
	bytes   int
	_       [64]byte // keeps neighbours' locks on lines of their own
}

type cacheEntry[V any] struct {
	text  string
	env   EnvKey
	value V
	size  int
}

func newCache[V any](bytes int) *cache[V] {
	c := &cache[V]{seed: maphash.MakeSeed(), max: max(bytes/shards, 1)}
	for i := range c.shard {
		c.shard[i].entries = make(map[uint64]cacheEntry[V])
	}
	return c
}

func (c *cache[V]) hash(text string, env EnvKey) uint64 {
	h := maphash.String(c.seed, text)
	for i := 0; i < 8; i++ {
		h ^= uint64(env[i]) << (8 * i)
	}
	return h
}

func (c *cache[V]) get(text string, env EnvKey) (v V, ok bool) {
	h := c.hash(text, env)
	s := &c.shard[h%shards]
	s.mu.RLock()
	e, ok := s.entries[h]
	s.mu.RUnlock()
	if !ok || e.text != text || e.env != env {
		return v, false
	}
	return e.value, true
}

// put keeps a value of so many bytes, unless it would take much of a shard.
func (c *cache[V]) put(text string, env EnvKey, v V, size int) {
	size += len(text) + 200
	if size > c.max/2 {
		return
	}
	h := c.hash(text, env)
	s := &c.shard[h%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes += size - s.entries[h].size
	s.entries[h] = cacheEntry[V]{text, env, v, size}
	for k, e := range s.entries { // random order
		if s.bytes <= c.max {
			return
		}
		if k != h {
			s.bytes -= e.size
			delete(s.entries, k)
		}
	}
}

// size is what a batch takes, roughly.
func (b *Batch) size() int {
	n := len(b.Text)
	for _, s := range b.Statements {
		n += 1000 + 100*len(s.Action.Objects) + len(s.Action.Shown) + 64*len(s.Outputs)
		for i := range s.Action.Objects {
			for _, c := range s.Action.Objects[i].Columns {
				n += 96
				for _, e := range c.Exprs {
					n += 24 + len(e.Text)
				}
			}
		}
	}
	return n
}

// A treeRef is what a statement keeps to be written canonically.
type treeRef struct{ canonical atomic.Pointer[string] }
