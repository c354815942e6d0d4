package server

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"sluice/access"
	"sluice/api"
	"sluice/approval"
	"sluice/audit/journal"
	"sluice/audit/search"
	"sluice/config"
	"sluice/identity"
	"sluice/internal/uuid7"
	"sluice/mask"
	"sluice/pipeline"
	"sluice/policy"
	"sluice/protocol/postgres"
	query "sluice/query/postgres"
	"sluice/query/postgres/worker"
	"sluice/resource"
	"sluice/store"
	"sluice/store/sqlite"
	"sluice/web"
)

// Options are what a Server needs beside its configuration. The zero Options
// will do.
type Options struct {
	Path    string           // where the configuration came from; empty: it is not watched
	Exe     string           // the binary that parse workers run; empty: this one
	Log     *slog.Logger     // nil: silent
	Now     func() time.Time // nil: time.Now
	Version string
}

// A Server is a gateway. New builds it, Start opens its listeners, Shutdown
// ends it. Tests start it the same way as the program does.
type Server struct {
	o      Options
	log    *slog.Logger
	config atomic.Pointer[config.Config]

	folder    *folder
	journal   *journal.Journal
	store     *sqlite.Store
	index     *search.Index
	metrics   *metrics
	sessions  *sessionLog
	recorded  *recorder
	directory *identity.Directory
	catalogue *resource.Catalogue
	approvals *approval.Engine
	policy    policy.Live
	workers   *worker.Pool
	analyzer  *query.Analyzer
	gate      *pipeline.Gate
	postgres  *postgres.Server
	lookout   *lookout
	masks     atomic.Pointer[mask.Keys]
	issuers   atomic.Pointer[issuers]
	api       *api.API
	tls       certifier                     // nil: none
	clientCAs atomic.Pointer[x509.CertPool] // nil: certificates log nobody in

	closers []func() error // in the order of opening

	mu        sync.Mutex // guards what follows
	listeners map[string]net.Listener
	web       *http.Server
	stop      []func() // what Shutdown does, in order
	serving   sync.WaitGroup
	running   sync.WaitGroup // what serves nobody
	failed    chan error     // the first listener that failed
	reloading sync.Mutex
	refused   atomic.Bool // the files on disk are not in force
}

// New builds a gateway from a valid configuration. What was opened is closed
// again if a later part fails. Call Shutdown also if Start was never called.
func New(ctx context.Context, cfg *config.Config, o Options) (*Server, error) {
	o.defaults()
	s := &Server{o: o, log: o.Log, listeners: map[string]net.Listener{}, failed: make(chan error, 8)}
	s.config.Store(cfg)
	if err := s.build(ctx, cfg); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (o *Options) defaults() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Exe == "" {
		o.Exe, _ = os.Executable() // an error shows when the first worker starts
	}
}

// build makes the parts, each after those that it needs.
func (s *Server) build(ctx context.Context, cfg *config.Config) error {
	for _, step := range []func(context.Context, *config.Config) error{
		s.buildFolder, s.buildJournal, s.buildStore, s.buildIdentity, s.buildApproval, s.buildPolicy,
		s.buildAnalyzer, s.buildCertificates, s.buildRecording, s.buildPostgres, s.buildAPI,
	} {
		if err := step(ctx, cfg); err != nil {
			return err
		}
	}
	return nil
}

// opened remembers what to close.
func (s *Server) opened(close func() error) { s.closers = append(s.closers, close) }

// close closes what was opened, last first.
func (s *Server) close() error {
	var all error
	for i := len(s.closers) - 1; i >= 0; i-- {
		all = errors.Join(all, s.closers[i]())
	}
	s.closers = nil
	return all
}

func (s *Server) buildFolder(_ context.Context, cfg *config.Config) (err error) {
	if s.folder, err = openFolder(cfg.Gateway.Data); err != nil {
		return err
	}
	s.opened(s.folder.close)
	return nil
}

func (s *Server) buildJournal(_ context.Context, cfg *config.Config) (err error) {
	s.metrics = newMetrics(s.gauges(), config.Protocols())
	s.journal, err = journal.Open(journal.Options{Dir: s.folder.file("journal"), SegmentSize: int64(cfg.Gateway.Audit.SegmentSize), Now: s.o.Now,
		Wrote: func(d time.Duration) { s.metrics.appending.Observe(d.Seconds()) }})
	if err != nil {
		return fmt.Errorf("server: %w", err)
	}
	s.opened(s.journal.Close)
	return nil
}

