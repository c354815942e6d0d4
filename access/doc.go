// Package access holds the words that every other package speaks: who asks
// ([Subject]), to do what ([Action]), where ([Resource]), under which
// circumstances ([Context]), what was decided ([Decision], [Obligation]), who
// agreed ([Approval]) and what happened ([Event]).
//
// Read request.go first: a [Request] is the question that a policy answers, in
// the four parts of AuthZEN 1.0. Then decision.go: the zero [Decision] denies,
// as does every zero value of a closed set in this package.
//
// The package imports only the standard library and does no I/O. Values are
// plain data; none is safe for concurrent mutation, all are safe for
// concurrent reads once built.
package access
