package policy_test

import (
	"context"
	"strings"
	"testing"

	"github.com/pganalyze/pg_query_go/v6/parser"

	"sluice/access"
	"sluice/internal/strictyaml"
	"sluice/mask"
	"sluice/policy"
	"sluice/query/catalog"
	"sluice/query/postgres"
)

// TestExamples loads the policies that users copy and runs their tests with
// the real grammar.
func TestExamples(t *testing.T) {
	docs, problems := strictyaml.Read("../examples/policies")
	set, more := policy.Load(docs)
	for _, p := range append(problems, more...) {
		t.Error(p)
	}
	if t.Failed() {
		t.FailNow()
	}
	report, problems := policy.RunTests(set, docs, describe)
	for _, p := range problems {
		t.Error(p)
	}
	for _, c := range report.Cases {
		for _, f := range c.Failures {
			t.Errorf("%s:%d: %s: %s", c.File, c.Line, c.Name, f)
		}
	}
	for _, p := range report.Untested() {
		t.Error(p)
	}
	if report.Passed < 60 {
		t.Errorf("only %d cases ran", report.Passed)
	}
}

// inProcess is the grammar without its worker: the texts here are ours.
type inProcess struct{}

func (inProcess) Parse(_ context.Context, _, text string) ([]byte, error) {
	tree, err := parser.ParseToProtobuf(text)
	if err != nil {
		return nil, &postgres.SyntaxError{Message: err.Error()}
	}
	return tree, nil
}

func (inProcess) Deparse(_ context.Context, _ string, tree []byte) (string, error) {
	return parser.DeparseFromProtobuf(tree)
}

func describe(c policy.Command) ([]access.Action, error) {
	env := postgres.Env{SearchPath: []string{"public"}, Database: "shop", User: "app"}
	analyzer := postgres.New(inProcess{}, postgres.Options{})
	if c.Tables != nil {
		snap, err := catalog.Build(rows(c.Tables), nil) // no views here
		if err != nil {
			return nil, err
		}
		env.Catalog = snap
	}
	batch, err := analyzer.Analyze(context.Background(), "test", c.Text, postgres.NewEnv(env))
	if err != nil {
		return nil, err
	}
	var all []access.Action
	for _, s := range batch.Statements {
		all = append(all, s.Action)
	}
	return all, nil
}

// rows is a catalog of the tables that a test names, all columns of type text.
func rows(tables map[string][]string) catalog.Rows {
	var r catalog.Rows
	oid := uint32(20000)
	schemas := map[string]bool{}
	for qualified, columns := range tables {
		schema, name, _ := strings.Cut(qualified, ".")
		if !schemas[schema] {
			oid++
			r.Schemas = append(r.Schemas, catalog.SchemaRow{OID: oid, Name: schema})
			schemas[schema] = true
		}
		oid++
		r.Relations = append(r.Relations, catalog.RelationRow{OID: oid, Schema: schema, Name: name, Kind: 'r'})
		for i, c := range columns {
			r.Columns = append(r.Columns, catalog.ColumnRow{Relation: oid, Num: int16(i + 1), Name: c, Type: 25})
		}
	}
	return r
}

// Policy does not import mask, but both must know the same words, and agree on
// which mask is stricter.
func TestWordsOfMask(t *testing.T) {
	if got, want := strings.Join(policy.MaskMethods(), " "), strings.Join(mask.Methods(), " "); got != want {
		t.Errorf("methods %s, mask has %s", got, want)
	}
	if got, want := strings.Join(policy.Detectables(), " "), strings.Join(mask.Detectables(), " "); got != want {
		t.Errorf("detectors %s, mask has %s", got, want)
	}
}
