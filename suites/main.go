// Command suites runs other people's tests against Sluice: PostgreSQL's own
// regression suite, its isolation tests, libpq's pipeline tests (with byte-exact
// protocol traces) and the tests of the pgx driver. What passes on a direct
// connection must pass through the gateway: every difference is a bug of ours.
//
//	go run ./suites                            all suites, over all paths
//	go run ./suites -only regress -via direct  one of them
//	go run ./suites -addr HOST:PORT -user U -password P   against a server that runs already
//
// The paths are direct (client to server), sluice (client to gateway to server)
// and cut (like sluice, with a relay before and one behind the gateway that
// writes at most 7 bytes at a time). A fourth runs only if it is named: relay is
// cut without the gateway, which tells what the relays change from what the
// gateway does. Behind relays, and only there, notices of the isolation tests may
// come later than expected (notices.go). The gateway has one subject without
// restrictive rules, whose upstream login is the bootstrap superuser.
//
// The first run fetches and builds the tools (build.sh), about three minutes.
// Each line of the report ends with "passed N of M"; the exit code is 1 if a
// suite did not pass. -keep leaves outputs and differences in place.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A suite runs against a target and reports. dir is an empty folder that the
// server's account may enter, for everything it writes.
type suite struct {
	name     string
	database string // where it connects first
	run      func(r *runner, t target, dir string) (result, error)
}

var suites = []suite{
	{"regress", "postgres", (*runner).regress},
	{"isolation", "postgres", (*runner).isolation},
	{"pipeline", "postgres", (*runner).pipeline},
	{"pgx", "pgx_test", (*runner).pgx},
}

// paths are all that -via may name. relay is not usual.
var paths = []string{"direct", "sluice", "cut", "relay"}

// A target is where a suite connects.
type target struct {
	host, port, user, password string

	slow bool // relays cut what it says: notices come late
}

// A result is how a suite ended.
type result struct {
	passed   int
	failures []string
	where    string // what to look at
}

func (r result) total() int { return r.passed + len(r.failures) }

// runner holds what all suites need.
type runner struct {
	ctx      context.Context // ends at Ctrl+C and SIGTERM: suites stop, and everything is taken down in order
	root     string          // of the project
	sources  string          // PostgreSQL's source folder, built
	work     string          // temporary
	matching string          // of pgx: which tests; empty: all
	server   *backend
}

func main() {
	only := flag.String("only", "", "comma-separated suites (default all): regress, isolation, pipeline, pgx")
	via := flag.String("via", "direct,sluice,cut", "comma-separated paths: direct, sluice, cut, relay")
	addr := flag.String("addr", "", "run against this host:port instead of own servers; needs -user and -password of a superuser")
	user := flag.String("user", "postgres", "with -addr")
	password := flag.String("password", "", "with -addr")
	matching := flag.String("run", "", "with pgx: only the tests that match")
	keep := flag.Bool("keep", false, "keep the temporary folder")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	picked, err := pick(*only, suites, func(s suite) string { return s.name })
	through, more := pick(*via, paths, func(p string) string { return p })
	if err = errors.Join(err, more); err != nil {
		fmt.Fprintln(os.Stderr, "suites:", err)
		os.Exit(2)
	}
	ok, err := run(ctx, picked, through, *addr, target{user: *user, password: *password}, *keep, *matching)
	if err != nil {
		fmt.Fprintln(os.Stderr, "suites:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// pick returns those named, all for no names. A name that there is not is an
// error: nothing that runs would pass.
func pick[T any](names string, from []T, name func(T) string) (picked []T, err error) {
	if names == "" {
		return from, nil
	}
	for _, want := range strings.Split(names, ",") {
		i := slices.IndexFunc(from, func(one T) bool { return name(one) == want })
		if i < 0 {
			return nil, fmt.Errorf("there is no %q", want)
		}
		picked = append(picked, from[i])
	}
	return picked, nil
}

func run(ctx context.Context, picked []suite, via []string, addr string, given target, keep bool, matching string) (ok bool, err error) {
	r, err := prepare(ctx)
	if err != nil {
		return false, err
	}
	r.matching = matching
	if !keep {
		defer os.RemoveAll(r.work)
	}
	if addr != "" {
		given.host, given.port, _ = strings.Cut(addr, ":")
		return r.all(picked, "given", given)
	}
	return r.overPaths(picked, via)
}

// prepare builds the tools and makes the work folder.
func prepare(ctx context.Context) (*runner, error) {
	root, err := projectRoot()
	if err != nil {
		return nil, err
	}
	build := exec.CommandContext(ctx, filepath.Join(root, "suites", "build.sh"))
	build.Stderr = os.Stderr
	out, err := build.Output()
	if err != nil {
		return nil, fmt.Errorf("build.sh: %w", err)
	}
	work, err := os.MkdirTemp("", "sluice-suites-")
	if err != nil {
		return nil, err
	}
	// The server's account reads its inputs and writes results in here.
	return &runner{ctx: ctx, root: root, sources: strings.TrimSpace(string(out)), work: work}, os.Chmod(work, 0o755)
}

func projectRoot() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("run this inside the project: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

func (r *runner) overPaths(picked []suite, via []string) (ok bool, err error) {
	ok = true
	for _, path := range via {
		good, err := r.overPath(picked, path)
		if err != nil {
			return false, fmt.Errorf("%s: %w", path, err)
		}
		ok = ok && good
	}
	return ok, nil
}

func (r *runner) overPath(picked []suite, path string) (ok bool, err error) {
	// A server of its own: suites leave roles behind that they expect not to find.
	if r.server, err = startBackend(); err != nil {
		return false, err
	}
	defer r.server.Stop()
	g, err := r.open(path)
	if err != nil {
		return false, err
	}
	defer g.stop()
	return r.all(picked, path, g.target)
}

func (r *runner) all(picked []suite, path string, t target) (ok bool, err error) {
	ok = true
	for _, s := range picked {
		good, err := r.one(s, path, t)
		if err != nil {
			return false, fmt.Errorf("%s: %w", s.name, err)
		}
		ok = ok && good
	}
	return ok, nil
}

func (r *runner) one(s suite, path string, t target) (ok bool, err error) {
	dir := filepath.Join(r.work, s.name+"-"+path)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return false, err
	}
	start := time.Now()
	res, err := s.run(r, t, dir)
	if r.ctx.Err() != nil {
		return false, errors.New("interrupted")
	}
	if err != nil {
		return false, err
	}
	if res.total() == 0 {
		return false, errors.New("no test ran; see " + res.where)
	}
	for _, f := range res.failures {
		fmt.Printf("  FAIL %s\n", f)
	}
	if len(res.failures) > 0 {
		fmt.Printf("  see %s (with -keep)\n", res.where)
	}
	fmt.Printf("%s via %s (%.0fs): passed %d of %d\n", s.name, path, time.Since(start).Seconds(), res.passed, res.total())
	return len(res.failures) == 0, nil
}
