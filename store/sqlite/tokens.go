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

const tokenColumns = `id, issuer, user_id, hash, salt, rounds, stored_key, server_key, note, created, expires, revoked,
	authenticated, actors, scope, provider, until, checked, sealed`

// PutToken implements [store.Tokens].
func (s *Store) PutToken(ctx context.Context, t store.Token) error {
	actors, scope, err := lists(t)
	if err != nil {
		return fmt.Errorf("sqlite: put token: %w", err)
	}
	n, err := count(ctx, s.db, `INSERT INTO tokens
		(`+tokenColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
		t.ID, t.Issuer, t.User, blob(t.Hash), blob(t.Salt), t.Rounds, blob(t.StoredKey), blob(t.ServerKey), t.Note,
		micros(t.Created), micros(t.Expires), micros(t.Revoked),
		micros(t.Authenticated), actors, scope, t.Provider, micros(t.Until), micros(t.Checked), t.Sealed)
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
	rows, err := s.db.QueryContext(ctx, "SELECT "+tokenColumns+" FROM tokens"+w.sql()+" ORDER BY created DESC, id", w.args...)
	if err != nil {
		return nil, fmt.Errorf("sqlite: tokens: %w", err)
	}
	defer rows.Close()
	var all []store.Token
	for rows.Next() {
		t, err := scanToken(rows)
		if err != nil {
			return nil, fmt.Errorf("sqlite: tokens: %w", err)
		}
		all = append(all, t)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("sqlite: tokens: %w", err)
	}
	return all, nil
}

func scanToken(rows *sql.Rows) (store.Token, error) {
	var t store.Token
	var created, expires, revoked, authenticated, until, checked int64
	var actors, scope string
	err := rows.Scan(&t.ID, &t.Issuer, &t.User, &t.Hash, &t.Salt, &t.Rounds, &t.StoredKey, &t.ServerKey, &t.Note, &created, &expires, &revoked,
		&authenticated, &actors, &scope, &t.Provider, &until, &checked, &t.Sealed)
	if err != nil {
		return t, err
	}
	t.Created, t.Expires, t.Revoked = fromMicros(created), fromMicros(expires), fromMicros(revoked)
	t.Authenticated, t.Until, t.Checked = fromMicros(authenticated), fromMicros(until), fromMicros(checked)
	return t, errors.Join(unlist(actors, &t.Actors), unlist(scope, &t.Scope))
}

// lists spells a token's lists as JSON; an empty one as nothing.
func lists(t store.Token) (actors, scope string, err error) {
	if actors, err = list(t.Actors); err != nil {
		return "", "", err
	}
	scope, err = list(t.Scope)
	return actors, scope, err
}

func list[T any](all []T) (string, error) {
	if len(all) == 0 {
		return "", nil
	}
	b, err := json.Marshal(all)
	return string(b), err
}

func unlist[T any](text string, all *[]T) error {
	if text == "" {
		return nil
	}
	return json.Unmarshal([]byte(text), all)
}

// RenewToken implements [store.Tokens].
func (s *Store) RenewToken(ctx context.Context, t store.Token) error {
	n, err := count(ctx, s.db, "UPDATE tokens SET expires = ?, checked = ?, sealed = ?, authenticated = ?, until = ? WHERE id = ? AND revoked = 0",
		micros(t.Expires), micros(t.Checked), t.Sealed, micros(t.Authenticated), micros(t.Until), t.ID)
	if err == nil && n == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("sqlite: renew token %s: %w", t.ID, err)
	}
	return nil
}

// RevokeTokens implements [store.Tokens]. Tokens revoked before stay as they
// are; a provider's refresh token is forgotten.
func (s *Store) RevokeTokens(ctx context.Context, f store.TokenFilter, at time.Time) (int, error) {
	w := tokenWhere(f)
	w.add("revoked = 0")
	n, err := count(ctx, s.db, "UPDATE tokens SET sealed = NULL, revoked = ?"+w.sql(), append([]any{micros(at)}, w.args...)...)
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
