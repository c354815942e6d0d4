package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"sluice/access"
	"sluice/server"
)

// hardenPassword is where the password for --user comes from: an argument would
// be seen by everybody on the machine.
const hardenPassword = "SLUICE_HARDEN_PASSWORD"

func (a *app) harden() *cobra.Command {
	var config, user string
	var apply bool
	cmd := &cobra.Command{Use: "harden RESOURCE -c PATH", Short: "SQL that makes the database enforce the same policy: roles, column grants, views", Args: cobra.ExactArgs(1),
		Example: "  sluice harden shop -c ./config > harden.sql\n  " + hardenPassword + "=... sluice harden shop -c ./config --apply --user postgres",
		Long: `Print SQL for a resource's database: for each group that rules name, a role with
the rights that the policy gives it, column by column, views that show masked
columns, and an event trigger that tells the gateway of DDL. Each grant names the
rule that it comes from; what a database cannot enforce stands in comments. The
script is one transaction and can be run again.

With --apply it is also run, with the resource's own credential, or as --user with
the password in ` + hardenPassword + `.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := configPath(config, nil)
			if err != nil {
				return err
			}
			if user != "" && !apply {
				return misuse("--user is for --apply")
			}
			r, err := server.Harden(cmd.Context(), path, args[0])
			if err != nil {
				return err
			}
			if _, err := fmt.Fprint(a.Out, r.SQL); err != nil || !apply {
				return err
			}
			return a.hardened(cmd, r, user)
		}}
	cmd.Flags().StringVarP(&config, "config", "c", "", "YAML file or a folder of them")
	cmd.Flags().BoolVar(&apply, "apply", false, "run it, after printing it")
	cmd.Flags().StringVar(&user, "user", "", "run it as this account of the database (password in $"+hardenPassword+")")
	return cmd
}

func (a *app) hardened(cmd *cobra.Command, r *server.HardenReport, user string) error {
	notice := func(text string) { fmt.Fprintln(a.Err, clean("database: "+text)) }
	if err := r.Apply(cmd.Context(), user, access.NewSecret(a.Env(hardenPassword)), notice); err != nil {
		return &exitError{code: failed, text: err.Error(), hint: "it takes an account that owns the tables and may create roles: --user NAME, with its password in " + hardenPassword}
	}
	_, err := fmt.Fprintf(a.Err, "applied: %s: %s\n", plural(len(r.Roles), "role"), clean(strings.Join(r.Roles, ", ")))
	return err
}
