// Package approval asks people about an action and keeps their answer until it
// is used, once.
//
// # Life of a request
//
//	           approve (quorum met)          Use
//	pending ─────────────────────▶ approved ─────▶ used
//	   │ one veto ─▶ rejected          │
//	   │ client gave up ─▶ withdrawn   │ an approver lost the right ─▶ rejected
//	   └ time ─▶ expired               └ time ─▶ expired
//
// [Engine.Approve] finds a request of the same subject for the same digest that
// is approved and unused, or still pending and left alone (the gateway was
// restarted, or the client did not wait), or makes a new one, and then waits.
// [Engine.Cast] is a person's answer. [Engine.Use] claims an approval. All three
// change the stored request in one exclusive transaction, and within it append
// the event of the change to the journal and wait until it is durable: what is
// not recorded does not happen, and two nodes cannot both claim.
//
// # Who may answer
//
// Humans, members of a group that was asked, and nobody who is involved: not the
// requester, not an agent in the chain, not the owner of one. Roles do not
// matter. A quorum is met if every demanded place can be filled with a different
// person (quorum.go): somebody in two groups counts once. Membership is looked up
// again when the approval is claimed.
//
// # Channels
//
// A channel shows people a request and brings their answer (notify.go). It
// implements [Notifier], is handed to [Engine.Channels], and is told of every
// request that is new, changed, answered or over, each channel independently:
// what each knows is kept in the store, failures are tried again later and later,
// and a channel that was away is told the latest state only. A notice carries the
// whole [View], with the full text while the request is pending: how much of it a
// channel shows, escaping and cutting are the channel's matter; a text that was
// cut must not be approved there.
//
// An answer comes back through [Engine.Cast]. The channel has verified who it is
// from (a signature, a token), maps its own user to a subject by something that
// was verified, never by a display name, and says so in [Evidence]. It repeats the
// digest that was shown ([Ballot.Seen]), so that a forged or mixed-up callback does
// not count. The engine looks up the voter's groups itself; replayed and late
// answers are refused with [ErrVoted] and [ErrClosed].
//
// # What is kept
//
// The journal and the store hold the redacted text. The full text and bound
// values, which an approver must see, are encrypted (seal.go) with a key outside
// the store, and deleted as soon as the request is answered.
package approval
