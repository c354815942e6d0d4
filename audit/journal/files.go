package journal

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/sys/unix"

	"sluice/audit"
)

// A file is a segment open for writing: a write that returns nil is durable.
type file interface {
	io.WriterAt
	io.Closer
}

// lockDir creates dir if it is missing and locks it against other processes.
// The lock ends with the process, however it ends.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("journal: %s is in use by another gateway: %w", dir, err)
	}
	return f, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func writeSync(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// appendWhole appends data to a file, all or nothing.
func appendWhole(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	end, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		if _, err = f.Write(data); err != nil {
			f.Truncate(end)
		}
	}
	return errors.Join(err, f.Close())
}

// trimCheckpoints cuts off a checkpoint that a crash left unfinished at the
// end: everything behind the last whole line of a signature.
func trimCheckpoints(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("journal: checkpoints: %w", err)
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("journal: checkpoints: %w", err)
	}
	tail := make([]byte, min(size, 64<<10))
	if _, err := f.ReadAt(tail, size-int64(len(tail))); err != nil {
		return fmt.Errorf("journal: checkpoints: %w", err)
	}
	for end := len(tail); end > 0; {
		line := tail[:end]
		start := bytes.LastIndexByte(line[:end-1], '\n') + 1
		if line[end-1] == '\n' && bytes.HasPrefix(line[start:], []byte("\u2014 ")) {
			return f.Truncate(size - int64(len(tail)-end))
		}
		end = start
	}
	return nil
}

// loadKey reads the signing key from dir, or makes one. The public half is
// always written from the same generation as the private one.
func loadKey(dir, origin string) (note.Signer, string, error) {
	private, err := os.ReadFile(filepath.Join(dir, audit.KeyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(dir, origin)
	}
	if err != nil {
		return nil, "", fmt.Errorf("journal: signing key: %w", err)
	}
	public, err := os.ReadFile(filepath.Join(dir, audit.PublicKeyFile))
	if err != nil {
		return nil, "", fmt.Errorf("journal: signing key: %w", err)
	}
	s, err := note.NewSigner(strings.TrimSpace(string(private)))
	if err != nil {
		return nil, "", errors.New("journal: signing key: malformed")
	}
	return s, strings.TrimSpace(string(public)), nil
}

func makeKey(dir, origin string) (note.Signer, string, error) {
	private, public, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return nil, "", fmt.Errorf("journal: signing key: %w", err)
	}
	if err := writeSync(filepath.Join(dir, audit.PublicKeyFile), []byte(public+"\n")); err != nil {
		return nil, "", fmt.Errorf("journal: signing key: %w", err)
	}
	if err := writeSync(filepath.Join(dir, audit.KeyFile), []byte(private+"\n")); err != nil {
		return nil, "", fmt.Errorf("journal: signing key: %w", err)
	}
	s, err := note.NewSigner(private)
	if err != nil {
		return nil, "", fmt.Errorf("journal: signing key: %w", err)
	}
	return s, public, syncDir(dir)
}
