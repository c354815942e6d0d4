package evasion

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestGuarantees holds the document to the files: it names the attacks that get
// through, all of them and no others.
func TestGuarantees(t *testing.T) {
	b, err := os.ReadFile(root + "/docs/what-masking-guarantees.md")
	if err != nil {
		t.Fatal(err)
	}
	_, part, ok := strings.Cut(string(b), "## What does not hold")
	if !ok {
		t.Fatal("the document does not say what does not hold")
	}
	var named []string
	for _, row := range regexp.MustCompile(`(?m)^\|[^|]*\|([^|]*)\|`).FindAllStringSubmatch(part, -1) {
		for _, id := range regexp.MustCompile("`([a-z0-9-]+)`").FindAllStringSubmatch(row[1], -1) {
			named = append(named, id[1])
		}
	}
	var written []string
	for _, a := range loadAttacks(t) {
		if a.Through == byDesign {
			written = append(written, a.ID)
		}
	}
	slices.Sort(named)
	slices.Sort(written)
	if !slices.Equal(named, written) {
		t.Errorf("the document names\n%q, the files\n%q", named, written)
	}
}

// attacks is how many there are at least, and how many of them use the extended
// protocol, COPY, cursors or FunctionCall.
const attacks, beyondQuery = 200, 30

func TestCorpus(t *testing.T) {
	all := loadAttacks(t)
	beyond := 0
	for _, a := range all {
		if slices.ContainsFunc(a.Steps, func(s step) bool { return s.Extended != "" || len(s.Send) > 0 || s.Call != "" }) {
			beyond++
		}
	}
	if len(all) < attacks || beyond < beyondQuery {
		t.Errorf("%d attacks, %d beyond simple queries", len(all), beyond)
	}
	for _, id := range open {
		if !slices.ContainsFunc(all, func(a *attack) bool { return a.ID == id }) {
			t.Errorf("%s is open, and no attack", id)
		}
	}
}
