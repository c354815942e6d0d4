package cli

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/access"
	"sluice/api/client"
	v1 "sluice/api/v1"
)

// signIn is how somebody wants to sign in.
type signIn struct {
	provider         string
	device, fresh    bool
	tokenFile, token string // a program's: a file, or the name of a variable
}

func (a *app) login() *cobra.Command {
	var s signIn
	cmd := &cobra.Command{Use: "login", Short: "Sign in at your identity provider", Args: cobra.NoArgs,
		Long: `Sign in at your identity provider: in a browser on this machine, or with a code on another
device if there is none (--device). The credential is kept in SLUICE_HOME, for you alone. The gateway
renews it for as long as the provider vouches for you.

Programs bring the token that their CI system or cluster gave them: --token-file, --token-env.`,
		Example: "  sluice login\n  sluice login --provider okta --device\n  sluice login --fresh      prove again that it is you\n  sluice login --token-env CI_JOB_TOKEN",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if s.device && (s.token != "" || s.tokenFile != "") || s.token != "" && s.tokenFile != "" {
				return misuse("one of --token-file, --token-env and --device is enough")
			}
			return a.signIn(cmd.Context(), s)
		}}
	f := cmd.Flags()
	f.StringVar(&s.provider, "provider", "", "which identity provider, if there are several")
	f.BoolVar(&s.device, "device", false, "enter a code on another device instead of opening a browser here")
	f.BoolVar(&s.fresh, "fresh", false, "prove who you are even if the provider knows you already")
	f.StringVar(&s.tokenFile, "token-file", "", "file with a program's token (a Kubernetes service account's, for example)")
	f.StringVar(&s.token, "token-env", "", "environment variable with a program's token")
	return cmd
}

func (a *app) signIn(ctx context.Context, s signIn) error {
	o := a.options()
	old, err := a.keyring().load(o.Gateway)
	if err != nil {
		return err
	}
	if s.tokenFile != "" || s.token != "" {
		return a.programLogin(ctx, o, s)
	}
	o.Token = access.NewSecret(old.Token) // of the same person: made fresh in place
	c, err := client.New(o)
	if err != nil {
		return err
	}
	if s.provider, err = a.choose(ctx, c, s.provider); err != nil {
		return err
	}
	var r v1.LoginResult
	open := a.browser()
	if s.device || open == nil {
		r, err = a.byDevice(ctx, c, s)
	} else {
		r, err = a.byBrowser(ctx, c, s, open)
	}
	if err != nil {
		return err
	}
	if r.Secret != "" {
		if err := a.replaceLogin(ctx, c, old, r); err != nil {
			return err
		}
	}
	return a.signedIn(r)
}

// replaceLogin keeps the new credential and ends the one before.
func (a *app) replaceLogin(ctx context.Context, c *client.Client, old kept, r v1.LoginResult) error {
	if err := a.keyring().store(a.address(), kept{Token: r.Secret, ID: r.ID, Issuer: r.Issuer, Since: time.Now().UTC().Truncate(time.Second)}); err != nil {
		return err
	}
	if old.Token != "" {
		_ = c.Logout(ctx) // it may have ended long ago
	}
	return nil
}

func (a *app) signedIn(r v1.LoginResult) error {
	r.Secret = ""
	if a.format != table {
		return a.encode(r)
	}
	who := r.ID
	if len(r.Groups) > 0 {
		who += " (" + strings.Join(r.Groups, ", ") + ")"
	}
	_, err := fmt.Fprintf(a.Out, "signed in as %s\n", clean(who))
	return err
}

// choose picks a provider, if it can be told which.
func (a *app) choose(ctx context.Context, c *client.Client, name string) (string, error) {
	if name != "" {
		return name, nil
	}
	all, err := c.Providers(ctx)
	switch {
	case err != nil:
		return "", err
	case len(all.Names) == 1:
		return all.Names[0], nil
	case len(all.Names) == 0:
		return "", &exitError{code: failed, text: "this gateway has no identity provider", hint: "local users set SLUICE_USER and SLUICE_PASSWORD"}
	}
	return "", &exitError{code: usage, text: "which identity provider? There are " + strings.Join(all.Names, ", "), hint: "sluice login --provider " + all.Names[0]}
}

// programLogin exchanges the token of a CI system or cluster.
func (a *app) programLogin(ctx context.Context, o client.Options, s signIn) error {
	text := a.Env(s.token)
	if s.tokenFile != "" {
		b, err := os.ReadFile(s.tokenFile)
		if err != nil {
			return fmt.Errorf("token: %w", err)
		}
		text = string(b)
	}
	if text = strings.TrimSpace(text); text == "" {
		return &exitError{code: failed, text: "there is no token", hint: "check the variable or file that your CI system or cluster writes it to"}
	}
	c, err := client.New(o)
	if err != nil {
		return err
	}
	r, err := c.Exchange(ctx, access.NewSecret(text), access.Secret{})
	if err != nil {
		return err
	}
	o.Token = access.NewSecret(r.Secret)
	if c, err = client.New(o); err != nil {
		return err
	}
	me, err := c.Whoami(ctx)
	if err != nil {
		return err
	}
	r.ID, r.Issuer, r.Groups = me.ID, me.Issuer, me.Groups
	if err := a.replaceLogin(ctx, c, kept{}, r); err != nil {
		return err
	}
	return a.signedIn(r)
}

