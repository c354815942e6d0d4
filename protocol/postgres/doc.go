// Package postgres speaks the PostgreSQL frontend/backend protocol, versions
// 3.0 to 3.2, to clients and to upstreams, and carries every statement through
// the pipeline.
//
// # Layers
//
//   - wire/ walks messages in place; pgproto3 serves start-up and authentication.
//   - startup.go, scram.go, listen.go greet a client: encryption, StartupMessage,
//     SCRAM-SHA-256 and -PLUS, certificates. upstream.go dials the target with
//     pgconn and takes the connection over. catalog.go keeps a snapshot of each
//     database's names, on a connection of its own (application_name sluice).
//     catalog_own.go asks for what a session's open transaction made of it.
//   - session.go is one client and one upstream; client.go and extended.go read
//     the one and decide (watch.go while people are waited for; late.go before a
//     portal runs whose names may have changed), reply.go, rows.go, aside.go and
//     outcome.go read the other and answer. hidden.go asks the upstream what the
//     gateway itself must know, facts.go what a decision depends on.
//   - action.go turns statements into actions, with env.go for what gives names
//     their meaning; names.go tracks prepared statements and portals; queue.go
//     what is in flight.
//   - affected.go keeps limits on changed rows: it waits for the command tag before
//     anything is final; script.go sends a Query so that this is possible. limits.go
//     bounds results, timeout.go time; canceller.go stops what goes on. commit.go has
//     commits wait for people.
//   - result.go and copy.go mask and limit what comes back, computed.go says what
//     views compute from masked columns; redact.go keeps
//     values out of the record; errors.go puts denials into PostgreSQL's words.
//
// # The life of a connection
//
// A client is greeted and proves who it is; only then its resource is looked
// up, the policy asked whether anything could be allowed, and the upstream
// dialled. From then on the session has two directions, which run by turns in an
// event loop that many sessions share (turns.go): what would block another way
// ends the turn or hands the loop over. readClient takes messages as they come, asks the pipeline about each statement, and collects
// what may go on; it writes once for what was read together, after the records
// of it are durable (records of proven reads are awaited before their answer
// instead). readUpstream matches answers to the queue of what was forwarded,
// and writes chunk by chunk.
//
// # Simple and extended
//
// All statements of a Query are decided before any is forwarded. Parse is
// decided without values; the action proper at Bind, with them, and every
// Execute of that portal runs under that permit. EXECUTE and FETCH are judged
// by what stands behind the name.
//
// # A refusal
//
// A refused message is replaced by one that fails upstream: a syntax error, a
// Bind of a statement that cannot exist. Its error becomes the refusal, and
// transaction status, savepoints and the skipping of a pipeline are the
// server's own doing. The server's log shows the stand-in, with the decision's
// id and nothing of the action.
//
// # Limits
//
// [Limits] bound handshakes, idle and stalled clients, connections, and messages:
// a client's, and those of the upstream that must be looked into whole. All others
// pass in pieces. Memory grows with what arrives.
//
// # Debugging
//
// TestPipelines and TestSimpleQueries (relay_test.go) are conversations to
// extend; `sluice why DECISION-ID` explains a single decision.
package postgres
