package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"sluice/protocol"
	"sluice/query/catalog"
)

// A catalogReader owns a loader's connection, and knows what it last read. The
// zero value has none yet. It is for one goroutine.
type catalogReader struct {
	conn *pgconn.PgConn

	// What the last snapshot was made from: see [catalog.StateSQL] and
	// [catalog.ChangesSQL]. Empty: nothing was read, or reading it failed.
	state, changes string

	account *Account // as whom; nil until the first look

	listening bool // the connection hears of DDL; see listen
	notified  bool // and heard of some since the last look began
}

// snapshot reads the catalog, if it may have changed since the last time;
// otherwise it returns nil. A connection that went stale since the last time is
// replaced once.
func (r *catalogReader) snapshot(ctx context.Context, t protocol.Target, build func(catalog.Rows) (*catalog.Snapshot, error)) (*catalog.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, catalogLoadTime)
	defer cancel()
	kept := r.conn != nil
	r.notified = false
	next, err := r.read(ctx, t, build)
	var pe *pgconn.PgError
	if err != nil && kept && ctx.Err() == nil && (!errors.As(err, &pe) || pe.Severity == "FATAL") {
		next, err = r.read(ctx, t, build)
	}
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	return next, nil
}

// read is one attempt; on any error the connection is given up, and what was
// known is forgotten.
func (r *catalogReader) read(ctx context.Context, t protocol.Target, build func(catalog.Rows) (*catalog.Snapshot, error)) (next *catalog.Snapshot, err error) {
	if err := r.connect(ctx, t); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			r.close()
			r.state, r.changes = "", ""
		}
	}()
	if err := r.exec(ctx, catalog.SetupSQL); err != nil {
		return nil, err
	}
	if next, err = r.readChanged(ctx, build); err != nil {
		return nil, err
	}
	told, err := r.told(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.exec(ctx, "ROLLBACK"); err != nil {
		return nil, err
	}
	return next, r.listen(ctx, told)
}

// readChanged runs in the transaction that [catalog.SetupSQL] began: what it
// compares and what it reads is of one moment.
func (r *catalogReader) readChanged(ctx context.Context, build func(catalog.Rows) (*catalog.Snapshot, error)) (*catalog.Snapshot, error) {
	state, err := r.value(ctx, catalog.StateSQL)
	if err != nil || state == r.state {
		return nil, err
	}
	changes, err := r.value(ctx, catalog.ChangesSQL())
	if err != nil {
		return nil, err
	}
	if r.account == nil {
		if r.account, err = r.readAccount(ctx); err != nil {
			return nil, err
		}
	}
	var next *catalog.Snapshot
	if changes != r.changes {
		rows, err := r.rows(ctx)
		if err != nil {
			return nil, err
		}
		if next, err = build(rows); err != nil {
			return nil, err
		}
	}
	r.state, r.changes = state, changes
	return next, nil
}

func (r *catalogReader) rows(ctx context.Context) (rows catalog.Rows, err error) {
	left := catalogMaxRows
	for _, q := range catalog.Queries() {
		if err := r.query(ctx, q, &rows, &left); err != nil {
			return rows, fmt.Errorf("%s: %w", q.Name, err)
		}
	}
	return rows, nil
}

func (r *catalogReader) connect(ctx context.Context, t protocol.Target) error {
	if r.conn != nil && !r.conn.IsClosed() {
		return nil
	}
	d, err := newDialing(t, catalogSettings())
	if err != nil {
		return err
	}
	d.cfg.BuildFrontend = func(rd io.Reader, w io.Writer) *pgproto3.Frontend { return pgproto3.NewFrontend(rd, w) }
	d.cfg.MaxProtocolMessageBodyLen = catalogMaxMessage
	d.cfg.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) { r.notified = true }
	r.conn, err = d.connect(ctx)
	return err
}

func (r *catalogReader) exec(ctx context.Context, sql string) error {
	return r.conn.Exec(ctx, sql).Close()
}

// value runs a query for its one value, which must not be empty.
func (r *catalogReader) value(ctx context.Context, sql string) (string, error) {
	results, err := r.conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return "", err
	}
	if len(results) != 1 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) != 1 || len(results[0].Rows[0][0]) == 0 {
		return "", errors.New("no value where one was expected")
	}
	return string(results[0].Rows[0][0]), nil
}

func (r *catalogReader) query(ctx context.Context, q catalog.Query, rows *catalog.Rows, left *int) error {
	results := r.conn.Exec(ctx, q.SQL)
	for results.NextResult() {
		result := results.ResultReader()
		for result.NextRow() {
			if *left--; *left < 0 {
				return fmt.Errorf("more than %d rows", catalogMaxRows)
			}
			if err := q.Scan(rows, result.Values()); err != nil {
				return err
			}
		}
	}
	return results.Close()
}

// close gives up the connection, if there is one.
func (r *catalogReader) close() {
	if r.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	r.conn.Close(ctx)
	r.conn, r.listening = nil, false
}

// DDLChannel is the channel on which a database tells of DDL, and the name of
// the event trigger that does so where there is one: sluice harden prints it.
const DDLChannel = "sluice_ddl"

// toldSQL asks whether the database tells. A standby cannot.
const toldSQL = `SELECT NOT pg_catalog.pg_is_in_recovery() AND EXISTS
 (SELECT 1 FROM pg_catalog.pg_event_trigger t WHERE t.evtname = '` + DDLChannel + `' AND t.evtenabled <> 'D')`

func (r *catalogReader) told(ctx context.Context) (bool, error) {
	v, err := r.value(ctx, toldSQL)
	return v == "t", err
}

// listen starts or ends listening, after a look. What was committed between the
// look and LISTEN nobody told us: then there is reason for another one.
func (r *catalogReader) listen(ctx context.Context, told bool) error {
	if told == r.listening {
		return nil
	}
	verb := "LISTEN "
	if !told {
		verb = "UNLISTEN "
	}
	if err := r.exec(ctx, verb+DDLChannel); err != nil {
		return err
	}
	r.listening, r.notified = told, told
	return nil
}

// hear waits in the background until the database tells of DDL, or the
// connection breaks: then heard is closed. Call stop before using the
// connection again.
func (r *catalogReader) hear(ctx context.Context) (heard <-chan struct{}, stop func()) {
	if r.conn == nil || !r.listening {
		return nil, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	told := make(chan struct{})
	if r.notified {
		close(told)
		return told, cancel
	}
	go func() {
		defer close(told)
		r.conn.WaitForNotification(ctx)
	}()
	return told, func() { cancel(); <-told }
}
