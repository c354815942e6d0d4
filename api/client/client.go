// Package client calls the gateway's HTTP API. The command line is built on it;
// every method is one route of package api, in the words of api/v1.
//
// Errors of the gateway are [*Error]. The client sends a credential only over
// TLS or to this machine.
package client

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"sluice/access"
	v1 "sluice/api/v1"
)

// Limits of an answer, for a client must not trust its server blindly either.
const (
	maxAnswer = 64 << 20         // bytes of one JSON answer
	maxLine   = 16 << 20         // bytes of one audit event
	timeout   = 60 * time.Second // of one call whose context has no deadline
)

// Options say where the gateway is and who calls.
type Options struct {
	Gateway  string // http://127.0.0.1:8080
	CA       string // a PEM file with further roots; empty: the system's alone
	Token    access.Secret
	User     string // used with Password if there is no Token
	Password access.Secret
	Agent    string // User-Agent
}

// A Client is safe for concurrent use.
type Client struct {
	base *url.URL
	http *http.Client
	opt  Options
}

// ErrNoAnswer says that there was no gateway to ask, or none that proved itself.
var ErrNoAnswer = errors.New("no answer")

// An Error is the gateway's refusal or failure.
type Error struct{ v1.Problem }

// Error shows the problem's text.
func (e *Error) Error() string {
	if e.Detail == "" {
		return fmt.Sprintf("%s (%d)", e.Title, e.Status)
	}
	return e.Detail
}

// New checks the options. It does not connect.
func New(o Options) (*Client, error) {
	base, err := url.Parse(strings.TrimSuffix(o.Gateway, "/"))
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("client: gateway %q is not an address like http://127.0.0.1:8080", o.Gateway)
	}
	if base.User != nil {
		return nil, errors.New("client: put no password into the gateway's address; use SLUICE_USER and SLUICE_PASSWORD")
	}
	if base.Scheme == "http" && !loopback(base.Hostname()) {
		return nil, fmt.Errorf("client: refusing to send a credential to %s without TLS; use https://", base.Host)
	}
	transport, err := transport(o.CA)
	if err != nil {
		return nil, err
	}
	return &Client{base: base, opt: o, http: &http.Client{Transport: transport, CheckRedirect: noRedirect}}, nil
}

// noRedirect keeps the credential with the host it is meant for.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func transport(ca string) (*http.Transport, error) {
	t := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if ca == "" {
		return t, nil
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, fmt.Errorf("client: CA: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("client: CA: no certificate in %s", ca)
	}
	t.TLSClientConfig.RootCAs = roots
	return t, nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// do sends one request. The caller closes the answer's body.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, body any) (*http.Response, error) {
	var payload io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("client: encode: %w", err)
		}
		payload = bytes.NewReader(b)
	}
	target := c.base.String() + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, payload)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("User-Agent", c.opt.Agent)
	c.authorize(req)
	res, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("client: %w from %s: %w", ErrNoAnswer, c.base, unwrapURL(err))
	}
	if res.StatusCode >= 300 {
		defer res.Body.Close()
		return nil, problem(res)
	}
	return res, nil
}

// unwrapURL drops the method and address that net/http puts before the cause.
func unwrapURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

func (c *Client) authorize(req *http.Request) {
	switch {
	case !c.opt.Token.Empty():
		req.Header.Set("Authorization", "Bearer "+c.opt.Token.Reveal())
	case c.opt.User != "":
		req.SetBasicAuth(c.opt.User, c.opt.Password.Reveal())
	}
}

func problem(res *http.Response) error {
	e := &Error{v1.Problem{Title: http.StatusText(res.StatusCode), Status: res.StatusCode}}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "application/problem+json") {
		_ = json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&e.Problem)
	}
	return e
}

