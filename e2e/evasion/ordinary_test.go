package evasion

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"sluice/internal/pgserver"
)

// refused are ordinary statements that are still refused and should not be. The
// list may only become shorter.
var refused = []string{}

// ordinaries is how many there are at least.
const ordinaries = 150

// An ordinary is one entry of ordinary/*.yaml.
type ordinary struct {
	ID       string `yaml:"id"`
	About    string `yaml:"about"`
	Database string `yaml:"database"` // shop, rentals or bench
	Since    int    `yaml:"since"`

	// Masked names the columns of the results that come masked; `#2` is the second
	// of COPY's. None: the statement touches no masked column, or does not show it.
	Masked []string `yaml:"masked"`

	// Bare runs the steps without a transaction around them that is rolled back.
	Bare  bool   `yaml:"bare"`
	Steps []step `yaml:"steps"`
	Psql  string `yaml:"psql"` // instead of steps: what is typed into psql

	file string
}

func loadOrdinaries(t testing.TB) []*ordinary {
	t.Helper()
	files, err := filepath.Glob("ordinary/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var all []*ordinary
	ids := map[string]bool{}
	for _, name := range files {
		var list []*ordinary
		readYAML(t, name, &list)
		for _, o := range list {
			o.file = strings.TrimSuffix(filepath.Base(name), ".yaml")
			if !idForm.MatchString(o.ID) || ids[o.ID] || o.Database == "" || (len(o.Steps) == 0) == (o.Psql == "") {
				t.Fatalf("%s: %q: a new id, a database, and steps or psql are needed", name, o.ID)
			}
			ids[o.ID] = true
		}
		all = append(all, list...)
	}
	return all
}

// TestOrdinary runs what people and programs do all day: nothing is refused, and
// what is not masked is what the server says.
func TestOrdinary(t *testing.T) {
	all := loadOrdinaries(t)
	if len(all) < ordinaries {
		t.Errorf("only %d statements", len(all))
	}
	for _, version := range versions {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			h := houseOf(t, version)
			h.schemas(t)
			for _, o := range all {
				// psql is Debian's: what it asks newer servers may fail anyway.
				if o.Since <= version && (o.Psql == "" || version == versions[0]) {
					t.Run(o.file+"/"+o.ID, func(t *testing.T) { h.compareOrdinary(t, o) })
				}
			}
		})
	}
}

// schemas makes the databases; shop is there.
func (h *house) schemas(t *testing.T) {
	t.Helper()
	for _, name := range []string{"rentals", "bench"} {
		script, err := os.ReadFile("testdata/" + name + ".sql")
		if err != nil {
			t.Fatal(err)
		}
		if err := h.exec("postgres", "CREATE DATABASE "+name); err != nil {
			t.Fatal(err)
		}
		if _, err := h.stage.Server.SQL(name, string(script)); err != nil {
			t.Fatal(err)
		}
	}
}

func (h *house) compareOrdinary(t *testing.T, o *ordinary) {
	var problem string
	if o.Psql != "" {
		problem = h.comparePsql(t, o)
	} else {
		problem = o.differ(h.resultsOf(t, o, direct), h.resultsOf(t, o, through))
	}
	switch {
	case slices.Contains(refused, o.ID):
		if problem == "" {
			t.Error("it is as it should be: take it off the list")
		}
	case problem != "":
		t.Error(problem)
	}
}

func (h *house) comparePsql(t *testing.T, o *ordinary) string {
	var out [2]string
	for i, s := range []side{direct, through} {
		cmd := exec.Command(pgserver.Program("psql"), "-X", "-d", h.dsn(s, o.Database, "mallory"))
		cmd.Stdin = strings.NewReader(o.Psql)
		cmd.Env = append(pgserver.CleanEnv(), "HOME="+t.TempDir(), "PSQLRC="+os.DevNull, "LC_ALL=C", "PAGER=cat")
		b, err := cmd.CombinedOutput()
		out[i] = string(b)
		if err != nil {
			out[i] += err.Error()
		}
	}
	if out[0] != out[1] {
		return fmt.Sprintf("psql prints\n%.1500s\nnot\n%.1500s", out[1], out[0])
	}
	if strings.Contains(out[0], "ERROR") {
		return out[0]
	}
	return ""
}

