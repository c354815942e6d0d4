package strictyaml

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"sluice/access"
)

type inner struct {
	Pos   Pos
	Count int `yaml:"count"`
}

type shared struct {
	Owner string `yaml:"owner"`
}

type sample struct {
	shared  `yaml:",inline"`
	Pos     Pos
	Name    At[string]        `yaml:"name,required"`
	Wait    time.Duration     `yaml:"wait"`
	On      *bool             `yaml:"on"`
	Labels  map[string]string `yaml:"labels"`
	Inner   []inner           `yaml:"inner"`
	Verb    access.Verb       `yaml:"verb"`
	Any     any               `yaml:"any"`
	Ratio   float64           `yaml:"ratio"`
	Size    uint16            `yaml:"size"`
	Raw     *yaml.Node        `yaml:"raw"`
	private string
}

func decode(t *testing.T, text string) (sample, []string) {
	t.Helper()
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(text), &n); err != nil {
		t.Fatal(err)
	}
	var s sample
	return s, messages(Decode("f.yaml", n.Content[0], &s))
}

func messages(ps []Problem) []string {
	var out []string
	for _, p := range ps {
		out = append(out, p.String())
	}
	return out
}

func TestDecodeFillsEveryKind(t *testing.T) {
	var n yaml.Node
	text := `owner: me
name: it
wait: 1h30m
on: false
labels: {env: prod}
inner:
- count: 3
- {count: 4}
verb: delete
any: {list: [1, true, x, 2.5]}
ratio: 2
size: 65535
raw: {keep: [me]}
`
	if err := yaml.Unmarshal([]byte(text), &n); err != nil {
		t.Fatal(err)
	}
	var s sample
	if ps := Decode("f.yaml", n.Content[0], &s); len(ps) > 0 {
		t.Fatal(ps)
	}
	if s.Owner != "me" || s.Name.Value != "it" || s.Wait != 90*time.Minute || s.On == nil || *s.On || s.Labels["env"] != "prod" ||
		s.Verb != access.VerbDelete || s.Ratio != 2 || s.Size != 65535 || s.Raw == nil || s.private != "" {
		t.Errorf("got %+v", s)
	}
	if want := map[string]any{"list": []any{int64(1), true, "x", 2.5}}; !reflect.DeepEqual(s.Any, want) {
		t.Errorf("any: got %#v", s.Any)
	}
	if got := []inner{{Pos{"f.yaml", 7, 3}, 3}, {Pos{"f.yaml", 8, 3}, 4}}; !reflect.DeepEqual(s.Inner, got) {
		t.Errorf("inner: got %+v", s.Inner)
	}
	if s.Name.Pos != (Pos{"f.yaml", 2, 7}) || !s.Name.Given() || s.Pos.Line != 1 {
		t.Errorf("positions: %v %v", s.Name.Pos, s.Pos)
	}
}

