// Package seal encrypts small values that the gateway keeps or hands out and
// later takes back: AES-256-GCM with a random nonce, under a key derived for
// one purpose, so that a value sealed for one cannot be passed off as another.
// It has no state; to debug a value that does not open, compare purposes and
// key files.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
)

// maxSealed bounds in bytes what Open looks at.
const maxSealed = 1 << 20

// A Box seals for one purpose. It is safe for concurrent use.
type Box struct{ aead cipher.AEAD }

// New derives a box's key from a secret of at least 16 bytes.
func New(secret []byte, purpose string) (*Box, error) {
	if len(secret) < 16 || purpose == "" {
		return nil, errors.New("seal: secret shorter than 16 bytes, or no purpose")
	}
	key, err := hkdf.Key(sha256.New, secret, nil, purpose, 32)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return &Box{aead}, nil
}

// Seal encrypts plain. about is bound to it and must be given again to Open.
func (b *Box) Seal(plain []byte, about string) []byte {
	return b.aead.Seal(nil, nil, plain, []byte(about))
}

// Open returns what was sealed, if it is unaltered and about the same.
func (b *Box) Open(sealed []byte, about string) ([]byte, error) {
	if len(sealed) > maxSealed {
		return nil, errors.New("seal: too long")
	}
	plain, err := b.aead.Open(nil, nil, sealed, []byte(about))
	if err != nil {
		return nil, errors.New("seal: not sealed with this key, or altered")
	}
	return plain, nil
}