// byDevice shows a code and waits until the person has entered it.
func (a *app) byDevice(ctx context.Context, c *client.Client, s signIn) (v1.LoginResult, error) {
	l, err := c.StartLogin(ctx, v1.LoginRequest{Provider: s.provider, Device: true, Fresh: s.fresh})
	if err != nil {
		return v1.LoginResult{}, err
	}
	fmt.Fprintf(a.Err, "Open %s\nand check that it shows the code %s\n", clean(l.URL), clean(l.UserCode))
	answer := v1.LoginAnswer{Provider: s.provider, Device: true, Attempt: l.Attempt}
	every := time.Duration(max(1, l.Interval)) * time.Second
	for {
		select {
		case <-ctx.Done():
			return v1.LoginResult{}, ctx.Err()
		case <-time.After(every):
		}
		r, err := c.FinishLogin(ctx, answer)
		var refused *client.Error
		switch {
		case errors.As(err, &refused) && refused.Status == http.StatusTooManyRequests:
			every += 5 * time.Second // RFC 8628, section 3.5
		case err != nil:
			return v1.LoginResult{}, err
		case r.State == "done":
			return r, nil
		}
	}
}

// browser returns what opens an address in a browser; nil if nothing can.
func (a *app) browser() func(string) error {
	program := first(a.Env("BROWSER"), "xdg-open")
	if a.Env("BROWSER") == "" && a.Env("DISPLAY") == "" && a.Env("WAYLAND_DISPLAY") == "" {
		if program = "open"; !fileExists("/usr/bin/open") || fileExists("/etc/debian_version") {
			return nil
		}
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return nil
	}
	return func(address string) error {
		cmd := exec.Command(path, address)
		if err := cmd.Start(); err != nil {
			return err
		}
		go func() { _ = cmd.Wait() }() // whether it worked shows in what comes back
		return nil
	}
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// patience is how long a person may take in the browser.
const patience = 10 * time.Minute

// byBrowser sends the person to the provider and waits on a loopback address
// for the browser to come back (RFC 8252, section 7.3).
func (a *app) byBrowser(ctx context.Context, c *client.Client, s signIn, open func(string) error) (v1.LoginResult, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return v1.LoginResult{}, err
	}
	defer ln.Close()
	l, err := c.StartLogin(ctx, v1.LoginRequest{Provider: s.provider, Redirect: "http://" + ln.Addr().String() + "/callback", Fresh: s.fresh})
	if err != nil {
		return v1.LoginResult{}, err
	}
	back := make(chan v1.LoginAnswer, 1)
	web := &http.Server{Handler: callback(l.State, back), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = web.Serve(ln) }() // ends when it is closed
	defer web.Close()
	fmt.Fprintf(a.Err, "Opening a browser at\n%s\n", clean(l.URL))
	if err := open(l.URL); err != nil {
		return v1.LoginResult{}, &exitError{code: failed, text: "no browser: " + err.Error(), hint: "sluice login --device"}
	}
	select {
	case <-ctx.Done():
		return v1.LoginResult{}, ctx.Err()
	case <-time.After(patience):
		return v1.LoginResult{}, &exitError{code: failed, text: "nobody came back from the identity provider", hint: "sluice login --device works without a browser here"}
	case answer := <-back:
		answer.Provider, answer.Attempt = s.provider, l.Attempt
		defer func() { _ = web.Shutdown(ctx) }() // the page is still on its way
		return c.FinishLogin(ctx, answer)
	}
}

// callback takes the one answer that belongs to this sign-in. Other pages can
// make the browser call it too; they do not know the state.
func callback(state string, back chan<- v1.LoginAnswer) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /callback", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(state)) != 1 {
			http.Error(w, "This is not the answer that sluice login waits for.", http.StatusBadRequest)
			return
		}
		select {
		case back <- v1.LoginAnswer{State: q.Get("state"), Code: q.Get("code"), Issuer: q.Get("iss"), Error: q.Get("error")}:
		default: // a second one
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Referrer-Policy", "no-referrer")
		fmt.Fprintln(w, "Back to the terminal: sluice login says whether it worked. You can close this page.")
	})
	return mux
}

func (a *app) logout() *cobra.Command {
	return &cobra.Command{Use: "logout", Short: "End your login, and all tokens asked for with it", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o := a.options()
			k, err := a.keyring().load(o.Gateway)
			if err != nil {
				return err
			}
			if k.Token == "" {
				return &exitError{code: failed, text: "not signed in at " + o.Gateway}
			}
			o.Token = access.NewSecret(k.Token)
			c, err := client.New(o)
			if err != nil {
				return err
			}
			return a.signOut(cmd.Context(), c)
		}}
}

// signOut forgets the credential in any case; a gateway that was not told lets
// it end by itself.
func (a *app) signOut(ctx context.Context, c *client.Client) error {
	err := c.Logout(ctx)
	if forget := a.keyring().store(a.address(), kept{}); forget != nil {
		return forget
	}
	var refused *client.Error
	if err != nil && !(errors.As(err, &refused) && refused.Status == http.StatusUnauthorized) {
		return &exitError{code: failed, text: "forgotten here, but the gateway was not told: " + err.Error(), hint: "an administrator can revoke it: sluice token revoke ID"}
	}
	_, err = fmt.Fprintln(a.Out, "signed out")
	return err
}
