package approval

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"sluice/access"
	"sluice/store"
)

func TestContentIsSealedAndDeleted(t *testing.T) {
	w := newWorld()
	e := w.open(t)
	const secret = "ALTER ROLE x PASSWORD 'topsecret'"
	id := requested(t, e, ask(w.who("alice"), secret), demand(oneDBA, access.Approvers{Group: "security", Count: 1}))
	kept, err := json.Marshal([]any{w.rows, w.events})
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(kept, []byte("topsecret")) || bytes.Contains(w.rows[0].Sealed, []byte("topsecret")) {
		t.Fatal("store or journal hold the secret")
	}
	for viewer, sees := range map[string]bool{"bob": true, "dan": true, "alice": false, "root": false} {
		v, err := e.Show(ctx, w.who(viewer), id)
		if err != nil {
			t.Fatal(viewer, err)
		}
		if sees != (v.Content != nil) || v.MayVote != sees || (v.Why == "") != sees {
			t.Errorf("%s: content %v, may vote %v (%s)", viewer, v.Content != nil, v.MayVote, v.Why)
		}
		if sees && (v.Content.Text != secret || string(v.Content.Args[0].Value) != "4111111111111111") {
			t.Errorf("%s sees %+v", viewer, v.Content)
		}
	}
	other := requested(t, e, ask(w.who("alice"), "harmless"), demand(oneDBA))
	w.rows[1].Sealed = w.rows[0].Sealed
	if v, err := e.Show(ctx, w.who("bob"), other); err == nil {
		t.Errorf("a content moved to another request was shown: %+v", v.Content)
	}
	vote(t, e, w, id, "bob", true)
	if w.rows[0].Sealed == nil {
		t.Error("deleted before the quorum was met")
	}
	vote(t, e, w, id, "dan", true)
	if w.rows[0].Sealed != nil {
		t.Error("kept after the answer")
	}
}

func TestWhatCannotBeShownCannotBeApproved(t *testing.T) {
	w := newWorld()
	r := ask(w.who("alice"), strings.Repeat("x", maxContent))
	if _, err := w.open(t).Approve(ctx, r, demand(oneDBA), noTell); err == nil || !strings.Contains(err.Error(), "cannot be shown") {
		t.Error(err)
	}
}

func TestListAndShow(t *testing.T) {
	w := newWorld()
	e := w.open(t)
	mine := requested(t, e, ask(w.who("eve"), "x"), demand(oneDBA))
	agents := requested(t, e, ask(w.who("bot"), "y"), demand(access.Approvers{Group: "security", Count: 1}))
	for viewer, want := range map[string][]string{
		"eve": {mine}, "bob": {mine, agents}, "dan": {agents}, "carol": {mine, agents}, "root": {mine, agents}, "bot": {mine, agents},
	} {
		l, err := e.List(ctx, w.who(viewer), Filter{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range l {
			got = append(got, v.ID)
			if v.Content != nil {
				t.Error("a list shows contents")
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s sees %v, want %v", viewer, got, want)
		}
		for _, id := range []string{mine, agents} {
			if _, err := e.Show(ctx, w.who(viewer), id); errors.Is(err, ErrNotFound) == slices.Contains(want, id) {
				t.Errorf("%s: show disagrees with list: %v", viewer, err)
			}
		}
	}
	if _, err := e.Show(ctx, w.who("root"), "req-none"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	vote(t, e, w, mine, "bob", false)
	for _, c := range []struct {
		states []string
		want   int
	}{{nil, 1}, {[]string{store.Rejected}, 1}, {[]string{"all"}, 2}, {[]string{store.Used}, 0}} {
		if l, err := e.List(ctx, w.who("root"), Filter{States: c.states}); err != nil || len(l) != c.want {
			t.Errorf("%v: %d, %v", c.states, len(l), err)
		}
	}
	if l, _ := e.List(ctx, w.who("root"), Filter{States: []string{"all"}, Limit: 1}); len(l) != 1 {
		t.Error("no limit")
	}
	if n, err := e.Pending(ctx); n != 1 || err != nil {
		t.Error(n, err)
	}
}
