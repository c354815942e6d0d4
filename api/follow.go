package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	v1 "sluice/api/v1"
)

// Waiting for people, by long poll and by server-sent events (WHATWG HTML, 9.2).
//
// A stream lasts until its client leaves, or streamFor: the browser then comes
// again by itself. Who it belongs to is proven again now and then, so that a
// session that ended, or a group that was left, ends what is seen.
const (
	eventStream = "text/event-stream"
	waitMost    = 50 * time.Second // of a long poll: below writeTimeout
	lookAgain   = 2 * time.Second  // another node may have the news
	pause       = 100 * time.Millisecond
	heartbeat   = 15 * time.Second // and how often the credential is checked
	streamFor   = 15 * time.Minute
	writeEach   = 20 * time.Second // for one event
)

// waitRequest answers when a request is settled.
func (a *API) waitRequest(c *call) error {
	if wantsStream(c.Request) {
		return a.followRequest(c)
	}
	timeout := waitMost
	if text := c.URL.Query().Get("timeout"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return Errorf(ErrInvalid, "timeout %q is not a duration like 30s", clip(text, 40))
		}
		timeout = min(d, waitMost)
	}
	ctx, cancel := context.WithTimeout(c.Context(), timeout)
	defer cancel()
	for {
		news := a.Approvals.News()
		r, err := a.Approvals.Look(c.Context(), &c.caller, c.PathValue("id"))
		if err != nil {
			return err
		}
		if r.State != "pending" || !a.await(ctx, news) {
			if err := c.overlooked("request", map[string]any{"request": r.ID}, r); err != nil {
				return err
			}
			return c.answer(r)
		}
	}
}

// await returns true when there may be news, false when ctx ends.
func (a *API) await(ctx context.Context, news <-chan struct{}) bool {
	t := time.NewTimer(lookAgain)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-news:
	case <-t.C:
		return true
	}
	// Several changes often come together.
	select {
	case <-ctx.Done():
		return false
	case <-time.After(pause):
		return true
	}
}

// followRequest streams one request until it is settled.
func (a *API) followRequest(c *call) error {
	id := c.PathValue("id")
	return a.follow(c, func(known map[string]string) ([]v1.Request, bool, error) {
		r, err := a.Approvals.Look(c.Context(), &c.caller, id)
		if err != nil {
			return nil, false, err
		}
		if known[id] == stand(&r) {
			return nil, false, nil
		}
		known[id] = stand(&r)
		return []v1.Request{r}, r.State != "pending", nil
	})
}

// followRequests streams every pending request that the caller may see, and
// once more when it is settled.
func (a *API) followRequests(c *call) error {
	return a.follow(c, func(known map[string]string) ([]v1.Request, bool, error) {
		list, err := a.Approvals.List(c.Context(), &c.caller, RequestFilter{State: "pending"})
		if err != nil {
			return nil, false, err
		}
		news := differences(known, list)
		for id := range known {
			if has(list, id) {
				continue
			}
			delete(known, id)
			r, err := a.Approvals.Look(c.Context(), &c.caller, id)
			switch {
			case err == nil:
				news = append(news, r)
			case !errors.Is(err, ErrNotFound): // not theirs to see any more
				return nil, false, err
			}
		}
		return news, false, nil
	})
}

// stand changes whenever a request does.
func stand(r *v1.Request) string {
	return fmt.Sprint(r.State, len(r.Votes), r.Changed.UnixMicro(), r.MayVote)
}

// differences returns the requests that are not known as they are, oldest first,
// and notes them.
func differences(known map[string]string, list []v1.Request) (news []v1.Request) {
	for i := len(list) - 1; i >= 0; i-- {
		r := &list[i]
		if known[r.ID] != stand(r) {
			known[r.ID] = stand(r)
			news = append(news, *r)
		}
	}
	return news
}

func has(list []v1.Request, id string) bool {
	for i := range list {
		if list[i].ID == id {
			return true
		}
	}
	return false
}

// follow sends what look finds, again and again. look keeps in known what was
// sent, and says whether that was the last. What goes wrong before the first
// event is answered as any error is.
func (a *API) follow(c *call, look func(known map[string]string) ([]v1.Request, bool, error)) error {
	ctx, cancel := context.WithTimeout(c.Context(), streamFor)
	defer cancel()
	known := map[string]string{}
	proven := a.Now()
	for {
		news := a.Approvals.News()
		found, last, err := look(known)
		if err != nil {
			return err
		}
		if err := c.overlooked("requests", map[string]any{"query": c.URL.Path}, found...); err != nil {
			return err
		}
		if err := c.events(found); err != nil {
			return err
		}
		if last || !a.await(ctx, news) {
			return nil
		}
		if a.Now().Sub(proven) < heartbeat {
			continue
		}
		if c.caller, err = a.authenticate(c.Request); err != nil {
			return nil // the client comes again, and is told
		}
		proven = a.Now()
		if err := c.send(": still here\n\n"); err != nil {
			return err
		}
	}
}

// events sends requests as events named request.
func (c *call) events(all []v1.Request) error {
	if !c.begun {
		c.w.Header().Set("Content-Type", eventStream)
		c.w.Header().Set("X-Accel-Buffering", "no") // nginx would hold events back
		c.begun = true
		c.w.WriteHeader(http.StatusOK)
		if err := c.send("retry: 3000\n\n"); err != nil {
			return err
		}
	}
	for i := range all {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(&all[i]); err != nil { // one line: JSON escapes line ends
			return fmt.Errorf("api: encode: %w", err)
		}
		if err := c.send("event: request\ndata: " + b.String() + "\n"); err != nil {
			return err
		}
	}
	return nil
}

// send writes to the stream at once.
func (c *call) send(text string) error {
	control := http.NewResponseController(c.w)
	err := errors.Join(control.SetReadDeadline(time.Time{}), control.SetWriteDeadline(time.Now().Add(writeEach)))
	if err != nil {
		return dropped(err)
	}
	if _, err := c.w.Write([]byte(text)); err != nil {
		return dropped(err)
	}
	return dropped(control.Flush())
}
