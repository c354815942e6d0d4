package client

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/access"
)

func TestAddresses(t *testing.T) {
	for address, ok := range map[string]bool{
		"http://127.0.0.1:8080": true, "http://localhost:8080/": true, "http://[::1]:8080": true, "https://gateway.example.test": true,
		"http://gateway.example.test": false, "http://10.0.0.1": false, "http://127.0.0.1.evil.test": false,
		"ftp://127.0.0.1": false, "127.0.0.1:8080": false, "": false, "http://alice:pw@127.0.0.1": false,
	} {
		if _, err := New(Options{Gateway: address}); (err == nil) != ok {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func against(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	c, err := New(Options{Gateway: srv.URL, Token: access.NewSecret("slc_x")})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestProblems(t *testing.T) {
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(403)
		io.WriteString(w, `{"title":"Forbidden","status":403,"detail":"not yours","hint":"ask","reason":"forbidden"}`)
	})
	_, err := c.Whoami(t.Context())
	var e *Error
	if !errors.As(err, &e) || e.Status != 403 || err.Error() != "not yours" || e.Hint != "ask" {
		t.Errorf("%#v", err)
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"a proxy's page": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusBadGateway) },
		"half":           func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"id":`) },
		"other":          func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `[]`) },
	} {
		if _, err := against(t, h).Whoami(t.Context()); err == nil {
			t.Errorf("%s was taken for an answer", name)
		}
	}
}

// A redirect must not carry the credential elsewhere.
func TestRedirectsAreNotFollowed(t *testing.T) {
	reached := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer other.Close()
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	if _, err := c.Whoami(t.Context()); err == nil || reached {
		t.Errorf("followed: %v, %v", reached, err)
	}
}

func TestPathsAreEscaped(t *testing.T) {
	var path string
	c := against(t, func(w http.ResponseWriter, r *http.Request) { path = r.URL.EscapedPath(); io.WriteString(w, `{}`) })
	if _, err := c.Session(t.Context(), "../tokens?all=true#"); err != nil {
		t.Fatal(err)
	}
	if path != "/api/v1/sessions/..%2Ftokens%3Fall=true%23" {
		t.Errorf("asked for %s", path)
	}
}

func TestAuditLines(t *testing.T) {
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "{\"id\":\"1\"}\n{\"id\":\"2\"}\n{\"id\":\"3\"}\n")
	})
	var got []string
	enough := errors.New("enough")
	err := c.Audit(t.Context(), false, url.Values{"limit": {"3"}}, func(b []byte) error {
		got = append(got, string(b))
		if len(got) == 2 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || strings.Join(got, " ") != `{"id":"1"} {"id":"2"}` {
		t.Errorf("%v %v", err, got)
	}
}

// A search that the gateway breaks off must not look complete.
func TestBrokenOffAnswerIsAnError(t *testing.T) {
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "{\"id\":\"1\"}\n")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	if err := c.Audit(t.Context(), false, nil, func([]byte) error { return nil }); err == nil {
		t.Error("half a search looks whole")
	}
}

func TestTailEndsWithItsContext(t *testing.T) {
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "{}\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	err := c.Audit(ctx, true, nil, func([]byte) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestCA(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"id":"alice"}`) }))
	defer srv.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for ca, ok := range map[string]bool{file: true, "": false} {
		c, err := New(Options{Gateway: srv.URL, CA: ca})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Whoami(t.Context()); (err == nil) != ok {
			t.Errorf("with CA %q: %v", ca, err)
		}
	}
	if _, err := New(Options{Gateway: srv.URL, CA: filepath.Join(t.TempDir(), "none.pem")}); err == nil {
		t.Error("a missing CA file is ignored")
	}
}
