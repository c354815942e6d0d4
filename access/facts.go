package access

// A FactSet names facts about an action that only its target knows: a decision
// asks for them ([Decision.Needs]) instead of having them always.
type FactSet uint8

// The facts there are.
const (
	FactEstimate FactSet = 1 << iota // what the target expects the action to take
	FactCount                        // how many rows it would change
)

// Facts are what the target said. The zero Facts were not asked for.
type Facts struct {
	Asked    FactSet   // what was asked, whether or not there was an answer
	Estimate *Estimate // nil: not known
	Count    *int64    // rows that an UPDATE or DELETE would change; nil: not known
	Why      string    // why something that was asked is not known
}

// An Estimate is the expectation of the target's query planner.
type Estimate struct {
	Rows int64 // that the statement returns or, if it writes, changes
	Cost int64 // in the planner's units
}
