//go:build !linux

package journal

import (
	"os"
)

// openSync opens a segment so that every write is durable when it returns.
func openSync(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	return &synced{f}, nil
}

// A synced file syncs after every write.
type synced struct{ *os.File }

func (s *synced) WriteAt(p []byte, off int64) (int, error) {
	n, err := s.File.WriteAt(p, off)
	if err == nil {
		err = s.File.Sync()
	}
	return n, err
}

func openFill(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
}

func aligned(n int) ([]byte, func(), error) { return make([]byte, n), func() {}, nil }
