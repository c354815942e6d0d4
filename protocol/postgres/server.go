package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"sluice/access"
	"sluice/internal/eventloop"
	"sluice/mask"
	"sluice/pipeline"
	"sluice/protocol"
	"sluice/query/catalog"
	query "sluice/query/postgres"
)

// A Server speaks PostgreSQL to clients and to upstreams. Fill it in and call
// Serve; fields are not changed once in use. Safe for concurrent use.
type Server struct {
	Gate      *pipeline.Gate     // required
	Directory protocol.Directory // required
	Targets   protocol.Targets   // required
	Analyzer  *query.Analyzer    // required
	Recorder  Recorder           // nil: sessions are not recorded
	Masks     func() *mask.Keys  // keys of the hash mask, as they are now; nil: none
	TLS       *tls.Config        // nil: clients are answered in clear only
	Log       *slog.Logger       // nil: nothing is logged
	Now       func() time.Time   // required
	Limits    Limits

	// Seen is told what databases look like: after every look at one's catalog,
	// also if nothing changed, one call at a time for each. nil: nobody is told.
	Seen func(Seen)
	// Loops is how many event loops sessions share; 0: one for two cores;
	// negative: none, each session has two goroutines.
	Loops int

	// RequireTLS refuses clients that go on in clear.
	RequireTLS bool

	once     sync.Once
	looping  sync.Once
	cancels  *cancelRegistry
	catalogs *catalogs
	loops    []*loop
	deaf     []func() // end the journal's notices to each loop
	opened   atomic.Uint64

	// Tests set these; 0: the constants of their names.
	cancelAgain time.Duration // until a cancel is repeated
	factTime    time.Duration // that a question of the gateway's own may take

	mu       sync.Mutex
	sessions map[*session]struct{}
	subjects map[string]int // open sessions by issuer and id
}

// Limits bound what clients can hold. Zero fields take the defaults.
type Limits struct {
	Handshake       time.Duration // until authenticated; 30 s
	Idle            time.Duration // without a message either way outside a statement; 0: no limit
	Stalled         time.Duration // a client that does not read its answer; 5 min
	Connections     int           // in all; 10,000
	PerAddress      int           // before authentication, for one address; 100
	PerSubject      int           // sessions of one subject; 200
	Message         int           // bytes of one message other than COPY data, and of a row that is masked; 64 MiB
	CatalogInterval time.Duration // between polls of a database's catalog; 60 s
}

func (l *Limits) defaults() {
	l.Handshake = orDefault(l.Handshake, 30*time.Second)
	l.Stalled = orDefault(l.Stalled, 5*time.Minute)
	l.CatalogInterval = orDefault(l.CatalogInterval, time.Minute)
	l.Message = orDefault(l.Message, 64<<20)
	l.Connections = orDefault(l.Connections, 10_000)
	l.PerAddress = orDefault(l.PerAddress, 100)
	l.PerSubject = orDefault(l.PerSubject, 200)
}

func orDefault[T comparable](v, d T) T {
	var zero T
	if v == zero {
		return d
	}
	return v
}

// A Recorder keeps the content of sessions.
type Recorder interface {
	// Begin opens a recording for a session. An error refuses the session if
	// recording is mandatory; otherwise it returns nil, nil.
	Begin(session string, subject access.Subject, res access.Resource) (Recording, error)
}

// A Recording takes what was typed and what came back, after masking. Its
// methods return at once and never fail the session; what they could not keep
// they mark in the recording. Output must copy p.
type Recording interface {
	Input(ref string, text string)
	Output(ref string, p []byte)
	Close()
}

func (srv *Server) setup() {
	srv.once.Do(func() {
		srv.Limits.defaults()
		srv.cancels = newCancelRegistry(srv.Now)
		srv.sessions = map[*session]struct{}{}
		srv.subjects = map[string]int{}
		if srv.Log == nil {
			srv.Log = slog.New(slog.DiscardHandler)
		}
		srv.catalogs = &catalogs{Build: srv.buildCatalog, Poll: srv.Limits.CatalogInterval, Log: srv.Log, Seen: srv.Seen}
	})
}

