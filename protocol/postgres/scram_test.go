package postgres

import (
	"bytes"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"sluice/access"
	"sluice/protocol"
)

// TestSCRAMVector is the example exchange of RFC 7677, section 3.
func TestSCRAMVector(t *testing.T) {
	salt, err := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	if err != nil {
		t.Fatal(err)
	}
	user := protocol.SCRAM{Salt: salt, Iterations: 4096}
	user.Verifiers = []protocol.Verifier{startupVerifier("pencil", user, protocol.Login{Subject: access.Subject{ID: "user"}})}
	x := newScramExchange(user, nil)
	x.nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	if err := x.choose(scramName); err != nil {
		t.Fatal(err)
	}
	first, err := x.first([]byte("n,,n=user,r=rOprNGfwEbeRWgbNEkqO"))
	if want := "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"; err != nil || string(first) != want {
		t.Fatalf("server-first = %s, %v", first, err)
	}
	final, login, err := x.final([]byte("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="))
	if want := "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="; err != nil || string(final) != want {
		t.Fatalf("server-final = %s, %v", final, err)
	}
	if login.Subject.ID != "user" {
		t.Errorf("login = %+v", login)
	}
}

// A scramClient is the other side, which a test may bend.
type scramClient struct {
	gs2     string
	binding []byte
	bare    string
}

func (c *scramClient) first() []byte {
	c.bare = "n=,r=client-nonce"
	return []byte(c.gs2 + c.bare)
}

func (c *scramClient) final(password string, user protocol.SCRAM, serverFirst []byte) []byte {
	nonce, _, _ := strings.Cut(strings.TrimPrefix(string(serverFirst), "r="), ",")
	without := "c=" + base64.StdEncoding.EncodeToString(append([]byte(c.gs2), c.binding...)) + ",r=" + nonce
	auth := c.bare + "," + string(serverFirst) + "," + without
	salted, err := pbkdf2.Key(sha256.New, password, user.Salt, user.Iterations, sha256.Size)
	if err != nil {
		panic(err)
	}
	m := hmac.New(sha256.New, salted)
	m.Write([]byte("Client Key"))
	key := m.Sum(nil)
	stored := sha256.Sum256(key)
	subtle.XORBytes(key, key, scramHMAC(stored[:], auth))
	return []byte(without + ",p=" + base64.StdEncoding.EncodeToString(key))
}

func TestSCRAMExchange(t *testing.T) {
	d := newStartupDirectory()
	hash := []byte("hash of the certificate")
	for name, test := range map[string]struct {
		mechanism, user, password string
		offered                   []byte // our binding
		client                    scramClient
		login                     string // credential that must match; empty: none
		code, message             string // of an error before the proof counts
	}{
		"first credential":    {mechanism: scramName, user: "alice", password: "first", client: scramClient{gs2: "n,,"}, login: "c0"},
		"second credential":   {mechanism: scramName, user: "alice", password: "token-2", client: scramClient{gs2: "n,,"}, login: "c1"},
		"wrong password":      {mechanism: scramName, user: "alice", password: "nope", client: scramClient{gs2: "n,,"}},
		"unknown user":        {mechanism: scramName, user: "nobody", password: "first", client: scramClient{gs2: "n,,"}},
		"able, not offered":   {mechanism: scramName, user: "alice", password: "first", client: scramClient{gs2: "y,,"}, login: "c0"},
		"unable, offered":     {mechanism: scramName, user: "alice", password: "first", offered: hash, client: scramClient{gs2: "n,,"}, login: "c0"},
		"bound":               {mechanism: scramPlusName, user: "alice", password: "first", offered: hash, client: scramClient{gs2: "p=tls-server-end-point,,", binding: hash}, login: "c0"},
		"downgraded":          {mechanism: scramName, user: "alice", password: "first", offered: hash, client: scramClient{gs2: "y,,"}, code: "28000", message: "negotiation error"},
		"bound to another":    {mechanism: scramPlusName, user: "alice", password: "first", offered: hash, client: scramClient{gs2: "p=tls-server-end-point,,", binding: []byte("another hash")}, code: "28000", message: "binding check failed"},
		"bound to nothing":    {mechanism: scramPlusName, user: "alice", password: "first", offered: hash, client: scramClient{gs2: "p=tls-server-end-point,,"}, code: "28000", message: "binding check failed"},
		"bound by other type": {mechanism: scramPlusName, user: "alice", password: "first", offered: hash, client: scramClient{gs2: "p=tls-unique,,", binding: hash}, code: "08P01", message: "unsupported SCRAM channel-binding type"},
		"plus with n":         {mechanism: scramPlusName, user: "alice", password: "first", offered: hash, client: scramClient{gs2: "n,,"}, code: "08P01"},
		"plus with y":         {mechanism: scramPlusName, user: "alice", password: "first", offered: hash, client: scramClient{gs2: "y,,"}, code: "08P01"},
		"p without plus":      {mechanism: scramName, user: "alice", password: "first", offered: hash, client: scramClient{gs2: "p=tls-server-end-point,,", binding: hash}, code: "08P01"},
		"data without p":      {mechanism: scramName, user: "alice", password: "first", client: scramClient{gs2: "n,,", binding: hash}, code: "08P01", message: "unexpected SCRAM channel-binding attribute"},
		"plus not offered":    {mechanism: scramPlusName, user: "alice", password: "first", client: scramClient{gs2: "n,,"}, code: "08P01", message: "invalid SASL authentication mechanism"},
		"other mechanism":     {mechanism: "PLAIN", user: "alice", password: "first", client: scramClient{gs2: "n,,"}, code: "08P01"},
		"authorization id":    {mechanism: scramName, user: "alice", password: "first", client: scramClient{gs2: "n,a=bob,"}, code: "0A000"},
	} {
		t.Run(name, func(t *testing.T) {
			user := d.SCRAM(test.user)
			x := newScramExchange(user, test.offered)
			signature, login, err := scramPlay(x, test.mechanism, &test.client, test.password, user)
			if test.code != "" {
				var f *startupError
				if !errors.As(err, &f) || f.Code != test.code || !strings.Contains(f.Message, test.message) {
					t.Fatalf("got %v", err)
				}
				return
			}
			if err != nil || login.Credential != test.login || (signature != nil) != (test.login != "") {
				t.Errorf("signature %q, login %+v, %v", signature, login, err)
			}
		})
	}
}

