package policy

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"sluice/access"
)

// A match is a compiled match block: conditions that must all hold.
type match struct {
	protocols  []string
	verbs      verbSet // what verbs and access together allow
	hasVerbs   bool    // verbs or access is given
	verbsText  string  // both as written
	groups     []string
	subjects   []glob
	kinds      []access.Kind
	names      []glob
	labels     map[string][]string
	tables     []namePattern
	columns    []namePattern
	tags       *tagMatch // nil: not given
	functions  []namePattern
	settings   []glob
	confidence []access.Confidence
	cidrs      []netip.Prefix
	not        *match

	conds []cond
}

// An aspect says what a condition is about: what must change for it to hold.
type aspect uint8

const (
	aboutResource aspect = iota
	aboutSubject
	aboutClient
	aboutAction
	aboutObjects
)

// A cond is one key of a match block.
type cond struct {
	key   string // as in YAML
	want  string // its value, for explanations
	about aspect
	// indexed conditions are answered by the index, exactly, for a subject that
	// acts alone.
	indexed bool
	show    func(q *question) string // what made it hold; nil: what the action touches
	eval    func(q *question, who *access.Subject, every bool) tri
}

// text is the condition as it is written.
func (c *cond) text() string {
	if c.key == "verbs" {
		return c.want // names its keys itself
	}
	return c.key + ": " + c.want
}

// eval is the conjunction of all conditions. every chooses how conditions on
// objects quantify: true for rules that allow, where every object must match;
// false for rules that restrict, where one is enough. Inside not it flips, so
// that the rule errs to the same side.
func (m *match) eval(q *question, who *access.Subject, every bool) tri {
	t := yes
	for i := range m.conds {
		if t = min(t, m.conds[i].eval(q, who, every)); t == no {
			return no
		}
	}
	return t
}

// residual is eval without what the index has answered already.
func (m *match) residual(q *question, who *access.Subject, every bool) tri {
	t := yes
	for i := range m.conds {
		c := &m.conds[i]
		if c.indexed {
			continue
		}
		if t = min(t, c.eval(q, who, every)); t == no {
			return no
		}
	}
	return t
}

// finish builds the conditions from the fields. It is called once, at load.
func (m *match) finish() {
	add := func(given bool, c cond) {
		if given {
			m.conds = append(m.conds, c)
		}
	}
	add(len(m.protocols) > 0, cond{key: "protocols", want: list(m.protocols), about: aboutResource, indexed: true, eval: m.evalProtocols})
	add(len(m.names) > 0, cond{key: "resource.names", want: list(m.names), about: aboutResource, indexed: true, eval: m.evalNames})
	add(len(m.labels) > 0, cond{key: "resource.labels", want: labelText(m.labels), about: aboutResource, indexed: true, eval: m.evalLabels})
	add(len(m.groups) > 0, cond{key: "groups", want: list(m.groups), about: aboutSubject, indexed: true, eval: m.evalGroups})
	add(len(m.kinds) > 0, cond{key: "kinds", want: list(m.kinds), about: aboutSubject, eval: m.evalKinds})
	add(len(m.subjects) > 0, cond{key: "subjects", want: list(m.subjects), about: aboutSubject, eval: m.evalSubjects})
	add(len(m.cidrs) > 0, cond{key: "client.cidr", want: list(m.cidrs), about: aboutClient, eval: m.evalClient})
	add(m.hasVerbs, cond{key: "verbs", want: m.verbsText, about: aboutAction, eval: m.evalVerbs})
	add(len(m.confidence) > 0, cond{key: "confidence", want: list(m.confidence), about: aboutAction, eval: m.evalConfidence})
	add(len(m.settings) > 0, cond{key: "settings", want: list(m.settings), about: aboutObjects, eval: m.evalSettings})
	add(len(m.functions) > 0, cond{key: "functions", want: patterns(m.functions), about: aboutObjects, eval: m.evalFunctions})
	add(len(m.tables) > 0, cond{key: "tables", want: patterns(m.tables), about: aboutObjects, eval: m.evalTables})
	add(len(m.columns) > 0, cond{key: "columns", want: patterns(m.columns), about: aboutObjects, eval: m.evalColumns})
	if m.tags != nil {
		add(true, cond{key: "tags", want: list(m.tags.tags), about: aboutObjects, eval: m.evalTags, show: m.tags.tagged})
	}
	add(m.not != nil, cond{key: "not", want: m.notText(), about: m.notAbout(), eval: m.evalNot})
}

