package access

import (
	"fmt"
	"io"
	"time"
)

// Kind says what sort of party a [Subject] is.
type Kind string

// The kinds of subject. The zero Kind is refused wherever a human is needed.
const (
	Human    Kind = "human"
	Agent    Kind = "agent"    // an AI agent or other autonomous program
	Workload Kind = "workload" // a CI job, a service, a script
)

// A Subject is the party that asks. Issuer and ID together identify it; the
// other fields describe it.
type Subject struct {
	Issuer string         `json:"issuer"` // who vouches for ID; "local" for users from YAML
	ID     string         `json:"id"`     // stable within Issuer, never empty
	Kind   Kind           `json:"kind,omitempty"`
	Email  string         `json:"email,omitempty"`
	Groups []string       `json:"groups,omitempty"`
	Claims map[string]any `json:"claims,omitempty"`

	// Owner is the ID of the human who answers for an agent or workload; empty
	// for humans. Owners may not approve what their agents ask for.
	Owner string `json:"owner,omitempty"`

	// Actor is the party acting for this subject, as in the "act" claim of RFC
	// 8693: an agent working for a person. Nil if the subject acts itself.
	Actor *Subject `json:"actor,omitempty"`

	// AuthTime is when the subject last proved who it is. Zero: unknown.
	AuthTime time.Time `json:"auth_time,omitzero"`
}

// Chain returns the subject followed by its actors, outermost last.
func (s *Subject) Chain() []*Subject {
	var chain []*Subject
	for ; s != nil; s = s.Actor {
		chain = append(chain, s)
	}
	return chain
}

// Same reports whether both name the same party, whoever acts for them.
func (s Subject) Same(o Subject) bool {
	return s.Issuer == o.Issuer && s.ID == o.ID
}

// In reports whether the subject is a member of group.
func (s Subject) In(group string) bool {
	for _, g := range s.Groups {
		if g == group {
			return true
		}
	}
	return false
}

// A Resource is a named, protected target: one database, host or API. It holds
// no credential.
type Resource struct {
	Name     string            `json:"name"`
	Protocol string            `json:"protocol"` // postgres, mysql, ssh, ...
	Address  string            `json:"address,omitempty"`
	Database string            `json:"database,omitempty"` // the database in use, where the protocol has such
	Labels   map[string]string `json:"labels,omitempty"`
}

// A Client is where a session comes from, as far as the gateway can see it.
type Client struct {
	Address string `json:"address,omitempty"` // IP:port of the peer
	TLS     bool   `json:"tls,omitempty"`
	Program string `json:"program,omitempty"` // self-reported: application_name, user agent. Never trust it
}

// A Secret is a credential that no formatter, encoder or logger can print.
type Secret struct{ value string }

// NewSecret wraps value.
func NewSecret(value string) Secret { return Secret{value} }

// Reveal returns the value, for the one place that needs it.
func (s Secret) Reveal() string { return s.value }

// Empty reports whether there is no value.
func (s Secret) Empty() bool { return s.value == "" }

// String hides the value.
func (Secret) String() string { return "[secret]" }

// Format hides the value from every verb of package fmt: without it, %d would
// print the field.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, "[secret]") }

// MarshalText hides the value from encoders (JSON, YAML, slog).
func (Secret) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }
