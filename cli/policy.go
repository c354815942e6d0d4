package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"sluice/api/client"
	v1 "sluice/api/v1"
	"sluice/server"
)

func (a *app) check() *cobra.Command {
	var config string
	var strict, online bool
	cmd := &cobra.Command{Use: "check -c PATH", Short: "Check a configuration: all errors in one run, as file:line:column", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := configPath(config, args)
			if err != nil {
				return err
			}
			report := server.Check(cmd.Context(), path)
			if online && len(report.Errors) == 0 {
				report.Warnings = append(report.Warnings, server.CheckOnline(cmd.Context(), path)...)
			}
			return a.checked(report, strict)
		}}
	cmd.Flags().StringVarP(&config, "config", "c", "", "YAML file or a folder of them")
	cmd.Flags().BoolVar(&strict, "strict", false, "warnings fail too: rules that can never fire, are shadowed or have no test")
	cmd.Flags().BoolVar(&online, "online", false, "connect to the resources as well: can the gateway's accounts do too much, is every column classified")
	return cmd
}

// configPath takes -c PATH or PATH.
func configPath(flag string, args []string) (string, error) {
	switch {
	case flag != "" && len(args) > 0:
		return "", misuse("give the configuration once: -c %s or %s", flag, args[0])
	case flag != "":
		return flag, nil
	case len(args) > 0:
		return args[0], nil
	}
	return "", misuse("which configuration? give -c PATH")
}

func (a *app) checked(r server.CheckReport, strict bool) error {
	if a.format != table {
		if err := a.encode(r); err != nil {
			return err
		}
	} else {
		for _, p := range r.Errors {
			fmt.Fprintln(a.Out, clean(p))
		}
		for _, p := range r.Warnings {
			fmt.Fprintln(a.Out, clean("warning: "+p))
		}
	}
	switch {
	case len(r.Errors) > 0:
		return &exitError{code: failed, text: plural(len(r.Errors), "error")}
	case strict && len(r.Warnings) > 0:
		return &exitError{code: failed, text: plural(len(r.Warnings), "warning") + ", and --strict"}
	}
	if a.format == table {
		fmt.Fprintf(a.Out, "ok: %s\n", clean(r.Summary))
	}
	return nil
}

func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

func (a *app) test() *cobra.Command {
	return &cobra.Command{Use: "test PATH...", Short: "Run the policy tests (kind: PolicyTest)", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			results, err := server.Test(cmd.Context(), args)
			if err != nil {
				return err
			}
			return a.tested(results)
		}}
}

func (a *app) tested(results []server.TestResult) error {
	failures := 0
	for _, r := range results {
		if !r.OK {
			failures++
		}
	}
	if a.format != table {
		if err := a.encode(results); err != nil {
			return err
		}
	} else {
		for _, r := range results {
			if !r.OK {
				fmt.Fprintf(a.Out, "%s: FAIL %s\n", clean(r.Where), clean(r.Name))
				fmt.Fprintf(a.Out, "\t%s\n", clean(r.Detail))
			}
		}
		fmt.Fprintf(a.Out, "%d passed, %d failed\n", len(results)-failures, failures)
	}
	switch {
	case failures > 0:
		return &exitError{code: failed}
	case len(results) == 0:
		return &exitError{code: failed, text: "there are no policy tests", hint: "add a document of kind PolicyTest"}
	}
	return nil
}

func (a *app) can() *cobra.Command {
	var config, reason string
	cmd := &cobra.Command{Use: "can SUBJECT RESOURCE -- COMMAND", Short: "What would be decided, and why",
		Args: cobra.MinimumNArgs(3), Example: "  sluice can alice shop -- \"DELETE FROM orders\"\n  sluice can -c ./config alice shop -- \"SELECT * FROM customers\"",
		Long: "Ask the gateway, or with -c a configuration alone. Exit code: 0 allowed, 1 denied, 3 waits for approval.",
		RunE: func(cmd *cobra.Command, args []string) error {
			q := v1.Question{Subject: args[0], Resource: args[1], Command: strings.Join(args[2:], " "), Reason: reason}
			verdicts, err := a.ask(cmd, config, q)
			if err != nil {
				return err
			}
			if a.format != table {
				if err := a.encode(verdicts); err != nil {
					return err
				}
			} else if err := a.verdicts(verdicts); err != nil {
				return err
			}
			return verdictCode(verdicts)
		}}
	cmd.Flags().StringVarP(&config, "config", "c", "", "ask this configuration, without a gateway")
	cmd.Flags().StringVar(&reason, "reason", "", "as if the subject gave this reason")
	return cmd
}

