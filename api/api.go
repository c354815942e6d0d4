package api

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"sluice/access"
)

// A Config is everything the API needs. All fields are required: there is no
// part that is off because it was forgotten.
type Config struct {
	Identity  Identity
	SignIn    SignIn
	Tokens    Tokens
	Resources Resources
	Approvals Approvals
	Sessions  Sessions
	Audit     Audit
	Policy    Policy
	Health    Health
	Metrics   http.Handler
	Log       *slog.Logger
	Now       func() time.Time
	NewID     func() string // UUIDv7, for events and traces
	Version   string

	// URL is how people reach the gateway, such as https://sluice.example.com;
	// it returns "" if that is not known.
	URL func() string
	// Pages serves what the API does not. Nil: there is nothing more.
	Pages func(Visitors) (http.Handler, error)
}

func (c *Config) validate() error {
	for _, part := range []any{c.Identity, c.SignIn, c.Tokens, c.Resources, c.Approvals, c.Sessions, c.Audit, c.Policy, c.Health, c.Metrics} {
		if part == nil {
			return errors.New("api: incomplete configuration")
		}
	}
	if c.Log == nil || c.Now == nil || c.NewID == nil || c.URL == nil {
		return errors.New("api: incomplete configuration")
	}
	return nil
}

// Limits of one request.
const (
	maxBody     = 2 << 20 // bytes; a question holds a statement of up to 1 MiB, escaped
	maxHeader   = 32 << 10
	maxInFlight = 256 // requests at once; more wait for nobody and get 503
	maxSearches = 4   // scans of the journal at once; they share the machine with the data path

	maxStreams = 1024 // requests that wait for news; they cost little

	// Of these, one caller's: nobody keeps an approver from answering.
	maxCallerInFlight = 32
	maxCallerSearches = 2
	maxCallerStreams  = 16

	readTimeout  = 30 * time.Second
	writeTimeout = 60 * time.Second // streams set their own
)

// An API serves HTTP. It is safe for concurrent use.
type API struct {
	Config
	inFlight chan struct{}
	searches chan struct{}
	streams  chan struct{}
	callers  *places // requests of one caller at once
	watchers *places // streams of one caller at once
	seekers  *places // searches of one caller at once
	signIns  rate    // at identity providers, by address
	document []byte  // openapi.json
	handler  http.Handler
}

// New checks the configuration and builds the API.
func New(c Config) (*API, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	a := &API{Config: c, inFlight: make(chan struct{}, maxInFlight), searches: make(chan struct{}, maxSearches),
		streams: make(chan struct{}, maxStreams),
		callers: newPlaces(maxCallerInFlight), watchers: newPlaces(maxCallerStreams), seekers: newPlaces(maxCallerSearches),
		signIns: rate{most: maxSignIns, addresses: maxSignInsOf}}
	routes := a.routes()
	doc, err := openAPI(routes, c.Version)
	if err != nil {
		return nil, err
	}
	a.document = doc
	mux := http.NewServeMux()
	for _, r := range append(routes, a.signInRoutes()...) {
		mux.Handle(r.method+" "+r.path, a.serve(r))
	}
	rest, err := a.rest()
	if err != nil {
		return nil, err
	}
	mux.Handle("/", rest)
	sameOrigin := http.NewCrossOriginProtection()
	sameOrigin.SetDenyHandler(http.HandlerFunc(a.crossOrigin))
	a.handler = secured(sameOrigin.Handler(mux))
	return a, nil
}

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// Server returns an http.Server for the API with its timeouts and limits set.
func (a *API) Server() *http.Server {
	return &http.Server{
		Handler:           a,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(a.Log.Handler(), slog.LevelDebug),
	}
}

// secured sets the headers that keep browsers from interpreting or framing an answer.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		next.ServeHTTP(w, r)
	})
}

// serve wraps one route: a place in the house, the caller, the handler, and
// errors turned into answers. A panic costs that one request.
func (a *API) serve(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{Request: r, w: w, api: a, route: rt}
		house, rooms := a.inFlight, a.callers
		if rt.stream {
			house, rooms = a.streams, a.watchers
		}
		select {
		case house <- struct{}{}:
			defer func() { <-house }()
		default:
			c.fail(errBusy)
			return
		}
		defer c.recovered()
		if !rt.open {
			caller, err := a.authenticate(r)
			if err != nil {
				c.fail(err)
				return
			}
			c.caller = caller
			leave, ok := rooms.try(caller.key())
			if !ok {
				c.fail(errBusyCaller)
				return
			}
			defer leave()
		}
		if err := rt.handle(c); err != nil {
			c.fail(err)
		}
	})
}

// rest serves what no route does: pages, within the same bounds. Below /api/
// there are none.
func (a *API) rest() (http.Handler, error) {
	if a.Pages == nil {
		return http.HandlerFunc(a.unknown), nil
	}
	pages, err := a.Pages(a)
	if err != nil {
		return nil, err
	}
	serve := a.serve(route{open: true, path: "pages", handle: func(c *call) error {
		pages.ServeHTTP(c.w, c.Request)
		return nil
	}})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/") {
			a.unknown(w, r)
			return
		}
		serve.ServeHTTP(w, r)
	}), nil
}

// unknown answers paths that nothing else does, also for wrong methods: the
// mux's own plain text would not be problem+json.
func (a *API) unknown(w http.ResponseWriter, r *http.Request) {
	c := &call{Request: r, w: w, api: a}
	c.fail(Errorf(ErrNotFound, "there is nothing at %s %s; the API is described at /api/v1/openapi.json", r.Method, clip(r.URL.Path, 200)))
}

func (a *API) crossOrigin(w http.ResponseWriter, r *http.Request) {
	c := &call{Request: r, w: w, api: a}
	c.fail(Errorf(ErrForbidden, "a page of another origin may not do this"))
}

// event starts an audit event about the caller.
func (c *call) event(t access.EventType) *access.Event {
	s := c.caller.Subject
	return &access.Event{
		ID: c.api.NewID(), Time: c.api.Now().UTC(), Type: t, Subject: &s,
		Client: &access.Client{Address: c.RemoteAddr, TLS: c.TLS != nil, Program: clip(c.UserAgent(), 200)},
	}
}
