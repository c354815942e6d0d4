// Package sqlite keeps the gateway's state in SQLite files: the embedded store.
//
// There are two files in the folder. state.db holds what cannot be had again
// (approvals, tokens) and is synced with every commit. index.db holds what only
// repeats the journal (its index, the list of sessions) and is not.
//
// Every write is one immediate transaction: SQLite lets one writer in at a
// time, also among processes, and others wait up to five seconds. Reads see the
// last commit (WAL). Deleted bytes are overwritten (secure_delete), and after a
// sealed copy is dropped the WAL is emptied, too.
//
// The schema is in migrations/ and index/: numbered files, applied in order,
// each in one transaction; a database newer than the program is refused.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the driver

	"sluice/store"
)

//go:embed migrations/*.sql
var stateSchema embed.FS

//go:embed index/*.sql
var indexSchema embed.FS

// readers is how many connections each file gets; SQLite itself admits one
// writer among them.
const readers = 4

// A Store is an open store. It is safe for concurrent use.
type Store struct {
	db    *sql.DB
	index *sql.DB
}

var _ store.State = (*Store)(nil)

// Open opens or creates the store in dir, which is created with mode 0700.
func Open(ctx context.Context, dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("sqlite: open: %w", err)
	}
	db, err := openFile(ctx, filepath.Join(dir, "state.db"), "FULL", stateSchema)
	if err != nil {
		return nil, err
	}
	index, err := openFile(ctx, filepath.Join(dir, "index.db"), "NORMAL", indexSchema)
	if err != nil {
		db.Close()
		return nil, err
	}
	return &Store{db, index}, nil
}

// Close releases the files.
func (s *Store) Close() error { return errors.Join(s.db.Close(), s.index.Close()) }

func openFile(ctx context.Context, path, synchronous string, schema fs.FS) (*sql.DB, error) {
	// Created here, so that it and the WAL beside it are readable by nobody else.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("sqlite: open: %w", err)
	}
	f.Close()
	q := url.Values{"_txlock": {"immediate"}, "_pragma": {
		"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(" + synchronous + ")",
		"foreign_keys(1)", "secure_delete(1)",
	}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: url.PathEscape(path), RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("sqlite: open %s: %w", path, err)
	}
	db.SetMaxOpenConns(readers)
	if err := migrate(ctx, db, schema); err != nil {
		db.Close()
		return nil, fmt.Errorf("sqlite: open %s: %w", path, err)
	}
	return db, nil
}

// inTx runs f in one immediate transaction.
func inTx(ctx context.Context, db *sql.DB, f func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		tx.Rollback()
		return err
	}
	return tx.Commit()
}

// count runs a statement and returns how many rows it changed.
func count(ctx context.Context, db *sql.DB, query string, args ...any) (int, error) {
	r, err := db.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	n, err := r.RowsAffected()
	return int(n), err
}

// micros and fromMicros translate times; the zero time is 0.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
