package server

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"sluice/access"
	"sluice/config"
	"sluice/internal/strictyaml"
	"sluice/policy"
)

// A CheckReport is the result of checking a configuration. Errors and Warnings
// are texts of the form file:line:column: message.
type CheckReport struct {
	Errors   []string `json:"errors"`
	Warnings []string `json:"warnings"`
	Summary  string   `json:"summary"`
}

// A ConfigError is a configuration that cannot be used, with everything that is
// wrong with it.
type ConfigError struct{ Problems []string }

// Error has one problem a line.
func (e *ConfigError) Error() string { return strings.Join(e.Problems, "\n") }

// problemsError is all problems; nil for none.
func problemsError(problems []strictyaml.Problem) error {
	if len(problems) == 0 {
		return nil
	}
	return &ConfigError{texts(problems)}
}

// texts spells problems, each once.
func texts(problems []strictyaml.Problem) []string {
	out := []string{}
	for _, p := range strictyaml.Sort(problems) {
		if s := p.String(); !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// Check reads a configuration as serve would and says everything that is wrong
// or doubtful, in one run.
func Check(ctx context.Context, path string) CheckReport {
	docs, _, _ := config.Documents(path) // Load reports the problems
	cfg, problems := config.Load(path)
	set, more := policy.Load(docs)
	report := CheckReport{Errors: texts(slices.Concat(problems, more, unplaced(set, cfg))), Warnings: []string{}}
	if len(report.Errors) > 0 {
		return report
	}
	untested, broken := coverage(ctx, set, cfg)
	report.Errors = texts(broken)
	report.Warnings = texts(slices.Concat(cfg.Warnings, policy.Lint(set, inventory(cfg)), untested))
	report.Summary = fmt.Sprintf("%s, %s, %s, %s", plural(len(cfg.Resources), "resource", "resources"), plural(len(cfg.Users), "user", "users"),
		plural(len(cfg.Policies), "policy", "policies"), plural(len(cfg.Tests), "policy test", "policy tests"))
	if n := len(cfg.Classifications); n > 0 {
		report.Summary += ", " + plural(n, "classification", "classifications")
	}
	return report
}

// lints are the warnings that serve logs; it does not run tests.
func lints(cfg *config.Config) []string {
	set, _ := compiled(cfg)
	return texts(slices.Concat(cfg.Warnings, policy.Lint(set, inventory(cfg))))
}

// compiled is the policies of a configuration with what its columns are
// tagged with.
func compiled(cfg *config.Config) (*policy.Set, []strictyaml.Problem) {
	set, problems := policy.Load(slices.Concat(cfg.Policies, cfg.Classifications))
	if problems = append(problems, unplaced(set, cfg)...); len(problems) > 0 {
		return nil, problems
	}
	return set, nil
}

// unplaced reports what the policies name and the configuration does not have:
// resources with tags, keys of masks. A rule about them would protect nothing.
func unplaced(set *policy.Set, cfg *config.Config) []strictyaml.Problem {
	if cfg == nil {
		return nil
	}
	names := []string{}
	for _, r := range cfg.Resources {
		names = append(names, r.Name)
	}
	return append(set.Unplaced(names), set.Keyless(cfg.Gateway.Mask.KeyIDs())...)
}

// inventory is what rules can speak of.
func inventory(cfg *config.Config) policy.Inventory {
	inv := policy.Inventory{Resources: []access.Resource{}, Groups: map[string]int{}, Channels: []string{}}
	for _, r := range cfg.Resources {
		inv.Resources = append(inv.Resources, access.Resource{Name: r.Name, Protocol: r.Protocol.Value, Address: r.Address.Value, Database: r.Database, Labels: r.Labels})
	}
	for _, u := range cfg.Users {
		for _, g := range u.Groups {
			inv.Groups[g] += 0
			if u.Kind == access.Human || u.Kind == "" {
				inv.Groups[g]++
			}
		}
	}
	inv.Groups = provided(inv.Groups, cfg.Gateway.Identity.Providers)
	return inv
}

// provided adds the groups that identity providers may name. Nobody knows who
// is in them; and without a map, not even which there are.
func provided(groups map[string]int, providers []config.Provider) map[string]int {
	for _, p := range providers {
		if p.Groups.Map == nil {
			return nil
		}
		for _, g := range p.Groups.Map {
			groups[g] = -1
		}
	}
	return groups
}

// coverage warns of rules that no test makes hold. Without any test it says so
// once.
func coverage(ctx context.Context, set *policy.Set, cfg *config.Config) (untested, broken []strictyaml.Problem) {
	if len(cfg.Tests) == 0 {
		return []strictyaml.Problem{cfg.Gateway.Pos.Problemf("there are no policy tests (kind: PolicyTest)")}, nil
	}
	report, broken, err := runTests(ctx, set, cfg.Tests)
	if err != nil {
		return nil, []strictyaml.Problem{cfg.Gateway.Pos.Problemf("policy tests: %s", err)}
	}
	for _, c := range report.Coverage {
		if c.Fired == 0 {
			at := strictyaml.Pos{File: c.File, Line: c.Line, Column: 1}
			untested = append(untested, at.Problemf("rule %q: no test makes it hold", c.Rule))
		}
	}
	return untested, broken
}
