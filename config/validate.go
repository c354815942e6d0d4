package config

import (
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sluice/access"
	"sluice/internal/strictyaml"
)

// Web is the name of the listener for the HTTP API and the pages.
const Web = "web"

// Protocols are the protocols that resources and listeners may name.
func Protocols() []string { return []string{"postgres"} }

var (
	// A resource's name is typed as a database name, up to a slash; PostgreSQL
	// cuts names at 63 bytes.
	resourceName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	// A user's name also stands before the colon of HTTP Basic.
	userName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@+-]{0,62}$`)
)

// checker collects problems and warnings.
type checker struct {
	problems []strictyaml.Problem
	warnings []strictyaml.Problem
}

func (k *checker) bad(at strictyaml.Pos, format string, args ...any) {
	k.problems = append(k.problems, at.Problemf(format, args...))
}

func (k *checker) warn(at strictyaml.Pos, format string, args ...any) {
	k.warnings = append(k.warnings, at.Problemf(format, args...))
}

func (c *Config) validate() []strictyaml.Problem {
	var k checker
	if c.Gateway.Name != "" { // otherwise its absence is the problem
		k.gateway(&c.Gateway)
	}
	for i := range c.Resources {
		k.resource(&c.Gateway, &c.Resources[i])
	}
	for i := range c.Users {
		k.user(c, &c.Users[i])
	}
	k.identity(c)
	c.Warnings = k.warnings
	return k.problems
}

func (k *checker) gateway(g *Gateway) {
	if len(g.Listen) == 0 {
		k.bad(g.Pos, `listen: name at least one listener, such as {web: "127.0.0.1:8080", postgres: "127.0.0.1:15432"}`)
	}
	for name, l := range g.Listen {
		k.listen(g, name, l)
	}
	k.listenerTLS(&g.TLS)
	if g.URL != "" {
		u, err := url.Parse(g.URL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			k.bad(g.Pos, "url: want http://host or https://host")
		}
	}
	if g.Pprof != "" && !Loopback(g.Pprof) {
		k.bad(g.Pos, "pprof: profiles show memory, so only a loopback address is possible")
	}
	for _, r := range append(slices.Clone(g.Roles.Admin), g.Roles.Auditor...) {
		if r == "" {
			k.bad(g.Pos, "roles: a group's name is empty")
		}
	}
	k.maskKeys(g)
	k.limits(g)
}

// keyID is what a mask's key may be called.
var keyID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

func (k *checker) maskKeys(g *Gateway) {
	seen := map[string]bool{LocalKey: true}
	for _, key := range g.Mask.Keys {
		switch id := key.ID.Value; {
		case !keyID.MatchString(id):
			k.bad(key.ID.Pos, "mask.keys: id %q: use up to 63 of A-Z a-z 0-9 . _ -, starting with a letter or digit", id)
		case seen[id]:
			k.bad(key.ID.Pos, "mask.keys: there is a key %q already (%s is the one that the gateway made for itself)", id, LocalKey)
		}
		seen[key.ID.Value] = true
		k.secret(g, "mask.keys: "+key.ID.Value, key.Secret)
	}
}

func (k *checker) limits(g *Gateway) {
	l := g.Limits
	for _, n := range []struct {
		key   string
		value int64
	}{
		{"identity.maxTokenTTL", int64(g.Identity.MaxTokenTTL)},
		{"identity.maxSession", int64(g.Identity.MaxSession)},
		{"identity.loginTTL", int64(g.Identity.LoginTTL)},
		{"identity.maxAge", int64(g.Identity.MaxAge)},
		{"approval.maxHold", int64(g.Approval.MaxHold)},
		{"audit.segmentSize", int64(g.Audit.SegmentSize)},
		{"recording.maxSession", int64(g.Recording.MaxSession)},
		{"recording.maxResult", int64(g.Recording.MaxResult)},
		{"limits.connections", int64(l.Connections)},
		{"limits.connectionsPerSubject", int64(l.ConnectionsPerSubject)},
		{"limits.connectionsPerAddress", int64(l.ConnectionsPerAddress)},
		{"limits.handshakeTimeout", int64(l.HandshakeTimeout)},
		{"limits.idleTimeout", int64(l.IdleTimeout)},
	} {
		if n.value <= 0 {
			k.bad(g.Pos, "%s must be more than zero: there is no unlimited", n.key)
		}
	}
}

func (k *checker) listen(g *Gateway, name string, l Listen) {
	known := append(Protocols(), Web)
	if !slices.Contains(known, name) {
		k.bad(l.Pos, "listen: this version has no %q listener%s", name, strictyaml.Suggest(name, known))
	}
	if !hostPort(l.Value) {
		k.bad(l.Pos, "listen: %q is not host:port", l.Value)
		return
	}
	if !Loopback(l.Value) && !g.TLS.On() {
		k.bad(l.Pos, "listen: %s can be reached from other machines, so it needs TLS: set tls: auto, or tls: {cert: ..., key: ...}", l.Value)
	}
}

// hostPort reports whether address is host:port with a numeric port.
func hostPort(address string) bool {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

// Loopback reports whether a host:port can only be this machine. A host name
// other than localhost is not trusted to be.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

func (k *checker) user(c *Config, u *User) {
	if !userName.MatchString(u.Name) {
		k.bad(u.Pos, "user name %q: use up to 63 of A-Z a-z 0-9 . _ @ + -, starting with a letter or digit", u.Name)
	}
	switch u.Kind {
	case access.Human, access.Agent, access.Workload:
	default:
		k.bad(u.Pos, "kind %q: want human, agent or workload", u.Kind)
	}
	if slices.Contains(u.Groups, "") {
		k.bad(u.Pos, "a group's name is empty")
	}
	if u.Email != "" && !strings.Contains(u.Email, "@") {
		k.bad(u.Pos, "email %q is none", u.Email)
	}
	k.owner(c, u)
	k.secret(&c.Gateway, "password", u.Password)
}

func (k *checker) owner(c *Config, u *User) {
	switch i := slices.IndexFunc(c.Users, func(o User) bool { return o.Name == u.Owner }); {
	case u.Owner == "":
		if u.Kind != access.Human {
			k.warn(u.Pos, "%s %q has no owner: anybody may approve what it asks for", u.Kind, u.Name)
		}
	case u.Kind == access.Human:
		k.bad(u.Pos, "owner: people answer for themselves")
	case i < 0:
		k.bad(u.Pos, "owner: there is no user %q", u.Owner)
	case c.Users[i].Kind != access.Human:
		k.bad(u.Pos, "owner: %q is not human", u.Owner)
	}
}

// secret reports one that cannot be had, without reading it.
func (k *checker) secret(g *Gateway, what string, s Secret) {
	if !s.Value.Empty() && !g.Demo {
		k.bad(s.Pos, "%s: a secret must not stand in the YAML; use {env: NAME} or {file: PATH} (spec.demo: true on the Gateway allows it)", what)
	}
	switch {
	case s.Env != "":
		if os.Getenv(s.Env) == "" {
			k.bad(s.Pos, "%s: environment variable %s is not set or empty", what, s.Env)
		}
	case s.File != "":
		info, err := os.Stat(s.File)
		if err != nil || info.Size() == 0 {
			k.bad(s.Pos, "%s: file %s is missing or empty", what, s.File)
			return
		}
		if info.Mode().Perm()&0o007 != 0 {
			k.warn(s.Pos, "%s: file %s is open to everybody on this machine", what, s.File)
		}
	case len(s.Exec) > 0:
		if _, err := exec.LookPath(s.Exec[0]); err != nil {
			k.bad(s.Pos, "%s: program %s is not there or cannot be run", what, s.Exec[0])
		}
	case s.Given() && s.Value.Empty():
		k.bad(s.Pos, "%s is empty", what)
	}
}
