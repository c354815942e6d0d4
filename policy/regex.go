package policy

import (
	"regexp"
	"regexp/syntax"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

// A regular expression is the dearest thing in a rule: more than ten
// microseconds on a statement of usual length. Most contain a piece of plain
// text without which they cannot match, and looking for that first is forty
// times cheaper. filter finds such pieces.

// A filter is a set of texts of which a match contains at least one. The zero
// filter passes everything.
type filter struct {
	needles []string // lower case if fold
	fold    bool     // ignore ASCII case
}

// minNeedle is the shortest text worth looking for.
const minNeedle = 3

// newFilter derives a filter from a regular expression; a filter without
// needles if none can be derived.
func newFilter(pattern string) filter {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return filter{}
	}
	needles := required(re.Simplify())
	for i, n := range needles {
		if len(n) < minNeedle {
			return filter{}
		}
		needles[i] = strings.ToLower(n)
	}
	return filter{needles: needles, fold: true}
}

// required returns texts of which every match of re contains at least one,
// without regard to ASCII case, or nil.
func required(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpLiteral:
		return asciiOnly(string(re.Rune))
	case syntax.OpCapture, syntax.OpPlus:
		return required(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return required(re.Sub[0])
		}
	case syntax.OpConcat:
		return bestOf(re.Sub)
	case syntax.OpAlternate:
		return allOf(re.Sub)
	}
	return nil
}

func asciiOnly(s string) []string {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return nil
		}
	}
	return []string{s}
}

// bestOf picks the part of a concatenation with the longest shortest text.
func bestOf(subs []*syntax.Regexp) []string {
	var best []string
	for _, sub := range subs {
		if got := required(sub); shortest(got) > shortest(best) {
			best = got
		}
	}
	return best
}

// allOf needs a text from each branch of an alternation.
func allOf(subs []*syntax.Regexp) []string {
	var all []string
	for _, sub := range subs {
		got := required(sub)
		if got == nil {
			return nil
		}
		all = append(all, got...)
	}
	return all
}

func shortest(ss []string) int {
	if len(ss) == 0 {
		return 0
	}
	least := len(ss[0])
	for _, s := range ss {
		least = min(least, len(s))
	}
	return least
}

// pass reports whether s may match.
func (f filter) pass(s string) bool {
	if len(f.needles) == 0 || !isASCII(s) {
		// Beyond ASCII, other letters fold to k and s: the expression itself decides.
		return true
	}
	for _, n := range f.needles {
		if containsFold(s, n) {
			return true
		}
	}
	return false
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// containsFold reports whether s contains needle, which is lower-case ASCII,
// in any case.
func containsFold(s, needle string) bool {
	first := needle[0]
	for i := 0; i+len(needle) <= len(s); i++ {
		if lower(s[i]) == first && equalFold(s[i:i+len(needle)], needle) {
			return true
		}
	}
	return false
}

func equalFold(s, needle string) bool {
	for i := range len(needle) {
		if lower(s[i]) != needle[i] {
			return false
		}
	}
	return true
}

func lower(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}

// filtered makes CEL's matches use a filter where its pattern is a literal.
func filtered() []*interpreter.RegexOptimization {
	var all []*interpreter.RegexOptimization
	for _, overload := range []string{"matches", "matches_string"} {
		all = append(all, &interpreter.RegexOptimization{
			Function: "matches", OverloadID: overload, RegexIndex: 1, Factory: filteredCall,
		})
	}
	return all
}

func filteredCall(call interpreter.InterpretableCall, pattern string) (interpreter.InterpretableCall, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	f := newFilter(pattern)
	match := func(args ...ref.Val) ref.Val {
		if len(args) != 2 {
			return types.NoSuchOverloadErr()
		}
		s, ok := args[0].Value().(string)
		if !ok {
			return types.NoSuchOverloadErr()
		}
		return types.Bool(f.pass(s) && re.MatchString(s))
	}
	return interpreter.NewCall(call.ID(), call.Function(), call.OverloadID(), call.Args(), match), nil
}