func scramPlay(x *scramExchange, mechanism string, c *scramClient, password string, user protocol.SCRAM) ([]byte, protocol.Login, error) {
	if err := x.choose(mechanism); err != nil {
		return nil, protocol.Login{}, err
	}
	first, err := x.first(c.first())
	if err != nil {
		return nil, protocol.Login{}, err
	}
	return x.final(c.final(password, user, first))
}

// A verifier without an identity proves nothing, whatever the password.
func TestSCRAMNeedsAnIdentity(t *testing.T) {
	user := protocol.SCRAM{Salt: []byte("salt"), Iterations: 1}
	user.Verifiers = []protocol.Verifier{startupVerifier("pw", user, protocol.Login{}), {}}
	signature, _, err := scramPlay(newScramExchange(user, nil), scramName, &scramClient{gs2: "n,,"}, "pw", user)
	if signature != nil || err != nil {
		t.Errorf("signature %q, %v", signature, err)
	}
}

func TestSCRAMMalformed(t *testing.T) {
	for _, message := range []string{"", "n", "n,", "n,,", "x,,n=,r=a", "n,,r=a,n=", "n,,n=", "n,,n=,r=", "n,,n=,r=a b", "n,,n=,r=a\x7f", "n,,m=x,n=,r=a", "p,,n=,r=a", "nn,,n=,r=a"} {
		if _, err := newScramExchange(protocol.SCRAM{}, nil).first([]byte(message)); err == nil {
			t.Errorf("client-first %q accepted", message)
		}
	}
	for _, message := range []string{"", "c=biws", "c=biws,r=N", "c=biws,r=N,p=", "c=biws,r=N,p=!", "c=biws,r=N,p=AAAA", "r=N,c=biws,p=" + scramZeroProof, "c=biws,r=wrong,p=" + scramZeroProof, "c=eSws,r=N,p=" + scramZeroProof} {
		x := newScramExchange(protocol.SCRAM{}, nil)
		if _, err := x.first([]byte("n,,n=,r=a")); err != nil {
			t.Fatal(err)
		}
		if _, _, err := x.final([]byte(strings.ReplaceAll(message, "r=N", "r="+x.combined))); err == nil {
			t.Errorf("client-final %q accepted", message)
		}
	}
}

var scramZeroProof = base64.StdEncoding.EncodeToString(make([]byte, 32))

// Over the wire: messages of the wrong type or size end the exchange.
func TestSCRAMMessages(t *testing.T) {
	p := newStartupPeer(t, nil)
	for name, test := range map[string]struct{ message, want string }{
		"a query":           {"Q\x00\x00\x00\x0aselect\x00", "expected SASL response, got message type 81"},
		"too long":          {"p\x00\x00\x04\x05", "invalid message length"},
		"too short":         {"p\x00\x00\x00\x03", "invalid message length"},
		"no mechanism":      {"p\x00\x00\x00\x08abcd", "invalid SASLInitialResponse"},
		"length lies":       {"p\x00\x00\x00\x16SCRAM-SHA-256\x00\x00\x00\x00\x09", "invalid SASLInitialResponse"},
		"unknown mechanism": {"p\x00\x00\x00\x0dPLAI\x00\x00\x00\x00\x00", "invalid SASL authentication mechanism"},
	} {
		t.Run(name, func(t *testing.T) {
			c := p.raw(t)
			c.write(startupMessage(version30, "user", "alice"))
			if _, err := c.receive(); err != nil {
				t.Fatal(err)
			}
			c.write([]byte(test.message))
			if e := c.refusal(); e.Code != "08P01" || !strings.Contains(e.Message, test.want) {
				t.Errorf("got %+v", e)
			}
		})
	}
	if n := p.dir.failures(); n != 0 {
		t.Errorf("%d protocol errors counted as failed logins", n)
	}
}

