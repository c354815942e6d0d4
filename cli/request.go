package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/api/client"
	v1 "sluice/api/v1"
)

func (a *app) request() *cobra.Command {
	cmd := &cobra.Command{Use: "request", Short: "Approval requests: list, show, answer, withdraw, wait; break glass", Args: cobra.NoArgs, RunE: helpOnly}
	cmd.AddCommand(a.requestList(), a.requestShow(), a.vote("approve", "Agree that it runs; never your own request", true),
		a.vote("reject", "Refuse it; one refusal is enough", false), a.withdraw(), a.requestWait(), a.breakGlass())
	return cmd
}

// helpOnly is for commands that only hold others.
func helpOnly(cmd *cobra.Command, _ []string) error {
	_ = cmd.Help()
	return &exitError{code: usage}
}

func (a *app) requestList() *cobra.Command {
	var q client.RequestQuery
	cmd := &cobra.Command{Use: "ls", Short: "Your requests and those put to you, newest first", Args: cobra.NoArgs,
		RunE: a.remote(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			rows, err := c.FindRequests(cmd.Context(), q)
			if err != nil {
				return err
			}
			return list(a, rows, columns[v1.Request]{
				{"ID", func(r v1.Request) string { return r.ID }},
				{"STATE", func(r v1.Request) string { return strings.TrimSpace(r.State + " " + r.Kind) }},
				{"REQUESTER", func(r v1.Request) string { return r.Requester }},
				{"RESOURCE", func(r v1.Request) string { return r.Resource }},
				{"ACTION", func(r v1.Request) string { return line(r.Action, 60) }},
				{"RULE", func(r v1.Request) string { return r.Rule }},
				{"EXPIRES", func(r v1.Request) string { return when(r.Expires) }},
			})
		})}
	flags := cmd.Flags()
	flags.StringVar(&q.State, "state", "", "pending (default), approved, rejected, withdrawn, expired, used or all")
	flags.BoolVar(&q.Mine, "mine", false, "only those that you asked for")
	flags.StringVar(&q.Resource, "resource", "", "only those for this resource")
	flags.StringVar(&q.Requester, "requester", "", "only those of this user")
	flags.IntVar(&q.Limit, "limit", 0, "at most so many (default 200)")
	flags.StringVar(&q.After, "after", "", "only those older than this request: the next page")
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
	facts := []fact{{"id", r.ID}, {"kind", r.Kind}, {"state", r.State}, {"requester", r.Requester}, {"through", strings.Join(r.Actors, ", ")},
		{"reason", r.Reason}, {"ticket", r.Ticket}, {"rule says", r.Message}, {"resource", r.Resource},
		{"database", r.Database}, {"verb", r.Verb}, {"action", r.Action}}
	for i, arg := range r.Args {
		facts = append(facts, fact{fmt.Sprintf("  $%d", i+1), arg})
	}
	for i, p := range r.Parts {
		facts = append(facts, part(i, p)...)
	}
	facts = append(facts, fact{"expected", expected(r.Expected)}, fact{"rule", strings.Join(r.Rules, ", ")}, fact{"needs", needs(&r)}, fact{"grants", granted(&r)},
		fact{"created", when(r.Created)}, fact{"expires", when(r.Expires)},
		fact{"session", r.Session})
	for _, b := range r.Binding {
		facts = append(facts, fact{"with", b})
	}
	for _, v := range r.Votes {
		facts = append(facts, fact{answered(v), strings.TrimSpace(fmt.Sprintf("by %s at %s  %s", v.By, when(v.Time), v.Reason))})
	}
	for _, p := range r.Before {
		facts = append(facts, fact{"before", strings.TrimSpace(fmt.Sprintf("%s  %s  %s  %s", when(p.Time), p.Effect, line(p.Action, 80), p.Error))})
	}
	for _, p := range r.Similar {
		facts = append(facts, fact{"similar", precedent(p)})
	}
	if r.MayVote {
		facts = append(facts, fact{"next", fmt.Sprintf("sluice request approve %s, or sluice request reject %s --reason ...", r.ID, r.ID)})
	}
	return facts
}

// part shows one statement of a transaction that waits.
func part(i int, p v1.Part) []fact {
	rows := "rows not counted"
	if p.Rows >= 0 {
		rows = fmt.Sprintf("%d rows", p.Rows)
	}
	facts := []fact{{fmt.Sprintf("statement %d", i+1), p.Text}, {"  changed", rows}}
	for n, arg := range p.Args {
		facts = append(facts, fact{fmt.Sprintf("  $%d", n+1), arg})
	}
	for _, b := range p.Binding {
		facts = append(facts, fact{"  with", b})
	}
	return facts
}

