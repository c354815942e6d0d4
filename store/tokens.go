package store

import (
	"context"
	"time"
)

// A Token is what is kept of an issued credential: verifiers, never the secret.
type Token struct {
	ID        string // names it for people; unique. Package identity gives it meaning
	Issuer    string // with User, the subject it was issued to
	User      string
	Hash      []byte // SHA-256 of the secret, for checks of a secret sent in clear
	Salt      []byte // of the verifier below
	Rounds    int    // iteration count of the verifier
	StoredKey []byte // RFC 5802
	ServerKey []byte // RFC 5802
	Note      string // what it is for; shown in lists
	Created   time.Time
	Expires   time.Time
	Revoked   time.Time // zero: not revoked
}

// A TokenFilter selects tokens; zero fields do not restrict.
type TokenFilter struct {
	ID     string
	Issuer string
	User   string
	// LiveAt selects tokens that are neither revoked nor expired at this time.
	LiveAt time.Time
}

// Tokens keeps issued credentials. Implementations are safe for concurrent use.
type Tokens interface {
	// PutToken adds a token, durably before it returns; ErrExists if the ID is taken.
	PutToken(ctx context.Context, t Token) error
	// Tokens lists tokens, newest first.
	Tokens(ctx context.Context, f TokenFilter) ([]Token, error)
	// RevokeTokens marks what f selects as revoked at the given time, durably
	// before it returns, and says how many changed.
	RevokeTokens(ctx context.Context, f TokenFilter, at time.Time) (int, error)
	// PurgeTokens deletes tokens that expired before the given time.
	PurgeTokens(ctx context.Context, before time.Time) (int, error)
}
