//go:build !linux

package worker

import (
	"errors"
	"os"
	"syscall"
)

// restartLimited starts the program again without limits: they are Linux's.
func restartLimited() error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(exe, []string{os.Args[0], Command, limited}, nil)
}

func confine() error { return errors.New("only Linux can confine a parse-worker") }

// Undumpable does nothing outside Linux.
func Undumpable() error { return nil }
