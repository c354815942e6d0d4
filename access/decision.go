package access

import (
	"fmt"
	"time"
)

// An Effect is the outcome of a decision. The zero Effect denies.
type Effect uint8

// The effects.
const (
	Deny Effect = iota
	Allow
	RequireApproval
)

var effects = [...]string{"deny", "allow", "require_approval"}

// String returns the name as rules and events spell it.
func (e Effect) String() string {
	if int(e) < len(effects) {
		return effects[e]
	}
	return fmt.Sprintf("effect(%d)", uint8(e))
}

// MarshalText writes the name.
func (e Effect) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads a name; an unknown name is an error.
func (e *Effect) UnmarshalText(b []byte) error {
	for i, n := range effects {
		if n == string(b) {
			*e = Effect(i)
			return nil
		}
	}
	return fmt.Errorf("access: unknown effect %q", b)
}

// A Mode says whether a rule changes what happens.
type Mode string

// The modes. The zero Mode enforces.
const (
	Enforce Mode = ""
	Monitor Mode = "monitor" // decided and recorded as "would have"; nothing changed
)

// A Decision answers a [Request]. The zero Decision denies.
type Decision struct {
	ID          string // set by the pipeline; UUIDv7, also the id of its action.decided event
	Effect      Effect
	Obligations []Obligation // conditions on Allow; all must be fulfilled
	Approval    Quorum       // who must agree, if Effect is RequireApproval
	Reasons     []Reason     // which rules led here, the deciding one first
	Would       []Reason     // what rules in monitor mode would have done
	Message     string       // for the user: the deciding rule's message
	Hint        string       // for the user: what to do next
	Policy      string       // digest of the policy that decided, hex

	// Needs are facts that the decision depends on and that are not known: with
	// them it may be another one. Not set where nothing could change it.
	Needs FactSet

	// Stable is true if the same subject, resource and action (whatever its
	// Args) get this decision again until the policy changes: no rule looked at
	// time, counts, session, reason or bound values.
	Stable bool
}

// By names the policy and rule that decided, "POLICY/RULE"; "default" if no rule did.
func (d *Decision) By() string {
	if len(d.Reasons) == 0 {
		return "default"
	}
	return d.Reasons[0].Name()
}

// A Reason names a rule, or a failure, behind a decision.
type Reason struct {
	Policy  string `json:"policy,omitempty"`
	Rule    string `json:"rule"`
	Effect  string `json:"effect"` // the rule's effect: allow, deny, mask, limit, ...
	Message string `json:"message,omitempty"`
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Because string `json:"because,omitempty"` // the leaves of `when` that decided, with their values
	Lost    bool   `json:"lost,omitempty"`    // it matched, and a stronger rule overrode it
}

// Name returns POLICY/RULE.
func (r Reason) Name() string {
	if r.Policy == "" {
		return r.Rule
	}
	return r.Policy + "/" + r.Rule
}

// An Obligation is a condition that enforcement must fulfil. A decision with
// an obligation that cannot be fulfilled is a denial.
//
//sumtype:decl
type Obligation interface{ obligation() }

// Mask replaces the values of a column, or of anything that detectors find.
type Mask struct {
	Column ColumnID // the column that a rule named, as resolved; zero if Detect is set
	// Unknown is true if the action may show masked columns that cannot be
	// named, because its analysis is incomplete.
	Unknown bool
	Detect  []string // kinds of value to look for in every column not masked otherwise
	With    string   // null, redact, hash, partial, email, card_last4, ...
	Rule    string   // POLICY/RULE
	// Paths are the parts of JSON values that are masked ($.email), in order;
	// none: the whole value, as is any value that is not JSON.
	Paths []string
	Key   string // id of the key of hash; empty: the current one
	Finds string // of a result's column with Paths and Detect: how finds outside of Paths are masked
}

// Limit bounds what an action may return or change, and how long it may take.
// Zero fields do not limit. A decision may carry several, one for each rule that
// set the strictest bound of some kind.
type Limit struct {
	Rows         int64
	Bytes        int64
	AffectedRows int64
	Timeout      time.Duration // from forward to the end of the answer
	Rule         string
}

// Record keeps the content of the exchange, whatever the default is.
type Record struct{ Rule string }

// Notify tells a channel that the action took place.
type Notify struct{ Channel, Rule string }

func (Mask) obligation()   {}
func (Limit) obligation()  {}
func (Record) obligation() {}
func (Notify) obligation() {}

// A Posture is what a policy can say about a subject at a resource before any
// action is known. The zero Posture may do nothing.
type Posture struct {
	// May is true if some rule could allow something.
	May bool
	// Restricted is true if some mask, or some rule on tables, columns or what the
	// target knows that denies or asks for approval, could apply: what cannot be understood must
	// then be refused, and what was judged must be what runs.
	Restricted bool
	// Masked is true if some mask could apply.
	Masked bool
	// ReadOnly is true if no rule could allow more than reading, and what every
	// session needs: the target may be told so.
	ReadOnly bool
	// Version changes whenever the policy does. Decisions of another version
	// must not be reused.
	Version uint64
}
