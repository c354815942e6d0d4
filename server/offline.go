package server

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"sluice/access"
	"sluice/api"
	v1 "sluice/api/v1"
	"sluice/config"
	"sluice/identity"
	"sluice/internal/strictyaml"
	"sluice/policy"
	"sluice/protocol"
	"sluice/protocol/postgres"
	"sluice/query/catalog"
	query "sluice/query/postgres"
	"sluice/query/postgres/worker"
	"sluice/resource"
)

// ParseWorkerCommand is the hidden subcommand that turns the process into a
// parse worker, and ParseWorker its main function.
const ParseWorkerCommand = "parse-worker"

// ParseWorker runs this process as a parse worker and returns its exit code.
func ParseWorker() int { return worker.Main() }

// offlineParse bounds one text of a command: nobody else waits for the worker, and a
// busy machine may take its time to start it.
const offlineParse = time.Minute

// newAnalyzer starts parse workers for a command that ends soon.
func newAnalyzer() (*query.Analyzer, func() error, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, nil, fmt.Errorf("server: %w", err)
	}
	pool, err := worker.NewPool(worker.Options{Exe: exe, N: 1, Timeout: offlineParse, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, fmt.Errorf("server: %w", err)
	}
	return query.New(pool, query.Options{}), pool.Close, nil
}

// A TestResult is one case of a policy test.
type TestResult struct {
	Name   string `json:"name"`
	Where  string `json:"where"` // file:line
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"` // what was expected and what came
}

// Test runs the policy tests found in files and folders against the policies
// found there.
func Test(ctx context.Context, paths []string) ([]TestResult, error) {
	docs, _, problems := config.Documents(paths...)
	set, more := policy.Load(docs)
	if err := problemsError(append(problems, more...)); err != nil {
		return nil, err
	}
	report, broken, err := runTests(ctx, set, docs)
	if err != nil {
		return nil, err
	}
	if err := problemsError(broken); err != nil {
		return nil, err
	}
	results := []TestResult{}
	for _, c := range report.Cases {
		results = append(results, TestResult{Name: c.Test + ": " + c.Name, Where: fmt.Sprintf("%s:%d", c.File, c.Line),
			OK: len(c.Failures) == 0, Detail: strings.Join(c.Failures, "; ")})
	}
	return results, nil
}

func runTests(ctx context.Context, set *policy.Set, docs []strictyaml.Document) (policy.Report, []strictyaml.Problem, error) {
	analyzer, stop, err := newAnalyzer()
	if err != nil {
		return policy.Report{}, nil, err
	}
	defer stop()
	report, problems := policy.RunTests(set, docs, func(c policy.Command) ([]access.Action, error) { return describe(ctx, analyzer, c) })
	return report, problems, nil
}

// describe says what a test's command means, in a database that holds the
// tables that the test names.
func describe(ctx context.Context, analyzer *query.Analyzer, c policy.Command) ([]access.Action, error) {
	env := query.Env{SearchPath: []string{"$user", "public"}, Database: c.Resource.Database, User: "sluice"}
	if c.Tables != nil {
		snap, err := catalog.Build(tables(c.Tables), analyzer)
		if err != nil {
			return nil, fmt.Errorf("server: tables of a test: %w", err)
		}
		env.Catalog = snap
	}
	batch, err := analyzer.Analyze(ctx, "test", c.Text, query.NewEnv(env))
	if err != nil {
		return nil, fmt.Errorf("server: analyse: %w", err)
	}
	var actions []access.Action
	for _, s := range batch.Statements {
		actions = append(actions, s.Action)
	}
	return actions, nil
}

// textOID is the type of every column in a test: tests are about names.
const textOID = 25

// tables makes a catalog of the tables that a test names.
func tables(named map[string][]string) catalog.Rows {
	var rows catalog.Rows
	schemas := map[string]bool{"pg_catalog": true, "public": true}
	oid := uint32(16384)
	for name, columns := range named {
		schema, table, qualified := strings.Cut(name, ".")
		if !qualified {
			schema, table = "public", name
		}
		schemas[schema] = true
		oid++
		rows.Relations = append(rows.Relations, catalog.RelationRow{OID: oid, Schema: schema, Name: table, Kind: 'r'})
		for i, column := range columns {
			rows.Columns = append(rows.Columns, catalog.ColumnRow{Relation: oid, Num: int16(i + 1), Name: column, Type: textOID})
		}
	}
	for name := range schemas {
		oid++
		rows.Schemas = append(rows.Schemas, catalog.SchemaRow{OID: oid, Name: name})
	}
	return rows
}

// configured are the users of a configuration, without their passwords.
type configured []access.Subject

func (c configured) Users() []access.Subject { return c }

func subjects(cfg *config.Config) configured {
	var all configured
	for _, u := range cfg.Users {
		s := access.Subject{Issuer: identity.Local, ID: u.Name, Kind: u.Kind, Email: u.Email, Owner: u.Owner, Groups: u.Groups}
		if s.Kind == "" {
			s.Kind = access.Human
		}
		all = append(all, s)
	}
	return all
}

// Can answers a question from a configuration alone. It reads the catalog of
// the resource's database if that can be reached; otherwise names mean nothing
// and the answer says so.
func Can(ctx context.Context, path string, q v1.Question) ([]v1.Verdict, error) {
	cfg, problems := config.Load(path)
	if err := problemsError(problems); err != nil {
		return nil, err
	}
	set, problems := compiled(cfg)
	if err := problemsError(problems); err != nil {
		return nil, err
	}
	targets, err := resource.New(specs(cfg))
	if err != nil {
		return nil, err
	}
	analyzer, stop, err := newAnalyzer()
	if err != nil {
		return nil, err
	}
	defer stop()
	o := oracle{set: func() *policy.Set { return set }, people: subjects(cfg), targets: targets, analyzer: analyzer, now: time.Now, log: slog.New(slog.DiscardHandler),
		snapshot: func(ctx context.Context, t protocol.Target) (*catalog.Snapshot, error) {
			return (&postgres.Server{Analyzer: analyzer, Now: time.Now}).Snapshot(ctx, t)
		}}
	return o.Can(ctx, q, &api.Caller{Admin: true}) // who reads the configuration may know all that is in it
}