func (m *match) evalProtocols(q *question, _ *access.Subject, _ bool) tri {
	return truth(slices.Contains(m.protocols, q.r.Resource.Protocol))
}

func (m *match) evalNames(q *question, _ *access.Subject, _ bool) tri {
	return anyGlob(m.names, q.r.Resource.Name)
}

func (m *match) evalLabels(q *question, _ *access.Subject, _ bool) tri {
	for key, values := range m.labels {
		got, ok := q.r.Resource.Labels[key]
		if !ok || !slices.Contains(values, got) {
			return no
		}
	}
	return yes
}

func (m *match) evalGroups(_ *question, who *access.Subject, _ bool) tri {
	for _, g := range m.groups {
		if who.In(g) {
			return yes
		}
	}
	return no
}

func (m *match) evalKinds(_ *question, who *access.Subject, _ bool) tri {
	return truth(slices.Contains(m.kinds, who.Kind))
}

// evalSubjects matches the bare id, issuer/id or the e-mail address.
func (m *match) evalSubjects(_ *question, who *access.Subject, _ bool) tri {
	full := who.Issuer + "/" + who.ID
	for _, g := range m.subjects {
		if g.match(who.ID) || g.match(full) || who.Email != "" && g.match(who.Email) {
			return yes
		}
	}
	return no
}

func (m *match) evalClient(q *question, _ *access.Subject, _ bool) tri {
	ip, ok := q.address()
	if !ok {
		return unknown
	}
	for _, p := range m.cidrs {
		if p.Contains(ip) {
			return yes
		}
	}
	return no
}

func (m *match) evalVerbs(q *question, _ *access.Subject, _ bool) tri {
	v := q.r.Action.Verb
	switch {
	case q.posture:
		return unknown
	case m.verbs.has(v):
		return yes
	case v.Class() == access.ClassUnknown:
		return unknown // nobody knows what it does
	}
	return no
}

func (m *match) evalConfidence(q *question, _ *access.Subject, _ bool) tri {
	if q.posture {
		return unknown
	}
	return truth(slices.Contains(m.confidence, q.r.Action.Confidence))
}

func (m *match) evalSettings(q *question, _ *access.Subject, every bool) tri {
	if q.posture || q.r.Action.SQL == nil {
		return unknown
	}
	var s some
	for _, name := range q.r.Action.SQL.Settings {
		s.add(anyGlob(m.settings, name))
	}
	return s.answer(q, every)
}

func (m *match) evalNot(q *question, who *access.Subject, every bool) tri {
	return m.not.eval(q, who, !every).negate()
}

func (m *match) notText() string {
	if m.not == nil {
		return ""
	}
	var parts []string
	for i := range m.not.conds {
		parts = append(parts, m.not.conds[i].text())
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func (m *match) notAbout() aspect {
	var most aspect
	if m.not != nil {
		for _, c := range m.not.conds {
			most = max(most, c.about)
		}
	}
	return most
}

// objects reports whether a condition, also inside not, asks what an action touches.
func (m *match) objects() bool {
	return len(m.tables)+len(m.columns)+len(m.functions) > 0 || m.tags != nil || m.not != nil && m.not.objects()
}

// some collects the answers for several objects.
type some struct {
	least, most tri
	n           int
}

func (s *some) add(t tri) {
	if s.n == 0 {
		s.least = yes
	}
	s.n++
	s.least, s.most = min(s.least, t), max(s.most, t)
}

// answer quantifies over what was added. What an incomplete analysis may have
// missed could match or not.
func (s *some) answer(q *question, every bool) tri {
	hidden := q.r.Action.Confidence != access.Exact
	if every {
		switch {
		case s.n > 0 && s.least == no:
			return no
		case hidden || s.n > 0 && s.least == unknown:
			return unknown
		}
		return yes
	}
	if s.most == no && hidden {
		return unknown
	}
	return s.most
}

func anyGlob(gs []glob, s string) tri {
	for _, g := range gs {
		if g.match(s) {
			return yes
		}
	}
	return no
}

// address parses the client's address, once.
func (q *question) address() (netip.Addr, bool) {
	if q.posture {
		return netip.Addr{}, false
	}
	if q.addr.IsValid() {
		return q.addr, true
	}
	host := q.r.Context.Client.Address
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}, false
	}
	q.addr = ip.Unmap().WithZone("")
	return q.addr, true
}
