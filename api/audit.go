package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/access"
)

const defaultEvents = 100

// filter reads the query.
func (c *call) filter() (AuditFilter, error) {
	q := c.URL.Query()
	f := AuditFilter{
		Subject: q.Get("subject"), Resource: q.Get("resource"), Session: q.Get("session"), Type: q.Get("type"), Verb: q.Get("verb"),
		Effect: q.Get("effect"), Rule: q.Get("rule"), Object: q.Get("object"), Text: q.Get("text"), ID: q.Get("id"), Ref: q.Get("ref"),
		Request: q.Get("request"),
		Newest:  q.Get("order") != "oldest", Limit: defaultEvents,
	}
	var err error
	if f.Since, err = c.moment(q, "since"); err != nil {
		return f, err
	}
	if f.Until, err = c.moment(q, "until"); err != nil {
		return f, err
	}
	if s := q.Get("limit"); s != "" {
		if f.Limit, err = strconv.Atoi(s); err != nil || f.Limit < 0 {
			return f, Errorf(ErrInvalid, "limit must be a number; 0 means all")
		}
	}
	if err := known(f); err != nil {
		return f, err
	}
	if me := c.caller.Subject.ID; !c.caller.SeesAll() && f.Subject != me {
		if f.Subject != "" {
			return f, WithHint(Errorf(ErrForbidden, "only administrators and auditors search the events of others"), "leave the subject out to see your own")
		}
		f.Subject = me
	}
	if !c.caller.SeesAll() {
		f.Issuer = c.caller.Subject.Issuer
		if f.Effect == "monitor" {
			return f, Errorf(ErrForbidden, "only administrators and auditors see what rules in monitor mode would have done")
		}
	}
	return f, nil
}

// known refuses words that no event has: who searches for a typo would take
// nothing for an answer.
func known(f AuditFilter) error {
	if _, ok := access.ParseVerb(f.Verb); !ok && f.Verb != "" {
		return WithHint(Errorf(ErrInvalid, "there is no verb %q", clip(f.Verb, 40)), "docs/verbs.md lists them: select, delete, ...")
	}
	if !slices.Contains([]string{"", "allow", "deny", "require_approval", "mask", "monitor"}, f.Effect) {
		return Errorf(ErrInvalid, "effect %q is none of allow, deny, require_approval, mask, monitor", clip(f.Effect, 40))
	}
	group, ok := strings.CutSuffix(f.Type, "*")
	for _, t := range append(access.EventTypes(), "audit.erased") {
		if f.Type == "" || string(t) == f.Type || ok && strings.HasPrefix(string(t), group) {
			return nil
		}
	}
	return WithHint(Errorf(ErrInvalid, "there is no type of event %q", clip(f.Type, 40)), "such as action.decided, approval.*, session.opened")
}

// moment reads a time, or how long ago.
func (c *call) moment(q url.Values, name string) (time.Time, error) {
	s := q.Get(name)
	if s == "" {
		return time.Time{}, nil
	}
	t, err := ParseMoment(s, c.api.Now())
	if err != nil {
		return t, Errorf(ErrInvalid, "%s: %s", name, err)
	}
	return t, nil
}

