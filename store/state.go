package store

import "context"

// Meta keeps small named values: what a gateway must remember about itself.
type Meta interface {
	// Meta returns a value; ErrNotFound.
	Meta(ctx context.Context, key string) ([]byte, error)
	// SetMeta stores a value, durably before it returns.
	SetMeta(ctx context.Context, key string, value []byte) error
}

// State is everything that an implementation keeps.
type State interface {
	Approvals
	Deliveries
	Tokens
	People
	Sessions
	Meta
	Blocks
	Close() error
}
