package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"sluice/classify"
	"sluice/server"
)

func (a *app) scan() *cobra.Command {
	var config string
	var quiet bool
	var o server.ScanOptions
	cmd := &cobra.Command{Use: "scan RESOURCE -c PATH", Short: "Sample columns, propose tags and mask rules as YAML", Args: cobra.ExactArgs(1),
		Example: "  sluice scan shop -c ./config > ./config/shop-classification.yaml\n  sluice scan shop -c ./config --new -o table",
		Long: `Connect to a resource with its own credential, look at some values of each
column, and propose what it holds: a Classification with tags and a Policy with
mask rules, with counts as comments. Values are looked at here and never printed
or kept. Works beside a running gateway.

The proposal comes as YAML for the configuration; with -o table, json or yaml the
findings come as a listing. Progress goes to standard error.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := configPath(config, nil)
			if err != nil {
				return err
			}
			if o.Rows < 1 || o.Rows > maxScanRows {
				return misuse("--rows: want 1 to %d", maxScanRows)
			}
			if !quiet {
				o.Progress = cleaner{a.Err}
			}
			r, err := server.Scan(cmd.Context(), path, args[0], o)
			if err != nil {
				return err
			}
			return a.scanned(cmd, o, r)
		}}
	cmd.Flags().StringVarP(&config, "config", "c", "", "YAML file or a folder of them")
	cmd.Flags().BoolVar(&o.New, "new", false, "only columns that the Classification does not mention")
	cmd.Flags().IntVar(&o.Rows, "rows", 500, "rows to look at in each table")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "no progress")
	return cmd
}

// maxScanRows keeps a typo from reading whole tables.
const maxScanRows = 100_000

func (a *app) scanned(cmd *cobra.Command, o server.ScanOptions, r server.ScanReport) error {
	var err error
	if cmd.Flags().Changed("output") {
		err = list(a, r.Columns, columns[classify.Proposal]{
			{"COLUMN", func(p classify.Proposal) string { return p.Schema + "." + p.Table + "." + p.Column }},
			{"TYPE", func(p classify.Proposal) string { return p.Type }},
			{"TAGS", func(p classify.Proposal) string { return strings.Join(p.Tags, " ") }},
			{"MASK", func(p classify.Proposal) string { return p.Mask }},
			{"WHY", func(p classify.Proposal) string { return p.Why }},
		})
	} else {
		name := r.Resource
		if o.New {
			name += "-new" // beside the one that there is, or lines for it
		}
		err = classify.Document(a.Out, r.Resource, name, !o.New, r.Columns)
	}
	if err != nil {
		return fmt.Errorf("scan: %w", err)
	}
	if n := len(r.Unread); n > 0 {
		return &exitError{code: failed, text: plural(n, "table") + " could not be read:\n" + strings.Join(r.Unread, "\n"),
			hint: "grant SELECT to the resource's account, or classify them by hand"}
	}
	return nil
}

// A cleaner escapes what could repaint the terminal, line by line.
type cleaner struct{ w io.Writer }

func (c cleaner) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		if _, err := fmt.Fprintln(c.w, clean(strings.TrimSuffix(line, "\n"))); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}
