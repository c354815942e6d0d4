package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"sluice/access"
	"sluice/store"
)

// A request is the part of an approval that never changes, as its document.
type request struct {
	Requester access.Subject  `json:"requester"`
	Resource  access.Resource `json:"resource"`
	Verb      string          `json:"verb"`
	Action    string          `json:"action"`
	Whole     bool            `json:"whole,omitempty"`
	Reason    string          `json:"reason"`
	Ticket    string          `json:"ticket,omitempty"`
	Message   string          `json:"message,omitempty"`
	Session   string          `json:"session"`
	Client    string          `json:"client"`
	Decision  string          `json:"decision"`
	Quorum    access.Quorum   `json:"quorum"`
	Facts     access.Facts    `json:"facts,omitzero"`
}

// CreateApproval implements [store.Approvals].
func (s *Store) CreateApproval(ctx context.Context, a store.Approval) error {
	doc, err := json.Marshal(request{a.Requester, a.Resource, a.Verb, a.Action, a.Whole, a.Reason, a.Ticket, a.Message,
		a.Session, a.Client, a.Decision, a.Quorum, a.Facts})
	if err != nil {
		return fmt.Errorf("sqlite: create approval: %w", err)
	}
	n, err := count(ctx, s.db, `INSERT INTO approvals
		(id, kind, digest, state, issuer, requester, document, sealed, created, expires, changed, revision, escalated, uses, fingerprint, shape)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
		a.ID, a.Kind, a.Digest[:], a.State, a.Requester.Issuer, a.Requester.ID, string(doc), a.Sealed,
		micros(a.Created), micros(a.Expires), micros(a.Changed), micros(a.Escalated), a.Uses, a.Fingerprint, shape(&a))
	if err != nil {
		return fmt.Errorf("sqlite: create approval: %w", err)
	}
	if n == 0 {
		return fmt.Errorf("sqlite: create approval %s: %w", a.ID, store.ErrExists)
	}
	return nil
}

// shape is NULL for what is no grant: the index leaves it out.
func shape(a *store.Approval) any {
	if a.Shape == (access.Digest{}) {
		return nil
	}
	return a.Shape[:]
}

// A querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Approval implements [store.Approvals].
func (s *Store) Approval(ctx context.Context, id string) (store.Approval, error) {
	a, err := one(ctx, s.db, id)
	if err != nil {
		return store.Approval{}, fmt.Errorf("sqlite: approval %s: %w", id, err)
	}
	return a, nil
}

func one(ctx context.Context, q querier, id string) (store.Approval, error) {
	w := new(where)
	w.add("id = ?", id)
	all, err := approvals(ctx, q, w, 0)
	if err != nil {
		return store.Approval{}, err
	}
	if len(all) == 0 {
		return store.Approval{}, store.ErrNotFound
	}
	return all[0], nil
}

// Approvals implements [store.Approvals].
func (s *Store) Approvals(ctx context.Context, f store.ApprovalFilter) ([]store.Approval, error) {
	w := new(where)
	if len(f.States) > 0 {
		args := make([]any, len(f.States))
		for i, state := range f.States {
			args[i] = state
		}
		w.add("state IN (?"+strings.Repeat(", ?", len(args)-1)+")", args...)
	}
	if !f.AnyKind {
		w.add("kind = ?", f.Kind)
	}
	w.text("issuer", f.Issuer)
	w.text("requester", f.Requester)
	if f.Digest != nil {
		w.add("digest = ?", f.Digest[:])
	}
	if f.Shape != nil {
		w.add("shape = ?", f.Shape[:])
	}
	w.text("fingerprint", f.Fingerprint)
	w.text("json_extract(document, '$.resource.name')", f.Resource)
	if !f.Before.IsZero() {
		w.add("created < ?", micros(f.Before))
	}
	if !f.ExpiresBefore.IsZero() {
		w.add("expires <= ?", micros(f.ExpiresBefore))
	}
	all, err := approvals(ctx, s.db, w, f.Limit)
	if err != nil {
		return nil, fmt.Errorf("sqlite: approvals: %w", err)
	}
	return all, nil
}

func approvals(ctx context.Context, q querier, w *where, limit int) ([]store.Approval, error) {
	query := "SELECT id, kind, digest, state, document, sealed, created, expires, changed, revision, escalated, uses, fingerprint, shape FROM approvals" +
		w.sql() + " ORDER BY created DESC, id DESC" + w.limit(limit)
	rows, err := q.QueryContext(ctx, query, w.args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []store.Approval
	for rows.Next() {
		a, err := scanApproval(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	rows.Close()
	for i := range all {
		if all[i].Votes, err = votes(ctx, q, all[i].ID); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func scanApproval(rows *sql.Rows) (store.Approval, error) {
	var a store.Approval
	var digest, sealed, shape []byte
	var doc string
	var created, expires, changed, escalated int64
	if err := rows.Scan(&a.ID, &a.Kind, &digest, &a.State, &doc, &sealed, &created, &expires, &changed,
		&a.Revision, &escalated, &a.Uses, &a.Fingerprint, &shape); err != nil {
		return a, err
	}
	var r request
	if err := json.Unmarshal([]byte(doc), &r); err != nil {
		return a, err
	}
	if copy(a.Digest[:], digest) != len(a.Digest) {
		return a, errors.New("malformed digest")
	}
	if shape != nil && copy(a.Shape[:], shape) != len(a.Shape) {
		return a, errors.New("malformed shape")
	}
	a.Requester, a.Resource, a.Verb, a.Action, a.Reason = r.Requester, r.Resource, r.Verb, r.Action, r.Reason
	a.Session, a.Client, a.Decision, a.Quorum, a.Sealed = r.Session, r.Client, r.Decision, r.Quorum, sealed
	a.Whole, a.Ticket, a.Message, a.Facts = r.Whole, r.Ticket, r.Message, r.Facts
	a.Created, a.Expires, a.Changed, a.Escalated = fromMicros(created), fromMicros(expires), fromMicros(changed), fromMicros(escalated)
	return a, nil
}

func votes(ctx context.Context, q querier, id string) ([]store.Vote, error) {
	rows, err := q.QueryContext(ctx, "SELECT document FROM votes WHERE approval = ? ORDER BY place", id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []store.Vote
	for rows.Next() {
		var doc string
		var v store.Vote
		if err := rows.Scan(&doc); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(doc), &v); err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

// UpdateApproval implements [store.Approvals]. The transaction is immediate:
// nobody else writes between the load and the commit.
func (s *Store) UpdateApproval(ctx context.Context, id string, change func(*store.Approval) error) error {
	var dropped bool
	err := inTx(ctx, s.db, func(tx *sql.Tx) error {
		a, err := one(ctx, tx, id)
		if err != nil {
			return fmt.Errorf("sqlite: update approval %s: %w", id, err)
		}
		had := a.Sealed != nil
		if err := change(&a); err != nil {
			return err
		}
		dropped = had && a.Sealed == nil
		return writeBack(ctx, tx, &a)
	})
	if err == nil && dropped {
		// Best effort: the old bytes, encrypted anyway, leave the WAL as well.
		s.db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	}
	return err
}

func writeBack(ctx context.Context, tx *sql.Tx, a *store.Approval) error {
	if _, err := tx.ExecContext(ctx, `UPDATE approvals SET state = ?, changed = ?, expires = ?, escalated = ?, uses = ?, sealed = ?,
		revision = revision + 1 WHERE id = ?`, a.State, micros(a.Changed), micros(a.Expires), micros(a.Escalated), a.Uses, a.Sealed, a.ID); err != nil {
		return fmt.Errorf("sqlite: update approval: %w", err)
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM votes WHERE approval = ?", a.ID); err != nil {
		return fmt.Errorf("sqlite: update approval: %w", err)
	}
	for i := range a.Votes {
		doc, err := json.Marshal(&a.Votes[i])
		if err == nil {
			_, err = tx.ExecContext(ctx, "INSERT INTO votes (approval, place, document) VALUES (?, ?, ?)", a.ID, i, string(doc))
		}
		if err != nil {
			return fmt.Errorf("sqlite: update approval: %w", err)
		}
	}
	return nil
}
