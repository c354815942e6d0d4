package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"sluice/api/client"
	v1 "sluice/api/v1"
)

func (a *app) request() *cobra.Command {
	cmd := &cobra.Command{Use: "request", Short: "Approval requests: list, show, approve, reject", Args: cobra.NoArgs, RunE: helpOnly}
	cmd.AddCommand(a.requestList(), a.requestShow(), a.vote("approve", "Agree that it runs; never your own request", true),
		a.vote("reject", "Refuse it; one refusal is enough", false))
	return cmd
}

// helpOnly is for commands that only hold others.
func helpOnly(cmd *cobra.Command, _ []string) error {
	_ = cmd.Help()
	return &exitError{code: usage}
}

func (a *app) requestList() *cobra.Command {
	var state string
	cmd := &cobra.Command{Use: "ls", Short: "Your requests and those put to you, newest first", Args: cobra.NoArgs,
		RunE: a.remote(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			rows, err := c.Requests(cmd.Context(), state)
			if err != nil {
				return err
			}
			return list(a, rows, columns[v1.Request]{
				{"ID", func(r v1.Request) string { return r.ID }},
				{"STATE", func(r v1.Request) string { return r.State }},
				{"REQUESTER", func(r v1.Request) string { return r.Requester }},
				{"RESOURCE", func(r v1.Request) string { return r.Resource }},
				{"ACTION", func(r v1.Request) string { return line(r.Action, 60) }},
				{"RULE", func(r v1.Request) string { return r.Rule }},
				{"EXPIRES", func(r v1.Request) string { return when(r.Expires) }},
			})
		})}
	cmd.Flags().StringVar(&state, "state", "", "pending (default), approved, rejected, withdrawn, expired, used or all")
	return cmd
}

func (a *app) requestShow() *cobra.Command {
	return &cobra.Command{Use: "show ID", Short: "What exactly will run, who asks, and who must agree", Args: cobra.ExactArgs(1),
		RunE: a.remote(func(cmd *cobra.Command, c *client.Client, args []string) error {
			r, err := c.Request(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.show(r, requestFacts(r))
		})}
}

func requestFacts(r v1.Request) []fact {
	facts := []fact{{"id", r.ID}, {"state", r.State}, {"requester", r.Requester}, {"reason", r.Reason}, {"resource", r.Resource},
		{"database", r.Database}, {"verb", r.Verb}, {"action", r.Action}}
	for i, arg := range r.Args {
		facts = append(facts, fact{fmt.Sprintf("  $%d", i+1), arg})
	}
	facts = append(facts, fact{"rule", r.Rule}, fact{"needs", quorum(r.From)}, fact{"created", when(r.Created)}, fact{"expires", when(r.Expires)},
		fact{"session", r.Session})
	for _, b := range r.Binding {
		facts = append(facts, fact{"with", b})
	}
	for _, v := range r.Votes {
		how := "rejected"
		if v.Approve {
			how = "approved"
		}
		facts = append(facts, fact{how, strings.TrimSpace(fmt.Sprintf("by %s at %s  %s", v.By, when(v.Time), v.Reason))})
	}
	if r.MayVote {
		facts = append(facts, fact{"next", fmt.Sprintf("sluice request approve %s, or sluice request reject %s --reason ...", r.ID, r.ID)})
	}
	return facts
}

// quorum says who must agree: 1 of dba, 2 of security.
func quorum(from []v1.Quorum) string {
	var parts []string
	for _, q := range from {
		parts = append(parts, fmt.Sprintf("%d of %s", q.Count, q.Group))
	}
	return strings.Join(parts, ", ")
}

func (a *app) vote(name, short string, approve bool) *cobra.Command {
	var reason string
	cmd := &cobra.Command{Use: name + " ID", Short: short, Args: cobra.ExactArgs(1),
		RunE: a.remote(func(cmd *cobra.Command, c *client.Client, args []string) error {
			r, err := c.Vote(cmd.Context(), args[0], approve, reason)
			if err != nil {
				return err
			}
			if a.format != table {
				return a.encode(r)
			}
			return a.voted(r, approve)
		})}
	cmd.Flags().StringVar(&reason, "reason", "", "why; recorded, and shown to the requester")
	return cmd
}

func (a *app) voted(r v1.Request, approve bool) error {
	text := fmt.Sprintf("%s: %s", r.ID, r.State)
	if approve && r.State == "pending" {
		text += "; still needed: " + quorum(r.From) + " in all"
	}
	_, err := fmt.Fprintln(a.Out, clean(text))
	return err
}