// A client may choose the mechanism first and send its message afterwards.
func TestSCRAMWithoutInitialResponse(t *testing.T) {
	p := newStartupPeer(t, nil)
	c := p.raw(t)
	c.write(startupMessage(version30, "user", "alice"))
	if _, err := c.receive(); err != nil {
		t.Fatal(err)
	}
	c.write(append(append([]byte("p\x00\x00\x00\x16"), scramName+"\x00"...), 0xff, 0xff, 0xff, 0xff))
	m, err := c.receive()
	if next, ok := m.(*pgproto3.AuthenticationSASLContinue); !ok || len(next.Data) != 0 {
		t.Fatalf("got %#v, %v", m, err)
	}
	sc := &scramClient{gs2: "n,,"}
	c.write(c.encode(&pgproto3.SASLResponse{Data: sc.first()}))
	m, err = c.receive()
	if err != nil {
		t.Fatal(err)
	}
	first := bytes.Clone(m.(*pgproto3.AuthenticationSASLContinue).Data)
	// A message behind the last one of the start-up phase must not be lost.
	behind := c.encode(&pgproto3.Query{String: "select 1"})
	c.write(append(c.encode(&pgproto3.SASLResponse{Data: sc.final("first", p.dir.SCRAM("alice"), first)}), behind...))
	var seen []string
	for len(seen) < 5 { // SASLFinal, Ok, and on to the answer's row
		m, err := c.receive()
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case *pgproto3.AuthenticationSASLFinal, *pgproto3.AuthenticationOk, *pgproto3.BackendKeyData, *pgproto3.RowDescription:
			seen = append(seen, "")
		case *pgproto3.DataRow:
			seen = append(seen, string(m.Values[0]))
		}
	}
	if !strings.HasPrefix(seen[4], "alice|c0|") {
		t.Errorf("row = %q", seen[4])
	}
}

// Connections opened before the limit was reached are no guesses in store.
func TestSCRAMAsksAgain(t *testing.T) {
	p := newStartupPeer(t, nil)
	c := p.raw(t)
	c.write(startupMessage(version30, "user", "alice"))
	if _, err := c.receive(); err != nil {
		t.Fatal(err)
	}
	sc := &scramClient{gs2: "n,,"}
	c.write(c.encode(&pgproto3.SASLInitialResponse{AuthMechanism: scramName, Data: sc.first()}))
	m, err := c.receive()
	if err != nil {
		t.Fatal(err)
	}
	p.dir.block("alice")
	c.write(c.encode(&pgproto3.SASLResponse{Data: sc.final("first", p.dir.SCRAM("alice"), m.(*pgproto3.AuthenticationSASLContinue).Data)}))
	if e := c.refusal(); e.Code != "28000" || !strings.Contains(e.Message, "try again") {
		t.Errorf("got %+v", e)
	}
}

// A man in the middle strips PLUS from the offer; the client, which could have
// bound, says so, and must be turned away even with the right password.
func TestSCRAMDowngradeByHand(t *testing.T) {
	ca := newStartupCA(t, startupECKey(t, elliptic.P256()))
	p := newStartupPeer(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, "localhost")}})
	c := p.raw(t)
	c.tls(&tls.Config{RootCAs: ca.pool, ServerName: "localhost"})
	c.write(startupMessage(version30, "user", "alice"))
	if _, err := c.receive(); err != nil {
		t.Fatal(err)
	}
	c.write(c.encode(&pgproto3.SASLInitialResponse{AuthMechanism: scramName, Data: (&scramClient{gs2: "y,,"}).first()}))
	if e := c.refusal(); e.Code != "28000" || !strings.Contains(e.Detail, "thinks the server does not") {
		t.Errorf("got %+v", e)
	}
}

func FuzzSASLInitial(f *testing.F) {
	f.Add([]byte("SCRAM-SHA-256\x00\x00\x00\x00\x03n,,"))
	f.Add([]byte("SCRAM-SHA-256\x00\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, body []byte) {
		mechanism, data, err := parseSASLInitial(body)
		if err == nil && len(mechanism)+len(data)+5 != len(body) {
			t.Errorf("%q: %q and %q do not make up the message", body, mechanism, data)
		}
	})
}

// FuzzSCRAM plays arbitrary messages against a user: no proof may hold.
func FuzzSCRAM(f *testing.F) {
	f.Add([]byte("n,,n=,r=a"), []byte("c=biws,r=a,p="+scramZeroProof), false)
	f.Add([]byte("p=tls-server-end-point,,n=,r=a"), []byte("c=,r=a,x=1,p="+scramZeroProof), true)
	user := newStartupDirectory().SCRAM("alice")
	f.Fuzz(func(t *testing.T, first, final []byte, plus bool) {
		x := newScramExchange(user, []byte("hash"))
		x.nonce = "" // a server whose nonce can be foreseen
		name := scramName
		if plus {
			name = scramPlusName
		}
		if err := x.choose(name); err != nil {
			t.Fatal(err)
		}
		if _, err := x.first(first); err != nil {
			return
		}
		if reply, login, err := x.final(final); err == nil && (reply != nil || login.Subject.ID != "") {
			t.Errorf("proven by %q, %q", first, final)
		}
	})
}
