package identity

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"testing"

	"sluice/access"
	"sluice/protocol"
)

func b64(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// proves does what a protocol does with a client's proof: RFC 5802, section 3.
func proves(stored, proof []byte, authMessage string) bool {
	key := mac(stored, authMessage)
	for i := range key {
		key[i] ^= proof[i]
	}
	sum := sha256.Sum256(key)
	return bytes.Equal(sum[:], stored)
}

// prove does what a client does.
func prove(password string, salt []byte, rounds int, authMessage string) []byte {
	client := mac(saltPassword(password, salt, rounds), "Client Key")
	stored := sha256.Sum256(client)
	proof := mac(stored[:], authMessage)
	for i := range proof {
		proof[i] ^= client[i]
	}
	return proof
}

// The exchange of RFC 7677, section 3.
func TestSCRAMVector(t *testing.T) {
	salt := b64(t, "W22ZaJ0SNY7soEsUEjb6gQ==")
	message := "n=user,r=rOprNGfwEbeRWgbNEkqO," +
		"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096," +
		"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	k := deriveKeys("pencil", salt, 4096)
	if !proves(k.stored, b64(t, "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="), message) {
		t.Error("the RFC's client proof is not accepted")
	}
	if !bytes.Equal(mac(k.server, message), b64(t, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")) {
		t.Error("the server signature is not the RFC's")
	}
}

func TestSASLprep(t *testing.T) {
	for in, want := range map[string]string{
		"I\u00adX":      "IX", // the examples of RFC 4013, section 3
		"user":          "user",
		"USER":          "USER",
		"\u00aa":        "a",
		"\u2168":        "IX",
		"a\u00a0b":      "a b",
		"a\u3000b":      "a b",
		"pa\tss":        "pa\tss",
		"e\u0301":       "\u00e9",
		"\xff\xfe":      "\xff\xfe", // not UTF-8: as it is
		"a\u200b\ufeff": "a ",
	} {
		if got := saslprep(in); got != want {
			t.Errorf("saslprep(%q) = %q, want %q", in, got, want)
		}
	}
}

func accepted(s protocol.SCRAM, password string) *protocol.Verifier {
	const message = "n=,r=abc,r=abcdef,s=x,i=1,c=biws,r=abcdef"
	proof := prove(password, s.Salt, s.Iterations, message)
	for i, v := range s.Verifiers {
		if proves(v.StoredKey, proof, message) {
			return &s.Verifiers[i]
		}
	}
	return nil
}

// Clients differ in what they do to passwords beyond ASCII.
func TestSCRAMAcceptsBothSpellings(t *testing.T) {
	w := newWorld(User{Name: "zoe", Password: access.NewSecret("caf\u0065\u0301 \u2168\ufe0f")})
	d := w.open(t)
	for _, typed := range []string{"caf\u0065\u0301 \u2168\ufe0f", "caf\u00e9 IX"} {
		if accepted(d.SCRAM("zoe"), typed) == nil {
			t.Errorf("%q refused by SCRAM", typed)
		}
		mustLogin(t, d, "zoe", typed)
	}
	if accepted(d.SCRAM("zoe"), "cafe IX") != nil {
		t.Error("another password accepted")
	}
}

func FuzzSASLprep(f *testing.F) {
	f.Add("I\u00adX")
	f.Add("\u2168\ufe0f")
	f.Fuzz(func(t *testing.T, s string) {
		once := saslprep(s)
		if isASCII(s) && once != s {
			t.Fatalf("changed ASCII %q to %q", s, once)
		}
		if n := len(spellings(s)); n < 1 || n > 2 {
			t.Fatalf("%d spellings", n)
		}
	})
}
