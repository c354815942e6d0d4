package access

import (
	"slices"
	"strings"
	"time"
)

// A Quorum says who must agree before an action may run, and how they are asked.
type Quorum struct {
	From    []Approvers   `json:"from"`            // each must be met, by distinct humans
	Expires time.Duration `json:"expires"`         // of the request, counted from the asking
	Rules   []string      `json:"rules,omitempty"` // POLICY/RULE that asked

	// Escalate names people who are asked as well after a while; nil: nobody is.
	Escalate *Escalation `json:"escalate,omitempty"`
	// Remind is how often those who were asked are reminded. Zero: never.
	Remind time.Duration `json:"remind,omitempty"`
	// Channels are where the request is shown. Empty: everywhere.
	Channels []string `json:"channels,omitempty"`
	// Comment is true if who agrees must say why.
	Comment bool `json:"comment,omitempty"`
	// Confirm is true if who agrees must prove anew who they are.
	Confirm bool `json:"confirm,omitempty"`
	// Grant is what an answer permits beyond the one action; nil: nothing.
	Grant *Grant `json:"grant,omitempty"`
	// At says when people are asked. Zero: before the action runs.
	At Moment `json:"at,omitempty"`
	// Preview is true if an action outside of a transaction is run in one of its own,
	// so that people see what it did before it stays. Only with [AtCommit].
	Preview bool `json:"preview,omitempty"`
	// MaxHold bounds how long people may take while locks are held. Zero: the
	// gateway's own bound holds.
	MaxHold time.Duration `json:"max_hold,omitempty"`
	// Glass says who may go without an answer in an emergency; nil: nobody.
	Glass *Glass `json:"break_glass,omitempty"`
}

// A Glass lets people act without an answer for a while, once they have broken it:
// everybody named is alerted, and every action owes a review.
type Glass struct {
	Groups []string      `json:"groups"`          // whose members may
	For    time.Duration `json:"for"`             // from the breaking
	Review time.Duration `json:"review"`          // how soon each action must be reviewed
	Alert  []string      `json:"alert,omitempty"` // channels that are told. Empty: all
}

// Opens reports whether s may go behind the glass: a person, acting alone.
func (g *Glass) Opens(s Subject) bool {
	return g != nil && s.ID != "" && s.Kind == Human && s.Actor == nil && slices.ContainsFunc(g.Groups, s.In)
}

// A Moment is when people are asked.
type Moment string

// The moments.
const (
	Before   Moment = ""       // before the action runs
	AtCommit Moment = "commit" // when its transaction is about to be committed
)

// With is what both quorums demand together: everybody whom either names, in the
// higher number, within the shorter time, and permits what both do. They escalate
// when the later does; what has no second quorum then still wants its first.
func (q Quorum) With(o Quorum) Quorum {
	q.Rules = slices.Concat(q.Rules, o.Rules)
	q.Escalate = escalate(q, o)
	q.From = together(q.From, o.From)
	q.Expires, q.Remind, q.MaxHold = sooner(q.Expires, o.Expires), sooner(q.Remind, o.Remind), sooner(q.MaxHold, o.MaxHold)
	q.Comment, q.Confirm = q.Comment || o.Comment, q.Confirm || o.Confirm
	q.Preview = q.Preview && o.Preview
	if q.At != o.At {
		q.At = Before
	}
	q.Grant, q.Glass = lesser(q.Grant, o.Grant), both(q.Glass, o.Glass)
	if len(q.Channels) == 0 || len(o.Channels) == 0 {
		q.Channels = nil
	} else {
		q.Channels = slices.Concat(q.Channels, o.Channels)
		slices.Sort(q.Channels)
		q.Channels = slices.Compact(q.Channels)
	}
	return q
}

func escalate(q, o Quorum) *Escalation {
	if q.Escalate == nil && o.Escalate == nil {
		return nil
	}
	var e Escalation
	for _, one := range []Quorum{q, o} {
		second := one.From
		if one.Escalate != nil {
			e.After, second = max(e.After, one.Escalate.After), one.Escalate.To
		}
		e.To = together(e.To, second)
	}
	return &e
}

