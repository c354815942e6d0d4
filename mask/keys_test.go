package mask

import (
	"strings"
	"sync"
	"testing"

	"sluice/access"
)

// TestRotation: the current key hashes, an older one still does where a rule
// names it, and what it hashed stays what it was.
func TestRotation(t *testing.T) {
	hash := func(k *Keys, id string) string {
		t.Helper()
		tr, err := k.Compile("hash", id)
		if err != nil {
			t.Fatal(err)
		}
		out, _ := tr.Apply(nil, []byte("alice"), KindText, false)
		return string(out)
	}
	old, next := Key{"2025", access.NewSecret(strings.Repeat("o", MinKey))}, Key{"2026", access.NewSecret(strings.Repeat("n", MinKey))}
	before, err := NewKeys(old)
	if err != nil {
		t.Fatal(err)
	}
	after, err := NewKeys(next, old)
	if err != nil {
		t.Fatal(err)
	}
	if hash(before, "") == hash(after, "") || hash(before, "") != hash(after, "2025") || hash(after, "") != hash(after, "2026") {
		t.Error("the wrong key was used")
	}
	if _, err := after.Compile("hash", "2024"); err == nil {
		t.Error("a key that is not there was found")
	}
}

func TestBadKeys(t *testing.T) {
	good := access.NewSecret(strings.Repeat("k", MinKey))
	for _, keys := range [][]Key{{{"a", access.NewSecret("short")}}, {{"", good}}, {{"a", good}, {"a", good}}, {{"a", access.Secret{}}}} {
		if _, err := NewKeys(keys...); err == nil {
			t.Errorf("%v: %v", keys, err)
		}
	}
	for _, none := range []*Keys{nil, new(Keys)} {
		if _, err := none.Compile("hash", ""); err == nil {
			t.Error("hash without a key")
		}
		if _, err := none.Compile("redact", ""); err != nil {
			t.Error(err)
		}
	}
}

// TestHashesTogether: what computations keep for each other is one's at a time.
func TestHashesTogether(t *testing.T) {
	tr := compile(t, "hash")
	values := [2]string{"alice@example.com", strings.Repeat("long ", 100)}
	var want [2]string
	for i, v := range values {
		out, _ := tr.Apply(nil, []byte(v), KindText, false)
		want[i] = string(out)
	}
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for range 200 {
				if out, _ := tr.Apply(nil, []byte(values[g%2]), KindText, false); string(out) != want[g%2] {
					t.Error("another's hash")
				}
				tr.Apply(nil, []byte("12345"), KindInt4, false)
			}
		})
	}
	all.Wait()
}
