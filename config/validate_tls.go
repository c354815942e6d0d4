package config

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"slices"

	"sluice/internal/strictyaml"
)

func (k *checker) listenerTLS(t *TLS) {
	switch {
	case t.Auto && (t.Cert != "" || t.Key != ""):
		k.bad(t.Pos, "tls: either auto or cert and key")
	case !t.Auto && len(t.Names) > 0:
		k.bad(t.Pos, "tls: names are for auto; a certificate brings its own")
	case !t.Auto && t.Cert == "" && t.Pos.Line > 0:
		k.bad(t.Pos, "tls: want auto, or cert and key")
	}
	k.keyPair(t.Pos, t.Cert, t.Key)
	k.authorities(t.Pos, "clientCA", t.ClientCA)
}

func (k *checker) keyPair(at strictyaml.Pos, cert, key Path) {
	if cert == "" && key == "" {
		return
	}
	if cert == "" || key == "" {
		k.bad(at, "tls: cert and key belong together")
		return
	}
	if _, err := tls.LoadX509KeyPair(string(cert), string(key)); err != nil {
		k.bad(at, "tls: %v", err)
	}
}

func (k *checker) authorities(at strictyaml.Pos, what string, file Path) {
	if file == "" {
		return
	}
	pem, err := os.ReadFile(string(file))
	if err != nil {
		k.bad(at, "tls: %s: %v", what, err)
		return
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		k.bad(at, "tls: %s: no certificate in %s", what, file)
	}
}

func (k *checker) resource(g *Gateway, r *Resource) {
	if !resourceName.MatchString(r.Name) {
		k.bad(r.Pos, "resource name %q: clients give it as database name, so use up to 63 of A-Z a-z 0-9 . _ -, starting with a letter or digit", r.Name)
	}
	if p := r.Protocol; p.Given() && !slices.Contains(Protocols(), p.Value) {
		k.bad(p.Pos, "this version has no protocol %q%s", p.Value, strictyaml.Suggest(p.Value, Protocols()))
	}
	if a := r.Address; a.Given() && !hostPort(a.Value) {
		k.bad(a.Pos, "address %q is not host:port", a.Value)
	}
	if r.Labels[""] != "" {
		k.bad(r.Pos, "a label's name is empty")
	}
	k.upstreamTLS(r)
	if r.Credential.Pos.Line > 0 && r.Credential.User == "" {
		k.bad(r.Credential.Pos, "credential: user is empty")
	}
	k.secret(g, "password", r.Credential.Password)
}

var modes = []string{Disable, Prefer, Require, VerifyCA, VerifyFull}

// upstreamTLS fills in the default mode: encryption without verification, or
// none, is only for who asks for it.
func (k *checker) upstreamTLS(r *Resource) {
	t := &r.TLS
	near := Loopback(r.Address.Value)
	if !t.Mode.Given() {
		t.Mode.Value = VerifyFull
		if near {
			t.Mode.Value = Disable
		}
	}
	switch mode := t.Mode.Value; {
	case !slices.Contains(modes, mode):
		k.bad(t.Mode.Pos, "tls: unknown mode %q%s", mode, strictyaml.Suggest(mode, modes))
	case mode == Disable && (t.CA != "" || t.Cert != ""):
		k.bad(t.Pos, "tls: certificates are given, but mode is disable")
	case mode != VerifyFull && mode != VerifyCA && !near:
		k.warn(t.Mode.Pos, "tls: mode %s does not verify who answers at %s", mode, r.Address.Value)
	}
	k.keyPair(t.Pos, t.Cert, t.Key)
	k.authorities(t.Pos, "ca", t.CA)
}
