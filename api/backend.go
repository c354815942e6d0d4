package api

import (
	"context"
	"errors"
	"io"
	"time"

	"sluice/access"
	v1 "sluice/api/v1"
)

// Errors that a backend returns for the caller to see. Wrap them with a text
// that is safe to show; any other error is logged and answered as internal.
var (
	ErrNotFound    = errors.New("not found")
	ErrForbidden   = errors.New("not permitted")
	ErrConflict    = errors.New("conflict")
	ErrInvalid     = errors.New("invalid request")
	ErrUnavailable = errors.New("unavailable")
	ErrTooMany     = errors.New("too many attempts")
	ErrCredential  = errors.New("credential not accepted")
)

// A Caller is a proven identity with its roles.
type Caller struct {
	Subject    access.Subject
	Credential string    // names the credential
	Expires    time.Time // of the credential; zero: does not expire
	Admin      bool
	Auditor    bool
}

// Identity proves who calls.
type Identity interface {
	// Authenticate checks an Authorization header. from is the client's
	// IP:port, for slowing down guesses. Errors: ErrTooMany; any other refuses.
	Authenticate(ctx context.Context, header, from string) (Caller, error)
	// Session checks the secret of a session on the web. Nothing is counted
	// against who sends one that has ended.
	Session(ctx context.Context, secret access.Secret) (Caller, error)
}

// SignIn opens and ends sessions on the web: credentials that a browser keeps
// in a cookie.
type SignIn interface {
	// Password opens a session for a local user. Errors: ErrCredential,
	// ErrTooMany, ErrForbidden for who is no person.
	Password(ctx context.Context, user string, password access.Secret, from string) (Opened, error)
	// Close ends the caller's session, with the tokens asked for in it.
	Close(ctx context.Context, c Caller) error

	// Providers names the identity providers that people can choose from.
	Providers() []string
	// Start begins a sign-in at a provider. Errors: ErrNotFound, ErrUnavailable.
	Start(ctx context.Context, ask LoginAsk) (Started, error)
	// Finish ends one; ErrPending while the person has not answered. The
	// secret is empty if a login that the caller has was made fresh.
	Finish(ctx context.Context, f LoginFinish) (Opened, error)
	// Exchange trades one credential for another (RFC 8693, RFC 6749 section 4.4).
	Exchange(ctx context.Context, e Exchange) (Opened, error)
}

// A LoginAsk says how somebody wants to sign in.
type LoginAsk struct {
	Provider string
	Device   bool   // on another device (RFC 8628); otherwise by this browser
	Redirect string // where the browser returns to
	Fresh    bool   // prove it even if the provider knows the person already
}

// A Started sign-in waits for a person.
type Started struct {
	Attempt  access.Secret // for Finish; proves who began
	URL      string
	UserCode string
	State    string
	Interval time.Duration
	Expires  time.Time
}

// A LoginFinish is what came of a sign-in.
type LoginFinish struct {
	Provider, State, Code, Issuer, Error string

	Device     bool
	Attempt    access.Secret
	Credential string // of a login to make fresh; empty: a new one
	Note       string // what the new one is for
}

// An Exchange offers either Subject, a token, with Actor's, or Client with Secret.
type Exchange struct {
	Subject, Actor access.Secret
	Client         string
	Secret         access.Secret
	TTL            time.Duration // zero: the default
	From           string        // address
}

// ErrPending says that a person has not answered yet.
var ErrPending = errors.New("not answered yet")

// An Opened session is the one answer that holds its secret.
type Opened struct {
	Caller
	Secret access.Secret
}

// Tokens issues credentials for native clients.
type Tokens interface {
	// Issue makes a credential for the caller that lives for ttl (0: the
	// default), and never longer than a token that it is asked for with.
	Issue(ctx context.Context, c *Caller, ttl time.Duration) (v1.Token, error)
	// List returns the live tokens of user, or of everybody if user is empty.
	List(ctx context.Context, user string) ([]v1.Token, error)
	// Revoke ends a token. by is who did it, for the record.
	Revoke(ctx context.Context, id string, by access.Subject) error
}

// Resources is the catalogue of targets.
type Resources interface {
	// List returns the resources at which policy could allow s anything.
	List(ctx context.Context, s access.Subject) ([]v1.Resource, error)
}

