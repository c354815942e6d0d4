package server

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"

	"sluice/access"
	v1 "sluice/api/v1"
	"sluice/config"
	"sluice/pipeline"
	"sluice/resource"
)

// specs are the configured targets as the catalogue takes them.
func specs(cfg *config.Config) []resource.Spec {
	var all []resource.Spec
	for _, r := range cfg.Resources {
		s := resource.Spec{Name: r.Name, Labels: r.Labels, Protocol: r.Protocol.Value, Address: r.Address.Value, Database: r.Database,
			User: r.Credential.User, TLS: resource.TLS{Mode: r.TLS.Mode.Value, CA: string(r.TLS.CA), Cert: string(r.TLS.Cert),
				Key: string(r.TLS.Key), ServerName: r.TLS.ServerName}}
		if r.Credential.Password.Given() {
			s.Password = reference(r.Credential.Password).Resolve
		}
		all = append(all, s)
	}
	return all
}

// resources gives the API its view of the catalogue: what a subject may use,
// and where.
type resources struct {
	config  func() *config.Config
	decider pipeline.Decider
	addr    func(protocol string) net.Addr // nil: no listener
}

func (r resources) List(_ context.Context, s access.Subject) ([]v1.Resource, error) {
	cfg := r.config()
	var out []v1.Resource
	for _, c := range cfg.Resources {
		known := access.Resource{Name: c.Name, Protocol: c.Protocol.Value, Address: c.Address.Value, Database: c.Database, Labels: c.Labels}
		if r.decider.Posture(s, known).May {
			out = append(out, r.describe(cfg, c, s))
		}
	}
	slices.SortFunc(out, func(a, b v1.Resource) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

func (r resources) describe(cfg *config.Config, c config.Resource, s access.Subject) v1.Resource {
	out := v1.Resource{Name: c.Name, Protocol: c.Protocol.Value, Labels: c.Labels, User: s.ID, Database: c.Name, TLS: cfg.Gateway.TLS.On()}
	a := r.addr(out.Protocol)
	if a == nil {
		return out
	}
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return out
	}
	out.Host, out.Port = reachable(host, cfg), atoi(port)
	if out.Protocol == "postgres" {
		out.Connect = fmt.Sprintf("sluice psql %s, or psql -h %s -p %s -U %s %s", c.Name, out.Host, port, s.ID, c.Name)
	}
	return out
}

// reachable is a name that clients can use for a listener on every address.
func reachable(host string, cfg *config.Config) string {
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		if names := cfg.Gateway.TLS.Names; len(names) > 0 {
			return names[0]
		}
		return "localhost"
	}
	return host
}

func atoi(s string) int {
	n, _ := strconv.Atoi(s) // from a net.Addr, so a number
	return n
}
