package access

import "fmt"

// A Verb says, across protocols, what an [Action] does. The set is closed:
// what is not listed is [VerbUnknown], which a rule that names verbs allows only
// by that name.
type Verb uint8

// The verbs, grouped by the [Class] that follows from them. Where one command
// does several things, the most consequential effect names the verb.
const (
	VerbUnknown Verb = iota

	// Session: what any session needs.
	VerbBegin
	VerbCommit
	VerbRollback
	VerbSavepoint
	VerbShow
	VerbSet // a harmless setting
	VerbPrepare
	VerbClose
	VerbDiscard
	VerbListen

	// Read.
	VerbSelect
	VerbFetch
	VerbExplain
	VerbCopyOut

	// Write.
	VerbInsert
	VerbUpdate
	VerbDelete
	VerbMerge
	VerbCopyIn
	VerbNextval
	VerbTemp // create or drop temporary objects
	VerbLock
	VerbNotify

	// Admin.
	VerbCreate
	VerbAlter
	VerbDrop
	VerbTruncate
	VerbGrant
	VerbVacuum    // vacuum, analyze, reindex, cluster, checkpoint and other maintenance
	VerbSetRole   // set role, set session authorization
	VerbConfigure // a setting that changes what is judged, protected or recorded
	VerbDo
	VerbCall
	VerbFunctionCall
	VerbCopyFile // copy to or from a server file or program
	VerbReplication
	VerbExecute // run code that cannot be looked into

	verbEnd
)

// A Class is the coarse meaning of a [Verb]: rules say access: [read, write].
type Class uint8

// The classes. The zero Class is granted by no rule that names classes.
const (
	ClassUnknown Class = iota
	ClassSession       // granted to whoever has any allow on the resource
	ClassRead
	ClassWrite
	ClassAdmin

	classEnd
)

var verbs = [verbEnd]struct {
	name  string
	class Class
}{
	VerbUnknown:      {"unknown", ClassUnknown},
	VerbBegin:        {"begin", ClassSession},
	VerbCommit:       {"commit", ClassSession},
	VerbRollback:     {"rollback", ClassSession},
	VerbSavepoint:    {"savepoint", ClassSession},
	VerbShow:         {"show", ClassSession},
	VerbSet:          {"set", ClassSession},
	VerbPrepare:      {"prepare", ClassSession},
	VerbClose:        {"close", ClassSession},
	VerbDiscard:      {"discard", ClassSession},
	VerbListen:       {"listen", ClassSession},
	VerbSelect:       {"select", ClassRead},
	VerbFetch:        {"fetch", ClassRead},
	VerbExplain:      {"explain", ClassRead},
	VerbCopyOut:      {"copy_out", ClassRead},
	VerbInsert:       {"insert", ClassWrite},
	VerbUpdate:       {"update", ClassWrite},
	VerbDelete:       {"delete", ClassWrite},
	VerbMerge:        {"merge", ClassWrite},
	VerbCopyIn:       {"copy_in", ClassWrite},
	VerbNextval:      {"nextval", ClassWrite},
	VerbTemp:         {"temp", ClassWrite},
	VerbLock:         {"lock", ClassWrite},
	VerbNotify:       {"notify", ClassWrite},
	VerbCreate:       {"create", ClassAdmin},
	VerbAlter:        {"alter", ClassAdmin},
	VerbDrop:         {"drop", ClassAdmin},
	VerbTruncate:     {"truncate", ClassAdmin},
	VerbGrant:        {"grant", ClassAdmin},
	VerbVacuum:       {"vacuum", ClassAdmin},
	VerbSetRole:      {"set_role", ClassAdmin},
	VerbConfigure:    {"configure", ClassAdmin},
	VerbDo:           {"do", ClassAdmin},
	VerbCall:         {"call", ClassAdmin},
	VerbFunctionCall: {"function_call", ClassAdmin},
	VerbCopyFile:     {"copy_file", ClassAdmin},
	VerbReplication:  {"replication", ClassAdmin},
	VerbExecute:      {"execute", ClassAdmin},
}

// Verbs lists every verb but VerbUnknown, in order of definition.
func Verbs() []Verb {
	var all []Verb
	for v := VerbUnknown + 1; v < verbEnd; v++ {
		all = append(all, v)
	}
	return all
}

// String returns the verb's name as rules spell it.
func (v Verb) String() string {
	if v < verbEnd {
		return verbs[v].name
	}
	return fmt.Sprintf("verb(%d)", uint8(v))
}

// Class returns what kind of access the verb is.
func (v Verb) Class() Class {
	if v < verbEnd {
		return verbs[v].class
	}
	return ClassUnknown
}

// ParseVerb is the inverse of String. It reports false for names it does not know.
func ParseVerb(name string) (Verb, bool) {
	for v := range verbs {
		if verbs[v].name == name {
			return Verb(v), true
		}
	}
	return VerbUnknown, false
}

// MarshalText writes the name.
func (v Verb) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads a name; an unknown name is an error.
func (v *Verb) UnmarshalText(b []byte) error {
	got, ok := ParseVerb(string(b))
	if !ok {
		return fmt.Errorf("access: unknown verb %q", b)
	}
	*v = got
	return nil
}

var classes = [classEnd]string{"unknown", "session", "read", "write", "admin"}

// String returns the class's name as rules spell it.
func (c Class) String() string {
	if c < classEnd {
		return classes[c]
	}
	return fmt.Sprintf("class(%d)", uint8(c))
}

// ParseClass is the inverse of String.
func ParseClass(name string) (Class, bool) {
	for c, n := range classes {
		if n == name {
			return Class(c), true
		}
	}
	return ClassUnknown, false
}

// MarshalText writes the name.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads a name; an unknown name is an error.
func (c *Class) UnmarshalText(b []byte) error {
	got, ok := ParseClass(string(b))
	if !ok {
		return fmt.Errorf("access: unknown class %q", b)
	}
	*c = got
	return nil
}