func answered(v v1.Vote) string {
	if v.Approve {
		return "approved"
	}
	return "rejected"
}

// expected says what the target expects the action to do.
func expected(x *v1.Expected) string {
	if x == nil {
		return ""
	}
	var parts []string
	if x.Count != nil {
		parts = append(parts, fmt.Sprintf("changes %d rows (counted)", *x.Count))
	}
	if x.Rows != nil {
		parts = append(parts, fmt.Sprintf("about %d rows (planned)", *x.Rows))
	}
	if x.Why != "" {
		parts = append(parts, x.Why)
	}
	return strings.Join(parts, "; ")
}

// needs says who must agree, and who else is enough.
func needs(r *v1.Request) string {
	text := quorum(r.From)
	if x := r.Escalate; x != nil {
		text += fmt.Sprintf("; from %s also %s", when(x.At), quorum(x.To))
	}
	if r.Comment {
		text += "; with a reason"
	}
	if r.Confirm {
		text += "; confirmed with a fresh sign-in"
	}
	return text
}

// granted says what agreeing permits beyond this one action.
func granted(r *v1.Request) string {
	g := r.Grant
	if g == nil {
		return ""
	}
	text := fmt.Sprintf("the same with other constants, %d times within %s", g.Uses, g.For)
	if g.Rows > 0 {
		text += fmt.Sprintf(", %d rows each", g.Rows)
	}
	return fmt.Sprintf("%s (used %d times)", text, r.Uses)
}

// precedent says how a past request was answered.
func precedent(p v1.Precedent) string {
	text := fmt.Sprintf("%s  %s  %s of %s", when(p.Created), p.ID, p.State, p.Requester)
	if p.Same {
		text += ", the very same"
	}
	for _, v := range p.Votes {
		text += fmt.Sprintf("; %s by %s %s", answered(v), v.By, v.Reason)
	}
	return strings.TrimSpace(text)
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

func (a *app) withdraw() *cobra.Command {
	return &cobra.Command{Use: "withdraw ID", Short: "Take back your own request, what is left of a grant, or a broken glass", Args: cobra.ExactArgs(1),
		RunE: a.remote(func(cmd *cobra.Command, c *client.Client, args []string) error {
			r, err := c.Withdraw(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.show(r, []fact{{"id", r.ID}, {"state", r.State}})
		})}
}

func (a *app) breakGlass() *cobra.Command {
	var reason string
	cmd := &cobra.Command{Use: "break-glass RESOURCE", Short: "In an emergency: act without approval for a while; all are alerted, and every action is reviewed", Args: cobra.ExactArgs(1),
		RunE: a.remote(func(cmd *cobra.Command, c *client.Client, args []string) error {
			r, err := c.BreakGlass(cmd.Context(), args[0], reason)
			if err != nil {
				return err
			}
			return a.show(r, []fact{{"id", r.ID}, {"resource", r.Resource}, {"until", when(r.Expires)},
				{"next", "what you do there now needs no approval, and is reviewed; sluice request withdraw " + r.ID + " ends it"}})
		})}
	cmd.Flags().StringVar(&reason, "reason", "", "what the emergency is; everybody named is told")
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

func (a *app) requestWait() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{Use: "wait ID", Short: "Wait for the answer; exit code 0: approved, 1: refused or over, 3: still waiting", Args: cobra.ExactArgs(1),
		RunE: a.remote(func(cmd *cobra.Command, c *client.Client, args []string) error {
			r, err := c.Wait(cmd.Context(), args[0], timeout)
			if err != nil {
				return err
			}
			if err := a.settled(r); err != nil {
				return err
			}
			switch r.State {
			case "approved", "used":
				return nil
			case "pending":
				return &exitError{code: waiting}
			}
			return &exitError{code: failed}
		})}
	cmd.Flags().DurationVar(&timeout, "timeout", 15*time.Minute, "how long to wait")
	return cmd
}

// settled says where a request stands, and by whose word.
func (a *app) settled(r v1.Request) error {
	if a.format != table {
		return a.encode(r)
	}
	text := fmt.Sprintf("%s: %s", r.ID, r.State)
	if n := len(r.Votes); n > 0 {
		text += strings.TrimRight(fmt.Sprintf(" by %s  %s", r.Votes[n-1].By, r.Votes[n-1].Reason), " ")
	}
	_, err := fmt.Fprintln(a.Out, clean(text))
	return err
}
