package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"sluice/access"
	"sluice/api"
	v1 "sluice/api/v1"
	"sluice/policy"
	"sluice/protocol"
	"sluice/protocol/postgres"
	"sluice/query/catalog"
	query "sluice/query/postgres"
	"sluice/resource"
)

// An oracle says what would be decided, from the same parts that decide.
type oracle struct {
	set      func() *policy.Set
	people   people
	targets  protocol.Targets
	analyzer *query.Analyzer
	now      func() time.Time
	log      *slog.Logger // of what is not told
	// snapshot reads a target's catalog: names mean nothing without it.
	snapshot func(context.Context, protocol.Target) (*catalog.Snapshot, error)
}

// people knows the configured users.
type people interface {
	Users() []access.Subject
}

// catalogPatience is how long a question waits for a target's catalog.
const catalogPatience = 10 * time.Second

func (s *Server) oracle() oracle {
	return oracle{set: s.policy.Set, people: s.directory, targets: s.catalogue, analyzer: s.analyzer, now: s.o.Now, log: s.log, snapshot: s.postgres.Snapshot}
}

// person finds whom a question is about: names are unique, whoever vouches for
// them. Who asks about themselves is answered as they are, with whom they act for;
// of others it is taken that they have just signed in.
func (o oracle) person(name string, asker *api.Caller) (access.Subject, error) {
	if name != "" && name == asker.Subject.ID {
		return asker.Subject, nil
	}
	all := o.people.Users()
	i := slices.IndexFunc(all, func(s access.Subject) bool { return s.ID == name })
	if i < 0 {
		return access.Subject{}, api.WithHint(api.Errorf(api.ErrNotFound, "there is no user %q", name),
			"the configuration names local users, in documents of kind User; others are known once they have signed in")
	}
	who := all[i]
	who.AuthTime = o.now()
	return who, nil
}

// Can answers a question, one verdict for each statement. As for sessions, no
// target is dialled where no rule could allow the subject anything, unless the
// asker may know everything anyway.
func (o oracle) Can(ctx context.Context, q v1.Question, asker *api.Caller) ([]v1.Verdict, error) {
	full := asker.SeesAll()
	who, err := o.person(q.Subject, asker)
	if err != nil {
		return nil, err
	}
	name, database, _ := strings.Cut(q.Resource, "/")
	target, err := o.targets.Target(ctx, name, database)
	if err != nil && !full && !errors.Is(err, resource.ErrUnknown) {
		o.log.Warn("a question about a resource that cannot be used", "resource", name, "error", err)
		err = errors.New("it cannot be used now; an administrator finds the cause in the gateway's log")
	}
	if err != nil {
		return nil, targetError(err, name)
	}
	statements, incomplete, err := o.statements(ctx, who, target, q.Command, full)
	if err != nil {
		return nil, err
	}
	var verdicts []v1.Verdict
	for _, st := range statements {
		r := access.Request{Subject: who, Action: st.Action, Resource: target.Resource, Context: access.Context{
			Time: o.now(), Reason: q.Reason, Client: access.Client{Address: "127.0.0.1:0"}}}
		v := o.verdict(r)
		if incomplete != "" && st.Action.Confidence != access.Exact {
			v.Incomplete = incomplete // the cause of whatever else is not understood
		}
		verdicts = append(verdicts, v)
	}
	return verdicts, nil
}

func targetError(err error, name string) error {
	if errors.Is(err, resource.ErrUnknown) {
		return api.WithHint(api.Errorf(api.ErrNotFound, "there is no resource %q", name), "sluice ls lists those that you may use; the configuration names them all")
	}
	return api.Errorf(api.ErrUnavailable, "resource %s: %s", name, err)
}

// statements analyses a command as a session at the target would, with the
// search_path that the server has unless a role or database sets another.
func (o oracle) statements(ctx context.Context, who access.Subject, target protocol.Target, command string, full bool) ([]*query.Statement, string, error) {
	var snap *catalog.Snapshot
	incomplete := "nothing is allowed there, so names were not looked up"
	if full || o.set().Posture(who, target.Resource).May {
		snap, incomplete = o.catalog(ctx, target, full)
	}
	env := query.NewEnv(query.Env{Catalog: snap, SearchPath: []string{"$user", "public"}, Database: target.Resource.Database, User: target.User})
	batch, err := o.analyzer.Analyze(ctx, who.Issuer+"/"+who.ID, command, env)
	if err != nil {
		return nil, "", fmt.Errorf("server: analyse: %w", err)
	}
	if len(batch.Statements) == 0 {
		return nil, "", api.Errorf(api.ErrInvalid, "there is no statement in the command")
	}
	return batch.Statements, incomplete, nil
}

// catalog reads a target's catalog, or says why names mean nothing.
func (o oracle) catalog(ctx context.Context, target protocol.Target, full bool) (*catalog.Snapshot, string) {
	waiting, cancel := context.WithTimeout(ctx, catalogPatience)
	defer cancel()
	snap, err := o.snapshot(waiting, target)
	if err == nil {
		return snap, ""
	}
	why := fmt.Sprintf("the catalog of %s cannot be read, so names mean nothing", target.Resource.Name)
	if full {
		return nil, why + ": " + err.Error()
	}
	o.log.Warn("a question without a catalog", "resource", target.Resource.Name, "error", err)
	return nil, why
}

func (o oracle) verdict(r access.Request) v1.Verdict {
	e := policy.Explain(o.set(), r)
	d := &e.Decision
	unmaskable(&r.Action, d)
	v := v1.Verdict{
		Subject: api.Name(&r.Subject), Resource: api.ResourceName(&r.Resource), Verb: r.Action.Verb.String(), Text: r.Action.Visible(),
		Confidence: r.Action.Confidence.String(), Objects: api.Objects(r.Action.Objects),
		Effect: d.Effect.String(), Rule: d.By(), Message: d.Message, Hint: d.Hint,
		Reasons: api.Reasons(d.Reasons), Would: api.Reasons(d.Would), Obligations: api.Obligations(d.Obligations),
		Nearest: e.Nearest, At: r.Context.Time,
	}
	if r.Action.SQL != nil {
		v.Incomplete = r.Action.SQL.Why
	}
	if d.Effect == access.RequireApproval {
		v.From, v.Approvers = quorum(d.Approval.From), o.approvers(r.Subject, d.Approval)
	}
	return v
}

// unmaskable denies what a session would refuse: an action whose masks it cannot
// carry out.
func unmaskable(a *access.Action, d *access.Decision) {
	if d.Effect == access.Deny {
		return
	}
	for _, ob := range d.Obligations {
		m, ok := ob.(access.Mask)
		if !ok {
			continue
		}
		if err := postgres.Maskable(a, m); err != nil {
			policyName, rule, _ := strings.Cut(m.Rule, "/")
			d.Effect, d.Message = access.Deny, err.Error()
			d.Reasons = append([]access.Reason{{Policy: policyName, Rule: rule, Effect: "mask", Message: d.Message}}, d.Reasons...)
			return
		}
	}
}

// approvers are the people who could answer: human, in a group that is asked,
// and not involved.
func (o oracle) approvers(asking access.Subject, q access.Quorum) []string {
	var names []string
	for _, p := range o.people.Users() {
		if p.Kind != access.Human || p.Same(asking) || p.ID == asking.Owner {
			continue
		}
		if slices.ContainsFunc(q.From, func(a access.Approvers) bool { return p.In(a.Group) }) {
			names = append(names, p.ID)
		}
	}
	slices.Sort(names)
	return names
}
