package server

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sluice/access"
	"sluice/harden"
	"sluice/policy"
	"sluice/protocol"
	"sluice/protocol/postgres"
	"sluice/query/catalog"
	query "sluice/query/postgres"
)

// A HardenReport is SQL and where it is for.
type HardenReport struct {
	SQL   string
	Roles []string

	target protocol.Target
}

// Harden writes the SQL that makes a resource's database enforce what the policy
// says of each group. It reads the catalog with the resource's own credential,
// and asks the policy about every relation as the gateway would.
func Harden(ctx context.Context, path, name string) (*HardenReport, error) {
	cfg, set, err := loadWhole(path)
	if err != nil {
		return nil, err
	}
	t, err := target(ctx, cfg, name)
	if err != nil {
		return nil, err
	}
	analyzer, stop, err := newAnalyzer()
	if err != nil {
		return nil, err
	}
	defer stop()
	srv := &postgres.Server{Analyzer: analyzer, Now: time.Now}
	seen, err := srv.Look(ctx, t)
	if err != nil {
		return nil, err
	}
	everybody, err := srv.Everybody(ctx, t, harden.Mark)
	if err != nil {
		return nil, err
	}
	h := hardener{set: set, analyzer: analyzer, target: t, snap: seen.Snapshot, everybody: everybody,
		env: query.NewEnv(query.Env{Catalog: seen.Snapshot, SearchPath: []string{"pg_catalog"}, Database: t.Resource.Database, User: t.User})}
	plan, err := h.plan(ctx)
	if err != nil {
		return nil, err
	}
	report := &HardenReport{SQL: plan.SQL(), target: t}
	for _, r := range plan.Roles {
		report.Roles = append(report.Roles, harden.RoleName(r.Group))
	}
	return report, nil
}

// Apply runs the SQL, as another account if user is not empty.
func (r *HardenReport) Apply(ctx context.Context, user string, password access.Secret, notice func(string)) error {
	t := r.target
	if user != "" {
		t.User, t.Password = user, password
	}
	return (&postgres.Server{Now: time.Now}).Apply(ctx, t, r.SQL, notice)
}

// A hardener asks the policy, group by group and relation by relation.
type hardener struct {
	set       *policy.Set
	analyzer  *query.Analyzer
	target    protocol.Target
	snap      *catalog.Snapshot
	everybody postgres.Everybody
	env       *query.Env

	open map[string]string // by rule: why the database cannot enforce it; of the role at hand
}

func (h *hardener) plan(ctx context.Context) (*harden.Plan, error) {
	p := &harden.Plan{Resource: h.target.Resource.Name, Database: h.everybody.Database, Channel: postgres.DDLChannel,
		Notes: []string{
			"conditions (when), approvals, limits on rows, single subjects, agents, client addresses, detectors in values",
			"DDL and other administration: the roles here own nothing and may truncate at most"}}
	p.Notes = append(p.Notes, h.definers()...)
	for _, who := range h.everybody.Later {
		p.Notes = append(p.Notes, fmt.Sprintf("new tables of %s: default privileges give PUBLIC, and so every role, rights on them: ALTER DEFAULT PRIVILEGES ... REVOKE, or run this again after each", who))
	}
	groups := h.set.Groups(h.target.Resource)
	relations := h.relations(groups)
	for _, r := range relations {
		if !slices.Contains(p.Schemas, r.Schema) {
			p.Schemas = append(p.Schemas, r.Schema)
		}
		if h.everybody.Relations[r.OID] {
			p.Public = append(p.Public, harden.Name{Schema: r.Schema, Name: r.Name})
		}
	}
	p.Creators = h.everybody.Creators
	for _, g := range groups {
		role, err := h.role(ctx, g, relations)
		if err != nil {
			return nil, err
		}
		if len(role.Tables) == 0 {
			p.Notes = append(p.Notes, fmt.Sprintf("group %s: no rule allows it anything here, so it gets no role", g))
			continue
		}
		p.Roles = append(p.Roles, *role)
	}
	p.Gone = slices.DeleteFunc(slices.Clone(h.everybody.Made), func(name string) bool {
		return slices.ContainsFunc(p.Roles, func(r harden.Role) bool { return harden.RoleName(r.Group) == name })
	})
	return p, nil
}

