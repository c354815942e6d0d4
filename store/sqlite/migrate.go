package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
)

// migrate brings db to the newest schema. Files are named NNNN_what.sql and
// numbered from 1 without gaps.
func migrate(ctx context.Context, db *sql.DB, schema fs.FS) error {
	files, err := fs.Glob(schema, "*/*.sql")
	if err != nil {
		return err
	}
	slices.Sort(files)
	if _, err := db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)"); err != nil {
		return err
	}
	return inTx(ctx, db, func(tx *sql.Tx) error {
		var have int
		if err := tx.QueryRowContext(ctx, "SELECT COALESCE(MAX(version), 0) FROM schema_version").Scan(&have); err != nil {
			return err
		}
		if have > len(files) {
			return fmt.Errorf("schema %d is newer than this program, which knows %d", have, len(files))
		}
		for i, name := range files[have:] {
			if err := apply(ctx, tx, schema, name, have+i+1); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	})
}

func apply(ctx context.Context, tx *sql.Tx, schema fs.FS, name string, version int) error {
	if n, err := strconv.Atoi(path.Base(name)[:4]); err != nil || n != version {
		return fmt.Errorf("should be number %04d", version)
	}
	text, err := fs.ReadFile(schema, name)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, string(text)); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO schema_version (version) VALUES (?)", version)
	return err
}
