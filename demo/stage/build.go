package stage

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Build builds commands of the module at root into dir; each is named after its
// package, such as ./cmd/sluice.
func Build(root, dir string, packages ...string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	for _, pkg := range packages {
		build := exec.Command("go", "build", "-o", filepath.Join(dir, filepath.Base(pkg)), pkg)
		build.Dir, build.Stderr = root, os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("go build %s: %w", pkg, err)
		}
	}
	return nil
}