// indexName tells this journal's index in the store from others'.
const indexName = "journal"

func (s *Server) buildStore(ctx context.Context, cfg *config.Config) (err error) {
	if s.store, err = sqlite.Open(ctx, s.folder.path); err != nil {
		return fmt.Errorf("server: %w", err)
	}
	s.opened(s.store.Close)
	s.index = search.New(s.journal.Log(), indexName, s.store)
	s.sessions = newSessionLog(measuredJournal{s.journal, s.metrics}, s.store, cfg.Gateway.Name, s.log)
	return nil
}

func (s *Server) buildIdentity(ctx context.Context, cfg *config.Config) error {
	key, err := s.folder.key("identity")
	if err != nil {
		return err
	}
	known, err := users(ctx, cfg)
	if err != nil {
		return err
	}
	s.directory, err = identity.New(ctx, identity.Options{Users: known, Key: key, Tokens: s.store, People: s.store, Journal: s.sessions, Now: s.o.Now,
		MaxTTL: cfg.Gateway.Identity.MaxTokenTTL, MaxSession: cfg.Gateway.Identity.MaxSession,
		LoginTTL: cfg.Gateway.Identity.LoginTTL, MaxAge: cfg.Gateway.Identity.MaxAge})
	if err != nil {
		return fmt.Errorf("server: %w", err)
	}
	issuers, err := s.newIssuers(cfg)
	if err != nil {
		return err
	}
	s.issuers.Store(issuers)
	s.catalogue, err = resource.New(specs(cfg))
	return err
}

func (s *Server) roles() identity.Roles {
	r := s.config.Load().Gateway.Roles
	return identity.Roles{Admin: r.Admin, Auditor: r.Auditor}
}

func (s *Server) buildApproval(context.Context, *config.Config) error {
	key, err := s.folder.key("approval")
	if err != nil {
		return err
	}
	s.approvals, err = approval.New(approval.Options{Store: s.store, Journal: s.sessions, People: s.directory, Key: key, Now: s.o.Now,
		SeesAll: func(who access.Subject) bool { return s.roles().IsAuditor(who) }, URL: s.requestURL,
		History: history{s.index}, Rolls: rolls{s.directory}, Report: s.reportDelivery})
	if err != nil {
		return fmt.Errorf("server: %w", err)
	}
	return nil
}

// requestURL is where people read about a request.
func (s *Server) requestURL(id string) string {
	base := s.config.Load().Gateway.URL
	if web := s.Addr("web"); base == "" && web != nil && config.Loopback(web.String()) {
		base = "http://" + web.String() // who connects to this machine has its pages, too
	}
	if base == "" {
		return "sluice request show " + id
	}
	return base + "/requests/" + id
}

func (s *Server) buildPolicy(_ context.Context, cfg *config.Config) error {
	set, problems := compiled(cfg)
	if len(problems) > 0 {
		return problemsError(problems)
	}
	s.policy.Swap(set)
	s.metrics.policyIs(set.Digest())
	return nil
}

func (s *Server) buildAnalyzer(context.Context, *config.Config) (err error) {
	if err := worker.Undumpable(); err != nil {
		s.log.Warn("the process's memory can be read by others of its user", "error", err)
	}
	s.workers, err = worker.NewPool(worker.Options{Exe: s.o.Exe, N: max(2, runtime.NumCPU()), Log: s.log})
	if err != nil {
		return fmt.Errorf("server: %w", err)
	}
	s.opened(s.workers.Close)
	s.analyzer = query.New(s.workers, query.Options{})
	return nil
}

func (s *Server) buildCertificates(_ context.Context, cfg *config.Config) (err error) {
	t := cfg.Gateway.TLS
	switch {
	case t.Auto:
		s.tls, err = newAuthority(s.folder.path, t.Names, s.o.Now)
	case t.Cert != "":
		s.tls, err = newCertificateFiles(string(t.Cert), string(t.Key), s.o.Now, func(err error) {
			s.log.Error("the certificate files on disk are not usable; the old ones stay in force", "error", err)
		})
	}
	return err
}

func (s *Server) buildRecording(_ context.Context, cfg *config.Config) error {
	s.recorded = &recorder{config: s.config.Load, journal: s.sessions, now: s.o.Now, log: s.log}
	if err := s.recorded.open(s.folder.file("recordings"), cfg.Gateway.Recording); err != nil {
		return fmt.Errorf("server: %w", err)
	}
	s.opened(s.recorded.store.Close)
	return nil
}

