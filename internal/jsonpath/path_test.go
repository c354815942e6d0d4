package jsonpath

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"$.email": "", "$.contacts[*].phone": "", "$..ssn": "", `$."e-mail \"x\"".*`: "", "$[0][12]": "", "$.größe.$x": "", `$.."a b"[*]`: "",
		"": "want $", "$": "want $", "email": "want $", "$email": "want .", "$.": "want a name", "$.a-b": "want .", "$.1a": "want a name",
		"$[": "want [*]", "$[-1]": "want [*]", "$[1": "want [*]", "$[99999999999]": "want [*]", `$."a`: "does not end", `$."\x"`: "no name",
		"$.**.a": "write ..key", "$.a ": "want .", "$..": "want a name", "$..*": "want a name", "$" + strings.Repeat(".a", 65): "steps", "$." + strings.Repeat("a", 1000): "longer",
	} {
		p, err := Parse(text)
		switch {
		case want == "" && (err != nil || len(p) == 0):
			t.Errorf("%s: %v", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestTooMany(t *testing.T) {
	p, err := Parse("$" + strings.Repeat(".a", 40))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewSet([]Path{p, p}); err == nil {
		t.Error("80 steps were taken")
	}
	if _, named := new(Set).Member(new(Set).Start(), func(string) bool { return true }); named {
		t.Error("the zero Set names something")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"$.a", `$."a\u0000"[*]..b.*`, "$[0]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := Parse(text); err == nil {
			if _, err := NewSet([]Path{p}); err != nil {
				t.Error(err)
			}
		}
	})
}
