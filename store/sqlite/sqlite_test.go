package sqlite

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"sluice/store"
	"sluice/store/storetest"
)

func mustOpen(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.State { return mustOpen(t, t.TempDir()) })
}

// Two processes may have the files open: the suite's promises hold between
// them, too.
func TestTwoHandles(t *testing.T) {
	dir := t.TempDir()
	a, b := mustOpen(t, dir), mustOpen(t, dir)
	defer a.Close()
	defer b.Close()
	if err := a.CreateApproval(t.Context(), store.Approval{ID: "R", State: store.Approved}); err != nil {
		t.Fatal(err)
	}
	wins := make(chan bool)
	for _, s := range []*Store{a, b, a, b, a, b} {
		go func() {
			won := false
			err := s.UpdateApproval(context.Background(), "R", func(x *store.Approval) error {
				won = x.State == store.Approved
				x.State = store.Used
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			wins <- won
		}()
	}
	n := 0
	for range 6 {
		if <-wins {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d winners", n)
	}
}

func TestReopen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a folder with spaces? and #signs%20")
	s := mustOpen(t, dir)
	if err := s.SetMeta(t.Context(), "k", []byte("v")); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = mustOpen(t, dir)
	defer s.Close()
	if v, err := s.Meta(t.Context(), "k"); err != nil || string(v) != "v" {
		t.Errorf("%q %v", v, err)
	}
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v %v", st.Mode(), err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) < 2 {
		t.Fatalf("%v %v", names, err)
	}
	for _, name := range names {
		if st, err := os.Stat(name); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, st.Mode(), err)
		}
	}
}

// A sealed copy that was dropped is in none of the files any more.
func TestDroppedSealsLeaveNoBytes(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	defer s.Close()
	sealed := bytes.Repeat([]byte("sealed-copy-"), 300)
	if err := s.CreateApproval(t.Context(), store.Approval{ID: "R", State: store.Pending, Sealed: sealed}); err != nil {
		t.Fatal(err)
	}
	if !anywhere(t, dir, sealed[:100]) {
		t.Fatal("the test looks in the wrong place")
	}
	if err := s.UpdateApproval(t.Context(), "R", func(a *store.Approval) error { a.Sealed = nil; return nil }); err != nil {
		t.Fatal(err)
	}
	if anywhere(t, dir, sealed[:100]) {
		t.Error("the sealed copy is still there")
	}
}

func anywhere(t *testing.T, dir string, want []byte) bool {
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, want) {
			return true
		}
	}
	return false
}

func TestMigrations(t *testing.T) {
	one := fstest.MapFS{"m/0001_a.sql": {Data: []byte("CREATE TABLE a (x TEXT)")}}
	two := fstest.MapFS{"m/0001_a.sql": one["m/0001_a.sql"], "m/0002_b.sql": {Data: []byte("ALTER TABLE a ADD COLUMN y TEXT; INSERT INTO a VALUES ('1', '2')")}}
	path := filepath.Join(t.TempDir(), "x.db")
	for _, step := range []struct {
		schema fstest.MapFS
		want   string
	}{
		{one, ""}, {one, ""},
		{fstest.MapFS{"m/0001_a.sql": one["m/0001_a.sql"], "m/0002_b.sql": {Data: []byte("CREATE TABLE b (x TEXT); nonsense")}}, "0002_b.sql"},
		{two, ""}, {two, ""},
		{one, "newer than this program"},
		{fstest.MapFS{"m/0001_a.sql": one["m/0001_a.sql"], "m/0002_b.sql": two["m/0002_b.sql"], "m/0004_c.sql": {Data: []byte("SELECT 1")}}, "should be number 0003"},
	} {
		db, err := openFile(t.Context(), path, "FULL", step.schema)
		switch {
		case step.want == "" && err != nil:
			t.Fatal(err)
		case step.want != "" && (err == nil || !strings.Contains(err.Error(), step.want)):
			t.Errorf("%v, want %q", err, step.want)
		}
		if err == nil {
			db.Close()
		}
	}
	db, err := openFile(t.Context(), path, "FULL", two)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var n int
	if err := db.QueryRow("SELECT COUNT(*) FROM a WHERE y = '2'").Scan(&n); err != nil || n != 1 {
		t.Errorf("the second migration ran %d times: %v", n, err)
	}
}

func TestPragmas(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	defer s.Close()
	for query, want := range map[string]string{"PRAGMA journal_mode": "wal", "PRAGMA synchronous": "2", "PRAGMA foreign_keys": "1", "PRAGMA secure_delete": "1"} {
		var got string
		if err := s.db.QueryRow(query).Scan(&got); err != nil || got != want {
			t.Errorf("%s: %q %v, want %q", query, got, err, want)
		}
	}
}
