package api

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	v1 "sluice/api/v1"
)

func TestRequestAnswers(t *testing.T) {
	digest := strings.Repeat("ab", 32)
	tests := []struct {
		name   string
		req    req
		status int
		code   string
	}{
		{"own request", req{method: "POST", path: "/api/v1/requests/r1/approve", who: "alice", body: `{}`}, 403, "self_approval"},
		{"answered", req{method: "POST", path: "/api/v1/requests/r2/approve", who: "bob", body: `{}`}, 409, "closed"},
		{"another digest", req{method: "POST", path: "/api/v1/requests/r1/approve", who: "bob", body: `{"digest":"` + digest + `"}`}, 409, "other_digest"},
		{"no digest at all", req{method: "POST", path: "/api/v1/requests/r1/approve", who: "bob", body: `{"digest":"abcd"}`}, 400, ""},
		{"endless reason", req{method: "POST", path: "/api/v1/requests/r1/reject", who: "bob", body: `{"reason":"` + strings.Repeat("x", MaxReason+1) + `"}`}, 400, "reason_too_long"},
		{"withdrawn by another", req{method: "POST", path: "/api/v1/requests/r1/withdraw", who: "bob"}, 403, "not_yours"},
		{"withdrawn", req{method: "POST", path: "/api/v1/requests/r1/withdraw", who: "alice"}, 200, ""},
		{"no limit", req{method: "GET", path: "/api/v1/requests?limit=0", who: "alice"}, 400, ""},
		{"huge limit", req{method: "GET", path: "/api/v1/requests?limit=1001", who: "alice"}, 400, ""},
		{"bad timeout", req{method: "GET", path: "/api/v1/requests/r1/wait?timeout=later", who: "alice"}, 400, ""},
		{"unknown request", req{method: "GET", path: "/api/v1/requests/r9/wait", who: "alice"}, 404, ""},
		{"unknown request, as a stream", req{method: "GET", path: "/api/v1/requests/r9/wait", who: "alice", header: map[string]string{"Accept": eventStream}}, 404, ""},
		{"looked once", req{method: "GET", path: "/api/v1/requests/r1/wait?timeout=0s", who: "alice"}, 200, ""},
		{"settled already", req{method: "GET", path: "/api/v1/requests/r2/wait", who: "alice"}, 200, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := serve(t, populated()).do(tt.req)
			if w.Code != tt.status {
				t.Fatalf("status %d, want %d: %s", w.Code, tt.status, w.Body)
			}
			if tt.status >= 400 && problemOf(t, w).Code != tt.code {
				t.Errorf("problem %s, want code %s", w.Body, tt.code)
			}
		})
	}
}

func TestCodesKeepHints(t *testing.T) {
	err := WithCode(WithHint(Errorf(ErrForbidden, "no"), "ask bob"), "self_approval")
	if HintOf(err) != "ask bob" || codeOf(err) != "self_approval" || err.Error() != "no" {
		t.Errorf("%v, hint %q, code %q", err, HintOf(err), codeOf(err))
	}
	if again := WithHint(err, "ask carol"); codeOf(again) != "self_approval" || HintOf(again) != "ask carol" {
		t.Errorf("%v, hint %q, code %q", again, HintOf(again), codeOf(again))
	}
}

// Pages follow each other without gaps and without repeating anything.
func TestPagesOfRequests(t *testing.T) {
	a := serve(t, populated())
	var ids []string
	for path := "/api/v1/requests?state=all&limit=2"; path != ""; {
		w := a.do(req{method: "GET", path: path, who: "root"})
		var list []v1.Request
		if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil {
			t.Fatalf("%v: %s", err, w.Body)
		}
		for _, r := range list {
			ids = append(ids, r.ID)
		}
		path, _, _ = strings.Cut(strings.TrimPrefix(w.Header().Get("Link"), "<"), ">")
	}
	if got := strings.Join(ids, " "); got != "r2 r1 r-root" {
		t.Errorf("%s", got)
	}
}

// A stream is a client that reads server-sent events.
type stream struct {
	t     *testing.T
	lines *bufio.Scanner
}

