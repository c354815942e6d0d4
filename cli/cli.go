package cli

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"sluice/api"
	"sluice/api/client"
	"sluice/server"
)

// Exit codes.
const (
	done    = 0
	failed  = 1
	usage   = 2
	waiting = 3
)

// An IO is the process as a command sees it, so that tests can give another.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
	Env      func(string) string
	Environ  func() []string
	// Exec replaces the process by a native client.
	Exec    func(path string, argv, env []string) error
	Version string
}

// app is one run of the program.
type app struct {
	IO
	gateway string
	ca      string
	format  format
	began   bool // a command's own code runs: errors are no longer about usage
}

// Main runs the program and returns its exit code. ctx ends at an interrupt.
func Main(ctx context.Context, args []string, io IO) int {
	if len(args) > 0 && args[0] == server.ParseWorkerCommand {
		return server.ParseWorker()
	}
	a := &app{IO: io, format: table}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(io.In)
	root.SetOut(io.Out)
	root.SetErr(io.Err)
	cmd, err := root.ExecuteContextC(ctx)
	return a.exit(cmd, err)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "sluice",
		Short:         "A gateway that decides about every command before it reaches its target",
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRun: func(*cobra.Command, []string) { a.began = true },
	}
	root.CompletionOptions.HiddenDefaultCmd = false
	flags := root.PersistentFlags()
	flags.StringVar(&a.gateway, "gateway", "", "address of the gateway (default $SLUICE_GATEWAY or "+defaultGateway+")")
	flags.StringVar(&a.ca, "ca", "", "file with the gateway's CA certificate (default $SLUICE_CA)")
	flags.VarP(&a.format, "output", "o", "how to print: table, json or yaml")
	root.AddCommand(
		a.serve(), a.check(), a.test(), a.scan(), a.harden(), a.can(), a.why(), a.login(), a.logout(), a.token(), a.whoami(), a.ls(), a.psql(),
		a.request(), a.session(), a.audit(), a.version(),
	)
	return root
}

func (a *app) version() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		if a.format != table {
			return a.encode(map[string]string{"version": a.Version})
		}
		_, err := fmt.Fprintln(a.Out, "sluice", a.Version)
		return err
	}}
}

// An exitError ends the program with a code; its text may be empty when
// everything has been said.
type exitError struct {
	code int
	text string
	hint string
}

func (e *exitError) Error() string { return e.text }

// misuse is an error in how the program was called.
func misuse(format string, args ...any) error {
	return &exitError{code: usage, text: fmt.Sprintf(format, args...)}
}

// exit prints err and turns it into a code.
func (a *app) exit(cmd *cobra.Command, err error) int {
	if err == nil {
		return done
	}
	code, hint := failed, ""
	var own *exitError
	var remote *client.Error
	var config *server.ConfigError
	switch {
	case errors.As(err, &config):
		return a.misconfigured(config)
	case errors.As(err, &own):
		code, hint = own.code, own.hint
	case errors.As(err, &remote):
		hint = remote.Hint
	case !a.began:
		code, hint = usage, howTo(cmd)
	default:
		hint = cmp.Or(api.HintOf(err), unreachable(err))
	}
	if text := err.Error(); text != "" {
		a.complain(text)
	}
	if hint != "" {
		fmt.Fprintf(a.Err, "hint: %s\n", clean(hint))
	}
	return code
}

// howTo is what to type instead.
func howTo(cmd *cobra.Command) string {
	if cmd == nil || !cmd.HasParent() {
		return "sluice --help lists the commands"
	}
	return "usage: " + strings.TrimSuffix(cmd.UseLine(), " [flags]") + "; " + cmd.CommandPath() + " --help says more"
}

// unreachable says what to do where the gateway does not answer.
func unreachable(err error) string {
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &unknown):
		return "give the gateway's CA by --ca or SLUICE_CA; with tls: auto it is ca.pem in its data folder"
	case errors.Is(err, client.ErrNoAnswer):
		return "is it running there? --gateway or SLUICE_GATEWAY says where it is"
	}
	return ""
}

// complain prints an error, or several with a line each.
func (a *app) complain(text string) {
	for line := range strings.SplitSeq(text, "\n") {
		fmt.Fprintf(a.Err, "sluice: %s\n", clean(line))
	}
}

// misconfigured prints problems as compilers do, so that editors find the place.
func (a *app) misconfigured(e *server.ConfigError) int {
	for _, p := range e.Problems {
		fmt.Fprintln(a.Err, clean(p))
	}
	fmt.Fprintf(a.Err, "sluice: %s in the configuration\n", plural(len(e.Problems), "error"))
	return failed
}
