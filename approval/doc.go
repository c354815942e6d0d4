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
// # What is kept
//
// The journal and the store hold the redacted text. The full text and bound
// values, which an approver must see, are encrypted (seal.go) with a key outside
// the store, and deleted as soon as the request is answered.
package approval
