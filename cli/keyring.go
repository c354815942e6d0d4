package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// A keyring keeps the credentials of sluice login, one for each gateway, in a
// file that only its owner may read: SLUICE_HOME/credentials.json.
type keyring struct{ path string }

// A kept credential. Its end at the gateway may move: the gateway renews it.
type kept struct {
	Token  string    `json:"token"`
	ID     string    `json:"id,omitempty"`
	Issuer string    `json:"issuer,omitempty"`
	Since  time.Time `json:"since"`
}

// maxKeyring bounds in bytes what is read.
const maxKeyring = 1 << 20

// keyring finds the file. Without SLUICE_HOME it is below the user's
// configuration folder.
func (a *app) keyring() keyring {
	home := a.Env("SLUICE_HOME")
	if home == "" {
		config := a.Env("XDG_CONFIG_HOME")
		if config == "" && a.Env("HOME") != "" {
			config = filepath.Join(a.Env("HOME"), ".config")
		}
		if config == "" {
			return keyring{}
		}
		home = filepath.Join(config, "sluice")
	}
	return keyring{filepath.Join(home, "credentials.json")}
}

func (k keyring) read() (map[string]kept, error) {
	all := map[string]kept{}
	if k.path == "" {
		return all, nil
	}
	info, err := os.Stat(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("credentials: %w", err)
	case info.Mode().Perm()&0o077 != 0:
		return nil, &exitError{code: failed, text: fmt.Sprintf("%s may be read by others", k.path), hint: "chmod 600 it, and sluice logout if others may have read it"}
	case info.Size() > maxKeyring:
		return nil, fmt.Errorf("credentials: %s is too large", k.path)
	}
	b, err := os.ReadFile(k.path)
	if err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, &exitError{code: failed, text: fmt.Sprintf("%s is damaged", k.path), hint: "remove it and sluice login again"}
	}
	return all, nil
}

// load returns the credential for a gateway; the zero kept if there is none.
func (k keyring) load(gateway string) (kept, error) {
	all, err := k.read()
	return all[gateway], err
}

// store keeps a credential for a gateway; the zero kept forgets it.
func (k keyring) store(gateway string, c kept) error {
	if k.path == "" {
		return &exitError{code: failed, text: "no place to keep the credential", hint: "set SLUICE_HOME"}
	}
	all, err := k.read()
	if err != nil {
		return err
	}
	all[gateway] = c
	if c.Token == "" {
		delete(all, gateway)
	}
	b, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(k.path), 0o700); err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	return replaceFile(k.path, append(b, '\n'))
}

// replaceFile writes a whole file or nothing. CreateTemp makes it 0600.
func replaceFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".credentials-*")
	if err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	return nil
}
