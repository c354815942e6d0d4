package secret

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"sluice/access"
)

// KeySize is the length in bytes of the gateway's own symmetric keys.
const KeySize = 32

// Key returns the key kept in the file at path and makes it if there is none
// yet. The file is readable by its owner only; one that others may read is
// refused. Losing the file costs what the key protects: see the callers.
func Key(path string) (access.Secret, error) {
	k, err := readKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	if err := makeKey(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return access.Secret{}, fmt.Errorf("secret: make key: %w", err)
	}
	return readKey(path)
}

func readKey(path string) (access.Secret, error) {
	info, err := os.Stat(path)
	if err != nil {
		return access.Secret{}, fmt.Errorf("secret: key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return access.Secret{}, fmt.Errorf("secret: key file %s may be read by others: chmod 600 it", path)
	}
	if info.Size() != KeySize {
		return access.Secret{}, fmt.Errorf("secret: key file %s is %d bytes long, not %d", path, info.Size(), KeySize)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return access.Secret{}, fmt.Errorf("secret: key: %w", err)
	}
	return access.NewSecret(string(b)), nil
}

// makeKey writes the whole key beside path and links it into place, so that a
// crash leaves no half key and two processes agree on one.
func makeKey(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	b := make([]byte, KeySize)
	rand.Read(b) // never fails: crypto/rand
	if _, err := f.Write(b); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
