package cli

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sluice/api/client"
	v1 "sluice/api/v1"
	"sluice/server"
)

func (a *app) audit() *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "The journal: search, follow, verify, export", Args: cobra.NoArgs, RunE: helpOnly}
	cmd.AddCommand(a.auditSearch(), a.auditTail(), a.auditVerify(), a.auditExport(), a.auditKey())
	return cmd
}

// filters are the flags that select events, each a parameter of the API.
type filters map[string]*string

func (f filters) add(flags *pflag.FlagSet) {
	for name, about := range map[string]string{
		"since": "a time (2026-01-31T12:00:00Z) or how long ago (15m, 7d)", "until": "the same", "subject": "user", "resource": "name",
		"session": "id", "type": "action.decided, session.opened, approval.*, ...", "verb": "select, delete, ...",
		"effect": "allow, deny, require_approval, mask or monitor", "rule": "POLICY/RULE", "object": "name or schema.name; * and ? match", "text": "part of the text",
		"id": "event id", "ref": "id of the event it is about", "request": "approval request",
	} {
		f[name] = flags.String(name, "", about)
	}
}

func (f filters) query() url.Values {
	q := url.Values{}
	for name, value := range f {
		if *value != "" {
			q.Set(name, *value)
		}
	}
	return q
}

var eventColumns = columns[event]{
	{"TIME", func(e event) string { return e.Time.UTC().Format("2006-01-02 15:04:05.000Z") }},
	{"TYPE", func(e event) string { return e.Type }},
	{"SUBJECT", event.who},
	{"RESOURCE", event.where},
	{"EFFECT", event.effect},
	{"RULE", event.rule},
	{"TEXT", func(e event) string { return line(e.text(), 60) }},
	{"ID", func(e event) string { return e.ID }},
}

func (a *app) auditSearch() *cobra.Command {
	var limit int
	var oldest bool
	f := filters{}
	cmd := &cobra.Command{Use: "search", Short: "Find events, newest first", Args: cobra.NoArgs,
		RunE: a.remote(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			q := f.query()
			q.Set("limit", strconv.Itoa(limit))
			if oldest {
				q.Set("order", "oldest")
			}
			var raw []json.RawMessage
			err := c.Audit(cmd.Context(), false, q, func(b []byte) error {
				raw = append(raw, append(json.RawMessage(nil), b...))
				return nil
			})
			if err != nil {
				return err
			}
			return a.events(raw)
		})}
	f.add(cmd.Flags())
	cmd.Flags().IntVar(&limit, "limit", 100, "at most so many; 0: all")
	cmd.Flags().BoolVar(&oldest, "oldest", false, "oldest first")
	return cmd
}

func (a *app) events(raw []json.RawMessage) error {
	if a.format != table {
		return list(a, raw, nil)
	}
	rows := make([]event, 0, len(raw))
	for _, b := range raw {
		e, err := readEvent(b)
		if err != nil {
			return fmt.Errorf("event: %w", err)
		}
		rows = append(rows, e)
	}
	return list(a, rows, eventColumns)
}

func (a *app) auditTail() *cobra.Command {
	f := filters{}
	cmd := &cobra.Command{Use: "tail", Short: "Follow events as they become durable; -o json prints JSON lines, -o yaml documents", Args: cobra.NoArgs,
		RunE: a.remote(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			err := c.Audit(cmd.Context(), true, f.query(), a.tailed)
			if errors.Is(err, context.Canceled) {
				return nil // Ctrl+C is how a tail ends
			}
			return err
		})}
	f.add(cmd.Flags())
	return cmd
}

func (a *app) tailed(b []byte) error {
	switch a.format {
	case jsonText:
		_, err := fmt.Fprintf(a.Out, "%s\n", b)
		return err
	case yamlText:
		if _, err := fmt.Fprintln(a.Out, "---"); err != nil {
			return err
		}
		return yamlFrom(a.Out, b)
	}
	e, err := readEvent(b)
	if err != nil {
		return fmt.Errorf("event: %w", err)
	}
	_, err = fmt.Fprintln(a.Out, clean(fmt.Sprintf("%s %-18s %s %s %s %s %s %s", e.Time.UTC().Format("15:04:05.000"), e.Type, e.who(), e.where(),
		e.effect(), e.rule(), line(e.text(), 100), e.ID)))
	return err
}

func (a *app) auditExport() *cobra.Command {
	var form string
	f := filters{}
	cmd := &cobra.Command{Use: "export", Short: "Write events as JSON lines or CSV, oldest first", Args: cobra.NoArgs,
		RunE: a.remote(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			q := f.query()
			q.Set("limit", "0")
			q.Set("order", "oldest")
			switch form {
			case "jsonl":
				return a.exportLines(cmd.Context(), c, q)
			case "csv":
				return a.exportCSV(cmd.Context(), c, q)
			}
			return misuse("--format %q is none of jsonl, csv", form)
		})}
	f.add(cmd.Flags())
	cmd.Flags().StringVar(&form, "format", "jsonl", "jsonl or csv")
	return cmd
}