func (a *app) ask(cmd *cobra.Command, config string, q v1.Question) ([]v1.Verdict, error) {
	if config != "" {
		return server.Can(cmd.Context(), config, q)
	}
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	return c.Can(cmd.Context(), q)
}

func (a *app) verdicts(list []v1.Verdict) error {
	for i, v := range list {
		if i > 0 {
			fmt.Fprintln(a.Out)
		}
		if err := a.facts(verdictFacts(v)); err != nil {
			return err
		}
	}
	return nil
}

func verdictFacts(v v1.Verdict) []fact {
	facts := []fact{{"effect", v.Effect}, {"rule", v.Rule}, {"message", v.Message}, {"hint", v.Hint}, {"subject", v.Subject}, {"resource", v.Resource},
		{"text", v.Text}, {"verb", v.Verb}, {"confidence", understood(v.Confidence, v.Incomplete)}, {"objects", strings.Join(v.Objects, ", ")}}
	facts = append(facts, reasonFacts("because", v.Reasons)...)
	facts = append(facts, reasonFacts("monitored", v.Would)...)
	for _, o := range v.Obligations {
		facts = append(facts, fact{"obligation", o})
	}
	return append(facts, fact{"nearest", v.Nearest}, fact{"needs", quorum(v.From)}, fact{"could approve", strings.Join(v.Approvers, ", ")})
}

func understood(confidence, why string) string {
	if why == "" {
		return confidence
	}
	return confidence + ": " + why
}

// reasonFacts puts each rule on a line with its place and what it looked at.
func reasonFacts(name string, reasons []v1.Reason) []fact {
	var facts []fact
	for _, r := range reasons {
		text := r.Rule + " (" + r.Effect + ")"
		if r.Lost {
			text += ", overridden"
		}
		if r.File != "" {
			text += fmt.Sprintf(" at %s:%d", r.File, r.Line)
		}
		if r.Because != "" {
			text += ": " + r.Because
		}
		facts = append(facts, fact{name, text})
	}
	return facts
}

// verdictCode is that of the statement that fares worst.
func verdictCode(list []v1.Verdict) error {
	code := done
	for _, v := range list {
		switch v.Effect {
		case "allow":
		case "require_approval":
			if code == done {
				code = waiting
			}
		default:
			code = failed
		}
	}
	if code == done && len(list) > 0 {
		return nil
	}
	return &exitError{code: max(code, failed)}
}

func (a *app) why() *cobra.Command {
	return &cobra.Command{Use: "why DECISION-ID", Short: "Explain a past decision", Args: cobra.ExactArgs(1),
		RunE: a.remote(func(cmd *cobra.Command, c *client.Client, args []string) error {
			d, err := c.Decision(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.show(d, decisionFacts(d))
		})}
}

func decisionFacts(d v1.Decision) []fact {
	facts := []fact{{"decision", d.ID}, {"time", when(d.Time)}, {"subject", d.Subject}, {"resource", d.Resource}, {"client", d.Client}, {"session", d.Session},
		{"text", d.Text}, {"verb", d.Verb}, {"confidence", d.Confidence}, {"objects", strings.Join(d.Objects, ", ")}, {"reason given", d.Why},
		{"effect", d.Effect}, {"rule", d.Rule}, {"message", d.Message}, {"hint", d.Hint}}
	facts = append(facts, reasonFacts("because", d.Reasons)...)
	facts = append(facts, reasonFacts("monitored", d.Would)...)
	for _, o := range d.Obligations {
		facts = append(facts, fact{"obligation", o})
	}
	if p := d.Approval; p != nil {
		facts = append(facts, fact{"approval", strings.TrimSpace(fmt.Sprintf("%s %s %s %s", p.Request, p.State, by(p.By), p.Reason))})
	}
	return append(facts, fact{"outcome", outcomeText(d)}, fact{"policy", d.Policy})
}

func by(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "by " + strings.Join(names, ", ")
}

func outcomeText(d v1.Decision) string {
	o := d.Outcome
	switch {
	case o == nil && d.Effect == "allow":
		return "unknown: no end was recorded"
	case o == nil:
		return "never ran"
	}
	text := fmt.Sprintf("%s: %d rows, %d bytes, %d masked values, %.3f ms", o.State, o.Rows, o.Bytes, o.Masked, float64(o.DurationUS)/1000)
	if o.Truncated {
		text += ", ended early by a limit"
	}
	if o.Error != "" {
		text += ", " + o.Error
	}
	return text
}
