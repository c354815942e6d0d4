package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// A format is how listings are printed.
type format string

const (
	table    format = "table"
	jsonText format = "json"
	yamlText format = "yaml"
)

// String, Set and Type make a format a flag.
func (f *format) String() string { return string(*f) }
func (f *format) Type() string   { return "table|json|yaml" }
func (f *format) Set(s string) error {
	switch format(s) {
	case table, jsonText, yamlText:
		*f = format(s)
		return nil
	}
	return fmt.Errorf("%q is none of table, json, yaml", s)
}

// columns describe a listing as a table: a title and how a row fills it.
type columns[T any] []struct {
	title string
	cell  func(T) string
}

// list prints rows: a table, or an array of objects with stable field names.
func list[T any](a *app, rows []T, cols columns[T]) error {
	if rows == nil {
		rows = []T{}
	}
	if a.format != table {
		return a.encode(rows)
	}
	w := tabwriter.NewWriter(a.Out, 0, 4, 2, ' ', 0)
	for i, c := range cols {
		fmt.Fprint(w, tab(i), c.title)
	}
	fmt.Fprintln(w)
	for _, row := range rows {
		for i, c := range cols {
			fmt.Fprint(w, tab(i), clean(c.cell(row)))
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

func tab(i int) string {
	if i == 0 {
		return ""
	}
	return "\t"
}

// A fact is one line about a thing. Facts without a value are left out.
type fact struct{ name, value string }

// show prints one thing: facts line by line, or an object.
func (a *app) show(v any, facts []fact) error {
	if a.format != table {
		return a.encode(v)
	}
	return a.facts(facts)
}

func (a *app) facts(facts []fact) error {
	w := tabwriter.NewWriter(a.Out, 0, 4, 2, ' ', 0)
	for _, f := range facts {
		if f.value == "" {
			continue
		}
		for i, line := range strings.Split(f.value, "\n") {
			name := f.name
			if i > 0 {
				name = ""
			}
			fmt.Fprintf(w, "%s\t%s\n", name, clean(line))
		}
	}
	return w.Flush()
}

func (a *app) encode(v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	if a.format == yamlText {
		return yamlFrom(a.Out, b)
	}
	_, err = fmt.Fprintf(a.Out, "%s\n", b)
	return err
}

// yamlFrom prints JSON as block YAML. JSON is YAML, so that reading it as such
// keeps the order of the keys.
func yamlFrom(w io.Writer, b []byte) error {
	var n yaml.Node
	if err := yaml.Unmarshal(b, &n); err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	block(&n)
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	if err := e.Encode(&n); err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	return e.Close()
}

// block drops JSON's braces and quotes; the encoder quotes again what needs it.
func block(n *yaml.Node) {
	n.Style = 0
	for _, c := range n.Content {
		block(c)
	}
}

// clean escapes what could move the cursor, change colours, or make text look
// like something else (bidirectional overrides).
func clean(s string) string {
	if strings.IndexFunc(s, unsafe) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unsafe(r) {
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func unsafe(r rune) bool {
	return r == unicode.ReplacementChar || !unicode.IsPrint(r)
}

// line puts text on one line and cuts it at n characters for a table's cell.
func line(s string, n int) string {
	s = strings.Join(strings.Fields(s), " ")
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-3]) + "..."
}

// when shows a time to the second, in UTC as everywhere in Sluice.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// count shows a number.
func count(n int64) string { return strconv.FormatInt(n, 10) }