func (f *fake) stream(t *testing.T, path, who string) stream {
	t.Helper()
	s := httptest.NewServer(serve(t, f))
	t.Cleanup(s.Close)
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+who)
	r.Header.Set("Accept", eventStream)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != eventStream {
		b, _ := io.ReadAll(res.Body)
		t.Fatalf("%s: %s", res.Status, b)
	}
	return stream{t, bufio.NewScanner(res.Body)}
}

// next returns the next request that is sent; false: the stream has ended.
func (s stream) next() (r v1.Request, ok bool) {
	s.t.Helper()
	for s.lines.Scan() {
		if data, found := strings.CutPrefix(s.lines.Text(), "data: "); found {
			if err := json.Unmarshal([]byte(data), &r); err != nil {
				s.t.Fatal(err)
			}
			return r, true
		}
	}
	return r, false
}

func TestRequestsAreStreamed(t *testing.T) {
	f := newFake()
	f.requests["r1"] = v1.Request{ID: "r1", State: "pending", Requester: "alice"}
	s := f.stream(t, "/api/v1/requests/events", "bob")
	if r, _ := s.next(); r.ID != "r1" || r.State != "pending" {
		t.Fatalf("first: %+v", r)
	}
	f.change(v1.Request{ID: "r2", State: "pending", Requester: "alice", Action: "a\nb"})
	if r, _ := s.next(); r.ID != "r2" || r.Action != "a\nb" {
		t.Fatalf("a new one: %+v", r)
	}
	f.change(v1.Request{ID: "r1", State: "approved", Requester: "alice"})
	if r, _ := s.next(); r.ID != "r1" || r.State != "approved" {
		t.Fatalf("an answer: %+v", r)
	}
}

func TestOneRequestIsStreamedUntilItIsSettled(t *testing.T) {
	f := newFake()
	r := v1.Request{ID: "r1", State: "pending", Requester: "alice"}
	f.requests["r1"] = r
	s := f.stream(t, "/api/v1/requests/r1/wait", "alice")
	if r, _ := s.next(); r.State != "pending" {
		t.Fatalf("first: %+v", r)
	}
	r.State = "rejected"
	f.change(r)
	if r, _ := s.next(); r.State != "rejected" {
		t.Fatalf("then: %+v", r)
	}
	if r, ok := s.next(); ok {
		t.Errorf("behind the end: %+v", r)
	}
}

func TestALongPollEndsWithTheAnswer(t *testing.T) {
	f := newFake()
	r := v1.Request{ID: "r1", State: "pending", Requester: "alice"}
	f.requests["r1"] = r
	a := serve(t, f)
	answered := make(chan *httptest.ResponseRecorder)
	go func() { answered <- a.do(req{method: "GET", path: "/api/v1/requests/r1/wait", who: "alice"}) }()
	r.State = "approved"
	f.change(r)
	if w := <-answered; w.Code != 200 || !strings.Contains(w.Body.String(), `"state":"approved"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Who waits takes no place from those who answer.
func TestStreamsHavePlacesOfTheirOwn(t *testing.T) {
	f := populated()
	a := serve(t, f)
	for range maxInFlight {
		a.inFlight <- struct{}{}
	}
	if w := a.do(req{method: "GET", path: "/api/v1/requests/r2/wait", who: "alice"}); w.Code != 200 {
		t.Errorf("wait in a full house: %d", w.Code)
	}
	for range maxInFlight {
		<-a.inFlight
	}
	alice := f.callers["Bearer alice"]
	for range maxCallerStreams {
		if _, ok := a.watchers.try(alice.key()); !ok {
			t.Fatal("no place")
		}
	}
	if w := a.do(req{method: "GET", path: "/api/v1/requests/r2/wait", who: "alice"}); w.Code != 429 {
		t.Errorf("one stream too many: %d", w.Code)
	}
	if w := a.do(req{method: "GET", path: "/api/v1/requests/r1", who: "alice"}); w.Code != 200 {
		t.Errorf("show beside streams: %d", w.Code)
	}
}
