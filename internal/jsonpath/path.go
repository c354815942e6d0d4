// Package jsonpath names parts of JSON documents, in the small part of SQL/JSON
// path that mask rules use:
//
//	$.email              a member
//	$."e-mail address"   a member whose name is no word
//	$.contacts[*].phone  in every element of an array
//	$.lines[0]           in one element
//	$.address.*          every member of an object, whatever its name
//	$..ssn               a member at any depth (SQL/JSON spells it $.**.ssn)
//
// As in SQL/JSON's lax mode, a member of an array is that member of each of its
// elements, and [0] or [*] of what is no array is the value itself: where it is
// not certain what a document looks like, a path names more rather than less.
//
// [Parse] reads one path; a [Set] follows several through a document at once,
// one [State] a level, without looking back.
package jsonpath

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxPath bounds the text of one path.
const maxPath = 1000

// MaxSteps is the most steps that the paths of one [Set] have together.
const MaxSteps = 64

// A kind is what a step leads to.
type kind uint8

const (
	member kind = iota
	anyMember
	element
	anyElement
	descend // to a member at any depth
)

// A step leads from a value into it.
type step struct {
	kind  kind
	name  string
	index int
}

// A Path is one parsed path, of at least one step. The zero Path names nothing.
type Path []step

// Parse reads a path. Errors say what is wrong with it.
func Parse(text string) (Path, error) {
	if len(text) > maxPath {
		return nil, fmt.Errorf("jsonpath: longer than %d bytes", maxPath)
	}
	rest, ok := strings.CutPrefix(text, "$")
	if !ok || rest == "" {
		return nil, fmt.Errorf("jsonpath: %q: want $ and then where to, such as $.email", text)
	}
	var p Path
	for rest != "" {
		s, more, err := parseStep(rest)
		if err != nil {
			return nil, fmt.Errorf("jsonpath: %q: %w", text, err)
		}
		p, rest = append(p, s), more
	}
	if len(p) > MaxSteps {
		return nil, fmt.Errorf("jsonpath: %q: more than %d steps", text, MaxSteps)
	}
	return p, nil
}

func parseStep(s string) (step, string, error) {
	switch {
	case strings.HasPrefix(s, ".*"):
		if strings.HasPrefix(s, ".**") {
			return step{}, "", fmt.Errorf("write ..key in place of .**.key")
		}
		return step{kind: anyMember}, s[2:], nil
	case strings.HasPrefix(s, ".."):
		name, rest, err := parseName(s[2:])
		return step{kind: descend, name: name}, rest, err
	case s[0] == '.':
		name, rest, err := parseName(s[1:])
		return step{kind: member, name: name}, rest, err
	case s[0] == '[':
		return parseIndex(s[1:])
	}
	return step{}, "", fmt.Errorf("want . or [ at %q", s)
}

func parseIndex(s string) (step, string, error) {
	text, rest, ok := strings.Cut(s, "]")
	if text == "*" && ok {
		return step{kind: anyElement}, rest, nil
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || !ok {
		return step{}, "", fmt.Errorf("want [*] or [n], the first element being [0], at %q", "["+s)
	}
	return step{kind: element, index: int(n)}, rest, nil
}

// parseName reads a name: a word, or a JSON string.
func parseName(s string) (name, rest string, err error) {
	if strings.HasPrefix(s, `"`) {
		return parseQuoted(s)
	}
	n := 0
	for n < len(s) && isWord(s[n]) {
		n++
	}
	if n == 0 || s[0] >= '0' && s[0] <= '9' {
		return "", "", fmt.Errorf(`want a name at %q; write others than words between double quotes`, s)
	}
	return s[:n], s[n:], nil
}

func isWord(c byte) bool {
	return c == '_' || c == '$' || c >= utf8.RuneSelf || c-'0' < 10 || c|0x20 >= 'a' && c|0x20 <= 'z'
}

func parseQuoted(s string) (name, rest string, err error) {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			if err := json.Unmarshal([]byte(s[:i+1]), &name); err != nil {
				return "", "", fmt.Errorf("%s is no name", s[:i+1])
			}
			return name, s[i+1:], nil
		}
	}
	return "", "", fmt.Errorf("%s does not end", s)
}

// A Set is several paths that are followed together. The zero Set names
// nothing. It is immutable and safe for concurrent use.
type Set struct {
	steps []step
	last  uint64 // steps that end a path
	first State
	stay  uint64 // descend: these stay in force below
	deep  uint64 // member steps, which reach through arrays
	bare  uint64 // element steps that also fit what is no array
}

// A State says which steps come next; 0: no path leads further.
type State uint64

// New is [NewSet] of the paths as they are written.
func New(texts []string) (*Set, error) {
	paths := make([]Path, len(texts))
	for i, text := range texts {
		p, err := Parse(text)
		if err != nil {
			return nil, err
		}
		paths[i] = p
	}
	return NewSet(paths)
}

// NewSet joins paths. It fails if they have more than [MaxSteps] steps.
func NewSet(paths []Path) (*Set, error) {
	var s Set
	for _, p := range paths {
		if len(p) == 0 {
			continue
		}
		if len(s.steps)+len(p) > MaxSteps {
			return nil, fmt.Errorf("jsonpath: more than %d steps", MaxSteps)
		}
		s.first |= 1 << len(s.steps)
		for _, st := range p {
			s.add(st)
		}
		s.last |= 1 << (len(s.steps) - 1)
	}
	return &s, nil
}

func (s *Set) add(st step) {
	bit := uint64(1) << len(s.steps)
	switch {
	case st.kind == descend:
		s.stay |= bit
		s.deep |= bit
	case st.kind == member || st.kind == anyMember:
		s.deep |= bit
	case st.kind == anyElement || st.index == 0:
		s.bare |= bit
	}
	s.steps = append(s.steps, st)
}

// Start is the state before the document's own value.
func (s *Set) Start() State { return s.first }

// Value looks at a value of state st, of which is known whether it is an array:
// named says that a path ends at it, and next is the state for what is in it.
func (s *Set) Value(st State, array bool) (next State, named bool) {
	for more := uint64(st) & s.bare; !array && more != 0; {
		hit := more & s.last
		named = named || hit != 0
		st |= State(more &^ hit << 1)
		more = more &^ hit << 1 & s.bare
	}
	return st, named
}

// Member is the state of the object's member called name. named says that a path
// ends at it.
func (s *Set) Member(st State, is func(name string) bool) (next State, named bool) {
	next = st & State(s.stay)
	for more := uint64(st) & s.deep; more != 0; more &= more - 1 {
		i := bits.TrailingZeros64(more)
		if s.steps[i].kind == anyMember || is(s.steps[i].name) {
			next, named = s.step(i, next, named)
		}
	}
	return next, named
}

// Element is the state of an array's element. named says that a path ends at it.
func (s *Set) Element(st State, index int) (next State, named bool) {
	next = st & State(s.deep)
	for more := uint64(st) &^ s.deep; more != 0; more &= more - 1 {
		i := bits.TrailingZeros64(more)
		if s.steps[i].kind == anyElement || s.steps[i].index == index {
			next, named = s.step(i, next, named)
		}
	}
	return next, named
}

// step goes on behind step i.
func (s *Set) step(i int, st State, named bool) (State, bool) {
	if s.last>>i&1 == 1 {
		return st, true
	}
	return st | 1<<(i+1), named
}
