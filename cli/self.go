package cli

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/api/client"
	v1 "sluice/api/v1"
)

func (a *app) whoami() *cobra.Command {
	return &cobra.Command{Use: "whoami", Short: "Who the gateway takes you for", Args: cobra.NoArgs,
		RunE: a.remote(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			w, err := c.Whoami(cmd.Context())
			if err != nil {
				return err
			}
			return a.show(w, []fact{{"id", w.ID}, {"issuer", w.Issuer}, {"kind", w.Kind}, {"email", w.Email}, {"actor", w.Actor},
				{"groups", strings.Join(w.Groups, ", ")}, {"roles", strings.Join(w.Roles, ", ")}, {"credential", w.Credential}, {"expires", when(w.Expires)}})
		})}
}

func (a *app) ls() *cobra.Command {
	return &cobra.Command{Use: "ls", Short: "The resources you may use, and how to connect to each", Args: cobra.NoArgs,
		RunE: a.remote(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			rows, err := c.Resources(cmd.Context())
			if err != nil {
				return err
			}
			return list(a, rows, columns[v1.Resource]{
				{"NAME", func(r v1.Resource) string { return r.Name }},
				{"PROTOCOL", func(r v1.Resource) string { return r.Protocol }},
				{"LABELS", func(r v1.Resource) string { return labels(r.Labels) }},
				{"CONNECT", func(r v1.Resource) string { return r.Connect }},
			})
		})}
}

func labels(m map[string]string) string {
	var pairs []string
	for k, v := range m {
		pairs = append(pairs, k+"="+v)
	}
	sort.Strings(pairs)
	return strings.Join(pairs, ",")
}

func (a *app) token() *cobra.Command {
	var ttl time.Duration
	cmd := &cobra.Command{Use: "token", Short: "Print a short-lived credential for native clients", Args: cobra.NoArgs,
		Long: "Print a short-lived credential: the password for psql and any other client.\nThe gateway keeps no copy; it cannot be shown again.",
		RunE: a.remote(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			t, err := c.IssueToken(cmd.Context(), ttl)
			if err != nil {
				return err
			}
			if a.format != table {
				return a.encode(t)
			}
			_, err = fmt.Fprintln(a.Out, t.Secret)
			return err
		})}
	cmd.Flags().DurationVar(&ttl, "ttl", 0, "how long it lives (default: as the gateway says)")
	cmd.AddCommand(a.tokenList(), a.tokenRevoke())
	return cmd
}

func (a *app) tokenList() *cobra.Command {
	var all bool
	cmd := &cobra.Command{Use: "ls", Short: "List live tokens, without their secrets", Args: cobra.NoArgs,
		RunE: a.remote(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			rows, err := c.Tokens(cmd.Context(), all)
			if err != nil {
				return err
			}
			return list(a, rows, columns[v1.Token]{
				{"ID", func(t v1.Token) string { return t.ID }},
				{"USER", func(t v1.Token) string { return t.User }},
				{"CREATED", func(t v1.Token) string { return when(t.Created) }},
				{"EXPIRES", func(t v1.Token) string { return when(t.Expires) }},
			})
		})}
	cmd.Flags().BoolVar(&all, "all", false, "everybody's (administrators)")
	return cmd
}

func (a *app) tokenRevoke() *cobra.Command {
	return &cobra.Command{Use: "revoke ID", Short: "End a token at once", Args: cobra.ExactArgs(1),
		RunE: a.remote(func(cmd *cobra.Command, c *client.Client, args []string) error {
			t, err := c.RevokeToken(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if a.format != table {
				return a.encode(t)
			}
			_, err = fmt.Fprintf(a.Out, "revoked %s\n", clean(t.ID))
			return err
		})}
}

func (a *app) psql() *cobra.Command {
	var reason string
	cmd := &cobra.Command{Use: "psql RESOURCE [-- ARGUMENTS]", Short: "Start psql at a resource with a fresh token",
		Args: cobra.MinimumNArgs(1), Example: "  sluice psql shop\n  sluice psql shop/reports -- -c 'select 1'",
		RunE: a.remote(func(cmd *cobra.Command, c *client.Client, args []string) error {
			path, err := exec.LookPath("psql")
			if err != nil {
				return &exitError{code: failed, text: "psql is not installed", hint: "install PostgreSQL's client (Debian: apt install postgresql-client)"}
			}
			r, err := a.resource(cmd, c, args[0])
			if err != nil {
				return err
			}
			t, err := c.IssueToken(cmd.Context(), 0)
			if err != nil {
				return err
			}
			argv := append([]string{"psql", conninfo(a.connection(r, args[0], reason))}, args[1:]...)
			return a.Exec(path, argv, a.environ(t.Secret))
		})}
	cmd.Flags().StringVar(&reason, "reason", "", "why you need this; recorded, and shown to approvers")
	return cmd
}

// resource finds NAME or NAME/DATABASE among those the caller may use.
func (a *app) resource(cmd *cobra.Command, c *client.Client, arg string) (v1.Resource, error) {
	all, err := c.Resources(cmd.Context())
	if err != nil {
		return v1.Resource{}, err
	}
	name, _, _ := strings.Cut(arg, "/")
	for _, r := range all {
		if r.Name != name {
			continue
		}
		if r.Protocol != "postgres" || r.Port == 0 {
			return r, &exitError{code: failed, text: fmt.Sprintf("%s is not a PostgreSQL resource that this gateway listens for", name), hint: "sluice ls shows how to connect to it"}
		}
		return r, nil
	}
	return v1.Resource{}, &exitError{code: failed, text: fmt.Sprintf("there is no resource %q that you may use", name), hint: "sluice ls lists them"}
}

// connection is what libpq needs. Without a CA to verify the certificate by,
// channel binding still proves that the TLS peer is the one who keeps the
// token's verifier.
func (a *app) connection(r v1.Resource, arg, reason string) []fact {
	tls := []fact{{"sslmode", "disable"}}
	if ca := first(a.ca, a.Env("SLUICE_CA")); r.TLS && ca != "" {
		if abs, err := filepath.Abs(ca); err == nil {
			ca = abs
		}
		tls = []fact{{"sslmode", "verify-full"}, {"sslrootcert", ca}}
	} else if r.TLS {
		tls = []fact{{"sslmode", "require"}, {"channel_binding", "require"}}
	}
	info := append([]fact{{"host", r.Host}, {"port", strconv.Itoa(r.Port)}, {"user", r.User}, {"dbname", arg}}, tls...)
	if reason != "" {
		escaped := strings.NewReplacer(`\`, `\\`, ` `, `\ `).Replace(reason)
		info = append(info, fact{"options", "-c sluice.reason=" + escaped})
	}
	return info
}

// conninfo quotes settings as libpq reads them.
func conninfo(settings []fact) string {
	var parts []string
	for _, s := range settings {
		quoted := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s.value)
		parts = append(parts, s.name+"='"+quoted+"'")
	}
	return strings.Join(parts, " ")
}

// environ hands the token over where other users cannot read it, and keeps the
// caller's own credential and connection settings from psql.
func (a *app) environ(secret string) []string {
	var kept []string
	for _, e := range a.Environ() {
		name, _, _ := strings.Cut(e, "=")
		switch name {
		case "PGPASSWORD", "PGHOSTADDR", "PGSERVICE", "PGOPTIONS", "PGSSLMODE", "SLUICE_TOKEN", "SLUICE_PASSWORD":
			continue
		}
		kept = append(kept, e)
	}
	return append(kept, "PGPASSWORD="+secret)
}
