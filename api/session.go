package api

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"sluice/access"
	v1 "sluice/api/v1"
)

func (a *API) listSessions(c *call) error {
	list, err := a.Sessions.List(c.Context(), c.flag("all"), c.sees)
	if err != nil {
		return err
	}
	return c.answer(filled(list))
}

// sees reports whether the caller may see what s did.
func (c *call) sees(s *access.Subject) bool { return c.caller.SeesAll() || c.caller.Owns(s) }

// session finds one that the caller may see.
func (c *call) session() (v1.Session, access.Subject, error) {
	id := c.PathValue("id")
	s, owner, err := c.api.Sessions.Get(c.Context(), id)
	if err == nil && !c.sees(&owner) {
		err = ErrNotFound
	}
	if err != nil {
		return s, owner, sessionError(err, id)
	}
	return s, owner, nil
}

func (a *API) showSession(c *call) error {
	s, _, err := c.session()
	if err != nil {
		return err
	}
	return c.answer(s)
}

func (a *API) killSession(c *call) error {
	s, owner, err := c.session()
	if err != nil {
		return err
	}
	if !c.caller.Admin && !c.caller.Owns(&owner) {
		return Errorf(ErrForbidden, "only administrators end sessions of others")
	}
	if err := a.Sessions.Kill(c.Context(), s.ID, c.caller.Subject); err != nil {
		return sessionError(err, s.ID)
	}
	s.Live = false
	return c.answer(s)
}

// sessionRecording sends a recording. That somebody else looked at it is
// durable before the first byte leaves.
func (a *API) sessionRecording(c *call) error {
	s, owner, err := c.session()
	if err != nil {
		return err
	}
	content, err := a.Sessions.Recording(c.Context(), s.ID)
	if err != nil {
		return sessionError(err, s.ID)
	}
	defer content.Close()
	if !c.caller.Owns(&owner) {
		if err := c.looked("recording", map[string]any{"session": s.ID, "of": s.Subject}); err != nil {
			return err
		}
	}
	c.w.Header().Set("Content-Type", c.route.media)
	c.w.Header().Set("Content-Disposition", "attachment")
	c.begun = true
	_, err = io.Copy(&patient{c: c, w: c.w}, content)
	return dropped(err)
}

// looked records that the caller reads what belongs to others.
func (c *call) looked(what string, extra map[string]any) error {
	e := c.event(access.AuditRead)
	e.Extra = map[string]any{"what": what}
	for k, v := range extra {
		e.Extra[k] = v
	}
	if err := c.api.Audit.Record(c.Context(), e); err != nil {
		return fmt.Errorf("api: record that audit was read: %w", err)
	}
	return nil
}

// patient moves the write deadline ahead with every write: a long answer may
// take long, but a client that stops reading may not.
type patient struct {
	c *call
	w io.Writer
}

func (p *patient) Write(b []byte) (int, error) {
	if err := p.c.extend(); err != nil {
		return 0, err
	}
	return p.w.Write(b)
}

func (c *call) extend() error {
	err := http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(writeTimeout))
	if err != nil {
		return fmt.Errorf("api: write deadline: %w", err)
	}
	return nil
}
