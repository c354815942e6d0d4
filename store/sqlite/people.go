package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"sluice/store"
)

// PutPerson implements [store.People].
func (s *Store) PutPerson(ctx context.Context, p store.Person) error {
	document, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("sqlite: put person: %w", err)
	}
	err = inTx(ctx, s.db, func(tx *sql.Tx) error { return putPerson(ctx, tx, p, string(document)) })
	if err != nil {
		return fmt.Errorf("sqlite: put person %s: %w", p.Name, err)
	}
	return nil
}

func putPerson(ctx context.Context, tx *sql.Tx, p store.Person, document string) error {
	var issuer, subject string
	err := tx.QueryRowContext(ctx, "SELECT issuer, subject FROM people WHERE name = ?", p.Name).Scan(&issuer, &subject)
	switch {
	case err != nil && !errors.Is(err, sql.ErrNoRows):
		return err
	case err == nil && (issuer != p.Issuer || subject != p.Subject):
		return store.ErrExists
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO people (name, issuer, subject, document) VALUES (?, ?, ?, ?)
		ON CONFLICT (issuer, subject) DO UPDATE SET name = excluded.name, document = excluded.document`,
		p.Name, p.Issuer, p.Subject, document)
	return err
}

// People implements [store.People].
func (s *Store) People(ctx context.Context) ([]store.Person, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT document FROM people ORDER BY name")
	if err != nil {
		return nil, fmt.Errorf("sqlite: people: %w", err)
	}
	defer rows.Close()
	var all []store.Person
	for rows.Next() {
		var document string
		var p store.Person
		err := rows.Scan(&document)
		if err == nil {
			err = json.Unmarshal([]byte(document), &p)
		}
		if err != nil {
			return nil, fmt.Errorf("sqlite: people: %w", err)
		}
		all = append(all, p)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("sqlite: people: %w", err)
	}
	return all, nil
}
