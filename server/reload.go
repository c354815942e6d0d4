package server

import (
	"context"
	"reflect"
	"strings"
	"time"

	"sluice/access"
	"sluice/config"
	"sluice/internal/strictyaml"
	"sluice/resource"
)

// reloadTimeout bounds finding secrets and writing the record of a change.
const reloadTimeout = 30 * time.Second

// changed takes up what the watcher found.
func (s *Server) changed(cfg *config.Config, problems []strictyaml.Problem) {
	ctx, cancel := context.WithTimeout(context.Background(), reloadTimeout)
	defer cancel()
	s.reloading.Lock()
	defer s.reloading.Unlock()
	err := problemsError(problems)
	if err == nil {
		err = s.apply(ctx, cfg)
	}
	s.reloaded(err)
}

// Reload reads the files again now, whether or not they changed: passwords from
// the environment's files may have. It reads when it is its turn: what it read
// before could be older than what the watcher has put in force meanwhile.
func (s *Server) Reload(ctx context.Context) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	cfg, problems := config.Load(s.o.Path)
	err := problemsError(problems)
	if err == nil {
		err = s.apply(ctx, cfg)
	}
	s.reloaded(err)
	return err
}

func (s *Server) reloaded(err error) {
	if err == nil {
		s.metrics.reloads.WithLabelValues("ok").Inc()
		s.metrics.reloadOK.Set(1)
		s.refused.Store(false)
		s.log.Info("configuration reloaded", "policy", s.policy.Digest())
		return
	}
	s.metrics.reloads.WithLabelValues("refused").Inc()
	s.metrics.reloadOK.Set(0)
	s.refused.Store(true)
	s.log.Error("the changed configuration was refused; the old one stays in force", "error", err)
}

// apply puts a configuration in force as a whole. Everything that can fail
// comes before the first change; the record of it comes before the new policy.
// The caller holds reloading.
func (s *Server) apply(ctx context.Context, cfg *config.Config) error {
	set, problems := compiled(cfg)
	if err := problemsError(problems); err != nil {
		return err
	}
	known, err := users(ctx, cfg)
	if err != nil {
		return err
	}
	keys, err := s.maskKeys(ctx, cfg)
	if err != nil {
		return err
	}
	if _, err := resource.New(specs(cfg)); err != nil {
		return err
	}
	issuers, err := s.newIssuers(cfg)
	if err != nil {
		return err
	}
	old := s.config.Load()
	pool, err := authorities(old) // another file is a change of tls, and needs a restart
	if err != nil {
		return err
	}
	if before := s.policy.Digest(); before != set.Digest() {
		if err := s.announce(ctx, access.PolicyChanged, map[string]any{"from": before, "to": set.Digest()}); err != nil {
			return err
		}
	}
	if err := s.catalogue.Swap(specs(cfg)); err != nil {
		return err
	}
	if err := s.directory.Swap(known); err != nil {
		return err
	}
	s.clientCAs.Store(pool)
	s.issuers.Store(issuers)
	s.masks.Store(keys)
	s.policy.Swap(set)
	s.metrics.policyIs(set.Digest())
	s.config.Store(s.keep(old, cfg))
	return nil
}

// keep carries over what a running gateway cannot change, and says so.
func (s *Server) keep(old, next *config.Config) *config.Config {
	merged := *next
	fixed := []struct {
		name    string
		changed bool
	}{
		{"data", old.Gateway.Data != next.Gateway.Data},
		{"listen", !sameListeners(old, next)},
		{"tls", !sameTLS(old.Gateway.TLS, next.Gateway.TLS)},
		{"limits", old.Gateway.Limits != next.Gateway.Limits},
		{"identity", times(old.Gateway.Identity) != times(next.Gateway.Identity)},
		{"approval", old.Gateway.Approval != next.Gateway.Approval},
		{"audit", old.Gateway.Audit != next.Gateway.Audit},
		{"recording", recordingSizes(old) != recordingSizes(next)},
		{"pprof", old.Gateway.Pprof != next.Gateway.Pprof},
		{"name", old.Gateway.Name != next.Gateway.Name},
	}
	var waiting []string
	for _, f := range fixed {
		if f.changed {
			waiting = append(waiting, f.name)
		}
	}
	if len(waiting) > 0 {
		s.log.Warn("changes of the gateway that need a restart", "keys", strings.Join(waiting, ", "))
	}
	g := old.Gateway
	g.Roles, g.URL, g.Recording, g.Demo = next.Gateway.Roles, next.Gateway.URL, next.Gateway.Recording, next.Gateway.Demo
	g.Mask = next.Gateway.Mask
	g.Identity.Providers, g.Identity.Workloads = next.Gateway.Identity.Providers, next.Gateway.Identity.Workloads
	merged.Gateway = g
	return &merged
}

// recordingSizes is what a store of recordings was opened with; whether anything
// is recorded can change while it runs.
func recordingSizes(c *config.Config) config.Recording {
	r := c.Gateway.Recording
	r.Off = false
	return r
}

// times are the settings of identity that need a restart.
func times(i config.Identity) [5]time.Duration {
	return [...]time.Duration{i.MaxTokenTTL, i.MaxSession, i.LoginTTL, i.MaxAge, i.ClockSkew}
}

func sameListeners(a, b *config.Config) bool {
	if len(a.Gateway.Listen) != len(b.Gateway.Listen) {
		return false
	}
	for name, l := range a.Gateway.Listen {
		if b.Gateway.Listen[name].Value != l.Value {
			return false
		}
	}
	return true
}

func sameTLS(a, b config.TLS) bool {
	a.Pos, b.Pos = strictyaml.Pos{}, strictyaml.Pos{}
	return reflect.DeepEqual(a, b)
}
