package access

import "time"

// An EventType names what an [Event] reports.
type EventType string

// The types of event.
const (
	SessionOpened     EventType = "session.opened"
	SessionRefused    EventType = "session.refused"
	SessionClosed     EventType = "session.closed"
	SessionKilled     EventType = "session.killed" // somebody ended it; Subject is who
	ActionDecided     EventType = "action.decided"
	ActionCompleted   EventType = "action.completed"
	ApprovalRequested EventType = "approval.requested"
	ApprovalApproved  EventType = "approval.approved"
	ApprovalRejected  EventType = "approval.rejected"
	ApprovalWithdrawn EventType = "approval.withdrawn"
	ApprovalExpired   EventType = "approval.expired"
	ApprovalUsed      EventType = "approval.used"
	ApprovalEscalated EventType = "approval.escalated" // more people were asked
	GlassOpened       EventType = "break_glass.opened"
	GlassUsed         EventType = "break_glass.used"
	GlassClosed       EventType = "break_glass.closed"
	PolicyChanged     EventType = "policy.changed"
	RecordingFailed   EventType = "recording.failed"
	RecordingChunk    EventType = "recording.chunk" // the hash of a sealed piece of recording
	TokenIssued       EventType = "token.issued"
	TokenRenewed      EventType = "token.renewed" // its identity provider still vouches for the holder
	TokenRevoked      EventType = "token.revoked"
	AuditRead         EventType = "audit.read" // somebody looked at audit or recordings
	GatewayStarted    EventType = "gateway.started"
)

// EventTypes lists all of them.
func EventTypes() []EventType {
	return []EventType{
		SessionOpened, SessionRefused, SessionClosed, SessionKilled, ActionDecided, ActionCompleted,
		ApprovalRequested, ApprovalApproved, ApprovalRejected, ApprovalWithdrawn, ApprovalExpired, ApprovalUsed, ApprovalEscalated,
		GlassOpened, GlassUsed, GlassClosed,
		PolicyChanged, RecordingFailed, RecordingChunk, TokenIssued, TokenRenewed, TokenRevoked, AuditRead, GatewayStarted,
	}
}

// An Event is one entry of the audit journal.
type Event struct {
	ID       string    // UUIDv7
	Time     time.Time // UTC
	Type     EventType
	Session  string // empty outside sessions
	Subject  *Subject
	Resource *Resource
	Client   *Client

	// Ref is the id of the event that this one is about: the action.decided of
	// an action.completed.
	Ref      string
	Action   *Action
	Digest   *Digest // of the request; nil if not computed
	Decision *Decision
	Approval *ApprovalFact
	Outcome  *Outcome
	Reason   string         // why the subject said it needs this
	Message  string         // for people: what a refusal or failure said
	Extra    map[string]any // anything else, small
}

// An ApprovalFact is what the journal keeps of an approval.
type ApprovalFact struct {
	Request   string      `json:"request"`
	State     string      `json:"state"`
	From      []Approvers `json:"from,omitempty"`
	By        []string    `json:"by,omitempty"` // issuer/id of each voter
	Evidence  string      `json:"evidence,omitempty"`
	Reason    string      `json:"reason,omitempty"`
	Expires   time.Time   `json:"expires,omitzero"`
	Requester string      `json:"requester,omitempty"`
}

// A Mark is a position in the journal: everything appended up to it. Marks grow.
type Mark uint64