// Approvals are the requests that wait for people. Every method shows a caller
// only what they may see and answers ErrNotFound otherwise.
type Approvals interface {
	// List returns requests, newest first.
	List(ctx context.Context, c *Caller, f RequestFilter) ([]v1.Request, error)
	// Show returns one with everything that helps to decide about it.
	Show(ctx context.Context, c *Caller, id string) (v1.Request, error)
	// Look returns one as List does: where it stands.
	Look(ctx context.Context, c *Caller, id string) (v1.Request, error)
	// Vote answers a request; it checks that the caller is entitled to.
	Vote(ctx context.Context, c *Caller, id string, b Ballot) (v1.Request, error)
	// Withdraw ends an open request of the caller's, what is left of a grant, or a broken glass.
	Withdraw(ctx context.Context, c *Caller, id string) (v1.Request, error)
	// BreakGlass lets the caller act at a resource without approval for a while,
	// where rules permit that.
	BreakGlass(ctx context.Context, c *Caller, resource, reason string) (v1.Request, error)
	// News returns a channel that is closed when some request has changed.
	// Changes through other nodes are not noticed: look again after a while.
	News() <-chan struct{}
}

// A RequestFilter selects requests; zero fields do not restrict.
type RequestFilter struct {
	State     string // pending, approved, ...
	Mine      bool   // only those that the caller asked for
	Resource  string // name
	Requester string // name, as a request says it
	After     string // id of the last request of the page before
	Limit     int    // 0: 200
}

// A Ballot is one person's answer to a request.
type Ballot struct {
	Approve   bool
	Reason    string
	Digest    string // hex, of the request that was shown; empty: not said
	Channel   string // through which it came: api or web
	Confirmed bool   // the caller proved anew who they are, for this answer
}

// Sessions are the live and past sessions.
type Sessions interface {
	// List returns live sessions, with past ones if past, newest first; only
	// those that see admits.
	List(ctx context.Context, past bool, see func(*access.Subject) bool) ([]v1.Session, error)
	// Get returns a session and whose it is.
	Get(ctx context.Context, id string) (v1.Session, access.Subject, error)
	// Kill ends a live session; ErrConflict if it has ended.
	Kill(ctx context.Context, id string, by access.Subject) error
	// Recording opens what was recorded; ErrNotFound if nothing was.
	Recording(ctx context.Context, id string) (io.ReadCloser, error)
}

// An AuditFilter selects events; zero fields do not restrict.
type AuditFilter struct {
	Since, Until time.Time
	Subject      string // id or e-mail, also of an agent acting for somebody
	Issuer       string // with Subject: that very subject
	Resource     string
	Session      string
	Type         string // "approval.*" for a group
	Verb         string
	Effect       string // allow, deny, require_approval, mask, monitor
	Rule         string // RULE or POLICY/RULE
	Object       string // name or schema.name; * and ? match
	Text         string // part of the text
	ID           string
	Ref          string // id of the event it is about
	Request      string // approval request
	Limit        int
	Newest       bool // newest first
}

// Audit is the journal.
type Audit interface {
	// Search calls yield for each event that matches, with its JSON as it
	// stands in the journal. Raw and event are valid until yield returns.
	Search(ctx context.Context, f AuditFilter, yield func(raw []byte, e *access.Event) error) error
	// Tail calls yield for each event that matches and becomes durable from
	// now on, until ctx ends.
	Tail(ctx context.Context, f AuditFilter, yield func(raw []byte, e *access.Event) error) error
	// Record appends an event and returns when it is durable.
	Record(ctx context.Context, e *access.Event) error
	Checkpoint(ctx context.Context) (v1.Checkpoint, error)
	Verify(ctx context.Context) (v1.Report, error)
}

// Policy answers hypothetical questions.
type Policy interface {
	// Can says what would be decided now for each statement of the question. About
	// the asker it is answered as they are, with who they act for. Unless they may
	// see all, askers learn nothing of a target at which the subject may do nothing,
	// nor why one cannot be reached.
	Can(ctx context.Context, q v1.Question, asker *Caller) ([]v1.Verdict, error)
}

// Health reports how the gateway is. Everybody can read it: it names parts, not
// users, resources or files.
type Health interface {
	// Checks says what is wrong, by part; "ok" for those that work.
	Checks() map[string]string
	// Warnings are what works and is not as it should be.
	Warnings() []string
}
