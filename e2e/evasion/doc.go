// Package evasion tries to get masked values and hidden tables out of the
// gateway: attacks, one `- id:` line each, in attacks/*.yaml, against a real
// PostgreSQL 15 and 18, once directly and once through the binary.
//
// # What counts as a leak
//
// There are two worlds: databases that differ in nothing but what the policy
// (testdata/config) protects. An attack runs in both. If the client can tell
// them apart by anything that it receives, a value, an order, a row count, an
// error, the attack leaks; so oracles of one bit count without anybody having to
// say what they look like. Where the answers are different in every run anyway
// (times, process ids), the secrets themselves are searched for in every byte, in
// the forms in which they could get out.
//
// The upstream account is a superuser and the policy allows everything else, so
// that nothing but the gateway's own work holds.
//
// # What is written down
//
// Each attack says what the undefended server does (`undefended: leaks` or
// `safe`) and what happens through Sluice (`through: blocked`, or
// `allowed-by-design` with a reason and a place in
// docs/what-masking-guarantees.md). The test fails where that is not so, also
// where an exception does not leak any more.
//
// # The other side
//
// ordinary/*.yaml are statements of analysts, ORMs and dashboards: none may be
// refused, every value that is not masked must be the same as directly, and masked
// ones must keep their type.
//
// # Random statements
//
// TestRandomStatements draws policies and statements (internal/sqlgen) from seeds and
// fills what a policy masks with secrets, other ones in each of two worlds. `make
// fuzz-masks` does so with fresh seeds; what it found is in testdata/random-found.yaml.
//
// # Debugging
//
//	go test ./e2e/evasion -run 'TestAttacks/15/copy' -v
//
// prints what each side received where they differ from what is written down.
package evasion
