package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"sluice/access"
	"sluice/mask"
	"sluice/protocol"
	"sluice/query/catalog"
)

// Limits of one sampling.
const (
	sampleRows    = 500             // of a table, unless asked otherwise
	sampleText    = 1024            // characters of a value
	sampleTime    = 5 * time.Second // for one table
	sampleAll     = time.Hour       // for a database
	sampleColumns = 200             // of a table in one query
)

// SampleOptions say what to look at.
type SampleOptions struct {
	Rows int // of each table; 0: 500
	// Want chooses columns; nil: all.
	Want func(access.ColumnID) bool
	// Column is called for each wanted column, in order, before any of its values,
	// with its type as the server spells it. It returns what takes its values: text,
	// valid until it returns, NULL left out; nil: none are wanted. looked is false
	// for types that are not sampled.
	Column func(id access.ColumnID, typ string, looked bool) func(value []byte)
	// Table is called when a table is done, or could not be read; nil: nobody is told.
	Table func(name string, rows int, err error)
}

// Sample looks at some values of the columns that hold data of their own: not of
// views and partitions, whose values are other tables', nor of foreign tables and
// what is made of them, which may be anywhere. It reads in one session that cannot write, as the target's
// account sees the tables; one that cannot be read is reported and passed over.
func (srv *Server) Sample(ctx context.Context, t protocol.Target, o SampleOptions) error {
	ctx, cancel := context.WithTimeout(ctx, sampleAll)
	defer cancel()
	s := sampler{o: o}
	s.o.Rows = orDefault(o.Rows, sampleRows)
	defer s.r.close()
	snap, err := s.r.snapshot(ctx, t, srv.buildCatalog)
	if err != nil {
		return fmt.Errorf("postgres: sample: %w", err)
	}
	if err := s.prepare(ctx, t); err != nil {
		return fmt.Errorf("postgres: sample: %w", err)
	}
	s.foreign = foreign(snap)
	for _, r := range sampled(snap) {
		if err := s.table(ctx, snap, r); err != nil {
			return fmt.Errorf("postgres: sample: %w", err)
		}
	}
	return nil
}

// foreign are the foreign tables and what shows their rows as its own: what they
// are partitions or children of.
func foreign(snap *catalog.Snapshot) map[uint32]bool {
	all := map[uint32]bool{}
	var above func(oids []uint32)
	above = func(oids []uint32) {
		for _, oid := range oids {
			if r := snap.Relation(oid); r != nil && !all[oid] {
				all[oid] = true
				above(r.Parents)
			}
		}
	}
	snap.Relations(func(r *catalog.Relation) bool {
		if r.Kind == 'f' {
			above([]uint32{r.OID})
		}
		return true
	})
	return all
}

// sampled lists the tables, by name.
func sampled(snap *catalog.Snapshot) []*catalog.Relation {
	var all []*catalog.Relation
	snap.Relations(func(r *catalog.Relation) bool {
		if !r.System && !r.Derived() {
			all = append(all, r)
		}
		return true
	})
	slices.SortFunc(all, func(a, b *catalog.Relation) int {
		return cmp.Or(cmp.Compare(a.Schema, b.Schema), cmp.Compare(a.Name, b.Name))
	})
	return all
}

type sampler struct {
	o         SampleOptions
	r         catalogReader
	estimates map[uint32]float64 // rows of a table, by OID
	types     map[uint32]string
	foreign   map[uint32]bool // relations whose values are not looked at, by OID
}

func (s *sampler) prepare(ctx context.Context, t protocol.Target) error {
	if err := s.r.connect(ctx, t); err != nil {
		return err
	}
	if err := s.r.exec(ctx, "SET search_path = pg_catalog; SET statement_timeout = "+strconv.FormatInt(sampleTime.Milliseconds(), 10)); err != nil {
		return err
	}
	s.estimates, s.types = map[uint32]float64{}, map[uint32]string{}
	err := s.pairs(ctx, "SELECT c.oid, c.reltuples FROM pg_catalog.pg_class c WHERE c.relkind IN ('r','p')", func(oid uint32, v string) {
		s.estimates[oid], _ = strconv.ParseFloat(v, 64)
	})
	if err != nil {
		return err
	}
	return s.pairs(ctx, "SELECT t.oid, pg_catalog.format_type(t.oid, NULL) FROM pg_catalog.pg_type t WHERE t.typrelid = 0", func(oid uint32, v string) {
		s.types[oid] = v
	})
}

