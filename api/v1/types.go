// Package v1 holds the words of the HTTP API, version 1: what its requests and
// answers look like as JSON. The server (package api) and its client (package
// api/client) both speak them, and api/v1/openapi.json is generated from them.
//
// Field names are a promise to scripts: add fields, don't rename them. Times
// are RFC 3339 in UTC. Audit events are not described here; they are the
// journal's own JSON (docs/schema).
package v1

import "time"

// A Problem is an error answer: RFC 9457, application/problem+json.
type Problem struct {
	Type   string `json:"type,omitempty"` // absent: about:blank
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Hint   string `json:"hint,omitempty"`    // what to do next
	Trace  string `json:"trace,omitempty"`   // names the log line of an internal error
	Reason string `json:"reason,omitempty"`  // a stable word for programs: not_found, forbidden, ...
	Code   string `json:"code,omitempty"`    // a stable word for the cause where Reason has several: self_approval, closed, ...
	ID     string `json:"request,omitempty"` // the approval request it is about
}

// Whoami is the caller as the gateway sees it.
type Whoami struct {
	Issuer     string    `json:"issuer"`
	ID         string    `json:"id"`
	Kind       string    `json:"kind"`
	Email      string    `json:"email,omitempty"`
	Groups     []string  `json:"groups"`
	Roles      []string  `json:"roles"` // admin, auditor
	Actor      string    `json:"actor,omitempty"`
	Credential string    `json:"credential"` // names the credential; not the secret
	Expires    time.Time `json:"expires,omitzero"`
}

// A Resource is a target that the caller may use, and how to reach it.
type Resource struct {
	Name     string            `json:"name"`
	Protocol string            `json:"protocol"`
	Labels   map[string]string `json:"labels,omitempty"`
	Host     string            `json:"host,omitempty"` // empty: no listener for this protocol
	Port     int               `json:"port,omitempty"`
	User     string            `json:"user,omitempty"`     // the name to give
	Database string            `json:"database,omitempty"` // the database name to give
	TLS      bool              `json:"tls"`                // the listener offers TLS
	Connect  string            `json:"connect,omitempty"`  // a command to type
}

// TokenRequest asks for a short-lived credential for native clients.
type TokenRequest struct {
	TTL string `json:"ttl,omitempty"` // a Go duration; absent: the gateway's default
}

