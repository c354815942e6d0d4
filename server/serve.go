package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"sluice/config"
	"sluice/policy"
)

// ServeOptions are the command line of serve.
type ServeOptions struct {
	Config    string
	Pprof     string // loopback address for profiles; empty: as configured
	LogFormat string // text or json
	Out, Err  io.Writer
	Version   string
}

// Serve runs a gateway as a process: it reads the configuration, prints what
// came of it, and serves until ctx ends. SIGHUP reads the configuration again.
func Serve(ctx context.Context, o ServeOptions) error {
	log, err := logger(o)
	if err != nil {
		return err
	}
	cfg, err := load(o.Config)
	if err != nil {
		return err
	}
	for _, w := range lints(cfg) {
		log.Warn("configuration: " + w)
	}
	stopPprof, err := servePprof(first(o.Pprof, cfg.Gateway.Pprof), log)
	if err != nil {
		return err
	}
	defer stopPprof()
	s, err := New(ctx, cfg, Options{Path: o.Config, Log: log, Version: o.Version})
	if err != nil {
		return err
	}
	stopHangup := s.onHangup(ctx) // before anybody can know that it runs: unheard, SIGHUP ends a process
	defer stopHangup()
	if err := s.Start(ctx); err != nil {
		return errors.Join(err, s.Shutdown())
	}
	s.resolved(o.Out)
	return s.wait(ctx)
}

// load reads a configuration with its policies, so that everything wrong is
// said at once.
func load(path string) (*config.Config, error) {
	docs, _, _ := config.Documents(path) // Load reports the problems
	cfg, problems := config.Load(path)
	set, more := policy.Load(docs)
	return cfg, problemsError(slices.Concat(problems, more, unplaced(set, cfg)))
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

func logger(o ServeOptions) (*slog.Logger, error) {
	switch o.LogFormat {
	case "", "text":
		return slog.New(slog.NewTextHandler(o.Err, nil)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(o.Err, nil)), nil
	}
	return nil, fmt.Errorf("server: log format %q is none of text, json", o.LogFormat)
}

// onHangup reloads at SIGHUP, as daemons do.
func (s *Server) onHangup(ctx context.Context) (stop func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-hangups:
				_ = s.Reload(ctx) // it logs why it refused
			case <-done:
				return
			}
		}
	}()
	return func() { signal.Stop(hangups); close(done) }
}

// servePprof opens profiles at a loopback address: they show what is in memory.
func servePprof(address string, log *slog.Logger) (stop func(), err error) {
	if address == "" {
		return func() {}, nil
	}
	if !config.Loopback(address) {
		return nil, fmt.Errorf("server: profiles are served on loopback only, not at %s", address)
	}
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("server: profiles: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	web := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := web.Serve(ln); err != nil && !errors.Is(err, http.ErrServerClosed) {
			log.Error("profiles", "error", err)
		}
	}()
	return func() { web.Close() }, nil
}

// resolved prints what each listener and resource came to.
func (s *Server) resolved(out io.Writer) {
	cfg := s.config.Load()
	var text bytes.Buffer // written at once: others may print, too
	w := tabwriter.NewWriter(&text, 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "sluice %s\n", s.o.Version)
	fmt.Fprintf(w, "configuration\t%s\n", s.o.Path)
	fmt.Fprintf(w, "data\t%s\n", cfg.Gateway.Data)
	for _, name := range sorted(s.addresses()) {
		fmt.Fprintf(w, "listen %s\t%s\t%s\n", name, s.Addr(name), s.security(name))
	}
	for _, r := range cfg.Resources {
		fmt.Fprintf(w, "resource %s\t%s://%s/%s\tas %s, TLS %s\n", r.Name, r.Protocol.Value, r.Address.Value, r.Database, r.Credential.User, r.TLS.Mode.Value)
	}
	set := s.policy.Set()
	fmt.Fprintf(w, "policy\t%s\t%s\n", plural(len(cfg.Policies), "policy", "policies"), set.Digest()[:min(16, len(set.Digest()))])
	fmt.Fprintf(w, "users\t%d\n", len(cfg.Users))
	fmt.Fprintln(w, "ready")
	w.Flush()
	_, _ = out.Write(text.Bytes()) // nobody to tell if the terminal is gone
}

// security says how a listener is protected, and where its CA is.
func (s *Server) security(name string) string {
	t := s.config.Load().Gateway.TLS
	clear := "clear text (loopback)"
	switch {
	case t.Auto && config.Loopback(s.Addr(name).String()):
		return "TLS by the CA in " + relative(s.folder.file(authorityFile)) + ", or " + clear
	case t.Auto:
		return "TLS by the CA in " + relative(s.folder.file(authorityFile))
	case t.On():
		return "TLS by " + relative(string(t.Cert))
	}
	return clear
}

// relative shortens a path below the working folder.
func relative(path string) string {
	wd, err := os.Getwd()
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(wd, path); err == nil && !strings.HasPrefix(rel, "..") {
		return rel
	}
	return path
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func sorted[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
