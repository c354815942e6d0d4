package cli

import (
	"github.com/spf13/cobra"

	"sluice/server"
)

func (a *app) serve() *cobra.Command {
	o := server.ServeOptions{Out: a.Out, Err: a.Err, Version: a.Version}
	cmd := &cobra.Command{Use: "serve -c PATH", Short: "Run the gateway", Args: cobra.MaximumNArgs(1),
		Long: "Run the gateway. PATH is a YAML file or a folder of them; changes are taken up while it runs, and at SIGHUP.\nSIGTERM and Ctrl+C end it after open statements.",
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if o.Config, err = configPath(o.Config, args); err != nil {
				return err
			}
			return server.Serve(cmd.Context(), o)
		}}
	cmd.Flags().StringVarP(&o.Config, "config", "c", "", "YAML file or a folder of them")
	cmd.Flags().StringVar(&o.Pprof, "pprof", "", "serve profiles at this loopback address")
	cmd.Flags().StringVar(&o.LogFormat, "log", "text", "log as text or json")
	return cmd
}