// A Token is a credential that was issued. Secret is set once, in the answer
// that issues it.
type Token struct {
	ID      string    `json:"id"`
	User    string    `json:"user"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	Revoked bool      `json:"revoked"`
	Secret  string    `json:"secret,omitempty"`
}

// A Request is an action that waits, or waited, for approval.
type Request struct {
	ID        string    `json:"id"`
	Kind      string    `json:"kind,omitempty"` // absent: an action that waits; break_glass; review: of what was done behind one
	State     string    `json:"state"`          // pending, approved, rejected, withdrawn, expired, used
	Requester string    `json:"requester"`
	Resource  string    `json:"resource"`
	Action    string    `json:"action"` // the text, redacted; whole and unredacted only for those who decide
	Rule      string    `json:"rule"`
	Expires   time.Time `json:"expires"`

	Created  time.Time `json:"created"`
	Verb     string    `json:"verb,omitempty"`
	Database string    `json:"database,omitempty"`
	Reason   string    `json:"reason,omitempty"`  // why the requester says it is needed
	Session  string    `json:"session,omitempty"` // whose statement waits
	From     []Quorum  `json:"from,omitempty"`    // who must agree
	Votes    []Vote    `json:"votes,omitempty"`
	Args     []string  `json:"args,omitempty"`    // bound values
	Binding  []string  `json:"binding,omitempty"` // settings that give the text its meaning: role, search_path, ...
	Parts    []Part    `json:"parts,omitempty"`   // of a commit: what has run, and becomes final with it
	MayVote  bool      `json:"may_vote"`          // the caller may approve or reject it
	Mine     bool      `json:"mine"`              // the caller asked for it, and may withdraw it while it is open
	Digest   string    `json:"digest"`            // SHA-256 over who, what and where, hex: what an answer is bound to
	WhyNot   string    `json:"why_not,omitempty"` // what keeps the caller from answering

	Labels   map[string]string `json:"labels,omitempty"` // of the resource, such as env: prod
	Changed  time.Time         `json:"changed"`
	Rules    []string          `json:"rules,omitempty"`   // every rule that asks
	Message  string            `json:"message,omitempty"` // what the rule says
	Ticket   string            `json:"ticket,omitempty"`  // the requester's reference
	Client   string            `json:"client,omitempty"`  // where the requester's session comes from
	Decision string            `json:"decision,omitempty"`
	Actors   []string          `json:"actors,omitempty"` // who acts for the requester, innermost first
	URL      string            `json:"url,omitempty"`    // where people answer
	Whole    bool              `json:"whole"`            // action shows everything that will run
	Comment  bool              `json:"comment,omitempty"`
	Confirm  bool              `json:"confirm,omitempty"`
	Escalate *Escalation       `json:"escalate,omitempty"`
	Grant    *Grant            `json:"grant,omitempty"`
	Uses     int               `json:"uses,omitempty"` // how often the answer was used
	Expected *Expected         `json:"expected,omitempty"`
	Before   []Past            `json:"before,omitempty"`  // what the session did until it asked, newest first; one request only
	Similar  []Precedent       `json:"similar,omitempty"` // past requests for the same statement but for constants; one request only
}

// A Part is one statement of a transaction that waits for its commit.
type Part struct {
	Text    string   `json:"text"`
	Args    []string `json:"args,omitempty"`
	Binding []string `json:"binding,omitempty"`
	Rows    int64    `json:"rows"` // that it changed; -1: not known
}

// An Escalation says who is asked as well, and from when.
type Escalation struct {
	To   []Quorum  `json:"to"`
	At   time.Time `json:"at"`   // they are, or will be, asked
	Done bool      `json:"done"` // they have been
}

// A Grant is what agreeing permits beyond the one action: the same statement with
// other constants.
type Grant struct {
	For  string `json:"for"` // a Go duration, from the answer
	Uses int    `json:"uses"`
	Rows int64  `json:"rows,omitempty"` // that each may return or change
}

// Expected is what the target expects an action to do.
type Expected struct {
	Rows  *int64 `json:"rows,omitempty"`  // by its plan
	Cost  *int64 `json:"cost,omitempty"`  // in the planner's units
	Count *int64 `json:"count,omitempty"` // of rows that it would change, counted
	Why   string `json:"why,omitempty"`   // what kept something from being known
}

// A Past is something that a session did before it asked.
type Past struct {
	Time   time.Time `json:"time"`
	ID     string    `json:"id"` // of the decision
	Verb   string    `json:"verb"`
	Action string    `json:"action"` // redacted
	Effect string    `json:"effect"`
	Rows   int64     `json:"rows"`
	Error  string    `json:"error,omitempty"`
}

// A Precedent is a past request and how it was answered.
type Precedent struct {
	ID        string    `json:"id"`
	State     string    `json:"state"`
	Requester string    `json:"requester"`
	Created   time.Time `json:"created"`
	Action    string    `json:"action"` // redacted
	Same      bool      `json:"same"`   // the very same, constants included
	Votes     []Vote    `json:"votes,omitempty"`
}

// A Quorum is one requirement of a Request.
type Quorum struct {
	Group string `json:"group"`
	Count int    `json:"count"`
}

// A Vote is one answer to a Request.
type Vote struct {
	By      string    `json:"by"`
	Approve bool      `json:"approve"`
	Reason  string    `json:"reason,omitempty"`
	Time    time.Time `json:"time"`
}

// A Breaking asks to act at a resource without approval for a while.
type Breaking struct {
	Resource string `json:"resource"`
	Reason   string `json:"reason"`
}

// An Answer approves or rejects a Request.
type Answer struct {
	Reason string `json:"reason,omitempty"`
	Digest string `json:"digest,omitempty"` // of the request that was read: an answer to another one does not count
}

// A Session is one subject at one resource, live or past.
type Session struct {
	ID         string    `json:"id"`
	Subject    string    `json:"subject"`
	Resource   string    `json:"resource"`
	Protocol   string    `json:"protocol,omitempty"`
	Client     string    `json:"client,omitempty"`
	Opened     time.Time `json:"opened"`
	Closed     time.Time `json:"closed,omitzero"`
	Live       bool      `json:"live"`
	Statements int64     `json:"statements"`
	Denied     int64     `json:"denied"`
	Rows       int64     `json:"rows"`
	Recorded   bool      `json:"recorded"`
}

// A Reason is one rule behind a decision. File, Line and Because are for
// administrators and auditors.
type Reason struct {
	Rule    string `json:"rule"` // POLICY/RULE
	Effect  string `json:"effect"`
	Message string `json:"message,omitempty"`
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Because string `json:"because,omitempty"`
	Lost    bool   `json:"lost,omitempty"`
}

// A Decision explains a past decision.
type Decision struct {
	ID          string    `json:"id"`
	Time        time.Time `json:"time"`
	Subject     string    `json:"subject"`
	Resource    string    `json:"resource"`
	Session     string    `json:"session,omitempty"`
	Client      string    `json:"client,omitempty"`
	Verb        string    `json:"verb"`
	Op          string    `json:"op"`
	Text        string    `json:"text"`
	Confidence  string    `json:"confidence"`
	Objects     []string  `json:"objects"`
	Effect      string    `json:"effect"`
	Rule        string    `json:"rule"`
	Message     string    `json:"message,omitempty"`
	Hint        string    `json:"hint,omitempty"`
	Reasons     []Reason  `json:"reasons"`
	Would       []Reason  `json:"would,omitempty"` // monitor mode
	Obligations []string  `json:"obligations"`
	Policy      string    `json:"policy,omitempty"` // digest
	Why         string    `json:"why,omitempty"`    // the reason the subject gave
	Approval    *Approval `json:"approval,omitempty"`
	Outcome     *Outcome  `json:"outcome,omitempty"` // absent: unknown, or it never ran
}

// An Approval is what became of the request that a decision caused.
type Approval struct {
	Request string   `json:"request"`
	State   string   `json:"state"`
	By      []string `json:"by,omitempty"`
	Reason  string   `json:"reason,omitempty"`
}

// An Outcome is how an allowed action ended.
type Outcome struct {
	Rows       int64  `json:"rows"`
	Bytes      int64  `json:"bytes"`
	Masked     int64  `json:"masked"`
	DurationUS int64  `json:"duration_us"`
	Error      string `json:"error,omitempty"`
	State      string `json:"state"` // done, failed, undone, not_run, unknown
	Truncated  bool   `json:"truncated,omitempty"`
}

// A Question asks what would be decided.
type Question struct {
	Subject  string `json:"subject"`  // a user's name; empty: the caller
	Resource string `json:"resource"` // NAME or NAME/DATABASE
	Command  string `json:"command"`
	Reason   string `json:"reason,omitempty"`
}

// A Verdict answers a Question, one entry for each statement of the command.
type Verdict struct {
	Subject     string    `json:"subject"`
	Resource    string    `json:"resource"`
	Verb        string    `json:"verb"`
	Text        string    `json:"text"`
	Confidence  string    `json:"confidence"`
	Incomplete  string    `json:"incomplete,omitempty"` // what kept the analysis from being exact
	Objects     []string  `json:"objects"`
	Effect      string    `json:"effect"`
	Rule        string    `json:"rule"`
	Message     string    `json:"message,omitempty"`
	Hint        string    `json:"hint,omitempty"`
	Nearest     string    `json:"nearest,omitempty"` // the rule that comes closest to allowing it, and what it wants
	Reasons     []Reason  `json:"reasons"`
	Would       []Reason  `json:"would,omitempty"`
	Obligations []string  `json:"obligations"`
	From        []Quorum  `json:"from,omitempty"`      // who must approve
	Approvers   []string  `json:"approvers,omitempty"` // who could
	At          time.Time `json:"at"`
}

// A Checkpoint is the journal's signed head. Keep a copy elsewhere: it anchors
// everything before it.
type Checkpoint struct {
	Note string `json:"note"` // C2SP signed note; empty before the first
	Key  string `json:"key"`  // the verifier key
}

// A Report is the result of verifying the journal.
type Report struct {
	OK       bool     `json:"ok"`
	Entries  uint64   `json:"entries"`
	Covered  uint64   `json:"covered"`  // by a signed checkpoint
	Anchored uint64   `json:"anchored"` // by a checkpoint kept elsewhere
	Erased   uint64   `json:"erased"`   // content removed on purpose
	Head     string   `json:"head"`     // chain hash of the last entry, hex
	Problems []string `json:"problems"`
}

// Health is the answer of /healthz and /readyz.
type Health struct {
	Status  string            `json:"status"` // ok or failing
	Version string            `json:"version,omitempty"`
	Checks  map[string]string `json:"checks,omitempty"` // name: ok, or what is wrong
	// Warnings are what works and is not as it should be.
	Warnings []string `json:"warnings,omitempty"`
}

// Providers are the identity providers that people sign in with.
type Providers struct {
	Names []string `json:"names"`
}

// A LoginRequest begins a sign-in at an identity provider.
type LoginRequest struct {
	Provider string `json:"provider"`
	Device   bool   `json:"device"`             // on another device (RFC 8628); otherwise by a browser on this machine
	Redirect string `json:"redirect,omitempty"` // http://127.0.0.1:PORT/callback, where the browser returns to
	Fresh    bool   `json:"fresh,omitempty"`    // prove it even if the provider knows the person
}

// A Login waits for a person.
type Login struct {
	Attempt  string    `json:"attempt"`             // give it back to finish; secret
	URL      string    `json:"url"`                 // where the person goes
	UserCode string    `json:"user_code,omitempty"` // what they enter there
	State    string    `json:"state,omitempty"`     // what the browser must bring back
	Interval int       `json:"interval,omitempty"`  // seconds between questions
	Expires  time.Time `json:"expires"`
}

// A LoginAnswer finishes a sign-in, or asks whether it is finished.
type LoginAnswer struct {
	Provider string `json:"provider"`
	Device   bool   `json:"device"`
	Attempt  string `json:"attempt"`
	State    string `json:"state,omitempty"` // as the browser brought it back, like the rest
	Code     string `json:"code,omitempty"`
	Issuer   string `json:"iss,omitempty"`
	Error    string `json:"error,omitempty"`
}

// A LoginResult says how far a sign-in is.
type LoginResult struct {
	State   string    `json:"state"` // pending or done
	ID      string    `json:"id,omitempty"`
	Issuer  string    `json:"issuer,omitempty"`
	Groups  []string  `json:"groups,omitempty"`
	Expires time.Time `json:"expires,omitzero"` // of the credential, unless it is renewed
	Secret  string    `json:"secret,omitempty"` // the credential; absent if the caller's own was made fresh
}
