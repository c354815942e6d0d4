package seal

import (
	"bytes"
	"testing"
)

func box(t *testing.T, secret, purpose string) *Box {
	t.Helper()
	b, err := New([]byte(secret), purpose)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOpensOnlyWhatItSealed(t *testing.T) {
	b := box(t, "0123456789abcdef", "one")
	sealed := b.Seal([]byte("secret"), "alice")
	if bytes.Contains(sealed, []byte("secret")) {
		t.Fatal("not encrypted")
	}
	if plain, err := b.Open(sealed, "alice"); err != nil || string(plain) != "secret" {
		t.Fatalf("%q, %v", plain, err)
	}
	for name, open := range map[string]func() ([]byte, error){
		"about another":   func() ([]byte, error) { return b.Open(sealed, "bob") },
		"another purpose": func() ([]byte, error) { return box(t, "0123456789abcdef", "two").Open(sealed, "alice") },
		"another secret":  func() ([]byte, error) { return box(t, "fedcba9876543210", "one").Open(sealed, "alice") },
		"cut":             func() ([]byte, error) { return b.Open(sealed[:5], "alice") },
		"nothing":         func() ([]byte, error) { return b.Open(nil, "alice") },
		"too long":        func() ([]byte, error) { return b.Open(make([]byte, maxSealed+1), "alice") },
	} {
		if plain, err := open(); err == nil {
			t.Errorf("%s: opened: %q", name, plain)
		}
	}
	for i := range sealed {
		altered := bytes.Clone(sealed)
		altered[i] ^= 1
		if _, err := b.Open(altered, "alice"); err == nil {
			t.Errorf("opened with byte %d altered", i)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range [][2]string{{"short", "x"}, {"0123456789abcdef", ""}} {
		if _, err := New([]byte(c[0]), c[1]); err == nil {
			t.Errorf("took %q for %q", c[0], c[1])
		}
	}
}
