// Package store holds the words and small interfaces of the gateway's state:
// approvals, tokens, sessions. Implementations are the packages below; consumers
// name the one interface they need.
//
// The package holds plain data and does no I/O. What happened is the journal's
// matter (package audit): the store only holds what is true now.
package store
