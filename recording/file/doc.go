// Package file writes session recordings into a folder, in the background.
//
// A protocol calls [Session.Input] and [Session.Output] on its own path: that
// is a copy into the session's buffer. Full buffers go to one goroutine for all
// sessions, which compresses and writes them; a session that is quiet is
// flushed every [Options.Flush].
//
// Nothing here can hold a session up. What cannot be kept is left out, and the
// recording says so: beyond [Options.MaxResult] bytes of one command's answer,
// beyond [Options.MaxSession] bytes of a session, or while more than
// [Options.MaxPending] bytes wait for the disk, a frame's Truncated field counts
// what is missing. A recording that cannot be written at all is reported once,
// through [Options.Failed], and by [Session.Err]: whoever must record can then
// refuse to go on.
package file
