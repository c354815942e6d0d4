package pipeline

// A Meter counts events per subject and resource for rate rules.
type Meter struct{}
