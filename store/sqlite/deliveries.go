package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"sluice/store"
)

// undelivered finds the request that has waited longest for a channel to be told.
const undelivered = `SELECT a.id, COALESCE(d.told, 0), COALESCE(d.ref, ''), COALESCE(d.attempts, 0), COALESCE(d.remind, 0), COALESCE(d.escalated, 0)
	FROM approvals a LEFT JOIN deliveries d ON d.approval = a.id AND d.channel = ?
	WHERE a.changed >= ? AND COALESCE(d.due, 0) <= ?
		AND (a.revision > COALESCE(d.told, 0) OR a.state = 'pending' AND d.remind > 0 AND d.remind <= ?)
	ORDER BY a.changed, a.id LIMIT 1`

// ClaimDelivery implements [store.Deliveries].
func (s *Store) ClaimDelivery(ctx context.Context, channel string, now, until, since time.Time) (store.Delivery, error) {
	// Looked at without a lock first: mostly there is nothing to do.
	d, err := next(ctx, s.db, channel, now, since)
	if err == nil {
		err = inTx(ctx, s.db, func(tx *sql.Tx) error {
			if d, err = next(ctx, tx, channel, now, since); err != nil {
				return err
			}
			d.Due = until
			return save(ctx, tx, d)
		})
	}
	if err != nil {
		return store.Delivery{}, fmt.Errorf("sqlite: claim delivery: %w", err)
	}
	return d, nil
}

type rower interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func next(ctx context.Context, q rower, channel string, now, since time.Time) (store.Delivery, error) {
	d := store.Delivery{Channel: channel}
	var remind int64
	err := q.QueryRowContext(ctx, undelivered, channel, micros(since), micros(now), micros(now)).
		Scan(&d.Approval, &d.Told, &d.Ref, &d.Attempts, &remind, &d.Escalated)
	d.Remind = fromMicros(remind)
	if errors.Is(err, sql.ErrNoRows) {
		err = store.ErrNotFound
	}
	return d, err
}

// SaveDelivery implements [store.Deliveries].
func (s *Store) SaveDelivery(ctx context.Context, d store.Delivery) error {
	if err := save(ctx, s.db, d); err != nil {
		return fmt.Errorf("sqlite: save delivery: %w", err)
	}
	return nil
}

type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

func save(ctx context.Context, e execer, d store.Delivery) error {
	_, err := e.ExecContext(ctx, `INSERT OR REPLACE INTO deliveries (channel, approval, told, ref, attempts, due, remind, escalated)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, d.Channel, d.Approval, d.Told, d.Ref, d.Attempts, micros(d.Due), micros(d.Remind), d.Escalated)
	return err
}
