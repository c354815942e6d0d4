package strictyaml

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Pos is a place in a file. As a field of a struct it is set to where that
// struct's value stands. The zero Pos is nowhere.
type Pos struct {
	File   string
	Line   int // from 1
	Column int // from 1, in bytes
}

// String returns file:line:column.
func (p Pos) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

// Problemf returns a problem at this place.
func (p Pos) Problemf(format string, args ...any) Problem {
	return Problem{File: p.File, Line: p.Line, Column: p.Column, Message: fmt.Sprintf(format, args...)}
}

// A Problem is one mistake in a file. It is an error.
type Problem struct {
	File    string
	Line    int // from 1; 0: the file as a whole
	Column  int // from 1, in bytes
	Message string
}

// String returns file:line:column: message, as editors parse it.
func (p Problem) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
}

// Error returns the same as String.
func (p Problem) Error() string { return p.String() }

// Sort orders problems by place, and drops repeated ones.
func Sort(ps []Problem) []Problem {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(ps)
}

// Suggest returns `, did you mean "x"?` for the candidate nearest to name, or
// nothing if none is near.
func Suggest(name string, candidates []string) string {
	best, score := "", min(1+max(1, len(name)/3), len(name)) // at least one letter in common
	for _, c := range candidates {
		if d := distance(strings.ToLower(name), strings.ToLower(c), score); d < score {
			best, score = c, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", best)
}

// distance is the edit distance of a and b with neighbours swapped counting as
// one, or limit if it is not less.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit || len(a) > 64 || len(b) > 64 {
		return limit
	}
	older, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], older[j-2]+1)
			}
		}
		older, prev, cur = prev, cur, older
	}
	return min(prev[len(b)], limit)
}
