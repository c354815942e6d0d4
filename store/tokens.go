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

	// Authenticated is when its holder proved who they are. Zero: unknown.
	Authenticated time.Time
	Actors        []Party  // who acts for the subject, nearest first; empty: the subject itself
	Scope         []string // resources it is good for; empty: all

	// What follows is set for a login that an identity provider renews.
	Provider string    // its name
	Until    time.Time // it is not renewed beyond
	Checked  time.Time // when the provider was last asked
	Sealed   []byte    // the provider's refresh token, encrypted by package identity; nil: none
}

// A Party names somebody.
type Party struct {
	Issuer string `json:"issuer"`
	ID     string `json:"id"`
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
	// RenewToken stores Expires, Checked, Sealed, Authenticated and Until of a token that is
	// not revoked, durably before it returns; ErrNotFound if there is none.
	RenewToken(ctx context.Context, t Token) error
	// PurgeTokens deletes tokens that expired before the given time.
	PurgeTokens(ctx context.Context, before time.Time) (int, error)
}

// A Person is somebody whom an identity provider vouches for, as of their last
// sign-in or renewal.
type Person struct {
	Name    string // by which the gateway knows them; unique
	Issuer  string
	Subject string // the issuer's own name for them; unique within Issuer
	Email   string
	Groups  []string
	Claims  map[string]any
	Seen    time.Time
}

// People keeps whom identity providers vouch for. Implementations are safe for
// concurrent use.
type People interface {
	// PutPerson adds a person, or replaces the one of the same Issuer and
	// Subject. ErrExists if the name is another's.
	PutPerson(ctx context.Context, p Person) error
	// People lists them by name.
	People(ctx context.Context) ([]Person, error)
}
