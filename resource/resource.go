// Package resource is the catalogue of protected targets: a name that users
// type becomes a [protocol.Target] with address, account and TLS.
//
// The catalogue is one immutable snapshot behind a pointer: [Catalogue.Swap]
// builds the next one completely, certificates included, or changes nothing.
// Passwords are not part of it: they are fetched for each connection, so that a
// rotated one needs no reload.
//
// The TLS modes are libpq's, with one difference: where libpq goes on in clear
// if the server offers no TLS, that happens only for "prefer", and the target says so.
package resource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"sluice/access"
	"sluice/protocol"
)

var _ protocol.Targets = (*Catalogue)(nil)

// A Spec describes one target.
type Spec struct {
	Name     string
	Labels   map[string]string
	Protocol string
	Address  string // host:port
	Database string // used if the client names none
	TLS      TLS
	User     string // account at the target
	// Password fetches the account's password; nil: it has none.
	Password func(context.Context) (access.Secret, error)
}

// ErrUnknown is in the chain of Target's error for a name that is not there.
var ErrUnknown = errors.New("no such resource")

// A CredentialError says that a target's password could not be had. Its text is
// safe to show to clients; the cause, which Unwrap returns, is for logs.
type CredentialError struct {
	Resource string
	Cause    error
}

func (e *CredentialError) Error() string {
	return fmt.Sprintf("the gateway has no credential for resource %q at the moment", e.Resource)
}

// Unwrap returns the cause.
func (e *CredentialError) Unwrap() error { return e.Cause }

// A Catalogue holds the targets. Safe for concurrent use; make it with [New].
type Catalogue struct {
	all atomic.Pointer[map[string]*entry]
}

// An entry is a Spec, checked and with its TLS configuration built.
type entry struct {
	spec   Spec
	target protocol.Target // without the password
}

// New returns a catalogue of specs.
func New(specs []Spec) (*Catalogue, error) {
	c := &Catalogue{}
	return c, c.Swap(specs)
}

// Swap replaces all targets. On an error nothing changes. Connections made
// before keep what they were made with.
func (c *Catalogue) Swap(specs []Spec) error {
	next := make(map[string]*entry, len(specs))
	for _, s := range specs {
		if s.Name == "" || next[s.Name] != nil {
			return fmt.Errorf("resource: name %q empty or given twice", s.Name)
		}
		e, err := build(s)
		if err != nil {
			return fmt.Errorf("resource: %s: %w", s.Name, err)
		}
		next[s.Name] = e
	}
	c.all.Store(&next)
	return nil
}

func build(s Spec) (*entry, error) {
	s.Labels = maps.Clone(s.Labels)
	conf, try, err := s.TLS.config(s.Address)
	if err != nil {
		return nil, err
	}
	return &entry{spec: s, target: protocol.Target{
		Resource: access.Resource{Name: s.Name, Protocol: s.Protocol, Address: s.Address, Database: s.Database, Labels: s.Labels},
		User:     s.User, TLS: conf, TLSTry: try,
	}}, nil
}

func (c *Catalogue) find(name string) *entry {
	if all := c.all.Load(); all != nil {
		return (*all)[name]
	}
	return nil
}

// Target resolves name; database, if not empty, is used instead of the
// resource's own.
func (c *Catalogue) Target(ctx context.Context, name, database string) (protocol.Target, error) {
	e := c.find(name)
	if e == nil {
		return protocol.Target{}, fmt.Errorf("%w: %q", ErrUnknown, name)
	}
	t := e.target
	if t.TLS != nil {
		t.TLS = t.TLS.Clone()
	}
	if database != "" {
		t.Resource.Database = database
	}
	if e.spec.Password == nil {
		return t, nil
	}
	password, err := e.spec.Password(ctx)
	if err == nil && password.Empty() {
		err = errors.New("empty password")
	}
	if err != nil {
		return protocol.Target{}, &CredentialError{Resource: name, Cause: err}
	}
	t.Password = password
	return t, nil
}

// Resource returns what is known of a target without its credential.
func (c *Catalogue) Resource(name string) (access.Resource, bool) {
	if e := c.find(name); e != nil {
		return e.target.Resource, true
	}
	return access.Resource{}, false
}

// List returns all targets, by name.
func (c *Catalogue) List() []access.Resource {
	var list []access.Resource
	if all := c.all.Load(); all != nil {
		for _, e := range *all {
			list = append(list, e.target.Resource)
		}
	}
	slices.SortFunc(list, func(a, b access.Resource) int { return cmp.Compare(a.Name, b.Name) })
	return list
}