func TestDecodeReportsEverythingAtOnce(t *testing.T) {
	_, got := decode(t, `wiat: 3m
wait: 3
on: yes
labels: {tier: 1, tier: two}
inner: {count: 1}
verb: delte
size: 65536
ratio: x
owner:
1: x
`)
	want := []string{
		`f.yaml:1:1: unknown key "wiat", did you mean "wait"?`,
		`f.yaml:2:7: want a duration such as 15m or 1h30m, got the number 3`,
		`f.yaml:3:5: want true or false, got "yes"`,
		`f.yaml:4:16: want a text, got the number 1; put it in quotes`,
		`f.yaml:4:19: key "tier" is already set on line 4`,
		`f.yaml:5:8: want a list, got a mapping`,
		`f.yaml:6:7: access: unknown verb "delte"`,
		`f.yaml:7:7: want a whole number, got the number 65536`,
		`f.yaml:8:8: want a number, got "x"`,
		`f.yaml:9:7: want a text, got nothing`,
		`f.yaml:10:1: want a text as key, got the number 1`,
		`f.yaml:1:1: key "name" is missing`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAliasesAreBounded(t *testing.T) {
	text := "name: x\nany:\n  a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := 1; i < 12; i++ {
		text += fmt.Sprintf("  a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	start := time.Now()
	_, got := decode(t, text)
	if len(got) != 1 || !strings.Contains(got[0], "too large") {
		t.Errorf("got %v after %v", got, time.Since(start))
	}
}

func TestSelfReferenceEnds(t *testing.T) {
	var n yaml.Node
	if err := yaml.Unmarshal([]byte("name: x\nany: &a {b: *a}\n"), &n); err != nil {
		return // the parser may refuse it: as good
	}
	var s sample
	if ps := Decode("f.yaml", n.Content[0], &s); len(ps) == 0 {
		t.Error("a value that contains itself was accepted")
	}
}

func TestMergeKeysAreRefused(t *testing.T) {
	_, got := decode(t, "name: x\nlabels: &l {a: b}\nany: {<<: *l}\n")
	if len(got) != 1 || !strings.Contains(got[0], "merge keys") {
		t.Errorf("got %v", got)
	}
}

func TestParse(t *testing.T) {
	text := `# a comment
---
apiVersion: sluice/v1
kind: Policy
metadata: {name: one, labels: {owner: me}}
spec: {x: 1}
---
---
apiVersion: sluice/v2
kind: Policy
metadata: {name: two}
---
apiVersion: sluice/v1
kind: User
metadata: {name: 12}
extra: 1
---
apiVersion: sluice/v1
kind: User
metadata: {name: bob}
spec: nothing
`
	docs, ps := Parse("d.yaml", []byte(text))
	if len(docs) != 1 || docs[0].Name != "one" || docs[0].Line != 3 || docs[0].Labels["owner"] != "me" {
		t.Errorf("docs %+v", docs)
	}
	want := []string{
		`d.yaml:9:13: unknown apiVersion "sluice/v2", want "sluice/v1"`,
		`d.yaml:15:18: want a text, got the number 12; put it in quotes`,
		`d.yaml:16:1: unknown key "extra"`,
		`d.yaml:21:7: spec: want a mapping, got "nothing"`,
	}
	if got := messages(ps); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestParseSyntaxError(t *testing.T) {
	_, ps := Parse("d.yaml", []byte("a: b\nc: [\n"))
	if len(ps) != 1 || ps[0].Line < 2 || !strings.HasPrefix(ps[0].Message, "not valid YAML") {
		t.Errorf("got %v", ps)
	}
}

func TestParseRefusesLargeFiles(t *testing.T) {
	if _, ps := Parse("d.yaml", make([]byte, MaxFile+1)); len(ps) != 1 {
		t.Errorf("got %v", ps)
	}
}

func TestDuplicates(t *testing.T) {
	one := "apiVersion: sluice/v1\nkind: User\nmetadata: {name: bob}\nspec: {}\n"
	docs, ps := Parse("d.yaml", []byte(one+"---\n"+one))
	if len(ps) > 0 || len(docs) != 2 {
		t.Fatal(ps)
	}
	got := messages(Duplicates(docs))
	if len(got) != 1 || got[0] != `d.yaml:8:18: User "bob" is already defined at d.yaml:3:18` {
		t.Errorf("got %v", got)
	}
}

func TestReadFolder(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	doc := "apiVersion: sluice/v1\nkind: User\nmetadata: {name: %s}\nspec: {}\n"
	write("b.yaml", fmt.Sprintf(doc, "b"))
	write("a/a.yml", fmt.Sprintf(doc, "a"))
	write(".git/x.yaml", "broken: [")
	write(".hidden.yaml", "broken: [")
	write("notes.txt", "broken: [")
	docs, ps := Read(dir)
	if len(ps) > 0 || len(docs) != 2 || docs[0].Name != "a" || docs[1].Name != "b" {
		t.Errorf("got %+v, %v", docs, ps)
	}
	if _, ps := Read(filepath.Join(dir, "missing")); len(ps) != 1 {
		t.Errorf("a missing file: %v", ps)
	}
}

func TestSuggest(t *testing.T) {
	all := []string{"protocols", "verbs", "groups", "tables"}
	for name, want := range map[string]string{
		"protocol": "protocols", "vrebs": "verbs", "gruops": "groups", "Tables": "tables", "zzz": "", "": "",
	} {
		got := Suggest(name, all)
		if (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("Suggest(%q) = %q, want %q", name, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("apiVersion: sluice/v1\nkind: User\nmetadata: {name: bob}\nspec: {}\n")
	f.Add("a: &a [*a]\n")
	f.Add("? [a]\n: b\n--- !!binary x\n")
	f.Fuzz(func(t *testing.T, text string) {
		docs, ps := Parse("f", []byte(text))
		for _, d := range docs {
			var v struct {
				Any any `yaml:"any"`
			}
			d.Decode(&v)
			if d.Kind == "" || d.Name == "" || d.Line < 1 {
				t.Errorf("incomplete document %+v", d)
			}
		}
		for _, p := range ps {
			if p.Line < 1 || p.Message == "" {
				t.Errorf("problem without place or text: %+v", p)
			}
		}
	})
}
