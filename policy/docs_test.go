package policy

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sluice/internal/strictyaml"
)

// TestDocumentNamesEverything keeps docs/policy.md complete: every key, field,
// method, detector and counter is in it.
func TestDocumentNamesEverything(t *testing.T) {
	data, err := os.ReadFile("../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(data)
	var names []string
	for _, v := range views() {
		names = append(names, v.names()...)
	}
	names = slices.Concat(names, masks, detectables, counters, protocols, effectNames,
		[]string{"protocols", "verbs", "access", "groups", "subjects", "kinds", "resource.names", "resource.labels", "tables", "columns", "tags",
			"functions", "settings", "confidence", "paths", "key", "client.cidr", "not", "approval", "mask", "limit", "record", "notify", "message", "hint", "mode",
			"from", "expires", "reason", "ticket", "comment", "confirm", "remind", "escalate", "channels", "binds", "grant", "at", "preview", "max_hold", "break_glass", "identity", "max_age", "authenticated"})
	for _, name := range names {
		if !strings.Contains(doc, "`"+name+"`") && !regexp.MustCompile(`[{,( ]`+regexp.QuoteMeta(name)+`[}:,]`).MatchString(doc) {
			t.Errorf("docs/policy.md does not name %s", name)
		}
	}
}

// TestDocumentExamplesLoad: what people copy must work.
func TestDocumentExamplesLoad(t *testing.T) {
	data, err := os.ReadFile("../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	var n int
	for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(data), -1) {
		docs, ps := strictyaml.Parse("policy.md", []byte(block[1]))
		set, more := Load(docs)
		if len(ps)+len(more) > 0 || len(docs) == 0 {
			t.Errorf("%v %v in\n%s", ps, more, block[1])
			continue
		}
		n++
		if docs[0].Kind == TestKind {
			var spec testSpec
			if ps := docs[0].Decode(&spec); len(ps) > 0 || set == nil {
				t.Errorf("%v", ps)
			}
		}
	}
	if n != 6 {
		t.Errorf("%d examples", n)
	}
}
