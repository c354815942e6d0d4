package store

import (
	"context"
	"time"

	"sluice/access"
)

// The states of an [Approval]. Pending and approved ones are open; the others
// are final.
const (
	Pending   = "pending"
	Approved  = "approved"
	Rejected  = "rejected"
	Withdrawn = "withdrawn"
	Expired   = "expired"
	Used      = "used"
)

// The kinds of an [Approval].
const (
	Request = ""            // an action waits for people's agreement
	Glass   = "break_glass" // somebody may act without it for a while; open as long as it is Approved
	Review  = "review"      // people owe their opinion on what was done meanwhile; Expires is when it is due
)

// An Approval is one request for people's agreement, with the votes so far.
// It holds no secret but Sealed.
type Approval struct {
	ID        string // short, as users type it; unique
	Kind      string
	Digest    access.Digest
	State     string
	Requester access.Subject // with the chain of actors, as when it asked
	Resource  access.Resource
	Verb      string
	Action    string // the redacted text, capped
	Whole     bool   // Action is the text as it will run, and there is nothing beside it
	Reason    string // why the requester says it needs this
	Ticket    string // the requester's reference for it
	Message   string // what the rule says to it
	Session   string
	Client    string // address
	Decision  string // id of the decision that demanded it
	Quorum    access.Quorum
	Facts     access.Facts // what the target expects of the action

	// Fingerprint is the same for texts that differ in constants alone; empty: not
	// known. Shape identifies what a grant covers; zero: the request is for none.
	Fingerprint string
	Shape       access.Digest

	Created   time.Time
	Expires   time.Time // ends both waiting and the right to use an answer
	Changed   time.Time // of the last change
	Revision  int64     // grows with every change, from 1
	Escalated time.Time // when the second quorum was asked; zero: it was not
	Uses      int       // how often the answer was used
	// Sealed is the full text and bound values for the approver, encrypted by
	// package approval. Nil once the request is answered or expired; an
	// implementation must then not keep the old bytes.
	Sealed []byte
	Votes  []Vote // in the order they were cast
}

// A Vote is one person's answer.
type Vote struct {
	Voter    access.Subject
	Approve  bool
	Reason   string
	Evidence string // how the channel knows the voter
	Time     time.Time
}

// An ApprovalFilter selects requests; zero fields do not restrict.
type ApprovalFilter struct {
	Kind          string // always restricts, unless AnyKind
	AnyKind       bool
	States        []string
	Issuer        string // of the requester, together with Requester
	Requester     string // the requester's ID
	Digest        *access.Digest
	Shape         *access.Digest
	Fingerprint   string
	Resource      string    // its name; together with Fingerprint
	Before        time.Time // only those created before it
	ExpiresBefore time.Time // only those with Expires <= ExpiresBefore
	Limit         int       // zero: no limit
}

// Approvals keeps requests for agreement. Implementations are safe for
// concurrent use, also by several processes. Times are kept to the microsecond.
type Approvals interface {
	// CreateApproval adds a request without votes; ErrExists if the ID is taken.
	CreateApproval(ctx context.Context, a Approval) error

	// Approval returns one request with its votes; ErrNotFound.
	Approval(ctx context.Context, id string) (Approval, error)

	// Approvals lists requests with their votes, newest first.
	Approvals(ctx context.Context, f ApprovalFilter) ([]Approval, error)

	// UpdateApproval changes one request in one exclusive transaction: it loads
	// the request, calls change, and stores State, Changed, Expires, Escalated, Uses,
	// Sealed and Votes as change left them (nothing else may be changed), with the
	// next Revision. If change returns an error nothing is stored and that error is returned. Two updates of one request never
	// overlap, whichever process makes them, so that what change sees is what
	// it changes: that is what makes "used once" true. ErrNotFound.
	UpdateApproval(ctx context.Context, id string, change func(a *Approval) error) error
}

// A Delivery is where a channel stands with a request.
type Delivery struct {
	Channel   string
	Approval  string    // the request's id
	Told      int64     // the revision that the channel knows; zero: it knows nothing
	Ref       string    // the channel's own name for what it showed
	Attempts  int       // that failed since the last success
	Due       time.Time // it is left alone before
	Escalated bool      // it knows that the second quorum was asked
	Remind    time.Time // it is told again then, if the request is still pending; zero: never
}

// Deliveries keeps what channels were told. Implementations are safe for
// concurrent use, also by several processes.
type Deliveries interface {
	// ClaimDelivery picks a request that the channel has to be told of, because it
	// has changed or somebody must be reminded, and sets its Due to until: nobody
	// else gets it before. Only requests changed since are looked at, the longest
	// waiting first. ErrNotFound: there is none.
	ClaimDelivery(ctx context.Context, channel string, now, until, since time.Time) (Delivery, error)

	// SaveDelivery keeps how a delivery went.
	SaveDelivery(ctx context.Context, d Delivery) error
}
