package server

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"sluice/access"
	"sluice/classify"
	"sluice/config"
	"sluice/policy"
	"sluice/protocol"
	"sluice/protocol/postgres"
	"sluice/resource"
)

// ScanOptions say what to look at.
type ScanOptions struct {
	Rows     int       // of each table; 0: 500
	New      bool      // only columns that the resource's Classification does not mention
	Progress io.Writer // a line a table; nil: silent
}

// A ScanReport is what sampling found. It holds no values.
type ScanReport struct {
	Resource string
	Columns  []classify.Proposal
	Unread   []string // tables that could not be read, with the reason
}

// Scan samples the columns of a resource's database with the resource's own
// credential, beside a running gateway or without one, and proposes what they
// hold. name is a resource, or resource/database.
func Scan(ctx context.Context, path, name string, o ScanOptions) (ScanReport, error) {
	cfg, set, err := loadWhole(path)
	if err != nil {
		return ScanReport{}, err
	}
	target, err := target(ctx, cfg, name)
	if err != nil {
		return ScanReport{}, err
	}
	s := scan{o: o, report: ScanReport{Resource: target.Resource.Name, Columns: []classify.Proposal{}}}
	classes := set.Classification(target.Resource.Name)
	err = (&postgres.Server{Now: time.Now}).Sample(ctx, target, postgres.SampleOptions{
		Rows: o.Rows, Column: s.column, Table: s.table,
		Want: func(id access.ColumnID) bool { return !o.New || !classes.Known(id.Schema, id.Table, id.Column) },
	})
	if err != nil {
		return ScanReport{}, err
	}
	s.propose()
	return s.report, s.failed
}

// loadWhole reads a configuration and its policies.
func loadWhole(path string) (*config.Config, *policy.Set, error) {
	cfg, problems := config.Load(path)
	if err := problemsError(problems); err != nil {
		return nil, nil, err
	}
	set, problems := compiled(cfg)
	return cfg, set, problemsError(problems)
}

// target is where a configured resource is, with the credential for it.
func target(ctx context.Context, cfg *config.Config, name string) (protocol.Target, error) {
	targets, err := resource.New(specs(cfg))
	if err != nil {
		return protocol.Target{}, fmt.Errorf("server: %w", err)
	}
	res, database, _ := strings.Cut(name, "/")
	t, err := targets.Target(ctx, res, database)
	if err != nil {
		return protocol.Target{}, targetError(err, res)
	}
	return t, nil
}

// A scan collects what a sampling finds.
type scan struct {
	o       ScanOptions
	report  ScanReport
	columns []scanned
	failed  error
}

type scanned struct {
	*classify.Column
	looked bool
}

func (s *scan) column(id access.ColumnID, typ string, looked bool) func([]byte) {
	c, err := classify.NewColumn(id, typ)
	if err != nil {
		s.failed = err
		return nil
	}
	s.columns = append(s.columns, scanned{c, looked})
	return c.Add
}

func (s *scan) table(name string, rows int, err error) {
	if err != nil {
		s.report.Unread = append(s.report.Unread, name+": "+err.Error())
	}
	if s.o.Progress == nil {
		return
	}
	if err != nil {
		fmt.Fprintf(s.o.Progress, "%s: not read: %s\n", name, err)
		return
	}
	fmt.Fprintf(s.o.Progress, "%s: %s\n", name, plural(rows, "row", "rows"))
}

func (s *scan) propose() {
	for _, c := range s.columns {
		s.report.Columns = append(s.report.Columns, classify.Propose(c.Column, c.looked))
	}
}
