package approval

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/json"
	"errors"
	"fmt"

	"sluice/access"
	"sluice/store"
)

// maxContent bounds in bytes what an approver is shown. What cannot be shown
// cannot be approved.
const maxContent = 4 << 20

// Content is what an approver decides about: the action as it will run.
type Content struct {
	Text    string           `json:"text"`
	Args    []Arg            `json:"args,omitempty"`
	Binding []access.Setting `json:"binding,omitempty"` // role, search_path and the like
	// Parts are what a commit makes final: each has run, and is undone unless people
	// agree. Text then only sums them up.
	Parts []Part `json:"parts,omitempty"`
}

// A Part is one statement of a transaction that waits for its commit.
type Part struct {
	Text    string           `json:"text"`
	Args    []Arg            `json:"args,omitempty"`
	Binding []access.Setting `json:"binding,omitempty"`
	Rows    int64            `json:"rows"` // that it changed, by the target's own count; -1: not known
}

// An Arg is one bound value in full.
type Arg struct {
	Value  []byte `json:"value,omitempty"`
	Null   bool   `json:"null,omitempty"`
	Binary bool   `json:"binary,omitempty"`
	Type   uint32 `json:"type,omitempty"` // type OID; 0: unknown
}

func contentOf(a *access.Action) (Content, error) {
	c := Content{Text: a.Text, Binding: a.Binding}
	size := len(a.Text)
	c.Args = arguments(a.Args, &size)
	for i := range a.Parts {
		p := &a.Parts[i]
		size += len(p.Text)
		c.Parts = append(c.Parts, Part{Text: p.Text, Args: arguments(p.Args, &size), Binding: p.Binding, Rows: p.Rows})
	}
	if size > maxContent {
		return Content{}, fmt.Errorf("statement and values have %d bytes; more than %d cannot be shown to an approver", size, maxContent)
	}
	return c, nil
}

// arguments takes bound values over, and adds their size.
func arguments(from []access.Arg, size *int) (all []Arg) {
	for _, v := range from {
		*size += len(v.Value)
		all = append(all, Arg{v.Value, v.Null, v.Binary, v.Type})
	}
	return all
}

// A sealer encrypts contents with AES-256-GCM.
type sealer struct{ aead cipher.AEAD }

func newSealer(key access.Secret) (sealer, error) {
	if len(key.Reveal()) != 32 {
		return sealer{}, errors.New("approval: the key must have 32 bytes")
	}
	block, err := aes.NewCipher([]byte(key.Reveal()))
	if err != nil {
		return sealer{}, fmt.Errorf("approval: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return sealer{}, fmt.Errorf("approval: %w", err)
	}
	return sealer{aead}, nil
}

// bound ties a sealed content to its request: moved to another, it does not open.
func bound(a *store.Approval) []byte {
	return append([]byte("sluice content v1\x00"+a.ID), a.Digest[:]...)
}

func (s sealer) seal(a *store.Approval, c Content) ([]byte, error) {
	plain, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("approval: seal: %w", err)
	}
	return s.aead.Seal(nil, nil, plain, bound(a)), nil
}

func (s sealer) open(a *store.Approval) (Content, error) {
	var c Content
	plain, err := s.aead.Open(nil, nil, a.Sealed, bound(a))
	if err != nil {
		return c, fmt.Errorf("approval: open sealed content of %s: %w", a.ID, err)
	}
	return c, json.Unmarshal(plain, &c)
}
