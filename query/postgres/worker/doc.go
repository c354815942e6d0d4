// Package worker runs PostgreSQL's grammar in child processes.
//
// libpg_query is C. A long chain of operators makes it overflow its stack,
// which kills the process that it runs in, and a memory bug in it would see all
// that the process holds. So it runs in children of the same binary, started as
// `sluice parse-worker` ([Main]): without environment, without descriptors but
// two pipes, with bounded memory, and confined so that they can neither open
// files nor sockets nor start programs (confine_linux.go). What comes back is
// bytes, the tree as protobuf, and is decoded with limits by the caller.
//
// [Pool] keeps one child a core. A text that crashes or stalls a child costs
// that one text: the child is replaced, the text is tried once more in a fresh
// one, and a second failure is reported as [query.ErrHostile]. Waiting texts are
// taken from subjects in turn, so that one subject's flood does not starve the
// others. frame.go is the protocol on the pipes.
package worker