// definers names functions that do what their owner may, whoever calls them.
func (h *hardener) definers() []string {
	var notes []string
	h.snap.EachFunction(func(f catalog.FunctionRow) bool {
		if f.Definer {
			notes = append(notes, fmt.Sprintf("function %s.%s runs with its owner's rights: REVOKE EXECUTE ON it FROM PUBLIC unless every role may have what it does", f.Schema, f.Name))
		}
		return true
	})
	slices.Sort(notes)
	return slices.Compact(notes)
}

// relations lists what can be granted, by name: not the server's own, not what
// an earlier run made, and partitions only through what they are part of.
func (h *hardener) relations(groups []string) []*catalog.Relation {
	own := append([]string{harden.Own}, h.everybody.Made...)
	for _, g := range groups {
		own = append(own, harden.RoleName(g))
	}
	var all []*catalog.Relation
	h.snap.Relations(func(r *catalog.Relation) bool {
		if !r.System && !slices.Contains(own, r.Schema) {
			all = append(all, r)
		}
		return true
	})
	slices.SortFunc(all, func(a, b *catalog.Relation) int {
		return strings.Compare(a.Schema+"\x00"+a.Name, b.Schema+"\x00"+b.Name)
	})
	return all
}

func (h *hardener) role(ctx context.Context, group string, relations []*catalog.Relation) (*harden.Role, error) {
	role := &harden.Role{Group: group}
	h.open = map[string]string{}
	for _, r := range relations {
		if r.Partition {
			continue
		}
		g := grant{h: h, ctx: ctx, group: group, r: r, role: role, table: harden.Table{Name: harden.Name{Schema: r.Schema, Name: r.Name}}}
		g.ask()
		if g.err != nil {
			return nil, g.err
		}
		if t := g.table; t.Select.Any() || t.Insert.Any() || t.Update.Any() || t.Delete || t.Truncate || len(t.Masked) > 0 {
			role.Tables = append(role.Tables, t)
		}
	}
	for rule, why := range h.open {
		role.Notes = append(role.Notes, rule+": "+why)
	}
	slices.Sort(role.Notes)
	return role, nil
}

// A grant is one group's rights on one relation, while they are found out.
type grant struct {
	h     *hardener
	ctx   context.Context
	group string
	r     *catalog.Relation
	role  *harden.Role
	table harden.Table
	err   error
}

func (g *grant) ask() {
	if g.r.Kind == 'S' {
		if st := g.standing("SELECT pg_catalog.nextval(" + harden.Literal(g.name()) + ")"); st.Allowed {
			g.table.Sequence, g.table.Update = true, harden.Columns{All: true}
		}
		return
	}
	g.reads()
	if g.r.IsView() {
		return
	}
	name := g.name()
	g.table.Insert = g.columns(access.VerbInsert, "INSERT", func(list []string) string {
		return "INSERT INTO " + name + " (" + strings.Join(list, ", ") + ") VALUES (" + strings.TrimSuffix(strings.Repeat("NULL, ", len(list)), ", ") + ")"
	})
	g.table.Update = g.columns(access.VerbUpdate, "UPDATE", func(list []string) string {
		return "UPDATE " + name + " SET " + strings.Join(list, " = NULL, ") + " = NULL WHERE false"
	})
	g.table.Delete = g.standing("DELETE FROM " + name + " WHERE false").Allowed
	g.table.Truncate = g.standing("TRUNCATE " + name).Allowed
}

func (g *grant) name() string { return harden.Ident(g.r.Schema) + "." + harden.Ident(g.r.Name) }

// standing asks the policy what it says of a statement.
func (g *grant) standing(text string) policy.Standing {
	if g.err != nil {
		return policy.Standing{}
	}
	batch, err := g.h.analyzer.Analyze(g.ctx, "harden", text, g.h.env)
	if err != nil {
		g.err = fmt.Errorf("server: harden: %w", err)
		return policy.Standing{}
	}
	if len(batch.Statements) != 1 || batch.Statements[0].Action.Confidence != access.Exact {
		return policy.Standing{} // what is not understood is not granted
	}
	st := g.h.set.Standing(g.h.target.Resource, g.group, batch.Statements[0].Action)
	for _, o := range st.Open {
		g.h.open[o.Name()] = o.Effect + place(o)
	}
	if st.Allowed && st.Rule.Rule != "" && !slices.Contains(g.table.Why, st.Rule.Name()+place(st.Rule)) {
		g.table.Why = append(g.table.Why, st.Rule.Name()+place(st.Rule))
	}
	if st.Allowed && st.Timeout > 0 && (g.role.Timeout == "" || st.Timeout < parseTimeout(g.role.Timeout)) {
		g.role.Timeout, g.role.Why = fmt.Sprintf("%dms", st.Timeout.Milliseconds()), st.TimedBy.Name()+place(st.TimedBy)
	}
	return st
}

func parseTimeout(s string) time.Duration {
	d, _ := time.ParseDuration(s) // written by standing
	return d
}

// place says where a rule stands.
func place(r access.Reason) string {
	if r.File == "" {
		return ""
	}
	return fmt.Sprintf(" (%s:%d)", filepath.Base(r.File), r.Line)
}

// columns asks for all columns at once, and one by one if not all are allowed.
// The right is for whatever columns there will be only if no rule could say
// otherwise of one.
func (g *grant) columns(verb access.Verb, op string, text func(list []string) string) harden.Columns {
	var list []string
	for _, c := range g.r.Columns {
		list = append(list, harden.Ident(c.Name))
	}
	if len(list) == 0 {
		return harden.Columns{}
	}
	if g.standing(text(list)).Allowed {
		if g.later(verb, op).Allowed {
			return harden.Columns{All: true}
		}
		return harden.Columns{Names: columnNames(g.r)}
	}
	var some harden.Columns
	for i, c := range g.r.Columns {
		if g.standing(text(list[i : i+1])).Allowed {
			some.Names = append(some.Names, c.Name)
		}
	}
	return some
}

// reads asks for each column whether it may be read, and how. All columns are
// granted as a whole only if later ones would be readable, too.
func (g *grant) reads() {
	whole := true
	for i := range g.r.Columns {
		c := &g.r.Columns[i]
		st := g.standing("SELECT " + harden.Ident(c.Name) + " FROM " + g.name())
		switch {
		case !st.Allowed:
			whole = false
		case len(st.Masks) > 0:
			whole = false
			g.masked(c, st.Masks)
		default:
			g.table.Select.Names = append(g.table.Select.Names, c.Name)
		}
	}
	if later := g.later(access.VerbSelect, "SELECT"); whole && later.Allowed && len(later.Masks) == 0 {
		g.table.Select = harden.Columns{All: true}
	}
	if len(g.table.Masked) > 0 && g.r.RowSecurity {
		g.table.NoView = "has row security, which a view would not keep: masked columns are left out"
	}
}

// later asks about columns that do not exist yet and may be called anything: what
// a rule could say of any of them counts.
func (g *grant) later(verb access.Verb, op string) policy.Standing {
	o := access.Object{Kind: access.KindTable, Schema: g.r.Schema, Name: g.r.Name, Read: verb == access.VerbSelect, Write: verb != access.VerbSelect, Derived: g.r.Derived()}
	a := access.Action{Verb: verb, Op: op, Confidence: access.Exact, SQL: &access.SQL{Scoped: true, Limit: -1, Statements: 1}, Objects: []access.Object{o}}
	return g.h.set.Standing(g.h.target.Resource, g.group, a)
}

func columnNames(r *catalog.Relation) []string {
	var all []string
	for _, c := range r.Columns {
		all = append(all, c.Name)
	}
	return all
}

// masked notes how a column is shown. A view's column is computed by somebody
// else: it is left out, as the tables below have their own masks.
func (g *grant) masked(c *catalog.Column, masks []access.Mask) {
	m := masks[0]
	for _, o := range masks[1:] {
		if maskStricter(o.With, m.With) {
			m = o
		}
	}
	out := harden.Masked{Column: c.Name, Why: m.With + " by " + m.Rule}
	if !g.r.IsView() {
		out.Expr = harden.Mask(m.With, c.Name, c.Type)
		if out.Expr == "" {
			out.Why += ": has no equivalent in SQL"
		}
	} else {
		// A view over it would read it as the view's owner does, and so pass by what
		// the tables below keep from others (security_invoker).
		out.Why += ": what a view shows is masked in the tables below it"
		g.table.NoView = "is a view: masked columns are left out"
	}
	g.table.Masked = append(g.table.Masked, out)
}

func maskStricter(a, b string) bool {
	methods := policy.MaskMethods()
	return slices.Index(methods, a) < slices.Index(methods, b)
}
