// Package policy is the decision point (PDP): it answers whether an action may
// run, and under which obligations, from rules written in YAML.
//
// # Life of a rule
//
// [Load] turns documents of kind Policy into a [Set], or into a list of
// everything that is wrong with them. Each rule has a declarative match block
// (match.go, pattern.go), optionally an expression in CEL (when.go, over the
// typed views of views.go) and one effect. The set indexes the rules by
// protocol, verb, confidence, resource and group (index.go), so that a decision
// looks at few of them.
//
// # A decision
//
// [Set.Decide] finds the candidates, evaluates each (judge.go) and merges what
// they say (merge.go): deny overrides require_approval, which overrides allow;
// without an allow nothing is allowed; the strictest of several masks and
// limits holds. Every candidate is evaluated, because explanations and rules in
// monitor mode need them all. There is no error result: a rule that fails to
// evaluate denies.
//
// # What is not known
//
// Conditions have three values. What the analysis of an action could not find
// out (see [access.Confidence]) counts as met for every rule that restricts and
// as not met for a rule that allows. In CEL the same holds by its own unknown
// values, which the views return for such facts.
//
// # Around the decision
//
// [Set.Result] is the second point of evaluation, when a result's columns are
// known; [Set.Posture] says what could apply to a subject at all; [Explain]
// shows every rule's part in a decision; [Lint] finds rules that can never
// matter; [RunTests] runs documents of kind PolicyTest. [Live] holds the set in
// force and is what the pipeline asks.
//
// The package does no I/O, starts no goroutine and reads no clock: the time
// comes with each request. Sets are immutable and safe for concurrent use. To
// debug a decision, call [Explain] with the same request.
package policy