func (a *app) exportLines(ctx context.Context, c *client.Client, q url.Values) error {
	w := bufio.NewWriter(a.Out)
	err := c.Audit(ctx, false, q, func(b []byte) error {
		if _, err := w.Write(b); err != nil {
			return err
		}
		return w.WriteByte('\n')
	})
	return errors.Join(err, w.Flush())
}

func (a *app) exportCSV(ctx context.Context, c *client.Client, q url.Values) error {
	w := csv.NewWriter(a.Out)
	if err := w.Write(csvHeader); err != nil {
		return err
	}
	err := c.Audit(ctx, false, q, func(b []byte) error {
		e, err := readEvent(b)
		if err != nil {
			return fmt.Errorf("event: %w", err)
		}
		return w.Write(inert(e.csv()))
	})
	w.Flush()
	return errors.Join(err, w.Error())
}

func (a *app) auditKey() *cobra.Command {
	var checkpoint bool
	cmd := &cobra.Command{Use: "key", Short: "Print the key that verifies the journal; --checkpoint its signed head", Args: cobra.NoArgs,
		Long: "Keep the key, and from time to time a checkpoint, where the gateway's machine cannot change them:\nthey prove later that nothing was rewritten.",
		RunE: a.remote(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			p, err := c.Checkpoint(cmd.Context())
			if err != nil {
				return err
			}
			text := p.Key + "\n"
			if checkpoint {
				text = p.Note
			}
			if a.format != table {
				return a.encode(p)
			}
			_, err = fmt.Fprint(a.Out, text)
			return err
		})}
	cmd.Flags().BoolVar(&checkpoint, "checkpoint", false, "print the signed head instead")
	return cmd
}

func (a *app) auditVerify() *cobra.Command {
	var config, key string
	var anchors []string
	cmd := &cobra.Command{Use: "verify [FOLDER]", Short: "Recompute the journal's chain and compare it with its signatures", Args: cobra.MaximumNArgs(1),
		Long: `Verify a journal's folder (the gateway's data folder, or a copy of its journal), or with -c the folder that the
configuration names. Neither needs a running gateway. Without both, the gateway verifies its own journal.
Give --key as you kept it elsewhere: the key beside the journal proves nothing about who wrote both.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			report, err := a.verify(cmd, config, key, anchors, args)
			if err != nil {
				return err
			}
			return a.verified(report)
		}}
	cmd.Flags().StringVarP(&config, "config", "c", "", "configuration that names the data folder")
	cmd.Flags().StringVar(&key, "key", "", "verifier key, or a file that holds it (default: the one beside the journal)")
	cmd.Flags().StringArrayVar(&anchors, "anchor", nil, "file with a checkpoint kept elsewhere; may be repeated")
	return cmd
}

func (a *app) verify(cmd *cobra.Command, config, key string, anchors, args []string) (v1.Report, error) {
	o := server.VerifyOptions{Config: config, Key: key}
	if len(args) == 1 {
		o.Folder = args[0]
	}
	for _, name := range anchors {
		b, err := os.ReadFile(name)
		if err != nil {
			return v1.Report{}, fmt.Errorf("anchor: %w", err)
		}
		o.Anchors = append(o.Anchors, b)
	}
	if o.Folder != "" || config != "" {
		return server.Verify(cmd.Context(), o)
	}
	if key != "" || len(anchors) > 0 {
		return v1.Report{}, misuse("--key and --anchor need the journal: give its FOLDER or -c")
	}
	c, err := a.connect()
	if err != nil {
		return v1.Report{}, err
	}
	return c.Verify(cmd.Context())
}

// verified prints a report; problems are a failure.
func (a *app) verified(r v1.Report) error {
	if a.format != table {
		if err := a.encode(r); err != nil {
			return err
		}
	} else if r.OK {
		fmt.Fprintf(a.Out, "ok: %d entries, %d covered by a signed checkpoint, %d by an anchor, %d erased\n", r.Entries, r.Covered, r.Anchored, r.Erased)
	}
	for _, p := range r.Problems {
		fmt.Fprintf(a.Err, "%s\n", clean(p))
	}
	if r.OK {
		return nil
	}
	return &exitError{code: failed, text: fmt.Sprintf("the journal does not verify: %d problems in %d entries", len(r.Problems), r.Entries),
		hint: "keep the folder as it is, and compare it with your copies"}
}
