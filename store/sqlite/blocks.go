package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"sluice/store"
)

// PutBlocks implements [store.Blocks].
func (s *Store) PutBlocks(ctx context.Context, blocks []store.Block) error {
	err := inTx(ctx, s.index, func(tx *sql.Tx) error {
		for i := range blocks {
			b := &blocks[i]
			if _, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO blocks
				(log, first, last, segment, place, min_time, max_time, tags) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
				b.Log, int64(b.First), int64(b.Last), int64(b.Segment), b.Offset, micros(b.MinTime), micros(b.MaxTime), blob(b.Tags)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("sqlite: put blocks: %w", err)
	}
	return nil
}

// Blocks implements [store.Blocks].
func (s *Store) Blocks(ctx context.Context, f store.BlockFilter) ([]store.Block, error) {
	w := new(where)
	w.text("log", f.Log)
	if !f.Since.IsZero() {
		w.add("max_time >= ?", micros(f.Since))
	}
	if !f.Until.IsZero() {
		w.add("min_time < ?", micros(f.Until))
	}
	if f.After > 0 {
		w.add("first > ?", int64(f.After))
	}
	if f.Before > 0 {
		w.add("first < ?", int64(f.Before))
	}
	order := " ORDER BY log, first"
	if f.Newest {
		order = " ORDER BY log DESC, first DESC"
	}
	query := "SELECT log, first, last, segment, place, min_time, max_time, tags FROM blocks" + w.sql() + order + w.limit(f.Limit)
	rows, err := s.index.QueryContext(ctx, query, w.args...)
	if err != nil {
		return nil, fmt.Errorf("sqlite: blocks: %w", err)
	}
	defer rows.Close()
	var all []store.Block
	for rows.Next() {
		var b store.Block
		var first, last, segment, minTime, maxTime int64
		if err := rows.Scan(&b.Log, &first, &last, &segment, &b.Offset, &minTime, &maxTime, &b.Tags); err != nil {
			return nil, fmt.Errorf("sqlite: blocks: %w", err)
		}
		b.First, b.Last, b.Segment = uint64(first), uint64(last), uint64(segment)
		b.MinTime, b.MaxTime = fromMicros(minTime), fromMicros(maxTime)
		all = append(all, b)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("sqlite: blocks: %w", err)
	}
	return all, nil
}

// DropBlocks implements [store.Blocks].
func (s *Store) DropBlocks(ctx context.Context, log string) error {
	if _, err := s.index.ExecContext(ctx, "DELETE FROM blocks WHERE log = ?", log); err != nil {
		return fmt.Errorf("sqlite: drop blocks: %w", err)
	}
	return nil
}
