// Command bench compares four ways from a client to one PostgreSQL, in one run
// on one machine: direct, through a bare TCP relay, through PgBouncer, and
// through Sluice with everything on. make bench runs it.
//
// A run has three parts. pgbench.go drives PostgreSQL's own pgbench: SELECT-only
// with the three protocols and TPC-B, at several numbers of clients. bulk.go
// reads a large table by SELECT and by COPY, plain and with masked columns.
// Before it is measured each connection is used for a while, since every server
// process has to touch its data once: a cold start would be a burden on few
// statements of a slow peer and on many of a fast one.
// Each cell (a workload at a number of clients) is run against every peer, in
// rounds that turn the order, so that a noisy minute hits all alike; what is
// reported are medians over rounds.
//
// stage.go starts the server and the peers: relay.go (this program again, as a
// child), pgbouncer.go, sluice.go (which writes the configuration: a hundred
// rules, masks for other groups, the journal on disk). All are reached over
// loopback, with and without TLS to the client; behind them is never TLS. A
// peer that cannot be started is left out, with the reason.
//
// The machine is taken to be noisy: elapsed times depend on what else runs.
// What a statement costs does so much less, so the CPU time of every process
// is read before and after each run (cpu.go), and the capacity ratio is made of
// it: CPU of client and server when direct, by CPU of client, proxy and server.
// It is the throughput that would remain if the processors were the limit.
// The CPU that other processes burnt meanwhile is reported as "foreign".
//
// costs.go runs the Go benchmarks of what the gateway does for itself, and puts
// them into the same report: a statement that is cached, that differs in constants,
// that is new, each with and without restrictive rules; a million rows with no, one
// and five masked columns; a catalog of ten thousand tables.
//
// report.go prints Markdown on standard output and writes everything measured
// as JSON; progress goes to standard error. bench -h lists the flags. To debug a
// peer, -keep leaves its logs and configuration behind.
package main
