// Package testsummary reads the output of `go test -json` and says in one line
// how many tests passed and failed, as `make test` and the third-party suites
// report it.
//
// Subtests count, as they do in `go test -v`. A package that does not build and
// a test that ends without a verdict (its binary panicked or was killed) are
// failures; so is a skipped test, unless the caller says otherwise: what does
// not run shows nothing.
package testsummary

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"strings"
)

// maxLine bounds one line of test output; longer lines end the reading with
// bufio.ErrTooLong.
const maxLine = 16 << 20

// A Summary is what happened. The zero value is empty and ready for use.
type Summary struct {
	tests    map[key]string // verdict: "", pass, fail, skip
	output   map[key][]string
	packages map[string]string
	order    []key
	noise    []string // lines that are no events: the build's own complaints
}

// A key names a test; Test is empty for the package itself.
type key struct{ Package, Test string }

// event is a line of `go test -json` (go doc test2json) or `go build -json`.
type event struct {
	Action, Package, Test, Output, ImportPath, FailedBuild string
	Elapsed                                                float64
}

// Read takes in a stream of events. progress is called with each package's
// verdict line as it ends; nil is allowed.
func (s *Summary) Read(r io.Reader, progress func(line string)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil || e.Action == "" {
			s.noise = append(s.noise, lines.Text())
			continue
		}
		if line := s.add(e); line != "" && progress != nil {
			progress(line)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("testsummary: %w", err)
	}
	return nil
}

func (s *Summary) add(e event) (progress string) {
	if s.tests == nil {
		s.tests, s.output, s.packages = map[key]string{}, map[key][]string{}, map[string]string{}
	}
	k := key{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		s.noise = append(s.noise, strings.TrimSuffix(e.Output, "\n"))
	case "output":
		s.output[k] = append(s.output[k], e.Output)
	case "run":
		s.tests[k] = ""
		s.order = append(s.order, k)
	case "pass", "fail", "skip":
		if e.Test == "" {
			s.packages[e.Package] = e.Action
			return fmt.Sprintf("%-4s %s %.1fs", e.Action, e.Package, e.Elapsed)
		}
		s.tests[k] = e.Action
		if e.Action == "pass" {
			delete(s.output, k) // nobody will ask for it
		}
	}
	return ""
}

// Passed is the number of tests and subtests that passed.
func (s *Summary) Passed() int { return len(s.with("pass")) }

// Skipped names the tests that were skipped, sorted.
func (s *Summary) Skipped() []string { return s.with("skip") }

// Failed names the tests that failed or never ended, and the packages that
// failed without a failing test, sorted.
func (s *Summary) Failed() []string {
	failed := append(s.with("fail"), s.with("")...)
	blamed := map[string]bool{}
	for k, verdict := range s.tests {
		if verdict == "fail" || verdict == "" {
			blamed[k.Package] = true
		}
	}
	for p, verdict := range s.packages {
		if verdict == "fail" && !blamed[p] {
			failed = append(failed, p)
		}
	}
	sort.Strings(failed)
	return failed
}

func (s *Summary) with(verdict string) []string {
	var names []string
	for k, v := range s.tests {
		if v == verdict {
			names = append(names, k.Package+" "+k.Test)
		}
	}
	sort.Strings(names)
	return names
}

// Report writes what failing tests and builds printed, in the order they ran.
func (s *Summary) Report(w io.Writer) {
	for _, line := range s.noise {
		fmt.Fprintln(w, line)
	}
	for _, k := range s.order {
		if v := s.tests[k]; v == "fail" || v == "" {
			io.WriteString(w, strings.Join(s.output[k], ""))
		}
	}
	for p, verdict := range s.packages {
		if verdict == "fail" {
			io.WriteString(w, strings.Join(s.output[key{Package: p}], ""))
		}
	}
}
