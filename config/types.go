package config

import (
	"time"

	"sluice/access"
	"sluice/internal/strictyaml"
)

// A Config is a whole, valid configuration.
type Config struct {
	Gateway   Gateway
	Resources []Resource
	Users     []User

	// Policies holds the documents of kind Policy, Tests those of kind
	// PolicyTest, Classifications those of that kind, in the order of files.
	Policies        []strictyaml.Document
	Tests           []strictyaml.Document
	Classifications []strictyaml.Document

	// Warnings are doubtful but allowed.
	Warnings []strictyaml.Problem

	// Files are all files that the configuration was read from or depends on
	// at load: YAML, certificates, files with users' passwords and keys of masks.
	Files []string
}

// A Gateway describes one process.
type Gateway struct {
	Name string `yaml:"-"`

	Data   string            // absolute path of the data folder; default "data" beside the file
	Listen map[string]Listen // by protocol, and "web"; only those named are opened
	TLS    TLS
	URL    string // how people reach the web listener, for links; empty: derived from it
	Pprof  string // loopback address for profiles; empty: none

	// Demo allows secrets to stand in the YAML.
	Demo bool

	Roles     Roles
	Identity  Identity
	Approval  Approval
	Audit     Audit
	Recording Recording
	Mask      Mask
	Limits    Limits

	Pos strictyaml.Pos
}

// A Listen is an address to listen on.
type Listen = strictyaml.At[string]

// TLS says how listeners prove themselves. The zero TLS offers none.
type TLS struct {
	Auto     bool     // own authority in the data folder
	Names    []string // with Auto: host names and addresses beside localhost
	Cert     Path     // chain, PEM
	Key      Path     // PEM
	ClientCA Path     `yaml:"clientCA"` // authorities whose client certificates log users in; empty: none

	Pos strictyaml.Pos
}

// On reports whether listeners offer TLS.
func (t TLS) On() bool { return t.Auto || t.Cert != "" }

// Roles are the groups with rights inside the gateway.
type Roles struct {
	Admin   []string
	Auditor []string
}

// Identity bounds credentials and says who vouches for people and programs.
type Identity struct {
	MaxTokenTTL time.Duration `yaml:"maxTokenTTL"` // longest life of a token; default 24h
	MaxSession  time.Duration `yaml:"maxSession"`  // how long a session may outlive its token; default 12h
	LoginTTL    time.Duration `yaml:"loginTTL"`    // life of a provider's login between renewals; default 1h
	MaxAge      time.Duration `yaml:"maxAge"`      // after authenticating such a login ends for good; default 12h
	ClockSkew   time.Duration `yaml:"clockSkew"`   // how far providers' clocks may be off; default 30s

	Providers []Provider // OpenID providers, in the order in which people choose
	Workloads []Workload // whose tokens programs may bring
}

// A Provider is an OpenID provider.
type Provider struct {
	Name         strictyaml.At[string] `yaml:"name,required"`
	Issuer       strictyaml.At[string] `yaml:"issuer,required"`
	ClientID     string                `yaml:"clientID,required"`
	ClientSecret Secret                `yaml:"clientSecret"` // zero: a public client
	CA           Path                  `yaml:"ca"`           // further authorities, PEM
	Scopes       []string              // beside openid; none: profile, email, offline_access
	Username     Username
	Groups       GroupClaim
	Require      map[string]Values // claims that must have one of the values
	Claims       []string          // kept for conditions

	Pos strictyaml.Pos
}

// A Username says which claim is a person's name.
type Username struct {
	Claim  string // default email, which must be verified
	Domain string // with an address: only those of the domain, which is cut off
}

// A GroupClaim says which claim holds a person's groups.
type GroupClaim struct {
	Claim string            // default groups; a.b goes into objects
	Map   map[string]string // the provider's name to ours; given: others are dropped
}

// Values are one text or several.
type Values []string

// A Workload is a rule of trust: tokens of an issuer with these claims are a user's.
type Workload struct {
	Issuer   strictyaml.At[string] `yaml:"issuer,required"`
	Audience string                `yaml:"audience,required"`
	Claims   map[string]Values     `yaml:"claims,required"`
	User     strictyaml.At[string] `yaml:"user,required"` // an agent or workload of kind User
	TTL      time.Duration         `yaml:"ttl"`           // of the credential; zero: as the token's
	Keys     string                // address of the issuer's keys; empty: by discovery
	CA       Path                  `yaml:"ca"`

	Pos strictyaml.Pos
}

