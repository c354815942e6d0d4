package secret

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"sluice/access"
)

const (
	// maxSecret bounds a secret's length: longer than any password or key file
	// in use, short enough that a wrong path (a device, a log) harms nobody.
	maxSecret = 64 << 10

	// execTimeout bounds a credential program. A vault's CLI answers in a
	// second; clients wait for it when they connect.
	execTimeout = 10 * time.Second
)

// A Ref says where a secret is. Exactly one field must be set; the zero Ref is
// an error.
type Ref struct {
	Env   string        // name of an environment variable
	File  string        // path; one trailing line end is dropped
	Exec  []string      // program and arguments, run without a shell; its output as for File
	Value access.Secret // the secret itself: for demos only, config refuses it elsewhere
}

// Resolve returns the secret. It fails if the source is missing, empty or
// longer than 64 KiB.
func (r Ref) Resolve(ctx context.Context) (access.Secret, error) {
	if n := r.sources(); n != 1 {
		return access.Secret{}, fmt.Errorf("secret: %d sources given, need exactly one", n)
	}
	switch {
	case r.Env != "":
		return fromEnv(r.Env)
	case r.File != "":
		return fromFile(r.File)
	case len(r.Exec) > 0:
		return fromExec(ctx, r.Exec)
	}
	return r.Value, nil
}

func (r Ref) sources() (n int) {
	for _, set := range []bool{r.Env != "", r.File != "", len(r.Exec) > 0, !r.Value.Empty()} {
		if set {
			n++
		}
	}
	return n
}

func fromEnv(name string) (access.Secret, error) {
	v := os.Getenv(name)
	if v == "" {
		return access.Secret{}, fmt.Errorf("secret: environment variable %s is not set or empty", name)
	}
	if len(v) > maxSecret {
		return access.Secret{}, fmt.Errorf("secret: environment variable %s is longer than %d bytes", name, maxSecret)
	}
	return access.NewSecret(v), nil
}

func fromFile(path string) (access.Secret, error) {
	f, err := os.Open(path)
	if err != nil {
		return access.Secret{}, fmt.Errorf("secret: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return access.Secret{}, fmt.Errorf("secret: %w", err)
	}
	return clean(b, path)
}

// fromExec runs a credential program. It gets no standard input, and what it
// writes to standard error is dropped rather than shown: some print the secret there.
func fromExec(ctx context.Context, argv []string) (access.Secret, error) {
	ctx, cancel := context.WithTimeout(ctx, execTimeout)
	defer cancel()
	var out capped
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout = &out
	cmd.WaitDelay = time.Second // a grandchild that keeps the pipe open holds us no longer
	err := cmd.Run()
	switch {
	case out.full:
		return access.Secret{}, fmt.Errorf("secret: %s printed more than %d bytes", argv[0], maxSecret)
	case ctx.Err() != nil:
		return access.Secret{}, fmt.Errorf("secret: %s: %w", argv[0], ctx.Err())
	case err != nil:
		return access.Secret{}, fmt.Errorf("secret: %s: %w", argv[0], err)
	}
	return clean(out.b.Bytes(), argv[0])
}

// clean drops one line end, which editors and echo append.
func clean(b []byte, source string) (access.Secret, error) {
	if len(b) > maxSecret {
		return access.Secret{}, fmt.Errorf("secret: %s holds more than %d bytes", source, maxSecret)
	}
	s := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	if s == "" {
		return access.Secret{}, fmt.Errorf("secret: %s is empty", source)
	}
	return access.NewSecret(s), nil
}

var errFull = errors.New("too much output")

// capped is a writer that fails when the limit is reached, which ends the program.
type capped struct {
	b    bytes.Buffer
	full bool
}

func (c *capped) Write(p []byte) (int, error) {
	if c.b.Len()+len(p) > maxSecret {
		c.full = true
		return 0, errFull
	}
	return c.b.Write(p)
}