// A result is the answer to one statement.
type result struct {
	fields string   // types and formats
	names  []string // of the columns; #1, #2, ... of COPY's
	rows   [][][]byte
	rest   string // tag, error, notices
}

func (h *house) resultsOf(t *testing.T, o *ordinary, s side) []result {
	t.Helper()
	steps := o.Steps
	if !o.Bare {
		steps = append(append([]step{{Query: "BEGIN"}}, steps...), step{Query: "ROLLBACK"})
	}
	c := &cast{h: h, a: &attack{Steps: steps}, dsn: h.dsn(s, o.Database, "mallory"), database: o.Database, by: map[string]*speaker{}}
	got, err := c.play()
	if err != nil {
		t.Fatal(err)
	}
	return parseResults(t, got.raw)
}

func parseResults(t *testing.T, raw []byte) (all []result) {
	var cur result
	for len(raw) >= 5 {
		n := int(binary.BigEndian.Uint32(raw[1:])) + 1
		typ, body := raw[0], raw[5:n]
		raw = raw[n:]
		switch typ {
		case 'T':
			var d pgproto3.RowDescription
			if err := d.Decode(body); err != nil {
				t.Fatal(err)
			}
			cur.fields, cur.names = spellFields(body), nil
			for _, f := range d.Fields {
				cur.names = append(cur.names, string(f.Name))
			}
		case 'D':
			var d pgproto3.DataRow
			if err := d.Decode(bytes.Clone(body)); err != nil {
				t.Fatal(err)
			}
			cur.rows = append(cur.rows, d.Values)
		case 'd':
			cur.copied(body)
		case 'S', 'R', 'K', 'Z', '1', '2', '3', 't', 'n':
		case 'C', 'E', 'I', 's':
			cur.rest += spell(typ, body)
			all = append(all, cur)
			cur = result{}
		default:
			cur.rest += spell(typ, body) + "\n"
		}
	}
	return all
}

// copied takes a line of COPY's text format.
func (r *result) copied(body []byte) {
	cells := bytes.Split(bytes.TrimSuffix(bytes.Clone(body), []byte("\n")), []byte("\t"))
	r.names = nil
	for i := range cells {
		r.names = append(r.names, fmt.Sprintf("#%d", i+1))
	}
	r.rows = append(r.rows, cells)
}

// differ says where the answer through Sluice is not what it should be.
func (o *ordinary) differ(direct, through []result) string {
	for i, d := range direct {
		if strings.HasPrefix(d.rest, "E ") {
			return "directly it fails: " + d.rest
		}
		if i >= len(through) {
			return fmt.Sprintf("%d answers, not %d", len(through), len(direct))
		}
		if problem := o.differResult(d, through[i]); problem != "" {
			return fmt.Sprintf("statement %d: %s", i, problem)
		}
	}
	if len(through) != len(direct) {
		return fmt.Sprintf("%d answers, not %d", len(through), len(direct))
	}
	return ""
}

func (o *ordinary) differResult(d, s result) string {
	switch {
	case d.rest != s.rest:
		return fmt.Sprintf("%s, not %s", s.rest, d.rest)
	case d.fields != s.fields || !slices.Equal(d.names, s.names):
		return fmt.Sprintf("columns %s, not %s", s.fields, d.fields)
	case len(d.rows) != len(s.rows):
		return fmt.Sprintf("%d rows, not %d", len(s.rows), len(d.rows))
	}
	for i := range d.rows {
		for j, is := range d.rows[i] {
			name, got := "", s.rows[i][j]
			if j < len(d.names) { // what was not described is not masked either
				name = d.names[j]
			}
			masked := slices.Contains(o.Masked, name)
			switch {
			case masked && is != nil && bytes.Equal(is, got):
				return fmt.Sprintf("row %d: %s is not masked: %q", i, name, got)
			case !masked && (!bytes.Equal(is, got) || (is == nil) != (got == nil)):
				return fmt.Sprintf("row %d: %s is %q, not %q", i, name, got, is)
			}
		}
	}
	return ""
}
