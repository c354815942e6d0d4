// Package eventloop lets one goroutine wait for many connections and run what
// each has to do, where the runtime would wake a goroutine, and often a thread,
// for every message.
//
// # Turns
//
// A [Conn] that was attached to a [Loop] gets a turn whenever it can be read:
// the loop calls its step function, which reads until [ErrAgain] and says with
// its [Verdict] what comes next. One connection never has two turns at once.
// A connection that waits for something else than input ([Held]) gets its next
// turn with [Loop.Resume].
//
// # Blocking
//
// A step may block. It calls [Loop.Yield] before it does, and another goroutine
// takes over the loop at once; the blocked one finishes its turn and retires.
// Whatever the leader had in hand is found again by its successor: events,
// because readiness is asked for by level (epoll(7), "Level-triggered and
// edge-triggered"), and those who are due for other reasons, because they stand
// in a line that both see. A step that blocks or computes for long without a
// word is noticed by a watchdog within some ten milliseconds, or two tenths of a
// second if the loop had nothing to do before. A step must not panic.
//
// # Ownership
//
// Attaching takes the descriptor away from the runtime's own poller: it is
// duplicated and the original closed, so that each message wakes one waiter
// instead of two. Reads by others than the step (Conn.Read outside a turn, while
// the step is blocked) and writes wait for the descriptor through the loop. A
// deadline is looked at by who reads or writes; it gives nobody a turn: that is
// what [Conn.Wake] is for.
//
// Where there is no epoll, [New] fails with [errors.ErrUnsupported], and
// connections stay as they are: a goroutine each.
package eventloop
