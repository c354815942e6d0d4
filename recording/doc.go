// Package recording is the format of session recordings: what a client typed
// and what came back, after masking.
//
// A recording is one file of one session: a header, then chunks. A chunk holds
// frames, compressed with zstd; a frame is a piece of input or output with its
// time and the decision it belongs to ([Frame]). Frames say themselves when
// something is missing: Truncated is how many bytes were left out, so that a
// cap is never silent.
//
// Each chunk carries a SHA-256 over the header, its place and its compressed
// bytes. The writer hands it to its owner ([Chunk]), who puts it into the audit journal: that is what
// makes a recording evidence. [Verify] compares a file with those hashes.
//
// [Writer] turns frames into chunks and [Reader] chunks into frames; neither
// starts goroutines or reads a clock. The writer in the background, with its
// bounds on memory, is package recording/file. What the bytes mean is the
// protocol's matter: Header.Content names it ("postgres-wire").
//
// # Layout, little-endian
//
//	header  "SLUICER\x01", length u32, JSON
//	chunk   "SLRC", length u32 of the compressed bytes, SHA-256, the bytes
//	frame   uvarint microseconds since the start, kind byte, uvarint bytes left
//	        out, uvarint length and reference, uvarint length and bytes
//
// A file that ends within a chunk was cut off by a crash; everything before is
// good.
package recording
