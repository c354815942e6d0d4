package mask

import (
	"fmt"

	"sluice/access"
)

// MinKey is the length in bytes of the shortest secret that may key hashes: half
// of what HMAC-SHA-256 uses, more than anybody guesses.
const MinKey = 16

// A Key is one key of the method hash.
type Key struct {
	ID     string // as rules name it
	Secret access.Secret
}

// Keys are the keys of the method hash: a current one, and those that rules name
// by their ids, so that columns keep joining with what was hashed before the
// current key came. A nil Keys has none. Safe for concurrent use.
type Keys struct {
	current *keyed
	named   map[string]*keyed
}

// NewKeys returns keys of which the first is the current one. Keys shorter than
// [MinKey], without an id or with one that another has are errors.
func NewKeys(keys ...Key) (*Keys, error) {
	out := &Keys{named: make(map[string]*keyed, len(keys))}
	for i, k := range keys {
		switch {
		case k.ID == "" || out.named[k.ID] != nil:
			return nil, fmt.Errorf("mask: key %q: without an id of its own", k.ID)
		case len(k.Secret.Reveal()) < MinKey:
			return nil, fmt.Errorf("mask: key %q: shorter than %d bytes", k.ID, MinKey)
		}
		out.named[k.ID] = newKeyed(k.Secret)
		if i == 0 {
			out.current = out.named[k.ID]
		}
	}
	return out, nil
}

// Compile returns the transform named with. Hash uses the key called id, or the
// current one if id is empty; it is an error if there is no such key. Other
// methods ignore keys.
func (k *Keys) Compile(with, id string) (Transform, error) {
	m, ok := parseMethod(with)
	if !ok {
		return Transform{}, fmt.Errorf("mask: unknown method %q (known: %v)", with, Methods())
	}
	t := Transform{method: m}
	if m != methodHash {
		return t, nil
	}
	if t.keyed = k.find(id); t.keyed == nil {
		return Transform{}, fmt.Errorf("mask: hash: no key %q", id)
	}
	return t, nil
}

func (k *Keys) find(id string) *keyed {
	switch {
	case k == nil:
		return nil
	case id == "":
		return k.current
	}
	return k.named[id]
}
