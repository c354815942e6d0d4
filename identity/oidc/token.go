package oidc

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"sluice/access"
)

// hidden keeps a token that JSON brought out of logs.
type hidden struct{ value string }

func (h *hidden) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &h.value) }

// String hides the value.
func (hidden) String() string { return "[secret]" }

// GoString hides the value.
func (hidden) GoString() string { return "[secret]" }

// tokens are what the token endpoint answers with.
type tokens struct {
	Access  hidden `json:"access_token"`
	ID      hidden `json:"id_token"`
	Refresh hidden `json:"refresh_token"`
	Type    string `json:"token_type"`
}

func (p *Provider) tokens(ctx context.Context, a *about, form url.Values) (tokens, error) {
	var t tokens
	return t, p.post(ctx, a, a.Endpoint().TokenURL, form, &t)
}

// post sends a form as this client and reads a JSON answer, unless answer is nil.
func (p *Provider) post(ctx context.Context, a *about, address string, form url.Values, answer any) error {
	r, err := p.request(ctx, a, address, form)
	if err != nil {
		return err
	}
	res, err := p.guard.client().Do(r)
	if err != nil {
		return unavailable(p.c.Name, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return unavailable(p.c.Name, err)
	case res.StatusCode < 200 || res.StatusCode > 299:
		return p.refusal(res, b)
	case answer == nil:
		return nil
	}
	if err := json.Unmarshal(b, answer); err != nil {
		return unavailable(p.c.Name, fmt.Errorf("its answer is not JSON: %w", err))
	}
	return nil
}

// request authenticates the client as the provider wants it: HTTP Basic
// unless it says that it takes the secret in the form alone.
func (p *Provider) request(ctx context.Context, a *about, address string, form url.Values) (*http.Request, error) {
	form.Set("client_id", p.c.ClientID)
	var basic access.Secret
	if p.c.ClientSecret != nil {
		secret, err := p.c.ClientSecret(ctx)
		if err != nil {
			return nil, unavailable(p.c.Name, fmt.Errorf("client secret: %w", err))
		}
		if basic = secret; len(a.Auth) > 0 && !slices.Contains(a.Auth, "client_secret_basic") {
			form.Set("client_secret", secret.Reveal())
			basic = access.Secret{}
		}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, unavailable(p.c.Name, err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	if !basic.Empty() {
		r.SetBasicAuth(url.QueryEscape(p.c.ClientID), url.QueryEscape(basic.Reveal())) // RFC 6749, section 2.3.1
	}
	return r, nil
}

// refusal is what an error answer means (RFC 6749 section 5.2, RFC 8628 section 3.5).
func (p *Provider) refusal(res *http.Response, body []byte) error {
	var e struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}
	if t, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); t == "application/json" {
		_ = json.Unmarshal(body, &e) // an answer without a code is no answer
	}
	switch e.Code {
	case "authorization_pending":
		return ErrPending
	case "slow_down":
		return ErrSlowDown
	case "access_denied":
		return ErrDenied
	case "expired_token":
		return fmt.Errorf("%w: begin again", ErrExpired)
	case "invalid_grant":
		return fmt.Errorf("%w (%s)", ErrGone, printable(e.Description))
	}
	return unavailable(p.c.Name, fmt.Errorf("it answered %d %s %s", res.StatusCode, printable(e.Code), printable(e.Description)))
}

// printable makes a stranger's words harmless and short.
func printable(s string) string {
	if len(s) > 200 {
		s = s[:200]
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, s)
}

func joinScopes(all []string) string { return strings.Join(all, " ") }
