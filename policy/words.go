package policy

import (
	"fmt"
	"slices"
	"strings"

	"sluice/access"
)

// This file holds the closed sets of names that rules use.

// protocols that a rule may name. Rules for protocols that a gateway does not
// listen on are fine: they match nothing yet.
var protocols = []string{"postgres", "mysql", "ssh", "kubernetes", "http", "mcp", "redis"}

// sqlProtocols provide the view sql.
var sqlProtocols = []string{"postgres", "mysql"}

// An effect is what a rule does when it matches. The zero effect denies.
type effect uint8

const (
	effDeny effect = iota
	effApproval
	effAllow
	effMask
	effLimit
	effRecord
	effNotify
)

var effectNames = []string{"deny", "require_approval", "allow", "mask", "limit", "record", "notify"}

func (e effect) String() string { return effectNames[e] }

// masks are the ways to mask, strictest first; the package mask implements them.
var masks = []string{"null", "redact", "zero", "hash", "partial", "card_last4", "first_letter", "email", "year"}

// detectables are what detectors can find, and the groups of such; the package
// mask implements them.
var detectables = []string{
	"email", "phone", "card", "iban", "ipv4", "ipv6",
	"us_ssn", "uk_nino", "de_tax_id", "es_dni", "it_codice_fiscale", "fr_nir",
	"jwt", "cloud_key", "api_token", "private_key", "url_password", "high_entropy",
	"ip", "national_id", "pii", "secrets", "all",
}

// MaskMethods lists what mask.with may say, strictest first.
func MaskMethods() []string { return slices.Clone(masks) }

// Detectables lists what mask.detect may name.
func Detectables() []string { return slices.Clone(detectables) }

func strictness(with string) int {
	if i := slices.Index(masks, with); i >= 0 {
		return len(masks) - i
	}
	return 0
}

// stricter returns the stricter of two ways to mask.
func stricter(a, b string) string {
	if strictness(b) > strictness(a) {
		return b
	}
	return a
}

// counters are the kinds that rate and count take; see [access.Counts].
var counters = []string{"statements", "reads", "writes", "admin", "denied", "rows"}

// A verbSet is a set of verbs; it has room for every value of the type.
type verbSet [4]uint64

func (s *verbSet) add(v access.Verb)     { s[v/64] |= 1 << (v % 64) }
func (s verbSet) has(v access.Verb) bool { return s[v/64]&(1<<(v%64)) != 0 }

// list prints values as a YAML list.
func list[T any](vs []T) string {
	parts := make([]string, len(vs))
	for i, v := range vs {
		parts[i] = fmt.Sprint(v)
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

func patterns(ps []namePattern) string {
	parts := make([]string, len(ps))
	for i, p := range ps {
		parts[i] = p.text
	}
	return list(parts)
}

func labelText(labels map[string][]string) string {
	var parts []string
	for k, vs := range labels {
		parts = append(parts, k+": "+strings.Join(vs, "|"))
	}
	slices.Sort(parts)
	return "{" + strings.Join(parts, ", ") + "}"
}

// verbNames lists the verbs as rules spell them, with unknown.
func verbNames() []string {
	all := []string{access.VerbUnknown.String()}
	for _, v := range access.Verbs() {
		all = append(all, v.String())
	}
	return all
}