func (c *Client) call(ctx context.Context, method, path string, query url.Values, body, answer any) error {
	if _, set := ctx.Deadline(); !set {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	res, err := c.do(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(answer); err != nil {
		return fmt.Errorf("client: the answer of %s is not what was expected: %w", path, err)
	}
	return nil
}

func get[T any](ctx context.Context, c *Client, path string, query url.Values) (T, error) {
	var v T
	return v, c.call(ctx, http.MethodGet, path, query, nil, &v)
}

func post[T any](ctx context.Context, c *Client, path string, body any) (T, error) {
	var v T
	return v, c.call(ctx, http.MethodPost, path, nil, body, &v)
}

// Whoami returns who the gateway takes the caller for.
func (c *Client) Whoami(ctx context.Context) (v1.Whoami, error) {
	return get[v1.Whoami](ctx, c, "/api/v1/whoami", nil)
}

// Providers names the identity providers that people sign in with.
func (c *Client) Providers(ctx context.Context) (v1.Providers, error) {
	return get[v1.Providers](ctx, c, "/api/v1/providers", nil)
}

// StartLogin begins a sign-in at an identity provider.
func (c *Client) StartLogin(ctx context.Context, ask v1.LoginRequest) (v1.Login, error) {
	return post[v1.Login](ctx, c, "/api/v1/login", ask)
}

// FinishLogin finishes one, or asks whether the person has.
func (c *Client) FinishLogin(ctx context.Context, answer v1.LoginAnswer) (v1.LoginResult, error) {
	return post[v1.LoginResult](ctx, c, "/api/v1/login/finish", answer)
}

// Logout ends the credential that the client calls with.
func (c *Client) Logout(ctx context.Context) error {
	_, err := post[v1.LoginResult](ctx, c, "/api/v1/logout", struct{}{})
	return err
}

// Exchange trades a token for a credential of the gateway (RFC 8693); actor is
// empty unless an agent is to act for the token's subject.
func (c *Client) Exchange(ctx context.Context, subject, actor access.Secret) (v1.LoginResult, error) {
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token": {subject.Reveal()}, "subject_token_type": {tokenType(subject)}}
	if !actor.Empty() {
		form.Set("actor_token", actor.Reveal())
		form.Set("actor_token_type", tokenType(actor))
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.String()+"/oauth2/token", strings.NewReader(form.Encode()))
	if err != nil {
		return v1.LoginResult{}, fmt.Errorf("client: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("User-Agent", c.opt.Agent)
	res, err := c.http.Do(req)
	if err != nil {
		return v1.LoginResult{}, fmt.Errorf("client: no answer from %s: %w", c.base, unwrapURL(err))
	}
	defer res.Body.Close()
	var a struct {
		Token   string `json:"access_token"`
		Expires int    `json:"expires_in"`
		Problem string `json:"error_description"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&a); err != nil || res.StatusCode != http.StatusOK || a.Token == "" {
		return v1.LoginResult{}, &Error{v1.Problem{Title: http.StatusText(res.StatusCode), Status: res.StatusCode, Detail: a.Problem}}
	}
	return v1.LoginResult{State: "done", Secret: a.Token, Expires: time.Now().Add(time.Duration(a.Expires) * time.Second)}, nil
}

// tokenType tells the gateway's own credentials from others' tokens.
func tokenType(t access.Secret) string {
	if strings.HasPrefix(t.Reveal(), "slc_") {
		return "urn:ietf:params:oauth:token-type:access_token"
	}
	return "urn:ietf:params:oauth:token-type:jwt"
}

// Resources lists what the caller may use.
func (c *Client) Resources(ctx context.Context) ([]v1.Resource, error) {
	return get[[]v1.Resource](ctx, c, "/api/v1/resources", nil)
}

// Tokens lists live tokens: one's own, or everybody's.
func (c *Client) Tokens(ctx context.Context, all bool) ([]v1.Token, error) {
	return get[[]v1.Token](ctx, c, "/api/v1/tokens", flag("all", all))
}

// IssueToken returns a new token with its secret. ttl 0: the gateway's default.
func (c *Client) IssueToken(ctx context.Context, ttl time.Duration) (v1.Token, error) {
	var ask v1.TokenRequest
	if ttl != 0 {
		ask.TTL = ttl.String()
	}
	return post[v1.Token](ctx, c, "/api/v1/tokens", ask)
}

// RevokeToken ends a token.
func (c *Client) RevokeToken(ctx context.Context, id string) (v1.Token, error) {
	var t v1.Token
	return t, c.call(ctx, http.MethodDelete, "/api/v1/tokens/"+url.PathEscape(id), nil, nil, &t)
}

// Requests lists approval requests in a state; empty: pending.
func (c *Client) Requests(ctx context.Context, state string) ([]v1.Request, error) {
	return c.FindRequests(ctx, RequestQuery{State: state})
}

// A RequestQuery selects approval requests; zero fields do not restrict, but the
// zero State means pending.
type RequestQuery struct {
	State, Resource, Requester string
	Mine                       bool
	Limit                      int // 0: the gateway's page
	After                      string
}

// FindRequests lists approval requests, newest first.
func (c *Client) FindRequests(ctx context.Context, f RequestQuery) ([]v1.Request, error) {
	q := flag("mine", f.Mine)
	for name, v := range map[string]string{"state": f.State, "resource": f.Resource, "requester": f.Requester, "after": f.After} {
		if v != "" {
			q.Set(name, v)
		}
	}
	if f.Limit > 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	return get[[]v1.Request](ctx, c, "/api/v1/requests", q)
}

// Wait returns a request when it is no longer pending, or after about timeout.
func (c *Client) Wait(ctx context.Context, id string, timeout time.Duration) (v1.Request, error) {
	end := time.Now().Add(timeout)
	for {
		left := max(0, min(time.Until(end), 45*time.Second)).Round(time.Millisecond)
		r, err := get[v1.Request](ctx, c, "/api/v1/requests/"+url.PathEscape(id)+"/wait", url.Values{"timeout": {left.String()}})
		if err != nil || r.State != "pending" || !time.Now().Before(end) {
			return r, err
		}
	}
}

// Request returns one approval request.
func (c *Client) Request(ctx context.Context, id string) (v1.Request, error) {
	return get[v1.Request](ctx, c, "/api/v1/requests/"+url.PathEscape(id), nil)
}

// Vote approves or rejects a request.
func (c *Client) Vote(ctx context.Context, id string, approve bool, reason string) (v1.Request, error) {
	how := "reject"
	if approve {
		how = "approve"
	}
	return post[v1.Request](ctx, c, "/api/v1/requests/"+url.PathEscape(id)+"/"+how, v1.Answer{Reason: reason})
}

// Withdraw takes back a request of one's own, what is left of a grant, or a broken
// glass.
func (c *Client) Withdraw(ctx context.Context, id string) (v1.Request, error) {
	return post[v1.Request](ctx, c, "/api/v1/requests/"+url.PathEscape(id)+"/withdraw", struct{}{})
}

// BreakGlass lets the caller act at a resource without approval for a while.
func (c *Client) BreakGlass(ctx context.Context, resource, reason string) (v1.Request, error) {
	return post[v1.Request](ctx, c, "/api/v1/break-glass", v1.Breaking{Resource: resource, Reason: reason})
}

// Sessions lists live sessions, with past ones if all.
func (c *Client) Sessions(ctx context.Context, all bool) ([]v1.Session, error) {
	return get[[]v1.Session](ctx, c, "/api/v1/sessions", flag("all", all))
}

// Session returns one session.
func (c *Client) Session(ctx context.Context, id string) (v1.Session, error) {
	return get[v1.Session](ctx, c, "/api/v1/sessions/"+url.PathEscape(id), nil)
}

// Kill ends a live session.
func (c *Client) Kill(ctx context.Context, id string) (v1.Session, error) {
	return post[v1.Session](ctx, c, "/api/v1/sessions/"+url.PathEscape(id)+"/kill", struct{}{})
}

// Recording returns a session's recording; the caller closes it.
func (c *Client) Recording(ctx context.Context, id string) (io.ReadCloser, error) {
	res, err := c.do(ctx, http.MethodGet, "/api/v1/sessions/"+url.PathEscape(id)+"/recording", nil, nil)
	if err != nil {
		return nil, err
	}
	return res.Body, nil
}

// Audit calls yield for each event of a search, or of the tail, as JSON. The
// slice is valid until yield returns.
func (c *Client) Audit(ctx context.Context, tail bool, query url.Values, yield func(line []byte) error) error {
	path := "/api/v1/audit"
	if tail {
		path += "/tail"
	}
	res, err := c.do(ctx, http.MethodGet, path, query, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	for lines.Scan() {
		if err := yield(lines.Bytes()); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("client: the answer broke off: %w", err)
	}
	return nil
}

// Checkpoint returns the journal's signed head.
func (c *Client) Checkpoint(ctx context.Context) (v1.Checkpoint, error) {
	return get[v1.Checkpoint](ctx, c, "/api/v1/audit/checkpoint", nil)
}

// Verify makes the gateway recompute its journal. It takes as long as that takes.
func (c *Client) Verify(ctx context.Context) (v1.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	return post[v1.Report](ctx, c, "/api/v1/audit/verify", struct{}{})
}

// Decision explains a past decision.
func (c *Client) Decision(ctx context.Context, id string) (v1.Decision, error) {
	return get[v1.Decision](ctx, c, "/api/v1/decisions/"+url.PathEscape(id), nil)
}

// Can asks what would be decided.
func (c *Client) Can(ctx context.Context, q v1.Question) ([]v1.Verdict, error) {
	return post[[]v1.Verdict](ctx, c, "/api/v1/can", q)
}

func flag(name string, on bool) url.Values {
	q := url.Values{}
	if on {
		q.Set(name, "true")
	}
	return q
}
