package sqlite

import (
	"context"
	"fmt"
	"time"

	"sluice/store"
)

// PutToken implements [store.Tokens].
func (s *Store) PutToken(ctx context.Context, t store.Token) error {
	n, err := count(ctx, s.db, `INSERT INTO tokens
		(id, issuer, user_id, hash, salt, rounds, stored_key, server_key, note, created, expires, revoked)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
		t.ID, t.Issuer, t.User, blob(t.Hash), blob(t.Salt), t.Rounds, blob(t.StoredKey), blob(t.ServerKey), t.Note,
		micros(t.Created), micros(t.Expires), micros(t.Revoked))
	if err != nil {
		return fmt.Errorf("sqlite: put token: %w", err)
	}
	if n == 0 {
		return fmt.Errorf("sqlite: put token %s: %w", t.ID, store.ErrExists)
	}
	return nil
}

// blob keeps an empty value from becoming NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func tokenWhere(f store.TokenFilter) *where {
	w := new(where)
	w.text("id", f.ID)
	w.text("issuer", f.Issuer)
	w.text("user_id", f.User)
	if !f.LiveAt.IsZero() {
		w.add("revoked = 0 AND (expires = 0 OR expires > ?)", micros(f.LiveAt))
	}
	return w
}

// Tokens implements [store.Tokens].
func (s *Store) Tokens(ctx context.Context, f store.TokenFilter) ([]store.Token, error) {
	w := tokenWhere(f)
	rows, err := s.db.QueryContext(ctx, `SELECT id, issuer, user_id, hash, salt, rounds, stored_key, server_key, note,
		created, expires, revoked FROM tokens`+w.sql()+" ORDER BY created DESC, id", w.args...)
	if err != nil {
		return nil, fmt.Errorf("sqlite: tokens: %w", err)
	}
	defer rows.Close()
	var all []store.Token
	for rows.Next() {
		var t store.Token
		var created, expires, revoked int64
		if err := rows.Scan(&t.ID, &t.Issuer, &t.User, &t.Hash, &t.Salt, &t.Rounds, &t.StoredKey, &t.ServerKey, &t.Note,
			&created, &expires, &revoked); err != nil {
			return nil, fmt.Errorf("sqlite: tokens: %w", err)
		}
		t.Created, t.Expires, t.Revoked = fromMicros(created), fromMicros(expires), fromMicros(revoked)
		all = append(all, t)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("sqlite: tokens: %w", err)
	}
	return all, nil
}

// RevokeTokens implements [store.Tokens]. Tokens revoked before stay as they are.
func (s *Store) RevokeTokens(ctx context.Context, f store.TokenFilter, at time.Time) (int, error) {
	w := tokenWhere(f)
	w.add("revoked = 0")
	n, err := count(ctx, s.db, "UPDATE tokens SET revoked = ?"+w.sql(), append([]any{micros(at)}, w.args...)...)
	if err != nil {
		return 0, fmt.Errorf("sqlite: revoke tokens: %w", err)
	}
	return n, nil
}

// PurgeTokens implements [store.Tokens].
func (s *Store) PurgeTokens(ctx context.Context, before time.Time) (int, error) {
	n, err := count(ctx, s.db, "DELETE FROM tokens WHERE expires <> 0 AND expires < ?", micros(before))
	if err != nil {
		return 0, fmt.Errorf("sqlite: purge tokens: %w", err)
	}
	return n, nil
}
