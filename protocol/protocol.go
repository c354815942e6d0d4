// Package protocol defines what every protocol adapter provides and what the
// adapters share: the accept loop and the views of identity and resources that
// they need. Adapters are the packages below this one. They know the pipeline
// and nothing of each other.
package protocol

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"time"

	"sluice/access"
)

// A Protocol speaks one wire protocol. It sends every action through the
// pipeline and reaches an upstream only with a permit.
type Protocol interface {
	// Serve accepts clients on ln until ctx ends or ln fails.
	Serve(ctx context.Context, ln net.Listener) error
}

// A Directory proves who a client is. Safe for concurrent use.
type Directory interface {
	// SCRAM returns what a SCRAM-SHA-256 exchange for user needs. Unknown users
	// get a stable fake salt and no verifiers, so that nothing tells them apart.
	SCRAM(user string) SCRAM

	// Password checks a password or token sent in clear (inside TLS or on
	// loopback) for user.
	Password(ctx context.Context, user string, secret access.Secret) (Login, error)

	// Certificate accepts a verified client certificate for user.
	Certificate(ctx context.Context, user string, chain []*x509.Certificate) (Login, error)

	// Failed reports a failed attempt; Allow says whether an address may try
	// again for user now. Together they slow guessing down.
	Failed(user, address string)
	Allow(user, address string) error
}

// A SCRAM is one user's side of RFC 5802: one salt and iteration count, and a
// verifier for each live credential (password and tokens).
type SCRAM struct {
	Salt       []byte
	Iterations int
	Verifiers  []Verifier
}

// A Verifier is what is kept of one credential.
type Verifier struct {
	StoredKey, ServerKey []byte // RFC 5802, section 3
	Login                Login
}

// A Login is a proven identity.
type Login struct {
	Subject    access.Subject
	Credential string    // names the credential, for revocation; not the secret itself
	Expires    time.Time // zero: does not expire
}

// A Target is everything needed to reach a resource.
type Target struct {
	Resource access.Resource
	User     string        // upstream account
	Password access.Secret // empty: none
	TLS      *tls.Config   // nil: no TLS. Verified unless the configuration says otherwise
	TLSTry   bool          // TLS is preferred, not required
}

// Targets is the catalogue of protected resources.
type Targets interface {
	// Target resolves a resource name as users give it. database overrides the
	// resource's own if not empty. Errors are safe to show.
	Target(ctx context.Context, name, database string) (Target, error)
}
