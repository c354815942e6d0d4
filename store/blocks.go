package store

import (
	"context"
	"time"
)

// A Block is a stretch of a journal and what can be found in it: the index
// that searches use. One row for a megabyte of records costs the gateway
// nothing that matters, where a row for each record would cost more than the
// records themselves.
type Block struct {
	Log     string // the journal's name
	First   uint64 // sequence number of the first record
	Last    uint64
	Segment uint64 // where it begins
	Offset  int64
	MinTime time.Time
	MaxTime time.Time
	Tags    []byte // the distinct tags of its records, as package audit/search encodes them
}

// A BlockFilter selects blocks; zero fields do not restrict.
type BlockFilter struct {
	Log    string
	Since  time.Time // only blocks that may hold records at or after it
	Until  time.Time // or before it
	After  uint64    // only blocks whose First is greater
	Before uint64    // only blocks whose First is smaller
	Newest bool      // newest first; otherwise oldest first
	Limit  int       // zero: no limit
}

// Blocks keeps the index of the journal. It can be dropped and built again at
// any time. Implementations are safe for concurrent use.
type Blocks interface {
	// PutBlocks adds blocks, all or none; one of the same Log and First is replaced.
	PutBlocks(ctx context.Context, blocks []Block) error
	// Blocks lists blocks in the order of their First.
	Blocks(ctx context.Context, f BlockFilter) ([]Block, error)
	// DropBlocks forgets a journal's index.
	DropBlocks(ctx context.Context, log string) error
}
