package cli

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"sluice/api/client"
	v1 "sluice/api/v1"
	"sluice/server"
)

func (a *app) session() *cobra.Command {
	cmd := &cobra.Command{Use: "session", Short: "Sessions: list, show, play back, end", Args: cobra.NoArgs, RunE: helpOnly}
	cmd.AddCommand(a.sessionList(), a.sessionShow(), a.sessionPlay(), a.sessionKill())
	return cmd
}

func (a *app) sessionList() *cobra.Command {
	var all bool
	cmd := &cobra.Command{Use: "ls", Short: "Live sessions, newest first", Args: cobra.NoArgs,
		RunE: a.remote(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			rows, err := c.Sessions(cmd.Context(), all)
			if err != nil {
				return err
			}
			return list(a, rows, columns[v1.Session]{
				{"ID", func(s v1.Session) string { return s.ID }},
				{"SUBJECT", func(s v1.Session) string { return s.Subject }},
				{"RESOURCE", func(s v1.Session) string { return s.Resource }},
				{"CLIENT", func(s v1.Session) string { return s.Client }},
				{"OPENED", func(s v1.Session) string { return when(s.Opened) }},
				{"CLOSED", func(s v1.Session) string { return when(s.Closed) }},
				{"STATEMENTS", func(s v1.Session) string { return count(s.Statements) }},
				{"DENIED", func(s v1.Session) string { return count(s.Denied) }},
			})
		})}
	cmd.Flags().BoolVar(&all, "all", false, "past ones too")
	return cmd
}

func (a *app) sessionShow() *cobra.Command {
	return &cobra.Command{Use: "show ID", Short: "One session", Args: cobra.ExactArgs(1),
		RunE: a.remote(func(cmd *cobra.Command, c *client.Client, args []string) error {
			s, err := c.Session(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.show(s, sessionFacts(s))
		})}
}

func sessionFacts(s v1.Session) []fact {
	state := "ended"
	if s.Live {
		state = "live"
	}
	recording := "none"
	if s.Recorded {
		recording = "sluice session play " + s.ID
	}
	return []fact{{"id", s.ID}, {"state", state}, {"subject", s.Subject}, {"resource", s.Resource}, {"protocol", s.Protocol}, {"client", s.Client},
		{"opened", when(s.Opened)}, {"closed", when(s.Closed)}, {"statements", count(s.Statements)}, {"denied", count(s.Denied)},
		{"rows", count(s.Rows)}, {"recording", recording}}
}

func (a *app) sessionKill() *cobra.Command {
	return &cobra.Command{Use: "kill ID", Short: "End a live session: your own, or anybody's for administrators", Args: cobra.ExactArgs(1),
		RunE: a.remote(func(cmd *cobra.Command, c *client.Client, args []string) error {
			s, err := c.Kill(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if a.format != table {
				return a.encode(s)
			}
			_, err = fmt.Fprintf(a.Out, "ended %s\n", clean(s.ID))
			return err
		})}
}

func (a *app) sessionPlay() *cobra.Command {
	var speed float64
	cmd := &cobra.Command{Use: "play ID|FILE", Short: "Play a recording: what was typed and what came back", Args: cobra.ExactArgs(1),
		Long: "Play a recording of the gateway's, or a recording's file beside a gateway or without one.\nWithout --speed everything is printed at once; 1 is as fast as it happened.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if speed < 0 {
				return misuse("--speed cannot be negative")
			}
			content, err := a.recording(cmd, args[0])
			if err != nil {
				return err
			}
			defer content.Close()
			return server.Play(cmd.Context(), a.Out, content, speed)
		}}
	cmd.Flags().Float64Var(&speed, "speed", 0, "1: as it happened, 2: twice as fast; 0: at once")
	return cmd
}

// recording opens a file if there is one of that name; ids don't look like files.
func (a *app) recording(cmd *cobra.Command, arg string) (io.ReadCloser, error) {
	f, err := os.Open(arg)
	if err == nil {
		return f, nil
	}
	if strings.ContainsAny(arg, "/.") {
		return nil, &exitError{code: failed, text: err.Error()}
	}
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	return c.Recording(cmd.Context(), arg)
}