func (s *Server) buildPostgres(ctx context.Context, cfg *config.Config) error {
	keys, err := s.maskKeys(ctx, cfg)
	if err != nil {
		return err
	}
	s.masks.Store(keys)
	s.gate = &pipeline.Gate{Decider: measuredDecider{&s.policy, s.metrics}, Approver: s.approvals, Journal: s.sessions, Identity: s.directory,
		Now: s.o.Now, Meter: pipeline.NewMeter(), MaxHold: cfg.Gateway.Approval.MaxHold}
	if err := s.gate.Validate(); err != nil {
		return err
	}
	tls, err := s.clientTLS(cfg)
	if err != nil {
		return err
	}
	l := cfg.Gateway.Limits
	s.lookout = &lookout{log: s.log, set: s.policy.Set}
	s.postgres = &postgres.Server{Gate: s.gate, Directory: s.directory, Targets: s.catalogue, Analyzer: s.analyzer, Recorder: s.recorded,
		Masks: s.masks.Load, TLS: tls, Log: s.log, Now: s.o.Now, Seen: s.lookout.seen,
		RequireTLS: tls != nil && !config.Loopback(cfg.Gateway.Listen["postgres"].Value),
		Limits: postgres.Limits{Handshake: l.HandshakeTimeout, Idle: l.IdleTimeout, Connections: l.Connections,
			PerAddress: l.ConnectionsPerAddress, PerSubject: l.ConnectionsPerSubject}}
	return nil
}

func (s *Server) buildAPI(context.Context, *config.Config) (err error) {
	ids := identities{s.directory, s.roles, func() time.Duration { return s.config.Load().Gateway.Identity.MaxTokenTTL }}
	s.api, err = api.New(api.Config{
		Identity: ids, SignIn: signIn{ids, s.issuers.Load, s.log}, Tokens: ids,
		Resources: resources{s.config.Load, &s.policy, s.Addr},
		Approvals: s.requests(),
		Sessions:  sessions{s.postgres, s.store, s.recorded.read, s.recorded.has, s.record},
		Audit:     auditor{s.journal, s.index, s.sessions},
		Policy:    s.oracle(),
		Health:    s, Metrics: s.metrics.handler(), Log: s.log, Now: s.o.Now,
		NewID: func() string { return uuid7.New(s.o.Now()) }, Version: s.o.Version,
		URL: func() string { return s.config.Load().Gateway.URL }, Pages: s.pages,
	})
	return err
}

func (s *Server) requests() approvals { return approvals{s.approvals, s.policy.Set, s.catalogue} }

// pages are those on which people answer requests.
func (s *Server) pages(v api.Visitors) (http.Handler, error) {
	return web.New(web.Config{Approvals: s.requests(), Now: s.o.Now, Log: s.log, Version: s.o.Version}, v)
}

// Checks says what is wrong, for /readyz.
func (s *Server) Checks() map[string]string {
	checks := map[string]string{"journal": "ok", "policy": "ok"}
	if err := s.journal.Err(); err != nil {
		checks["journal"] = "cannot be written; nothing is forwarded"
	}
	if s.policy.Set() == nil {
		checks["policy"] = "none; everything is denied"
	}
	return checks
}

// Warnings says what works and is not as it should be.
func (s *Server) Warnings() []string {
	if s.refused.Load() {
		return []string{"a changed configuration was refused; the one before stays in force, and the log says why"}
	}
	return nil
}

// Addr returns where a protocol, or "web", is served; nil: it is not.
func (s *Server) Addr(name string) net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ln := s.listeners[name]; ln != nil {
		return ln.Addr()
	}
	return nil
}

// gauges are read when metrics are.
func (s *Server) gauges() gauges {
	return gauges{
		sessions:     func() float64 { return float64(len(s.postgres.Sessions())) },
		unclassified: func() float64 { return s.lookout.open() },
		approvalsPending: func() float64 {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			n, err := s.approvals.Pending(ctx)
			if err != nil {
				return -1
			}
			return float64(n)
		},
		indexLag: s.indexLag,
	}
}

// indexLag counts the durable events that the search index does not hold yet.
func (s *Server) indexLag() float64 {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	last, err := s.store.Blocks(ctx, store.BlockFilter{Log: indexName, Newest: true, Limit: 1})
	switch {
	case err != nil:
		return -1
	case len(last) == 0:
		return float64(s.journal.Durable())
	}
	return float64(s.journal.Durable()) - float64(last[0].Last)
}
