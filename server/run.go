package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"sluice/access"
	"sluice/config"
	"sluice/internal/uuid7"
	"sluice/store"
)

// Times of running and stopping.
const (
	watchInterval = 2 * time.Second     // between looks at the configuration's files
	indexInterval = time.Second         // between updates of the search index
	purgeInterval = time.Hour           // between clean-ups of the store
	keepSessions  = 90 * 24 * time.Hour // in the list of sessions; the journal keeps them for ever
	farewellTime  = 5 * time.Second     // for HTTP requests that are being answered
)

// Start opens the configured listeners and serves them until Shutdown. That
// the gateway started, and with which policy, is durable before the first
// client is let in.
func (s *Server) Start(ctx context.Context) error {
	ended := store.SessionFilter{Node: s.config.Load().Gateway.Name, Open: true}
	if _, err := s.store.EndSessions(ctx, ended, s.o.Now(), "the gateway stopped"); err != nil {
		return fmt.Errorf("server: %w", err)
	}
	if err := s.listen(); err != nil {
		return err
	}
	if err := s.announce(ctx, access.GatewayStarted, map[string]any{"version": s.o.Version, "policy": s.policy.Digest(), "listeners": s.addresses()}); err != nil {
		return err
	}
	base := context.WithoutCancel(ctx)
	background, stopBackground := context.WithCancel(base)
	serving, stopServing := context.WithCancel(base)
	s.stop = []func(){func() { stopServing(); s.farewell(base); s.serving.Wait() }, func() { stopBackground(); s.running.Wait() }}
	s.background(background)
	s.serve(serving)
	return nil
}

// announce records an event of the gateway's own.
func (s *Server) announce(ctx context.Context, t access.EventType, extra map[string]any) error {
	return s.record(ctx, &access.Event{Type: t, Extra: extra})
}

// record gives an event its id and time and returns when it is durable.
func (s *Server) record(ctx context.Context, e *access.Event) error {
	e.Time = s.o.Now().UTC()
	e.ID = uuid7.New(e.Time)
	mark, err := s.sessions.Append(e)
	if err == nil {
		err = s.sessions.Wait(ctx, mark)
	}
	if err != nil {
		return fmt.Errorf("server: record %s: %w", e.Type, err)
	}
	return nil
}

// listen opens all listeners or none.
func (s *Server) listen() error {
	for name, l := range s.config.Load().Gateway.Listen {
		ln, err := net.Listen("tcp", l.Value)
		if err != nil {
			s.unlisten()
			return fmt.Errorf("%s: %s listener: %w", l.Pos, name, err)
		}
		if name == "web" {
			ln = newBounded(ln, maxWebConnections, maxWebAddress)
		}
		s.mu.Lock()
		s.listeners[name] = ln
		s.mu.Unlock()
	}
	return nil
}

func (s *Server) unlisten() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ln := range s.listeners {
		ln.Close()
	}
	clear(s.listeners)
}

func (s *Server) addresses() map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]any{}
	for name, ln := range s.listeners {
		all[name] = ln.Addr().String()
	}
	return all
}

// background starts what runs beside the clients.
func (s *Server) background(ctx context.Context) {
	s.running.Go(func() { s.sessions.run(ctx) })
	s.running.Go(func() { s.approvals.Run(ctx) })
	s.running.Go(func() { s.housekeep(ctx) })
	s.running.Go(func() { s.renewLogins(ctx) })
	s.running.Go(func() {
		if err := s.index.Run(ctx, indexInterval); err != nil && ctx.Err() == nil {
			s.log.Error("the search index stands still; searches read the journal", "error", err)
		}
	})
	if s.o.Path != "" {
		w := config.NewWatcher(s.o.Path, s.config.Load())
		s.running.Go(func() { w.Watch(ctx, watchInterval, s.changed) })
	}
}

// housekeep forgets what nobody needs any more.
func (s *Server) housekeep(ctx context.Context) {
	t := time.NewTicker(purgeInterval)
	defer t.Stop()
	for {
		err := s.directory.Purge(ctx)
		_, more := s.store.PurgeSessions(ctx, s.o.Now().Add(-keepSessions))
		if err = errors.Join(err, more); err != nil && ctx.Err() == nil {
			s.log.Error("clean-up of the store", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// serve gives each listener to who speaks its protocol.
func (s *Server) serve(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, ln := range s.listeners {
		switch name {
		case "web":
			s.web = s.api.Server()
			s.web.BaseContext = func(net.Listener) context.Context { return ctx }
			s.serving.Go(func() { s.report(name, s.serveWeb(ln)) })
		case "postgres":
			s.serving.Go(func() { s.report(name, s.postgres.Serve(ctx, ln)) })
		}
	}
}

func (s *Server) serveWeb(ln net.Listener) error {
	if s.tls != nil {
		c := serverTLS(s.tls)
		c.NextProtos = []string{"h2", "http/1.1"}
		if config.Loopback(ln.Addr().String()) {
			ln = newEither(ln, c)
		} else {
			ln = tls.NewListener(ln, c)
		}
	}
	return s.web.Serve(ln)
}

// report notes a listener that failed. A gateway that serves only some of its
// protocols looks healthy and is not, so Run ends.
func (s *Server) report(name string, err error) {
	if err == nil || errors.Is(err, http.ErrServerClosed) {
		return
	}
	s.log.Error("listener failed", "listener", name, "error", err)
	select {
	case s.failed <- fmt.Errorf("server: %s listener: %w", name, err):
	default:
	}
}

// Run starts the gateway and serves until ctx ends or a listener fails. It
// returns nil after an orderly end.
func (s *Server) Run(ctx context.Context) error {
	if err := s.Start(ctx); err != nil {
		return errors.Join(err, s.Shutdown())
	}
	return s.wait(ctx)
}

func (s *Server) wait(ctx context.Context) error {
	var failure error
	select {
	case <-ctx.Done():
	case failure = <-s.failed:
	}
	return errors.Join(failure, s.Shutdown())
}

// Shutdown ends the gateway: requests for approval stay open for the next
// start, clients get their protocol's farewell, and everything is written. What
// runs in the background ends after the last client: it keeps their record.
func (s *Server) Shutdown() error {
	if s.approvals != nil {
		s.approvals.Close()
	}
	for _, stop := range s.stop {
		stop()
	}
	s.stop = nil
	s.unlisten()
	return s.close()
}

// farewell lets HTTP requests that are being answered finish. Streams have
// ended with the context.
func (s *Server) farewell(ctx context.Context) {
	if s.web == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, farewellTime)
	defer cancel()
	if s.web.Shutdown(ctx) != nil {
		s.web.Close()
	}
}
