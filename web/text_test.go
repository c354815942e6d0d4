package web

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func join(all []piece) string {
	var b strings.Builder
	for _, p := range all {
		b.WriteString(p.Text)
	}
	return b.String()
}

// What an approver reads is the text, whole and in order.
func TestNothingIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOf(rapid.OneOf(
			rapid.SampledFrom([]string{"SELECT ", "FROM", " WHERE ", "'", "''", "\"", "--", "\n", "/*", "*/", "$1", "$$", "$tag$", "E'\\", "(", ")", ";", "é", "1.5", "_x"}),
			rapid.StringMatching(`[ -~]{0,6}`))).Draw(t, "parts"), "")
		if got := join(statement(text)); got != text {
			t.Fatalf("%q became %q", text, got)
		}
	})
}

func TestWhatCannotBeSeenIsShown(t *testing.T) {
	for text, want := range map[string]string{
		"DELETE FROM a\u202e":    "DELETE FROM aU+202E",
		"a\u200bb":               "aU+200Bb",
		"a\u00a0b":               "aU+00A0b",
		"'x\x00y'":               "'xU+0000y'",
		"-- a\rDROP TABLE b":     "-- aU+000DDROP TABLE b",
		"a\r\nb":                 "a\nb",
		"a\xffb":                 "a\\xFFb",
		"a\u3164b":               "aU+3164b",
		"\U000e0041":             "U+E0041",
		"caf\u00e9 \uFFFD ok":    "caf\u00e9 \uFFFD ok",
		"SELECT '\u2066x\u2069'": "SELECT 'U+2066xU+2069'",
	} {
		all := statement(text)
		if got := join(all); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		for _, p := range all {
			if strings.HasPrefix(p.Text, "U+") && p.Class != hidden {
				t.Errorf("%q: %q is not marked", text, p.Text)
			}
		}
	}
}

func TestClauses(t *testing.T) {
	var lines []string
	for _, p := range statement("UPDATE orders SET status = 'paid WHERE' WHERE id IN (SELECT id FROM carts WHERE x IS DISTINCT FROM 1) RETURNING id") {
		if p.Class == clause {
			lines = append(lines, p.Text)
		}
	}
	if got := strings.Join(lines, " "); got != "SET WHERE RETURNING" {
		t.Errorf("new lines before %s", got)
	}
	for _, p := range statement("DELETE FROM \u0430ccounts") {
		if p.Text == "\u0430ccounts" && p.Class != foreign {
			t.Error("a Cyrillic letter is not marked")
		}
	}
}

func FuzzStatement(f *testing.F) {
	for _, s := range []string{"SELECT 1", "E'\\", "$a$ $", "/* /* */", "\xff\"", "--"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if join(statement(text)) != join(revealed(text)) {
			t.Fatalf("%q", text)
		}
	})
}
