package classify

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"sluice/access"
)

// counted is a column with values.
func counted(t testing.TB, name, typ string, values ...string) *Column {
	t.Helper()
	parts := strings.Split(name, ".")
	c, err := NewColumn(access.ColumnID{Schema: "public", Table: parts[0], Column: parts[1]}, typ)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		c.Add([]byte(v))
	}
	return c
}

func numbered(n int, format string) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(format, i))
	}
	return all
}

func TestPropose(t *testing.T) {
	mails := numbered(20, "person%d@example.com")
	cards := []string{"4242424242424242", "4000056655665556", "5555555555554444", "2223003122003222", "5105105105105100"}
	for _, c := range []struct {
		column, typ string
		values      []string
		tags, mask  string
		why         string
	}{
		{"customers.contact1", "text", mails, "email pii", "email", "20 of 20 values look like email"},
		{"customers.email", "text", nil, "email pii", "email", "by its name"},
		{"customers.email", "character varying", numbered(10, "user %d"), "email pii", "email", "by its name; 0 of 10 values look like it"},
		{"customers.eMailAddress", "text", nil, "email pii", "email", "by its name"},
		{"customers.email_sent_at", "timestamp with time zone", nil, "", "", "timestamp"},
		{"customers.has_email", "boolean", nil, "", "", "boolean"},
		{"customers.email_count", "integer", numbered(10, "%d"), "", "", "nothing found"},
		{"payments.pan", "text", cards, "card pci", "card_last4", "5 of 5 values look like card"},
		{"payments.cvv", "text", []string{"123"}, "card-code pci", "null", "by its name"},
		{"tickets.body", "text", append(numbered(20, "nothing here %d"), "write to ann@example.com please"), "free-text", "", "text that contains email (1 of 21 values)"},
		{"tickets.body", "jsonb", []string{`{"mail": "ann@example.com"}`}, "free-text", "", "email (1 of 1 values)"},
		{"t.some", "text", append(mails[:4:4], numbered(16, "plain %d")...), "free-text", "", "email (4 of 20 values)"},
		{"t.name", "text", numbered(10, "Oak desk %d"), "", "", "nothing found in 10 values"},
		{"customers.name", "text", numbered(10, "Ann %d"), "name pii", "first_letter", "by its name"},
		{"salaries.employee", "text", nil, "name pii", "first_letter", "by its name"},
		{"salaries.employee", "integer", nil, "", "", "no values"},
		{"hr.salary", "numeric", nil, "salary sensitive", "null", "by its name"},
		{"people.date_of_birth", "date", nil, "birth-date pii", "year", "by its name"},
		{"people.created", "date", nil, "", "", "date"},
		{"users.password_hash", "text", nil, "credential secret", "null", "by its name"},
		{"users.gender", "text", nil, "special-category sensitive", "null", "by its name"},
		{"sessions.uuid", "text", numbered(20, "f81d4fae-7dec-41d0-a765-00a0c91e6b%02x"), "", "", "nothing found"},
		{"t.nothing", "text", nil, "", "", "no values to look at"},
		{"net.addr", "inet", []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5"}, "ip pii", "null", "look like ipv4"},
		{"t.blank", "text", []string{"", "  "}, "", "", "no values"},
		{"t.four", "text", mails[:4], "free-text", "", "email (4 of 4 values)"}, // too few to name the column by
	} {
		p := Propose(counted(t, c.column, c.typ, c.values...), c.typ != "date" && c.typ != "boolean" && !strings.HasPrefix(c.typ, "timestamp"))
		if strings.Join(p.Tags, " ") != c.tags || p.Mask != c.mask || !strings.Contains(p.Why, c.why) {
			t.Errorf("%s %s: %v %q %q, want %s", c.column, c.typ, p.Tags, p.Mask, p.Why, c.why)
		}
		for _, v := range c.values {
			if len(v) > 6 && strings.Contains(fmt.Sprint(p), v) {
				t.Errorf("%s: the proposal holds the value %s", c.column, v)
			}
		}
	}
}

// Whatever names a database has, the document is YAML with those names in it.
func FuzzDocument(f *testing.F) {
	for _, name := range []string{"email", "E mail", `a"b`, "a*b", "x.y", "null", "ü", "a\nb", "- [", "\u2028", "\u202egp\U000e0041\x1b[2J"} {
		f.Add("shop", name, name)
	}
	f.Fuzz(func(t *testing.T, resource, table, column string) {
		if !utf8.ValidString(resource) || !utf8.ValidString(table) || !utf8.ValidString(column) {
			return // the server sends UTF-8
		}
		p := Proposal{Schema: "public", Table: table, Column: column, Tags: []string{"email", "pii"}, Mask: "email", Why: column}
		reviewed, empty := p, p
		reviewed.Tags, reviewed.Column = nil, column+"2"
		empty.Tags, empty.Empty, empty.Column = nil, true, column+"3"
		var b bytes.Buffer
		if err := Document(&b, resource, resource, true, []Proposal{p, p, reviewed, empty}); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsFunc(b.String(), func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
			t.Errorf("not what it looks like:\n%q", b.String())
		}
		d := yaml.NewDecoder(&b)
		var doc struct {
			Kind string
			Spec struct {
				Resource string
				Columns  map[string][]string
				Reviewed []string
			}
		}
		if err := d.Decode(&doc); err != nil {
			t.Fatalf("%v in\n%s", err, b.String())
		}
		want := "public." + Name(table) + "." + Name(column)
		if doc.Kind != "Classification" || len(doc.Spec.Columns[want]) != 2 || doc.Spec.Resource != resource {
			t.Errorf("%+v, want %q", doc, want)
		}
		if strings.Contains(table+column, `"`) != (len(doc.Spec.Reviewed) == 0) {
			t.Errorf("reviewed %q", doc.Spec.Reviewed)
		}
	})
}