// both is a glass for those who may break either; nil where there is none.
func both(a, b *Glass) *Glass {
	if a == nil || b == nil {
		return nil
	}
	g := Glass{For: min(a.For, b.For), Review: min(a.Review, b.Review)}
	for _, group := range a.Groups {
		if slices.Contains(b.Groups, group) {
			g.Groups = append(g.Groups, group)
		}
	}
	if len(g.Groups) == 0 {
		return nil
	}
	if len(a.Alert) > 0 && len(b.Alert) > 0 {
		g.Alert = slices.Concat(a.Alert, b.Alert)
		slices.Sort(g.Alert)
		g.Alert = slices.Compact(g.Alert)
	}
	return &g
}

// together lists both, by group; the higher count for a group holds.
func together(a, b []Approvers) []Approvers {
	var all []Approvers
	for _, f := range slices.Concat(a, b) {
		i := slices.IndexFunc(all, func(o Approvers) bool { return o.Group == f.Group })
		if i < 0 {
			all = append(all, f)
		} else {
			all[i].Count = max(all[i].Count, f.Count)
		}
	}
	slices.SortFunc(all, func(a, b Approvers) int { return strings.Compare(a.Group, b.Group) })
	return all
}

// sooner is the shorter of two times, of which zero is none.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// lesser permits what both grants do; none where one is missing.
func lesser(a, b *Grant) *Grant {
	if a == nil || b == nil {
		return nil
	}
	return &Grant{For: min(a.For, b.For), Uses: min(a.Uses, b.Uses), Rows: min(a.Rows, b.Rows)}
}

// Approvers is one requirement of a [Quorum]: Count members of Group.
type Approvers struct {
	Group string `json:"group"`
	Count int    `json:"count"`
}

// An Escalation is a second quorum, enough by itself once After has passed
// without an answer.
type Escalation struct {
	After time.Duration `json:"after"`
	To    []Approvers   `json:"to"`
}

// A Grant is an approval for every action of one shape: the same statement but
// for its constants.
type Grant struct {
	For  time.Duration `json:"for"`  // from the answer
	Uses int           `json:"uses"` // how many actions may run
	Rows int64         `json:"rows"` // that each may return or, if it writes, change
}

// Within reports whether nothing of g goes beyond what o permits.
func (g *Grant) Within(o *Grant) bool {
	return g == nil || o != nil && g.For <= o.For && g.Uses <= o.Uses && g.Rows <= o.Rows
}

// An Approval is people's answer to one [Request].
type Approval struct {
	ID       string // the request's id, as users type it
	Digest   Digest
	Approved bool
	By       []Subject
	Reason   string // the last voter's
	Expires  time.Time
	State    string // pending, approved, rejected, withdrawn, expired, used

	// Escalated is true if the second quorum was asked, and may have answered.
	Escalated bool
	// Grant is set if the answer covers every action of one shape, which Shape
	// then identifies.
	Grant *Grant
	Shape Digest
	// Glass is the id of the broken glass that stands in the place of people's
	// answer. Empty: they have answered.
	Glass string
}

// Pending tells a waiting client where its request stands.
type Pending struct {
	ID      string
	From    []Approvers
	Or      []Approvers // who is enough as well; empty: nobody
	URL     string
	Expires time.Time
}

// A PendingError reports that an approval is still pending and the subject
// does not wait for it. The same action asked again after approval claims it.
type PendingError struct{ Pending Pending }

// Error names the request.
func (e *PendingError) Error() string { return "waiting for approval " + e.Pending.ID }

// SamePerson reports whether two subjects are one person, as far as can be told.
// It errs on the side of yes: somebody may have accounts with two issuers.
func SamePerson(a, b Subject) bool {
	return a.Same(b) || a.Email != "" && strings.EqualFold(a.Email, b.Email)
}

// Involved reports whether s has a part in what requester asks for: it asks, acts
// for the one who asks, or answers for one of them.
func Involved(requester, s Subject) bool {
	for _, party := range requester.Chain() {
		if SamePerson(*party, s) || party.Owner != "" && (party.Owner == s.ID || strings.EqualFold(party.Owner, s.Email)) {
			return true
		}
	}
	return false
}
