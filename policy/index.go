package policy

import (
	"math/bits"

	"sluice/access"
)

// An index finds the rules that can apply, without looking at each. Every
// dimension maps a value to the set of rules that accept it; a decision
// intersects one set from each. The index is exact: what it passes fulfils the
// conditions marked as indexed, and what it drops cannot match.
type index struct {
	words    int
	all      bitset
	protocol dimension
	verb     [256]bitset
	groups   dimension
	labels   []labelDimension
	names    []nameEntry
	anyName  bitset
	// unnamed are the approval rules that name no verbs: they do not ask for what
	// every session needs.
	unnamed bitset
}

// A dimension maps values to rules; rules without the condition accept any.
type dimension struct {
	value map[string]bitset // with those that accept any
	any   bitset
}

// A labelDimension is the dimension of one label.
type labelDimension struct {
	key string
	dimension
}

type nameEntry struct {
	glob glob
	rule int
}

// A bitset is a set of rules by their place.
type bitset []uint64

func (b bitset) add(i int)      { b[i/64] |= 1 << (i % 64) }
func (b bitset) has(i int) bool { return b[i/64]&(1<<(i%64)) != 0 }

func (b bitset) intersect(o bitset) {
	for i := range b {
		b[i] &= o[i]
	}
}

func (b bitset) unite(o bitset) {
	for i := range b {
		b[i] |= o[i]
	}
}

// each calls f for every member, in order.
func (b bitset) each(f func(i int)) {
	for w, word := range b {
		for word != 0 {
			f(w*64 + bits.TrailingZeros64(word))
			word &= word - 1
		}
	}
}

func newIndex(rules []*rule) index {
	x := index{words: (len(rules) + 63) / 64}
	x.all, x.anyName, x.unnamed = x.empty(), x.empty(), x.empty()
	for i := range rules {
		x.all.add(i)
	}
	x.protocol = x.dimension(rules, func(m *match) []string { return m.protocols })
	x.groups = x.dimension(rules, func(m *match) []string { return m.groups })
	for _, key := range labelKeys(rules) {
		x.labels = append(x.labels, labelDimension{key, x.dimension(rules, func(m *match) []string { return m.labels[key] })})
	}
	for v := range x.verb {
		x.verb[v] = x.empty()
	}
	for i, r := range rules {
		x.addVerbs(i, r)
		x.addNames(i, r)
		if r.effect == effApproval && !r.match.hasVerbs {
			x.unnamed.add(i)
		}
	}
	return x
}

func (x *index) empty() bitset { return make(bitset, x.words) }

func (x *index) dimension(rules []*rule, values func(*match) []string) dimension {
	d := dimension{value: map[string]bitset{}, any: x.empty()}
	for i, r := range rules {
		vs := values(&r.match)
		if len(vs) == 0 {
			d.any.add(i)
		}
		for _, v := range vs {
			if d.value[v] == nil {
				d.value[v] = x.empty()
			}
			d.value[v].add(i)
		}
	}
	for _, b := range d.value {
		b.unite(d.any)
	}
	return d
}

func (d *dimension) of(value string) bitset {
	if b, ok := d.value[value]; ok {
		return b
	}
	return d.any
}

// addVerbs enters a rule under every verb that it may be about. An action that
// nobody understands is every verb to a rule that restricts. A rule that allows
// covers it if it names the verb unknown, or asks nothing about verbs at all.
func (x *index) addVerbs(i int, r *rule) {
	for v := range x.verb {
		verb := access.Verb(v)
		known := verb.Class() != access.ClassUnknown
		switch {
		case known && (!r.match.hasVerbs || r.match.verbs.has(verb)),
			!known && (!r.allows() || r.match.verbs.has(access.VerbUnknown) || !r.match.hasVerbs):
			x.verb[v].add(i)
		}
	}
}

func (x *index) addNames(i int, r *rule) {
	if len(r.match.names) == 0 {
		x.anyName.add(i)
	}
	for _, g := range r.match.names {
		x.names = append(x.names, nameEntry{g, i})
	}
}

func labelKeys(rules []*rule) []string {
	var keys []string
	seen := map[string]bool{}
	for _, r := range rules {
		for key := range r.match.labels {
			if !seen[key] {
				seen[key] = true
				keys = append(keys, key)
			}
		}
	}
	return keys
}

// candidates fills into with the rules that can apply to the resource and to
// any member of the chain. The verb counts only if there is an action.
func (x *index) candidates(q *question, into bitset) {
	x.memberOf(&q.r.Subject, into)
	into.intersect(x.protocol.of(q.r.Resource.Protocol))
	if !q.posture {
		into.intersect(x.verb[q.r.Action.Verb])
		if q.r.Action.Verb.Class() == access.ClassSession {
			for i := range into {
				into[i] &^= x.unnamed[i]
			}
		}
	}
	for i := range x.labels {
		l := &x.labels[i]
		if v, ok := q.r.Resource.Labels[l.key]; ok {
			into.intersect(l.of(v))
		} else {
			into.intersect(l.any)
		}
	}
	x.named(q.r.Resource.Name, into)
}

// memberOf fills into with the rules for the groups of the subject or any actor.
func (x *index) memberOf(s *access.Subject, into bitset) {
	copy(into, x.groups.any)
	for ; s != nil; s = s.Actor {
		for _, g := range s.Groups {
			if b, ok := x.groups.value[g]; ok {
				into.unite(b)
			}
		}
	}
}

func (x *index) named(name string, into bitset) {
	if len(x.names) == 0 {
		return
	}
	ok := x.empty()
	copy(ok, x.anyName)
	for _, e := range x.names {
		if into.has(e.rule) && e.glob.match(name) {
			ok.add(e.rule)
		}
	}
	into.intersect(ok)
}