func (srv *Server) buildCatalog(rows catalog.Rows) (*catalog.Snapshot, error) {
	if srv.Analyzer == nil { // enough to name things
		return catalog.Build(rows, nil)
	}
	return catalog.Build(rows, srv.Analyzer)
}

// Close ends what outlives sessions, once every Serve has returned.
func (srv *Server) Close() {
	srv.setup()
	srv.catalogs.close()
	srv.stopLoops()
}

// Serve accepts clients on ln until ctx ends or ln fails. Open sessions end
// with ctx. It may be called for several listeners.
func (srv *Server) Serve(ctx context.Context, ln net.Listener) error {
	srv.setup()
	srv.looping.Do(srv.startLoops)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go srv.janitor(ctx)
	return protocol.Acceptor{
		Handle:             srv.handle,
		Refuse:             refuseFull,
		Connections:        srv.Limits.Connections,
		UnprovenPerAddress: srv.Limits.PerAddress,
		Handshake:          srv.Limits.Handshake,
		Log:                srv.Log,
	}.Serve(ctx, ln)
}

func refuseFull(c net.Conn) {
	writeStartupError(c, &startupError{Code: "53300", Message: "sorry, too many clients already"})
}

// handle carries one client from its first byte to its last.
func (srv *Server) handle(ctx context.Context, conn net.Conn, proven func()) {
	if err := srv.converse(ctx, conn, proven); err != nil && !errors.Is(err, io.EOF) {
		srv.Log.Info("postgres connection ended", "client", conn.RemoteAddr().String(), "error", err)
	}
}

func (srv *Server) converse(ctx context.Context, conn net.Conn, proven func()) error {
	conn = eventloop.Wrap(conn)
	g := &greeter{Directory: srv.Directory, TLS: srv.TLS, RequireTLS: srv.RequireTLS}
	st, err := g.handshake(ctx, conn)
	if err != nil {
		return err
	}
	if st.Cancel != nil {
		srv.cancels.request(ctx, st.Host(), *st.Cancel)
		return nil
	}
	proven()
	s, err := srv.open(ctx, st)
	if err != nil {
		var f *startupError
		if errors.As(err, &f) {
			writeStartupError(st.Conn, f)
		}
		return err
	}
	return s.serve()
}

// janitor ends sessions that idle or whose client does not read.
func (srv *Server) janitor(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			srv.sweep(srv.Now())
		}
	}
}

func (srv *Server) sweep(now time.Time) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for s := range srv.sessions {
		if why := s.overdue(now, srv.Limits); why != nil {
			go s.end(why)
		}
	}
}

// admit counts a session of a subject, up to the limit.
func (srv *Server) admit(sub access.Subject) (leave func(), err error) {
	key := sub.Issuer + "\x00" + sub.ID
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.subjects[key] >= srv.Limits.PerSubject {
		return nil, &startupError{Code: "53300",
			Message: fmt.Sprintf("sluice: %s has %d sessions open already", sub.ID, srv.Limits.PerSubject),
			Hint:    "Close some, or raise limits.perSubject in the gateway's configuration."}
	}
	srv.subjects[key]++
	return func() {
		srv.mu.Lock()
		defer srv.mu.Unlock()
		if srv.subjects[key]--; srv.subjects[key] == 0 {
			delete(srv.subjects, key)
		}
	}, nil
}

// A SessionInfo describes a live session.
type SessionInfo struct {
	ID       string
	Subject  access.Subject
	Resource access.Resource
	Client   access.Client
	Opened   time.Time
}

// Sessions lists the live sessions.
func (srv *Server) Sessions() []SessionInfo {
	srv.setup()
	srv.mu.Lock()
	defer srv.mu.Unlock()
	var list []SessionInfo
	for s := range srv.sessions {
		list = append(list, s.info)
	}
	return list
}

// Kill ends a live session. It reports false if there is none of that id.
func (srv *Server) Kill(id string) bool {
	srv.setup()
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for s := range srv.sessions {
		if s.info.ID == id {
			go s.kill("57P01", "sluice: session ended by an administrator")
			return true
		}
	}
	return false
}
