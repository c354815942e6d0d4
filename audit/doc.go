// Package audit is the format of the journal: what an event looks like as
// JSON, how records lie in segment files, how they are chained, signed and
// verified, and how they are found again. It is pure: it reads through
// [io/fs] and [io.ReaderAt] and never writes. The writer is package
// audit/journal, the search audit/search.
//
// # A record
//
// An [access.Event] becomes one JSON object ([Encoder.AppendEvent], read back
// by [ParseEvent]; the schema is docs/schema/event.schema.json). In the journal
// it stands in a frame ([Frame], layout in frame.go), preceded by tags: short
// hashes of subject, resource, session, verb, rule and the like, so that a
// search or an index need not parse JSON to pass over what it does not want
// (tags.go). Tags can only say "no" or "perhaps".
//
// # The proof
//
// Every frame has a leaf hash, SHA-256 over its header and the hash of salt and
// body, and a chain hash, SHA-256 over the previous chain hash and the leaf
// (hash.go). The same leaves form an RFC 6962 tree. A checkpoint is a C2SP
// signed note over origin, number of records, tree root and chain head
// (checkpoint.go). As the leaf holds only a hash of the body, [Erase] can
// remove a body for good and everything still verifies.
//
// # Files of a journal folder
//
//	0000000000000001.seg     records, zero-filled up to the segment size
//	0000000000000001.leaves  their leaf hashes; can be rebuilt from the records
//	checkpoints              signed checkpoints, oldest first
//	checkpoint               the newest one
//	key, key.pub             the signing key; its public half is all that Verify needs
//
// [Verify] checks a folder with the public key alone and names what was
// altered, removed, moved or cut off. Somebody who holds the signing key can
// rewrite everything consistently; only a checkpoint that was copied elsewhere
// (an anchor) shows that, which is why Verify takes anchors.
//
// # Limits
//
// Texts are cut at [MaxText] bytes, bound values at [MaxArg] each and
// [MaxArgs] together, always with a marker that says how long the original
// was; the digest stays over the original. A body is at most [MaxBody] bytes.
// Each limit is checked before memory is allocated.
package audit
