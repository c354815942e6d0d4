package config

import (
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"sluice/access"
	"sluice/internal/strictyaml"
)

// The kinds of document.
const (
	KindGateway    = "Gateway"
	KindResource   = "Resource"
	KindUser       = "User"
	KindPolicy     = "Policy"
	KindPolicyTest = "PolicyTest"

	KindClassification = "Classification"
)

var kinds = []string{KindGateway, KindResource, KindUser, KindPolicy, KindPolicyTest, KindClassification}

// Load reads the configuration at path: a YAML file, or a folder whose *.yaml
// and *.yml files are read, also in folders below it. Hidden names are passed over. With
// problems there is no configuration.
func Load(path string) (*Config, []strictyaml.Problem) {
	docs, files, problems := Documents(path)
	if len(docs) == 0 && len(problems) > 0 {
		return nil, strictyaml.Sort(problems) // that nothing is in it is no news
	}
	c, more := build(path, docs)
	problems = append(problems, more...)
	if len(problems) > 0 {
		return nil, strictyaml.Sort(problems)
	}
	c.Files = append(files, c.dependencies()...)
	c.Warnings = strictyaml.Sort(c.Warnings)
	return c, nil
}

// Documents reads the documents of files and folders without looking into them,
// and names the files read.
func Documents(paths ...string) (docs []strictyaml.Document, files []string, problems []strictyaml.Problem) {
	for _, path := range paths {
		found, _ := strictyaml.Files(path) // Read reports the error
		ds, ps := strictyaml.Read(path)
		docs, files, problems = append(docs, ds...), append(files, found...), append(problems, ps...)
	}
	return docs, files, append(problems, strictyaml.Duplicates(docs)...)
}

func build(path string, docs []strictyaml.Document) (*Config, []strictyaml.Problem) {
	c := &Config{Gateway: defaults()}
	var problems []strictyaml.Problem
	var gateways []strictyaml.Document
	for _, d := range docs {
		switch d.Kind {
		case KindGateway:
			gateways = append(gateways, d)
			problems = append(problems, c.addGateway(d)...)
		case KindResource:
			problems = append(problems, c.addResource(d)...)
		case KindUser:
			problems = append(problems, c.addUser(d)...)
		case KindPolicy:
			c.Policies = append(c.Policies, d)
		case KindClassification:
			c.Classifications = append(c.Classifications, d)
		case KindPolicyTest:
			c.Tests = append(c.Tests, d)
		default:
			problems = append(problems, d.Pos().Problemf("unknown kind %q%s", d.Kind, strictyaml.Suggest(d.Kind, kinds)))
		}
	}
	if len(gateways) == 0 {
		problems = append(problems, strictyaml.Problem{File: path, Line: 1, Column: 1, Message: "no document of kind Gateway"})
	}
	for _, g := range gateways[min(1, len(gateways)):] {
		problems = append(problems, g.NamePos.Problemf("a second Gateway; the first is at %s", gateways[0].Pos()))
	}
	return c, append(problems, c.validate()...)
}

func defaults() Gateway {
	return Gateway{
		Identity:  Identity{MaxTokenTTL: 24 * time.Hour, MaxSession: 12 * time.Hour, LoginTTL: time.Hour, MaxAge: 12 * time.Hour, ClockSkew: 30 * time.Second},
		Approval:  Approval{MaxHold: 5 * time.Minute},
		Audit:     Audit{SegmentSize: 64 << 20},
		Recording: Recording{MaxSession: 1 << 30, MaxResult: 1 << 20},
		Limits: Limits{
			Connections: 2000, ConnectionsPerSubject: 200, ConnectionsPerAddress: 50,
			HandshakeTimeout: 15 * time.Second, IdleTimeout: 8 * time.Hour,
		},
	}
}

func (c *Config) addGateway(d strictyaml.Document) []strictyaml.Problem {
	g := defaults()
	if d.Spec == nil {
		return d.Decode(&g)
	}
	camelKeys(d.Spec)
	problems := d.Decode(&g)
	g.Name, g.Pos = d.Name, d.Pos()
	if g.Data == "" {
		g.Data = "data"
	}
	g.Data = beside(d.File, g.Data)
	c.Gateway = g
	return problems
}

// camelKeys lets the gateway's settings also be written as max_hold, as rules
// write theirs.
func camelKeys(n *yaml.Node) {
	if n.Kind == yaml.MappingNode {
		for i := 0; i < len(n.Content); i += 2 {
			n.Content[i].Value = camel(n.Content[i].Value)
		}
	}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 1 && slices.Contains(foreign, n.Content[i-1].Value) {
			continue
		}
		camelKeys(c)
	}
}

// foreign are the settings whose keys are others' names: claims and groups.
var foreign = []string{"require", "claims", "map"}

func camel(key string) string {
	first, rest, ok := strings.Cut(key, "_")
	if !ok || first == "" || rest == "" {
		return key
	}
	return first + strings.ToUpper(rest[:1]) + camel(rest[1:])
}

func (c *Config) addResource(d strictyaml.Document) []strictyaml.Problem {
	var r Resource
	problems := d.Decode(&r)
	r.Name, r.Labels, r.Pos = d.Name, d.Labels, d.NamePos
	c.Resources = append(c.Resources, r)
	return problems
}

func (c *Config) addUser(d strictyaml.Document) []strictyaml.Problem {
	var u User
	problems := d.Decode(&u)
	u.Name, u.Pos = d.Name, d.NamePos
	if u.Kind == "" {
		u.Kind = access.Human
	}
	c.Users = append(c.Users, u)
	return problems
}

// dependencies are the files, beside YAML, whose change means a new configuration.
func (c *Config) dependencies() (files []string) {
	add := func(path string) {
		if path != "" {
			files = append(files, path)
		}
	}
	t := c.Gateway.TLS
	for _, p := range []Path{t.Cert, t.Key, t.ClientCA} {
		add(string(p))
	}
	for _, r := range c.Resources {
		for _, p := range []Path{r.TLS.CA, r.TLS.Cert, r.TLS.Key} {
			add(string(p))
		}
	}
	for _, u := range c.Users {
		add(u.Password.File)
	}
	for _, k := range c.Gateway.Mask.Keys {
		add(k.Secret.File)
	}
	for _, p := range c.Gateway.Identity.Providers {
		add(string(p.CA))
		add(p.ClientSecret.File)
	}
	for _, w := range c.Gateway.Identity.Workloads {
		add(string(w.CA))
	}
	return files
}
