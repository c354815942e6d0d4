package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"sluice/access"
	"sluice/secret"
)

// A folder is the data folder: everything that the gateway keeps.
//
//	lock          held while a gateway runs
//	journal/      the audit journal (package audit)
//	recordings/   one file a session
//	state.db      approvals, tokens, sessions, the search index
//	keys/         symmetric keys, one file each
//	ca.pem        the gateway's own CA, with tls: auto
type folder struct {
	path string
	lock *os.File
}

// openFolder makes the folder if need be, refuses one that others can enter,
// and locks it: two gateways on one folder would corrupt each other.
func openFolder(path string) (*folder, error) {
	for _, sub := range []string{"", "journal", "recordings", "keys"} {
		if err := privateDir(filepath.Join(path, sub)); err != nil {
			return nil, fmt.Errorf("server: data folder: %w", err)
		}
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("server: data folder: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("server: data folder %s is in use by another gateway", path)
		}
		return nil, fmt.Errorf("server: lock data folder: %w", err)
	}
	return &folder{path: path, lock: lock}, nil
}

func privateDir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a folder", path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s may be read by others: chmod 700 it", path)
	}
	return nil
}

func (f *folder) file(parts ...string) string {
	return filepath.Join(append([]string{f.path}, parts...)...)
}

// key returns one of the gateway's own keys, made at the first start.
func (f *folder) key(name string) (access.Secret, error) { return secret.Key(f.file("keys", name)) }

func (f *folder) close() error { return f.lock.Close() }
