// Package wire walks PostgreSQL protocol messages in place (PostgreSQL
// documentation, chapter "Frontend/Backend Protocol", "Message Formats").
//
// It exists beside pgproto3 because the gateway forwards far more than it
// reads: [Reader] hands out whole messages as slices of one buffer, so that a
// chunk of ten thousand rows is walked by its headers and written with one
// call. Decoding is limited to the messages that a decision or a mask needs
// (decode.go); building, to the few that the gateway sends itself (encode.go).
// Start-up and authentication use pgproto3.
//
// Everything returned by a Reader or a decoder is a view into the buffer, valid
// until the next call that reads. Lengths are checked against the buffer and
// against the server's own limits before anything is allocated. The package
// does no I/O of its own beyond the io.Reader it is given.
package wire