// Approval bounds waiting for people.
type Approval struct {
	MaxHold time.Duration `yaml:"maxHold"` // inside a transaction, which holds locks; default 5m
}

// Audit shapes the journal.
type Audit struct {
	SegmentSize Size `yaml:"segmentSize"` // of a journal file; default 64MiB
}

// Recording says what content is kept.
type Recording struct {
	Off        bool // keep content only where a rule says so
	MaxSession Size `yaml:"maxSession"` // bytes kept of one session; default 1GiB
	MaxResult  Size `yaml:"maxResult"`  // bytes kept of one result; default 1MiB
}

// LocalKey is the id of the key of hashes that the gateway made for itself.
const LocalKey = "local"

// Mask holds what masks need.
type Mask struct {
	// Keys are those of the method hash. The first is the current one; the
	// others stay for rules that name them. None: [LocalKey] alone.
	Keys []MaskKey
}

// A MaskKey is one key of the method hash.
type MaskKey struct {
	ID     strictyaml.At[string] `yaml:"id,required"` // as rules name it
	Secret Secret                `yaml:"secret,required"`
}

// KeyIDs are the ids of all keys of hashes, the current one first.
func (m Mask) KeyIDs() []string {
	var ids []string
	for _, k := range m.Keys {
		ids = append(ids, k.ID.Value)
	}
	return append(ids, LocalKey)
}

// Limits keep clients from holding what others need.
type Limits struct {
	Connections           int           // in all; default 2000
	ConnectionsPerSubject int           `yaml:"connectionsPerSubject"` // default 200
	ConnectionsPerAddress int           `yaml:"connectionsPerAddress"` // not yet authenticated; default 50
	HandshakeTimeout      time.Duration `yaml:"handshakeTimeout"`      // from accept to authenticated; default 15s
	IdleTimeout           time.Duration `yaml:"idleTimeout"`           // without a word from the client; default 8h
}

// A Resource is a protected target.
type Resource struct {
	Name   string            `yaml:"-"`
	Labels map[string]string `yaml:"-"`

	Protocol   strictyaml.At[string] `yaml:"protocol,required"`
	Address    strictyaml.At[string] `yaml:"address,required"` // host:port
	Database   string                // where the protocol has such; the one used if the client names none
	TLS        UpstreamTLS
	Credential Credential `yaml:"credential,required"`

	Pos strictyaml.Pos
}

// The modes of [UpstreamTLS], as libpq's sslmode.
const (
	Disable    = "disable"
	Prefer     = "prefer"
	Require    = "require" // encrypted, not verified
	VerifyCA   = "verify-ca"
	VerifyFull = "verify-full"
)

// UpstreamTLS says how a target proves itself and the gateway to it.
type UpstreamTLS struct {
	Mode       strictyaml.At[string] // default: disable on loopback, verify-full elsewhere
	CA         Path                  `yaml:"ca"` // authorities, PEM; empty: the system's
	Cert       Path                  // client certificate, PEM
	Key        Path                  // of Cert, PEM
	ServerName string                `yaml:"serverName"` // empty: the host of the address

	Pos strictyaml.Pos
}

// A Credential is the account used at the target.
type Credential struct {
	User     string `yaml:"user,required"`
	Password Secret // zero: none

	Pos strictyaml.Pos
}

// A User is a local user.
type User struct {
	Name string `yaml:"-"`

	Kind     access.Kind // default human
	Groups   []string
	Email    string
	Owner    string   // of an agent or workload: the human who answers for it
	Password Secret   // zero: no password login
	SSHKeys  []string `yaml:"sshKeys"` // authorized_keys lines, for protocols that use them

	Pos strictyaml.Pos
}

// A Secret says where a secret is. At most one field is set; none: no secret.
type Secret struct {
	Env   string
	File  string   // absolute
	Exec  []string // argv; a relative program with a slash is made absolute
	Value access.Secret
	Pos   strictyaml.Pos
}

// Given reports whether there is a secret.
func (s Secret) Given() bool { return s.Pos.Line > 0 }

// A Path is a file name, absolute after Load.
type Path string

// A Size is a number of bytes, written as 512, 64KiB, 1MiB or 2GiB.
type Size int64
