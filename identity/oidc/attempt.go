package oidc

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"sluice/access"
)

// attemptTime is how long a sign-in may take, where the provider says nothing else.
const attemptTime = 10 * time.Minute

// maxAttempt bounds in bytes what a stranger may give for an attempt.
const maxAttempt = 8 << 10

// An attempt is a sign-in that has begun. Who began it holds it, sealed: it
// proves that who finishes is who began.
type attempt struct {
	Kind     string    `json:"k"` // code or device
	Began    time.Time `json:"b"`
	Expires  time.Time `json:"e"`
	Fresh    bool      `json:"f,omitempty"`
	Verifier string    `json:"v,omitempty"` // of PKCE
	Nonce    string    `json:"n,omitempty"`
	State    string    `json:"s,omitempty"`
	Redirect string    `json:"r,omitempty"`
	Device   string    `json:"d,omitempty"` // device code
	Interval int       `json:"i,omitempty"` // seconds between questions
}

// The kinds of attempt.
const (
	byCode   = "code"
	byDevice = "device"
)

func (p *Provider) seal(a attempt) access.Secret {
	b, err := json.Marshal(a)
	if err != nil {
		panic(err) // texts and times always have a JSON form
	}
	return access.NewSecret(base64.RawURLEncoding.EncodeToString(p.box.Seal(b, p.c.Name+" "+p.c.Issuer)))
}

// open returns an attempt of a kind that has not expired.
func (p *Provider) open(sealed access.Secret, kind string) (attempt, error) {
	var a attempt
	if len(sealed.Reveal()) > maxAttempt {
		return a, fmt.Errorf("%w: this is no sign-in that began here", ErrRejected)
	}
	b, err := base64.RawURLEncoding.DecodeString(sealed.Reveal())
	if err == nil {
		b, err = p.box.Open(b, p.c.Name+" "+p.c.Issuer)
	}
	if err == nil {
		err = json.Unmarshal(b, &a)
	}
	if err != nil || a.Kind != kind {
		return a, fmt.Errorf("%w: this is no sign-in that began here", ErrRejected)
	}
	if !p.o.Now().Before(a.Expires) {
		return a, fmt.Errorf("%w: begin again", ErrExpired)
	}
	return a, nil
}

// random returns 256 bits for a state or nonce.
func random() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// How often strangers may make the gateway ask a provider.
const (
	startBurst = 50
	startEvery = 100 * time.Millisecond
	maxPaced   = 4096 // device codes whose last question is remembered
)

// paces keeps questions apart that nobody has proven anything for.
type paces struct {
	mu    sync.Mutex
	full  time.Time // when the bucket of starts is empty again
	polls map[[sha256.Size]byte]time.Time
}

func newPaces() *paces { return &paces{polls: map[[sha256.Size]byte]time.Time{}} }

// start reports whether one more sign-in may begin now.
func (s *paces) start(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full.Before(now) {
		s.full = now
	}
	if s.full.Sub(now) > startBurst*startEvery {
		return false
	}
	s.full = s.full.Add(startEvery)
	return true
}

// poll reports whether a device code may be asked about now.
func (s *paces) poll(code string, interval time.Duration, now time.Time) bool {
	key := sha256.Sum256([]byte(code))
	s.mu.Lock()
	defer s.mu.Unlock()
	if last, ok := s.polls[key]; ok && now.Sub(last) < interval {
		return false
	}
	if len(s.polls) >= maxPaced {
		s.forget(now)
	}
	s.polls[key] = now
	return true
}

// forget drops what is too old to matter, or all: the provider keeps its own pace.
func (s *paces) forget(now time.Time) {
	for k, last := range s.polls {
		if now.Sub(last) > time.Minute {
			delete(s.polls, k)
		}
	}
	if len(s.polls) >= maxPaced {
		clear(s.polls)
	}
}
