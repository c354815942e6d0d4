// Package classify proposes what the columns of a database hold.
//
// # Tour
//
// A [Column] is counted into: [Column.Add] takes one sampled value, runs the
// detectors of package mask over it, and keeps numbers only. [Propose] weighs
// the numbers and the column's name (hints.go) and answers with tags, a way to
// mask, and the evidence. [Document] writes proposals as YAML that the
// configuration takes as it is: a Classification and a Policy with mask rules.
//
// # Judgement
//
// A kind is proposed if most values are such as a whole, or if the name says so;
// where values contain it among other things, the column is called free text. The
// numbers stand beside every line, because somebody has to decide: detectors
// miss what is encoded, and a name can lie. No value ever leaves a Column.
//
// The package is pure: no I/O, no clock, no goroutine.
package classify
