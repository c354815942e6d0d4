package postgres

import (
	"context"

	"sluice/protocol"
	"sluice/query/catalog"
)

// Snapshot returns the catalog of a target's database, as sessions there have
// it. It is for questions about what would be decided.
func (srv *Server) Snapshot(ctx context.Context, t protocol.Target) (*catalog.Snapshot, error) {
	srv.setup()
	l := srv.catalogs.acquire(t)
	defer l.release()
	return l.Ready(ctx)
}
