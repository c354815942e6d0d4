package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"sluice/internal/testsummary"
)

// pgx runs the driver's own tests, in the version that go.mod names.
func (r *runner) pgx(t target, dir string) (result, error) {
	if err := r.pgxSources(dir); err != nil {
		return result{}, err
	}
	setup, err := os.ReadFile(filepath.Join(dir, "testsetup/postgresql_setup.sql"))
	if err != nil {
		return result{}, err
	}
	if err := t.sql("postgres", "DROP DATABASE IF EXISTS pgx_test;\nCREATE DATABASE pgx_test;"); err != nil {
		return result{}, err
	}
	if err := t.sql("pgx_test", string(setup)); err != nil {
		return result{}, err
	}
	return r.pgxTest(t, dir)
}

// pgxSources puts a writable copy of the module into dir.
func (r *runner) pgxSources(dir string) error {
	list := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/jackc/pgx/v5")
	list.Dir = r.root
	out, err := list.Output()
	if err != nil {
		return fmt.Errorf("pgx: %w", err)
	}
	return copyTree(strings.TrimSpace(string(out)), dir, false)
}

func (r *runner) pgxTest(t target, dir string) (result, error) {
	dsn := fmt.Sprintf("host=%s port=%s user=%s password=%s dbname=pgx_test", t.host, t.port, t.user, t.password)
	cmd := exec.CommandContext(r.ctx, "go", "test", "-count=1", "-timeout", "500s", "-run", r.matching, "-json", "./...")
	cmd.Dir = dir
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "PG") }),
		"PGX_TEST_DATABASE="+dsn+" sslmode=disable", "PGX_TEST_TCP_CONN_STRING="+dsn+" sslmode=disable",
		"PGX_TEST_SCRAM_PASSWORD_CONN_STRING="+dsn+" sslmode=disable", "PGX_TEST_TLS_CONN_STRING="+dsn+" sslmode=require")
	out, _ := cmd.Output() // its exit code says less than its events
	log := filepath.Join(dir, "events.json")
	if err := os.WriteFile(log, out, 0o644); err != nil {
		return result{}, err
	}
	var s testsummary.Summary
	if err := s.Read(bytes.NewReader(out), nil); err != nil {
		return result{}, err
	}
	fmt.Printf("  pgx skipped %d for want of servers that it does not need here\n", len(s.Skipped()))
	return result{passed: s.Passed(), failures: s.Failed(), where: log}, nil
}
