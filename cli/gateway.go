package cli

import (
	"github.com/spf13/cobra"

	"sluice/access"
	"sluice/api/client"
)

const defaultGateway = "http://127.0.0.1:8080"

// first returns the first text that is not empty.
func first(texts ...string) string {
	for _, s := range texts {
		if s != "" {
			return s
		}
	}
	return ""
}

// address is where the gateway is.
func (a *app) address() string { return first(a.gateway, a.Env("SLUICE_GATEWAY"), defaultGateway) }

func (a *app) options() client.Options {
	return client.Options{Gateway: a.address(), CA: first(a.ca, a.Env("SLUICE_CA")), Agent: "sluice/" + a.Version}
}

// connect finds the gateway and the credential: that of sluice login, else
// SLUICE_TOKEN, or SLUICE_USER with SLUICE_PASSWORD.
func (a *app) connect() (*client.Client, error) {
	o := a.options()
	kept, err := a.keyring().load(o.Gateway)
	if err != nil {
		return nil, err
	}
	o.Token = access.NewSecret(first(kept.Token, a.Env("SLUICE_TOKEN")))
	o.User, o.Password = a.Env("SLUICE_USER"), access.NewSecret(a.Env("SLUICE_PASSWORD"))
	if o.Token.Empty() && o.User == "" {
		return nil, &exitError{code: failed, text: "no credential for the gateway", hint: "sluice login, or set SLUICE_TOKEN, or SLUICE_USER and SLUICE_PASSWORD"}
	}
	return client.New(o)
}

// remote makes a command's function from one that needs the gateway.
func (a *app) remote(run func(cmd *cobra.Command, c *client.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := a.connect()
		if err != nil {
			return err
		}
		return run(cmd, c, args)
	}
}
