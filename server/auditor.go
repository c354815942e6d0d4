package server

import (
	"context"
	"errors"
	"os"

	"sluice/access"
	"sluice/api"
	v1 "sluice/api/v1"
	"sluice/audit"
	"sluice/audit/journal"
	"sluice/audit/search"
	"sluice/pipeline"
)

// An auditor gives the API its view of the journal.
type auditor struct {
	journal *journal.Journal
	index   *search.Index
	append  pipeline.Journal // counts what is appended
}

// filter puts a search into the journal's words. An action that needed people's
// agreement is recorded when they are asked, and again with what came of it:
// looking for require_approval finds the asking.
func filter(f api.AuditFilter) audit.Filter {
	if f.Effect == access.RequireApproval.String() && f.Type == "" {
		f.Effect, f.Type = "", string(access.ApprovalRequested)
	}
	return audit.Filter{Since: f.Since, Until: f.Until, Subject: f.Subject, Issuer: f.Issuer, Resource: f.Resource, Session: f.Session, Type: f.Type,
		Verb: f.Verb, Effect: f.Effect, Rule: f.Rule, Object: f.Object, Text: f.Text, ID: f.ID, Ref: f.Ref, Request: f.Request}
}

func (a auditor) Search(ctx context.Context, f api.AuditFilter, yield func([]byte, *access.Event) error) error {
	if _, err := filter(f).Prepare(); err != nil {
		return api.Errorf(api.ErrInvalid, "%s", err)
	}
	var stopped error
	err := a.index.Search(ctx, search.Query{Filter: filter(f), Newest: f.Newest, Limit: f.Limit}, func(h search.Hit) bool {
		stopped = yield(h.JSON, &h.Event)
		return stopped == nil
	})
	return errors.Join(stopped, err)
}

func (a auditor) Tail(ctx context.Context, f api.AuditFilter, yield func([]byte, *access.Event) error) error {
	m, err := filter(f).Prepare()
	if err != nil {
		return api.Errorf(api.ErrInvalid, "%s", err)
	}
	r, err := a.journal.Log().ReadSeq(ctx, a.journal.Durable()+1)
	if err != nil {
		return err
	}
	defer r.Close()
	var stopped error
	err = r.Follow(ctx, func(rec audit.Record) bool {
		if !m.May(&rec) {
			return true
		}
		e, err := rec.Event()
		if err != nil || !m.Match(&e) {
			return true
		}
		stopped = yield(rec.JSON, &e)
		return stopped == nil
	})
	return errors.Join(stopped, err)
}

func (a auditor) Record(ctx context.Context, e *access.Event) error {
	mark, err := a.append.Append(e)
	if err != nil {
		return err
	}
	return a.append.Wait(ctx, mark)
}

func (a auditor) Checkpoint(context.Context) (v1.Checkpoint, error) {
	p := v1.Checkpoint{Key: a.journal.Key(), Note: string(a.journal.Checkpoint())}
	return p, nil
}

func (a auditor) Verify(ctx context.Context) (v1.Report, error) {
	return verify(ctx, os.DirFS(a.journal.Dir()), a.journal.Key())
}
