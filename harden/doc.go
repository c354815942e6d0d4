// Package harden writes the SQL that makes a PostgreSQL database enforce by
// itself what a policy says: a second lock behind the gateway's.
//
// # Tour
//
// A [Plan] says, role by role, what may be read, written and seen masked, each
// with the rule it comes from; whoever knows policy and catalog fills it in.
// [Plan.SQL] (sql.go) makes one script of it: idempotent, in one transaction,
// every name quoted. masks.go has the SQL equivalents of masks, none of which
// shows more than the gateway's; what has none is left out of the view.
//
// The package is pure: text in, text out.
package harden