// pairs runs a query for OIDs and a value each.
func (s *sampler) pairs(ctx context.Context, sql string, each func(oid uint32, v string)) error {
	results, err := s.r.conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return err
	}
	for _, row := range results[0].Rows {
		oid, err := strconv.ParseUint(string(row[0]), 10, 32)
		if err != nil {
			return err
		}
		each(uint32(oid), string(row[1]))
	}
	return nil
}

// table samples one table, so many columns at a time. An error ends the sampling.
func (s *sampler) table(ctx context.Context, snap *catalog.Snapshot, r *catalog.Relation) error {
	var columns []string
	var takes []func([]byte)
	for i := range r.Columns {
		c := &r.Columns[i]
		id := access.ColumnID{Schema: r.Schema, Table: r.Name, Column: c.Name}
		if s.o.Want != nil && !s.o.Want(id) {
			continue
		}
		looked := !s.foreign[r.OID] && looksAt(snap, c.Type)
		take := s.o.Column(id, s.typeName(c.Type), looked)
		if looked && take != nil {
			columns, takes = append(columns, quoteName(c.Name)), append(takes, take)
		}
	}
	rows, err := 0, error(nil)
	for at := 0; at < len(columns) && err == nil; at += sampleColumns {
		end := min(at+sampleColumns, len(columns))
		rows, err = s.read(ctx, r, columns[at:end], takes[at:end])
	}
	var pe *pgconn.PgError
	if err != nil && (!errors.As(err, &pe) || ctx.Err() != nil || s.r.conn.IsClosed()) {
		return fmt.Errorf("%s.%s: %w", r.Schema, r.Name, err)
	}
	if s.o.Table != nil && (len(columns) > 0 || err != nil) {
		s.o.Table(r.Schema+"."+r.Name, rows, plain(pe))
	}
	return nil
}

// plain is a server's error without what code in the database may have put into
// its text: a row security policy can raise what it likes, values too.
func plain(e *pgconn.PgError) error {
	switch {
	case e == nil:
		return nil
	case strings.HasPrefix(e.Code, "42") || e.Code == "57014":
		return e
	}
	return fmt.Errorf("the server refuses with SQLSTATE %s", e.Code)
}

func (s *sampler) typeName(oid uint32) string {
	if name := s.types[oid]; name != "" {
		return name
	}
	return "unknown"
}

// read takes rows from all over a large table, and from wherever the server
// begins if that yields too few.
func (s *sampler) read(ctx context.Context, r *catalog.Relation, columns []string, takes []func([]byte)) (int, error) {
	if n := s.estimates[r.OID]; n > float64(20*s.o.Rows) {
		percent := 300 * float64(s.o.Rows) / n // pages are not equally full
		rows, err := s.query(ctx, r, fmt.Sprintf(" TABLESAMPLE SYSTEM (%g)", percent), columns, takes)
		if err != nil || rows >= s.o.Rows/5 {
			return rows, err
		}
	}
	return s.query(ctx, r, "", columns, takes)
}

func (s *sampler) query(ctx context.Context, r *catalog.Relation, sample string, columns []string, takes []func([]byte)) (n int, err error) {
	texts := make([]string, len(columns))
	for i, c := range columns {
		texts[i] = fmt.Sprintf(`pg_catalog."left"(%s::pg_catalog.text, %d)`, c, sampleText)
	}
	sql := fmt.Sprintf("SELECT %s FROM %s.%s%s LIMIT %d", strings.Join(texts, ", "), quoteName(r.Schema), quoteName(r.Name), sample, s.o.Rows)
	results := s.r.conn.Exec(ctx, sql)
	for results.NextResult() {
		rows := results.ResultReader()
		for rows.NextRow() {
			n++
			for i, v := range rows.Values() {
				if v != nil {
					takes[i](v)
				}
			}
		}
	}
	return n, results.Close()
}

// looksAt reports whether values of a type are sampled: what can hold text or
// long numbers.
func looksAt(snap *catalog.Snapshot, oid uint32) bool {
	for range 8 { // domains over domains
		switch mask.FromPostgres(oid) {
		case mask.KindText, mask.KindInt8, mask.KindInt4, mask.KindNumeric, mask.KindJSON, mask.KindJSONB, mask.KindXML, mask.KindInet, mask.KindArray:
			return true
		case mask.KindUnknown:
		default:
			return false
		}
		t := snap.TypeByOID(oid)
		switch {
		case t == nil:
			return false
		case t.Kind == 'b' && (t.Name == "citext" || t.Name == "hstore"):
			return true
		case t.Base == 0:
			return false
		}
		oid = t.Base
	}
	return false
}
