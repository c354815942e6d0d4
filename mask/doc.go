// Package mask turns the values of fields into values that may be shown. It is
// pure: bytes in, bytes out, no I/O, no clock, no goroutines, and nothing is
// allocated per value (see the benchmarks).
//
// There are two halves and one small relative.
//
// A [Transform] replaces a whole value, because a rule named its column. It is
// compiled once from the name that a policy spells ("partial", "hash") and then
// applied to every value with [Transform.Apply]. Values keep their type and
// format: a masked int8 in PostgreSQL's binary format is again an int8 in
// binary format, or SQL NULL. What a method cannot say in a type becomes NULL;
// no method ever falls back to showing more. transform.go has the table of
// methods; text.go, number.go and temporal.go carry it out by [Kind]; keyed.go
// holds the two keyed functions behind hash, memo.go the values that come again.
//
// [Transform.ApplyType] does the same for a [Type], which knows more: what an
// array's elements and a composite's parts are, how long a varchar(n) may be.
// type.go is its middle; array.go, record.go and scaled.go carry it out.
//
// A [Detector] looks into values of columns that no rule named and finds
// e-mail addresses, cards, national ids and secrets in them. A value first
// passes a gate, one walk that counts four classes of byte and asks for two
// rare ones; most values end there. Only the checks whose class occurred run
// (contact.go, digits.go, ids.go, network.go, secrets.go), each linear in the
// value. Detectors are the last net, not the first: an encoded or split value
// passes them. detector.go is the place to start.
//
// [Scrub] rewrites the text of server errors while a mask applies, because
// servers quote values in them.
//
// Limits: a value is one field as the protocol delimits it, already bounded by
// the protocol's own length limit; hash of a numeric covers 64 digits and is
// NULL beyond.
//
// Debugging: go test -run Example shows each method on each kind.
package mask
