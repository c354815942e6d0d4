package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"runtime/debug"
	"strings"

	v1 "sluice/api/v1"
)

// A call is one request on its way through a handler.
type call struct {
	*http.Request
	w      http.ResponseWriter
	api    *API
	route  route
	caller Caller // zero on open routes
	begun  bool   // the answer's first byte may have left
}

// A shown error carries a text for the caller beside one of the package's errors.
type shown struct {
	error
	text, hint string
	code       string // see [WithCode]
}

func (s shown) Unwrap() error { return s.error }
func (s shown) Error() string { return s.text }

// Errorf gives one of the package's errors a text for the caller, so nothing in
// it may be secret.
func Errorf(kind error, format string, args ...any) error {
	return shown{error: kind, text: fmt.Sprintf(format, args...)}
}

// WithHint adds what to do next.
func WithHint(err error, hint string) error {
	return shown{error: err, text: err.Error(), hint: hint}
}

// WithCode gives an error a stable word for programs.
func WithCode(err error, code string) error {
	return shown{error: err, text: err.Error(), hint: HintOf(err), code: code}
}

// codeOf is the word that [WithCode] gave; empty: none.
func codeOf(err error) string {
	for s := (shown{}); errors.As(err, &s); err = s.error {
		if s.code != "" {
			return s.code
		}
	}
	return ""
}

// HintOf is what to do next about an error, as [WithHint] has given it; empty:
// nothing was said.
func HintOf(err error) string {
	var s shown
	if errors.As(err, &s) {
		return s.hint
	}
	return ""
}

var errBusy = WithHint(Errorf(ErrUnavailable, "too many requests at once"), "try again in a moment")

var errBusyCaller = WithHint(Errorf(ErrTooMany, "too many requests of yours at once"), "end those that follow the journal, or wait for the others")

// decode reads the JSON body: one value, no unknown fields, bounded.
func (c *call) decode(v any) error {
	if t, _, err := mime.ParseMediaType(c.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return shown{error: errMedia, text: "the body must be JSON", hint: "send Content-Type: application/json"}
	}
	d := json.NewDecoder(http.MaxBytesReader(c.w, c.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return badBody(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Errorf(ErrInvalid, "the body holds more than one JSON value")
	}
	return nil
}

var (
	errMedia = errors.New("unsupported media type")
	errLarge = errors.New("too large")
)

func badBody(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return Errorf(errLarge, "the body is larger than %d bytes", large.Limit)
	}
	return Errorf(ErrInvalid, "the body is not what this call takes: %s", strings.TrimPrefix(err.Error(), "json: "))
}

// answer writes v as JSON with the route's status.
func (c *call) answer(v any) error {
	status := c.route.status
	if status == 0 {
		status = http.StatusOK
	}
	return c.write(status, "application/json", v)
}

func (c *call) write(status int, media string, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("api: encode: %w", err)
	}
	c.begun = true
	c.w.Header().Set("Content-Type", media)
	c.w.WriteHeader(status)
	_, err := c.w.Write(b.Bytes())
	return dropped(err)
}

// gone is an error in writing an answer: the client left. Nobody is there to tell.
var errGone = errors.New("client gone")

func dropped(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errGone, err)
}

// kinds maps errors to answers.
var kinds = []struct {
	err    error
	status int
	reason string
}{
	{ErrNotFound, http.StatusNotFound, "not_found"},
	{ErrForbidden, http.StatusForbidden, "forbidden"},
	{ErrConflict, http.StatusConflict, "conflict"},
	{ErrInvalid, http.StatusBadRequest, "invalid"},
	{ErrUnavailable, http.StatusServiceUnavailable, "unavailable"},
	{ErrTooMany, http.StatusTooManyRequests, "too_many"},
	{ErrCredential, http.StatusUnauthorized, "credential"},
	{errMedia, http.StatusUnsupportedMediaType, "media_type"},
	{errLarge, http.StatusRequestEntityTooLarge, "too_large"},
}

// problem says err in the API's words; what is not known is internal, and its
// text stays here.
func (c *call) problem(err error) v1.Problem {
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return v1.Problem{Title: http.StatusText(k.status), Status: k.status, Reason: k.reason, Code: codeOf(err), Detail: err.Error(), Hint: HintOf(err)}
		}
	}
	p := v1.Problem{Title: http.StatusText(500), Status: 500, Reason: "internal", Trace: c.api.NewID(),
		Detail: "the gateway failed to do this", Hint: "an administrator finds the cause in the log under the trace id"}
	c.api.Log.Error("api: request failed", "trace", p.Trace, "method", c.Method, "route", c.route.path, "error", err)
	return p
}

// fail answers with err unless an answer has begun; then it breaks the
// connection off, so that half an answer is not taken for a whole one.
func (c *call) fail(err error) {
	if errors.Is(err, errGone) || c.Context().Err() != nil && c.begun {
		return
	}
	p := c.problem(err)
	if c.begun {
		panic(http.ErrAbortHandler)
	}
	if p.Status == http.StatusUnauthorized {
		c.w.Header().Set("WWW-Authenticate", `Bearer realm="sluice", Basic realm="sluice"`)
	}
	_ = c.write(p.Status, "application/problem+json", p)
}

// recovered turns a panic into an internal error.
func (c *call) recovered() {
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler {
		panic(v)
	}
	c.api.Log.Error("api: panic", "route", c.route.path, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
	c.fail(errors.New("panic"))
}

// clip shortens s to about n bytes, on a rune's boundary.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}

// flag reads a boolean query parameter.
func (c *call) flag(name string) bool {
	v := c.URL.Query().Get(name)
	return v == "true" || v == "1"
}