// ParseMoment reads a time in RFC 3339, a date, or how long before now: 15m, 12h, 7d.
func ParseMoment(s string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, time.DateTime, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n < 100_000 {
			return now.AddDate(0, 0, -n), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, errors.New("want a time like 2026-01-31T12:00:00Z or how long ago, like 15m or 7d")
}

// admits is the last word on whether the caller sees an event.
func (c *call) admits(e *access.Event) bool { return c.sees(e.Subject) }

// search enters one of the few places for scans, of which a caller has fewer.
func (c *call) search() (leave func(), err error) {
	mine, err := c.api.seekers.enter(c.Context(), c.caller.key())
	if err != nil {
		return nil, err
	}
	select {
	case c.api.searches <- struct{}{}:
		return func() { <-c.api.searches; mine() }, nil
	case <-c.Context().Done():
		mine()
		return nil, c.Context().Err()
	}
}

// shown is an event as the caller may read it: the people whose action it was
// learn what was decided and by which rules, not where those stand, what they
// looked at, and what others would have said. [Explain] draws the same line.
func (c *call) shown(raw []byte) ([]byte, error) {
	if c.caller.SeesAll() {
		return raw, nil
	}
	var event, decision map[string]json.RawMessage
	if err := json.Unmarshal(raw, &event); err != nil {
		return nil, fmt.Errorf("api: event: %w", err)
	}
	if event["decision"] == nil {
		return raw, nil
	}
	var reasons []access.Reason
	err := json.Unmarshal(event["decision"], &decision)
	if err == nil && decision["reasons"] != nil {
		err = json.Unmarshal(decision["reasons"], &reasons)
	}
	if err != nil {
		return nil, fmt.Errorf("api: event: %w", err)
	}
	kept := []access.Reason{}
	for _, r := range reasons {
		if !r.Lost {
			kept = append(kept, access.Reason{Policy: r.Policy, Rule: r.Rule, Effect: r.Effect, Message: r.Message})
		}
	}
	delete(decision, "would")
	delete(decision, "policy")
	decision["mode"] = json.RawMessage(`"enforce"`)
	if decision["reasons"], err = json.Marshal(kept); err == nil {
		event["decision"], err = json.Marshal(decision)
	}
	if err != nil {
		return nil, fmt.Errorf("api: event: %w", err)
	}
	return json.Marshal(event)
}

func (a *API) searchAudit(c *call) error {
	f, err := c.filter()
	if err != nil {
		return err
	}
	leave, err := c.search()
	if err != nil {
		return err
	}
	defer leave()
	if c.caller.SeesAll() {
		if err := c.looked("search", map[string]any{"query": clip(c.URL.RawQuery, 1000)}); err != nil {
			return err
		}
	}
	out := c.lines()
	err = a.Audit.Search(c.Context(), f, func(raw []byte, e *access.Event) error {
		if !c.admits(e) {
			return nil
		}
		raw, err := c.shown(raw)
		return errors.Join(err, out.line(raw))
	})
	return errors.Join(err, out.Flush())
}

func (a *API) tailAudit(c *call) error {
	f, err := c.filter()
	if err != nil {
		return err
	}
	if c.caller.SeesAll() {
		if err := c.looked("tail", map[string]any{"query": clip(c.URL.RawQuery, 1000)}); err != nil {
			return err
		}
	}
	out := c.lines()
	control := http.NewResponseController(c.w)
	// Quiet hours are not a stalled client: the deadline is set for each line.
	if err := errors.Join(control.SetReadDeadline(time.Time{}), control.SetWriteDeadline(time.Time{}), control.Flush()); err != nil {
		return err
	}
	err = a.Audit.Tail(c.Context(), f, func(raw []byte, e *access.Event) error {
		if !c.admits(e) {
			return nil
		}
		raw, err := c.shown(raw)
		if err = errors.Join(err, out.line(raw), out.Flush()); err != nil {
			return err
		}
		return errors.Join(control.Flush(), control.SetWriteDeadline(time.Time{}))
	})
	if c.Context().Err() != nil {
		return nil
	}
	return err
}

// A liner writes JSON lines.
type liner struct{ *bufio.Writer }

func (c *call) lines() liner {
	c.w.Header().Set("Content-Type", ndjson)
	c.begun = true
	return liner{bufio.NewWriterSize(&patient{c: c, w: c.w}, 32<<10)}
}

func (l liner) line(raw []byte) error {
	if _, err := l.Write(raw); err != nil {
		return dropped(err)
	}
	return dropped(l.WriteByte('\n'))
}

func (a *API) auditCheckpoint(c *call) error {
	p, err := a.Audit.Checkpoint(c.Context())
	if err != nil {
		return err
	}
	return c.answer(p)
}

func (a *API) auditKey(c *call) error {
	p, err := a.Audit.Checkpoint(c.Context())
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err = c.w.Write([]byte(p.Key + "\n"))
	return dropped(err)
}

func (a *API) verifyAudit(c *call) error {
	if !c.caller.SeesAll() {
		return Errorf(ErrForbidden, "only administrators and auditors verify the journal")
	}
	leave, err := c.search()
	if err != nil {
		return err
	}
	defer leave()
	if err := http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(10 * time.Minute)); err != nil {
		return err
	}
	report, err := a.Audit.Verify(c.Context())
	if err != nil {
		return err
	}
	report.Problems = filled(report.Problems)
	return c.answer(report)
}

func (a *API) explainDecision(c *call) error {
	id := c.PathValue("id")
	missing := WithHint(Errorf(ErrNotFound, "no decision %s", clip(id, 100)), "sluice audit search --type action.decided lists decisions")
	leave, err := c.search()
	if err != nil {
		return err
	}
	defer leave()
	var found *access.Event
	err = a.Audit.Search(c.Context(), AuditFilter{ID: id, Limit: 1}, func(_ []byte, e *access.Event) error {
		found = e
		return nil
	})
	if err != nil {
		return err
	}
	if found == nil || found.Type != access.ActionDecided || !c.admits(found) {
		return missing
	}
	if !c.caller.Owns(found.Subject) {
		if err := c.looked("decision", map[string]any{"decision": id}); err != nil {
			return err
		}
	}
	related, err := a.related(c.Context(), found)
	if err != nil {
		return err
	}
	return c.answer(Explain(found, related, c.caller.SeesAll()))
}

// related finds what happened because of a decision: approval and outcome.
func (a *API) related(ctx context.Context, decided *access.Event) ([]*access.Event, error) {
	var all []*access.Event
	f := AuditFilter{Ref: decided.ID, Session: decided.Session, Since: decided.Time.Add(-time.Second), Limit: 100}
	err := a.Audit.Search(ctx, f, func(_ []byte, e *access.Event) error {
		all = append(all, e)
		return nil
	})
	return all, err
}

func sessionError(err error, id string) error {
	switch {
	case errors.Is(err, ErrNotFound):
		return WithHint(Errorf(ErrNotFound, "no session %s, or nothing of it was recorded", clip(id, 100)), "sluice session ls --all lists sessions")
	case errors.Is(err, ErrConflict):
		return Errorf(ErrConflict, "session %s has already ended", clip(id, 100))
	}
	return err
}
