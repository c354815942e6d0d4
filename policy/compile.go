package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"sluice/access"
	"sluice/internal/strictyaml"
)

// This file compiles match blocks.

func (c *compiler) match(who string, spec *matchSpec) *match {
	c.here = spec.Pos
	m := &match{
		protocols:  c.oneOf(who, "protocol", spec.Protocols, protocols),
		groups:     c.strings(who, spec.Groups),
		subjects:   c.globs(who, spec.Subjects),
		settings:   c.globs(who, spec.Settings),
		tables:     c.names(who, spec.Tables, 1, 2),
		columns:    c.names(who, spec.Columns, 2, 3),
		tags:       c.tags(who, spec.Tags),
		functions:  c.names(who, spec.Functions, 1, 2),
		confidence: parsed(c, who, "confidence", spec.Confidence, access.ParseConfidence, []string{"exact", "partial", "opaque"}),
	}
	for _, k := range c.oneOf(who, "kind", spec.Kinds, []string{"human", "agent", "workload"}) {
		m.kinds = append(m.kinds, access.Kind(k))
	}
	c.verbs(who, spec, m)
	c.resource(who, spec.Resource, m)
	c.client(who, spec.Client, m)
	if spec.Commands != nil {
		c.fail(spec.Commands.Pos, "%s: match.commands is not supported yet for any protocol", who)
	}
	if spec.Not != nil {
		m.not = c.match(who, spec.Not)
		if len(m.not.conds) == 0 {
			c.fail(spec.Not.Pos, "%s: not without conditions matches nothing", who)
		}
	}
	m.finish()
	return m
}

// strings takes a list that must not be empty if it is given.
func (c *compiler) strings(who string, ts texts) []string {
	if ts != nil && len(ts) == 0 {
		c.fail(c.here, "%s: an empty list would match nothing: leave the key out", who)
	}
	var all []string
	for _, t := range ts {
		if t.Value == "" {
			c.fail(t.Pos, "%s: empty text in a list", who)
		}
		all = append(all, t.Value)
	}
	return all
}

func (c *compiler) oneOf(who, what string, ts texts, known []string) []string {
	for _, t := range ts {
		if !slices.Contains(known, t.Value) {
			c.fail(t.Pos, "%s: unknown %s %q%s", who, what, t.Value, strictyaml.Suggest(t.Value, known))
		}
	}
	return c.strings(who, ts)
}

func parsed[T any](c *compiler, who, what string, ts texts, parse func(string) (T, bool), known []string) []T {
	var all []T
	for _, name := range c.oneOf(who, what, ts, known) {
		if v, ok := parse(name); ok {
			all = append(all, v)
		}
	}
	return all
}

func (c *compiler) globs(who string, ts texts) []glob {
	var all []glob
	for _, s := range c.strings(who, ts) {
		all = append(all, newGlob(s))
	}
	return all
}

func (c *compiler) names(who string, ts texts, least, most int) []namePattern {
	c.strings(who, ts)
	var all []namePattern
	for _, t := range ts {
		p, err := parseName(t.Value, least, most)
		if err != nil {
			c.fail(t.Pos, "%s: %v", who, err)
			continue
		}
		all = append(all, p)
	}
	return all
}

// verbs joins verbs and access: a verb must be in both where both are given.
// The star stands for every verb but unknown.
func (c *compiler) verbs(who string, spec *matchSpec, m *match) {
	classes := parsed(c, who, "access", spec.Access, access.ParseClass, []string{"session", "read", "write", "admin"})
	named := c.oneOf(who, "verb", spec.Verbs, append(verbNames(), "*"))
	m.hasVerbs = len(spec.Verbs) > 0 || len(spec.Access) > 0 && !allClasses(classes)
	if len(spec.Verbs) > 0 {
		m.verbsText = "verbs: " + list(named)
	}
	if len(spec.Access) > 0 {
		m.verbsText = strings.TrimSuffix("access: "+list(classes)+", "+m.verbsText, ", ")
	}
	for _, v := range access.Verbs() {
		inClass := len(spec.Access) == 0 || slices.Contains(classes, v.Class())
		inVerbs := len(spec.Verbs) == 0 || slices.Contains(named, v.String()) || slices.Contains(named, "*")
		if inClass && inVerbs {
			m.verbs.add(v)
		}
	}
	if slices.Contains(named, access.VerbUnknown.String()) {
		m.verbs.add(access.VerbUnknown)
	}
	if m.verbs == (verbSet{}) && len(classes) == len(spec.Access) && len(named) > 0 && verbsKnown(named) {
		c.fail(spec.Pos, "%s: no verb is in both verbs and access", who)
	}
}

// allClasses reports whether nothing is left out: whatever a statement that
// nobody understands does, it is one of these. (Who has an allow has session.)
func allClasses(classes []access.Class) bool {
	return slices.Contains(classes, access.ClassRead) && slices.Contains(classes, access.ClassWrite) && slices.Contains(classes, access.ClassAdmin)
}

func verbsKnown(names []string) bool {
	return !slices.ContainsFunc(names, func(n string) bool { return n != "*" && !slices.Contains(verbNames(), n) })
}

func (c *compiler) resource(who string, spec *resourceSpec, m *match) {
	if spec == nil {
		return
	}
	m.names = c.globs(who, spec.Names)
	for key, l := range spec.Labels {
		if len(l.Values) == 0 {
			c.fail(l.Pos, "%s: label %q without values", who, key)
		}
		if m.labels == nil {
			m.labels = map[string][]string{}
		}
		m.labels[key] = l.Values
	}
}

func (c *compiler) client(who string, spec *clientSpec, m *match) {
	if spec == nil {
		return
	}
	c.strings(who, spec.CIDR)
	for _, t := range spec.CIDR {
		p, err := parseCIDR(t.Value)
		if err != nil {
			c.fail(t.Pos, "%s: %v", who, err)
			continue
		}
		m.cidrs = append(m.cidrs, p)
	}
}

// parseCIDR reads a network, or one address.
func parseCIDR(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		ip, err := netip.ParseAddr(s)
		if err != nil {
			return netip.Prefix{}, fmt.Errorf("not an address or network: %q", s)
		}
		return netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("not an address or network: %q", s)
	}
	if p != p.Masked() {
		return p, fmt.Errorf("%q has bits set beyond its mask, did you mean %q?", s, p.Masked())
	}
	return p, nil
}
