package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"sluice/store"
)

// PutSession implements [store.Sessions].
func (s *Store) PutSession(ctx context.Context, x store.Session) error {
	doc, err := json.Marshal(x)
	if err == nil {
		_, err = s.index.ExecContext(ctx, `INSERT INTO sessions (id, node, issuer, subject, resource, opened, closed, document)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET closed = excluded.closed, document = excluded.document`,
			x.ID, x.Node, x.Subject.Issuer, x.Subject.ID, x.Resource.Name, micros(x.Opened), micros(x.Closed), string(doc))
	}
	if err != nil {
		return fmt.Errorf("sqlite: put session: %w", err)
	}
	return nil
}

func sessionWhere(f store.SessionFilter) *where {
	w := new(where)
	w.text("id", f.ID)
	w.text("node", f.Node)
	w.text("issuer", f.Issuer)
	w.text("subject", f.Subject)
	w.text("resource", f.Resource)
	if f.Open {
		w.add("closed = 0")
	}
	if !f.Since.IsZero() {
		w.add("opened >= ?", micros(f.Since))
	}
	if !f.Until.IsZero() {
		w.add("opened <= ?", micros(f.Until))
	}
	return w
}

// Sessions implements [store.Sessions].
func (s *Store) Sessions(ctx context.Context, f store.SessionFilter) ([]store.Session, error) {
	w := sessionWhere(f)
	query := "SELECT document FROM sessions" + w.sql() + " ORDER BY opened DESC, id DESC" + w.limit(f.Limit)
	all, err := sessions(ctx, s.index, query, w.args)
	if err != nil {
		return nil, fmt.Errorf("sqlite: sessions: %w", err)
	}
	return all, nil
}

func sessions(ctx context.Context, q querier, query string, args []any) ([]store.Session, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []store.Session
	for rows.Next() {
		var doc string
		if err := rows.Scan(&doc); err != nil {
			return nil, err
		}
		var x store.Session
		if err := json.Unmarshal([]byte(doc), &x); err != nil {
			return nil, err
		}
		all = append(all, x)
	}
	return all, rows.Err()
}

// EndSessions implements [store.Sessions].
func (s *Store) EndSessions(ctx context.Context, f store.SessionFilter, at time.Time, why string) (int, error) {
	f.Open = true
	w := sessionWhere(f)
	n := 0
	err := inTx(ctx, s.index, func(tx *sql.Tx) error {
		open, err := sessions(ctx, tx, "SELECT document FROM sessions"+w.sql(), w.args)
		if err != nil {
			return err
		}
		n = len(open)
		for _, x := range open {
			x.Closed, x.Why = at, why
			doc, err := json.Marshal(x)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "UPDATE sessions SET closed = ?, document = ? WHERE id = ?", micros(at), string(doc), x.ID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("sqlite: end sessions: %w", err)
	}
	return n, nil
}

// PurgeSessions implements [store.Sessions].
func (s *Store) PurgeSessions(ctx context.Context, before time.Time) (int, error) {
	n, err := count(ctx, s.index, "DELETE FROM sessions WHERE closed <> 0 AND closed < ?", micros(before))
	if err != nil {
		return 0, fmt.Errorf("sqlite: purge sessions: %w", err)
	}
	return n, nil
}

// Meta implements [store.Meta].
func (s *Store) Meta(ctx context.Context, key string) ([]byte, error) {
	var v []byte
	err := s.db.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = ?", key).Scan(&v)
	if errors.Is(err, sql.ErrNoRows) {
		err = store.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("sqlite: meta %s: %w", key, err)
	}
	return v, nil
}

// SetMeta implements [store.Meta].
func (s *Store) SetMeta(ctx context.Context, key string, value []byte) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO meta (key, value) VALUES (?, ?)
		ON CONFLICT (key) DO UPDATE SET value = excluded.value`, key, blob(value))
	if err != nil {
		return fmt.Errorf("sqlite: set meta %s: %w", key, err)
	}
	return nil
}
