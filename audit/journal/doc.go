// Package journal writes the audit journal: durable before the forward,
// provable afterwards. The format, and how it is read and verified, is package
// audit.
//
// # The life of a record
//
// [Journal.Append] encodes in the caller's goroutine, takes the lock for a copy
// and a sequence number, and returns. One writer goroutine takes everything
// that is pending, chains and seals it, and writes it with one synchronous
// write (O_DSYNC) into a segment that was filled with zeros beforehand: neither
// the file's size nor its block list changes, so that the file system's own
// journal is not involved. Then it wakes, once, exactly those who wait for this
// batch ([Journal.Wait]). Whatever arrives meanwhile is the next batch.
//
// An event loop does without that goroutine: it queues records ([Journal.Queue]),
// writes them itself when it has nothing else to do ([Journal.Kick]), and is told
// when a write of somebody else's has ended ([Journal.Notify]). So no thread is
// woken for a write, and what came together is written together.
//
// Events that nobody waits for (an action's outcome, a recording's chunk) do
// not start a write of their own. They go with the next one, after at most
// [Options.Lazy].
//
// # Failure
//
// A failed write poisons the journal for good: Append and Wait return the error
// and nothing is retried, because after a failed sync nobody knows what is on
// disk. The gateway then forwards nothing until it is restarted.
//
// Opening reads the last segment. Bytes at its end that are not whole records
// were never acknowledged: they are copied to a file beside (".cut") and
// replaced by zeros. Damage before that, or a journal shorter than its own
// last checkpoint says, is not repaired: Open fails with a [*DamageError], and
// the files stay as they are, as evidence.
//
// # Around it
//
// A second goroutine keeps the leaf hashes beside each segment and signs a
// checkpoint every [Options.Checkpoint], and a third prepares the next segment
// at the pace at which the current one fills. Readers follow the journal with
// [Journal.Log]. The folder is locked: two gateways cannot share it.
package journal
