package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// isolationtester prints a session's notices when they arrive, and meanwhile asks
// the server on another connection whether the session waits for a lock. Behind a
// relay that takes its time, the answer may overtake a notice that the server sent
// before it: nothing orders two connections. So there a notice may be printed
// later than expected, and nothing else may differ.

// notice matches the line of a notice; its session is the first group.
var notice = regexp.MustCompile(`^(\S+): (?:NOTICE|WARNING|INFO|LOG|DEBUG):  `)

// forgiveLate takes the failures whose results in dir differ from an expected
// result only by late notices for passed.
func (r *result) forgiveLate(dir string) {
	r.failures = slices.DeleteFunc(r.failures, func(name string) bool {
		late := lateOnly(dir, name)
		if late {
			fmt.Printf("  notices came late in %s\n", name)
			r.passed++
		}
		return late
	})
}

func lateOnly(dir, name string) bool {
	got, err := os.ReadFile(filepath.Join(dir, "results", name+".out"))
	if err != nil {
		return false
	}
	others, _ := filepath.Glob(filepath.Join(dir, "expected", name+"_[0-9].out"))
	for _, path := range append(others, filepath.Join(dir, "expected", name+".out")) {
		if want, err := os.ReadFile(path); err == nil && lateNotices(string(want), string(got)) {
			return true
		}
	}
	return false
}

// lateNotices reports whether got is want with some notices moved down. Those of
// one session keep their order.
func lateNotices(want, got string) bool {
	wanted, rest := takeNotices(want)
	came, same := takeNotices(got)
	if rest != same || len(wanted) != len(came) {
		return false
	}
	for session, expected := range wanted {
		if !slices.EqualFunc(expected, came[session], func(w, g placed) bool { return w.text == g.text && w.line <= g.line }) {
			return false
		}
	}
	return true
}

// A placed notice stands behind that many lines that are no notices.
type placed struct {
	text string
	line int
}

// takeNotices separates the notices of each session from the rest.
func takeNotices(output string) (bySession map[string][]placed, rest string) {
	bySession = map[string][]placed{}
	var others []string
	for _, line := range strings.Split(output, "\n") {
		if m := notice.FindStringSubmatch(line); m != nil {
			bySession[m[1]] = append(bySession[m[1]], placed{line, len(others)})
			continue
		}
		others = append(others, line)
	}
	return bySession, strings.Join(others, "\n")
}
