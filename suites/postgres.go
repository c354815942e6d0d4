package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"sluice/internal/pgserver"
)

// testTimeout ends a libpq_pipeline test that hangs. Each takes a second, but one
// of them minutes where every write is cut to a few bytes.
const testTimeout = 10 * time.Minute

// regress runs the 217 files of PostgreSQL's regression suite.
func (r *runner) regress(t target, dir string) (result, error) {
	if err := copyTree(filepath.Join(r.sources, "src/test/regress"), dir, true); err != nil {
		return result{}, err
	}
	// The server writes files in here too, under its own account.
	if err := worldWritable(filepath.Join(dir, "results")); err != nil {
		return result{}, err
	}
	return r.pgRegress(t.env(), dir, "pg_regress", "--dlpath="+dir, "--schedule="+dir+"/parallel_schedule", "--max-concurrent-tests=20")
}

// isolation runs the concurrency tests, several sessions each.
func (r *runner) isolation(t target, dir string) (result, error) {
	if err := copyTree(filepath.Join(r.sources, "src/test/isolation"), dir, true); err != nil {
		return result{}, err
	}
	// isolationtester asks the server who blocks whom by backend pid. TLS only
	// slows it down.
	res, err := r.pgRegress(t.env("PGSSLMODE=disable"), dir, "pg_isolation_regress", "--schedule="+dir+"/isolation_schedule")
	if t.slow {
		res.forgiveLate(dir)
	}
	return res, err
}

// pgRegress runs pg_regress or its relative on the tests in dir.
func (r *runner) pgRegress(env []string, dir, program string, args ...string) (result, error) {
	args = append([]string{"--inputdir=" + dir, "--outputdir=" + dir, "--bindir=" + filepath.Dir(pgserver.Program("psql"))}, args...)
	for _, e := range env {
		for variable, option := range map[string]string{"PGHOST=": "--host=", "PGPORT=": "--port=", "PGUSER=": "--user="} {
			if v, ok := strings.CutPrefix(e, variable); ok {
				args = append(args, option+v)
			}
		}
	}
	cmd := exec.CommandContext(r.ctx, filepath.Join(dir, program), args...)
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.CombinedOutput()
	if werr := os.WriteFile(filepath.Join(dir, "log"), out, 0o644); werr != nil {
		return result{}, werr
	}
	res := parseRegress(out)
	res.where = filepath.Join(dir, "regression.diffs")
	if err != nil && len(res.failures) == 0 {
		return res, fmt.Errorf("%s: %w: %s", program, err, out)
	}
	return res, nil
}

// verdict matches a test's line, alone ("test x ... ok") or in a group.
var verdict = regexp.MustCompile(`^(?:test | {5})(\S+)\s+\.\.\. (ok|FAILED)`)

func parseRegress(out []byte) (res result) {
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		switch m := verdict.FindStringSubmatch(lines.Text()); {
		case m == nil:
		case m[2] == "ok":
			res.passed++
		default:
			res.failures = append(res.failures, m[1])
		}
	}
	return res
}

// pipeline runs libpq_pipeline's tests and compares the messages on the wire
// with the recorded ones where there are any.
func (r *runner) pipeline(t target, dir string) (result, error) {
	src := filepath.Join(r.sources, "src/test/modules/libpq_pipeline")
	env := t.env("LD_LIBRARY_PATH="+filepath.Join(r.sources, "src/interfaces/libpq"), "PGDATABASE=postgres")
	// The first trace expects that its tables are not there.
	if err := t.sql("postgres", "DROP TABLE IF EXISTS pq_pipeline_demo, pq_pipeline_tst, pq_pipeline_trans, ppln_uniqviol"); err != nil {
		return result{}, err
	}
	list := exec.Command(filepath.Join(src, "libpq_pipeline"), "tests")
	list.Env = env
	names, err := list.Output()
	if err != nil {
		return result{}, fmt.Errorf("libpq_pipeline: %w", err)
	}
	res := result{where: dir}
	for _, name := range strings.Fields(string(names)) {
		res.note(name, r.pipelineTest(src, dir, env, name))
		if expected, err := os.ReadFile(filepath.Join(src, "traces", name+".trace")); err == nil {
			res.note(name+" trace", sameTrace(expected, filepath.Join(dir, name+".trace")))
		}
	}
	return res, nil
}

func (r *result) note(name string, err error) {
	if err == nil {
		r.passed++
		return
	}
	r.failures = append(r.failures, fmt.Sprintf("%s: %v", name, err))
}

func (r *runner) pipelineTest(src, dir string, env []string, name string) error {
	ctx, cancel := context.WithTimeout(r.ctx, testTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(src, "libpq_pipeline"), "-r", "700", "-t", filepath.Join(dir, name+".trace"), name)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return fmt.Errorf("%w: %s", err, lines[len(lines)-1])
	}
	return nil
}

func sameTrace(expected []byte, path string) error {
	got, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, expected) {
		return fmt.Errorf("differs: %s", path)
	}
	return nil
}
