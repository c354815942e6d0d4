package server

import (
	"context"
	"time"

	"sluice/access"
	"sluice/approval"
	"sluice/audit"
	"sluice/audit/search"
	"sluice/identity"
)

// history tells approvers what a session did, from the journal.
type history struct{ index *search.Index }

// Before implements [approval.History].
func (h history) Before(ctx context.Context, session string, then time.Time, n int) ([]approval.Past, error) {
	var all []approval.Past
	ended := map[string]*access.Outcome{} // by decision; newest first, an end is read before its beginning
	q := search.Query{Filter: audit.Filter{Session: session, Until: then}, Newest: true, Limit: 4 * n}
	err := h.index.Search(ctx, q, func(hit search.Hit) bool {
		e := &hit.Event
		switch e.Type {
		case access.ActionCompleted:
			ended[e.Ref] = e.Outcome
		case access.ActionDecided:
			if e.Action != nil && e.Decision != nil && e.Action.Op != ownOp {
				all = append(all, past(e, ended[e.ID]))
			}
		}
		return len(all) < n
	})
	return all, err
}

// ownOp is the operation of what the gateway itself asks on a session's connection.
const ownOp = "SLUICE"

// maxPast bounds in bytes the text of one past action.
const maxPast = 1 << 10

func past(e *access.Event, o *access.Outcome) approval.Past {
	p := approval.Past{Time: e.Time, ID: e.ID, Verb: e.Action.Verb.String(), Action: e.Action.Visible(), Effect: e.Decision.Effect.String()}
	if len(p.Action) > maxPast {
		p.Action = p.Action[:maxPast] + " ..."
	}
	if o != nil {
		p.Rows, p.Error = o.Rows, o.Error
	}
	return p
}

// rolls are the people that the directory knows.
type rolls struct{ directory *identity.Directory }

// Members implements [approval.Rolls].
func (r rolls) Members(group string) (all []access.Subject) {
	for _, s := range r.directory.Users() {
		if s.In(group) {
			all = append(all, s)
		}
	}
	return all
}

// reportDelivery says in log and metrics how a channel does.
func (s *Server) reportDelivery(r approval.Report) {
	result := "ok"
	switch {
	case r.Final:
		result = "failed"
	case r.Err != nil:
		result = "retried"
	}
	s.metrics.delivered.WithLabelValues(r.Channel, result).Inc()
	if r.Err != nil {
		s.log.Warn("a channel was not reached", "channel", r.Channel, "request", r.Request, "kind", r.Kind,
			"attempt", r.Attempt, "given up", r.Final, "error", r.Err)
	}
}
