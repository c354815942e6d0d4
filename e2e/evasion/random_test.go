package evasion

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"sluice/internal/sqlgen"
)

// How much of TestRandomStatements runs every time.
const (
	randomRounds  = 3   // policies for each server
	randomScripts = 150 // for each policy
	longScripts   = 300
	generation    = 10 // policies that the gateway is given at once, in a long run
)

// TestRandomStatements: under random policies random statements show no secret in
// any byte that the client receives, and where a policy permits nothing, worlds that
// differ in nothing but secrets answer alike.
//
// Every run takes the same seeds, and those that found something once
// (testdata/random-seeds.txt). SLUICE_FUZZ=30m takes fresh ones for that long;
// SLUICE_SEED='89a26fef 76' takes one that it printed.
func TestRandomStatements(t *testing.T) {
	var long time.Duration
	if text := os.Getenv("SLUICE_FUZZ"); text != "" {
		var err error
		if long, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	for _, version := range versions {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			f := newFuzz(t, version)
			if long == 0 {
				f.fixed(t)
			} else {
				f.fresh(t, long/time.Duration(len(versions)))
			}
			f.print(t)
			if f.answered < f.scripts/5 || f.masked < f.scripts/50 || f.needles < f.scripts/20 {
				t.Error("too few statements say anything")
			}
		})
	}
}

// A fuzz is the state and the figures of one run.
type fuzz struct {
	h       *house
	version int

	policies, scripts, statements int
	answered                      int // scripts of which nothing was refused or failed
	masked                        int // answered otherwise than directly
	needles                       int // direct answers with a secret
	compared                      int // answers compared between worlds
	started                       time.Time
}

func newFuzz(t *testing.T, version int) *fuzz {
	f := &fuzz{h: houseOf(t, version), version: version, started: time.Now()}
	name := "random_template"
	if f.h.exec("postgres", "CREATE DATABASE "+name+" TEMPLATE shop") != nil {
		return f // it is there
	}
	script, err := os.ReadFile("testdata/random.sql")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.h.stage.Server.SQL(name, string(script)); err != nil {
		t.Fatal(err)
	}
	return f
}

// fixed runs the seeds of every run.
func (f *fuzz) fixed(t *testing.T) {
	var all []*randomPolicy
	only := map[uint64][]uint64{}
	for seed := range uint64(randomRounds) {
		p := drawPolicy(seed + 100*uint64(f.version))
		all = append(all, p)
		for i := range uint64(randomScripts) {
			only[p.seed] = append(only[p.seed], i)
		}
	}
	for _, s := range keptSeeds(t) {
		if only[s[0]] == nil {
			all = append(all, drawPolicy(s[0]))
		}
		if !slices.Contains(only[s[0]], s[1]) {
			only[s[0]] = append(only[s[0]], s[1])
		}
	}
	if text := os.Getenv("SLUICE_SEED"); text != "" {
		s := parseSeed(t, text)
		all, only = []*randomPolicy{drawPolicy(s[0])}, map[uint64][]uint64{s[0]: {s[1]}}
	}
	f.install(t, all)
	for _, p := range all {
		f.round(t, p, only[p.seed])
	}
}

func parseSeed(t *testing.T, text string) (s [2]uint64) {
	t.Helper()
	if _, err := fmt.Sscanf(text, "%x %d", &s[0], &s[1]); err != nil {
		t.Fatal(err)
	}
	return s
}

// keptSeeds are those that found something: a policy's and a script's each.
func keptSeeds(t *testing.T) (all [][2]uint64) {
	t.Helper()
	file, err := os.Open("testdata/random-seeds.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		if strings.TrimSpace(line) != "" {
			all = append(all, parseSeed(t, line))
		}
	}
	return all
}

// fresh runs until the time is over.
func (f *fuzz) fresh(t *testing.T, long time.Duration) {
	end := f.started.Add(long)
	report := f.started.Add(time.Minute)
	var numbers []uint64
	for i := range uint64(longScripts) {
		numbers = append(numbers, i)
	}
	for time.Now().Before(end) {
		var all []*randomPolicy
		for range generation {
			all = append(all, drawPolicy(uint64(rand.Uint32())))
		}
		f.install(t, all)
		for _, p := range all {
			if time.Now().After(end) {
				return
			}
			f.round(t, p, numbers)
			if time.Now().After(report) {
				report = report.Add(time.Minute)
				f.print(t)
			}
		}
	}
}

func (f *fuzz) print(t *testing.T) {
	t.Logf("PostgreSQL %d, %s: %d policies, %d scripts, %d statements: %d answered, %d of them masked; undefended %d show a secret; %d compared in two worlds",
		f.version, time.Since(f.started).Round(time.Second), f.policies, f.scripts, f.statements, f.answered, f.masked, f.needles, f.compared)
}

// install gives the gateway policies and waits until they hold.
func (f *fuzz) install(t *testing.T, all []*randomPolicy) {
	t.Helper()
	doc, err := document(all)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(f.h.stage.Config, "random.yaml")
	if err := os.WriteFile(path+".new", []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	until := time.Now().Add(hang)
	for {
		s, err := connect(f.h.dsn(through, "shop", all[len(all)-1].user), nil)
		if err != nil {
			t.Fatal(err)
		}
		if s.conn != nil {
			s.close()
			return
		}
		if time.Now().After(until) {
			t.Fatalf("the gateway does not take the policies: %s\n%s", transcript(s.ear.got.Bytes()), doc)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// The three databases of a round: two worlds behind the gateway, and the first once
// more without it.
const (
	worldA = iota
	worldB
	bare
)

// A trio is a round's databases and sessions.
type trio struct {
	f        *fuzz
	p        *randomPolicy
	database [3]string
	needles  [3][]needle
	session  [3]*speaker
}

func (f *fuzz) round(t *testing.T, p *randomPolicy, scripts []uint64) {
	w := f.trio(t, p)
	defer w.drop()
	f.policies++
	for _, n := range scripts {
		f.script(t, w, n)
	}
}

// trio makes the databases.
func (f *fuzz) trio(t *testing.T, p *randomPolicy) *trio {
	t.Helper()
	w := &trio{f: f, p: p}
	var wait sync.WaitGroup
	var failed [3]error
	for i := range w.database {
		filled := fill(p.seed, i%2, p.secrets, p.shown)
		w.needles[i], w.database[i] = filled.needles, fmt.Sprintf("random_%x_%d", p.seed, f.h.clones.Add(1))
		wait.Go(func() {
			if failed[i] = f.h.exec("postgres", "CREATE DATABASE "+w.database[i]+" TEMPLATE random_template"); failed[i] == nil {
				failed[i] = f.h.exec(w.database[i], filled.sql.String())
			}
		})
	}
	wait.Wait()
	if err := errors.Join(failed[:]...); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *trio) drop() {
	for i, name := range w.database {
		if w.session[i] != nil {
			w.session[i].close()
		}
		w.f.h.exec("postgres", "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
	}
}

// A randomScript is a script and the way in which it is sent.
type randomScript struct {
	statements []string
	way        int // simple, extended, extended with binary results, undescribed
}

func drawScript(policy, n uint64, version int) randomScript {
	seed := policy<<16 ^ n
	return randomScript{sqlgen.New(randomSchema(version), seed, 1+int(n%13)).Script(), int(seed*2654435761>>16) % 4}
}

// script runs one script everywhere and judges the answers.
func (f *fuzz) script(t *testing.T, w *trio, n uint64) {
	s := drawScript(w.p.seed, n, f.version)
	got := w.play(t, s)
	f.scripts++
	f.statements += len(s.statements)
	f.count(w, got)
	if problem := w.judge(got); problem != "" && w.confirmed(t, s, problem) {
		t.Errorf("FOUND %x %d (PostgreSQL %d, way %d): %s\n  %s\n%s\nrules:\n  %s", w.p.seed, n, f.version, s.way, problem,
			strings.Join(s.statements, ";\n  "), verdict{got: [2]answer{got[worldA], got[worldB]}}.show(), strings.Join(w.p.rules, "\n  "))
	}
}

func (f *fuzz) count(w *trio, got [3]answer) {
	if found(w.needles[bare], got[bare].raw, nil) != "" {
		f.needles++
	}
	if strings.Contains(got[worldA].text, "\nE ") {
		return
	}
	f.answered++
	if got[worldA].text != got[bare].text {
		f.masked++
	}
}

// play runs a script in a transaction that is rolled back.
func (w *trio) play(t *testing.T, s randomScript) (got [3]answer) {
	t.Helper()
	var wait sync.WaitGroup
	for i := range w.session {
		wait.Go(func() { got[i] = w.playOne(t, i, s) })
	}
	wait.Wait()
	return got
}

func (w *trio) playOne(t *testing.T, i int, s randomScript) answer {
	if w.session[i] == nil || w.session[i].conn == nil {
		if err := w.open(i); err != nil {
			t.Error(err)
			return answer{}
		}
	}
	c := w.session[i]
	c.ear.mu.Lock()
	c.ear.got.Reset()
	c.ear.mu.Unlock()
	c.simply("BEGIN")
	for _, sql := range s.statements {
		p := step{Extended: sql, Binary: s.way == 2, Undescribed: s.way == 3}
		if s.way == 0 {
			p = step{Query: sql}
		}
		ms, ready := p.messages()
		c.ask(ms, ready, "")
	}
	c.simply("ROLLBACK")
	c.ear.mu.Lock()
	raw := bytes.Clone(c.ear.got.Bytes())
	c.ear.mu.Unlock()
	if c.conn == nil {
		return answer{raw, transcript(raw) + ended}
	}
	if slices.ContainsFunc(s.statements, func(sql string) bool { return strings.HasPrefix(sql, "PREPARE") }) {
		c.simply("DEALLOCATE ALL")
	}
	return answer{raw, transcript(raw)}
}

func (s *speaker) simply(sql string) {
	s.ask([]pgproto3.FrontendMessage{&pgproto3.Query{String: sql}}, 1, "")
}

func (w *trio) open(i int) (err error) {
	side, user := through, w.p.user
	if i == bare {
		side = direct
	}
	if w.session[i], err = connect(w.f.h.dsn(side, w.database[i], user), nil); err != nil {
		return err
	}
	if w.session[i].conn == nil {
		return fmt.Errorf("%s: no session: %s", w.p.user, transcript(w.session[i].ear.got.Bytes()))
	}
	w.session[i].simply("SET statement_timeout = '2s'")
	return nil
}

const differs = "the worlds differ"

// judge says what is wrong with a script's answers.
func (w *trio) judge(got [3]answer) string {
	for i := worldA; i <= worldB; i++ {
		if name := found(w.needles[i], got[i].raw, got[1-i].raw); name != "" {
			return "LEAK: " + name
		}
		if strings.Contains(got[i].text, "internal error") || strings.HasSuffix(got[i].text, ended) {
			return "the gateway failed"
		}
	}
	a, b := got[worldA].text, got[worldB].text
	if w.p.permits || slow(a) || slow(b) {
		return ""
	}
	w.f.compared++
	if a != b && loosely(a) != loosely(b) {
		return differs
	}
	return ""
}

// ended marks an answer that did not come to its end.
const ended = "\nthe session ended, or nothing came"

// slow: some statements join everything with everything.
func slow(text string) bool { return strings.Contains(text, `C="57014"`) }

// hashes are what differs between worlds by right: equal values have equal ones.
var hashes = regexp.MustCompile(`[0-9a-f]{32}`)

// loosely puts what may differ aside: hashes, and the order of rows that they are in.
func loosely(text string) string {
	lines := strings.Split(hashes.ReplaceAllString(text, "HASH"), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// confirmed runs a script once more in databases of its own. A value of the other
// world that has come up needs no second look.
func (w *trio) confirmed(t *testing.T, s randomScript, problem string) bool {
	if problem != differs {
		return true
	}
	for range 2 {
		again := w.f.trio(t, w.p)
		got := again.play(t, s)
		now := again.judge(got)
		again.drop()
		if now != problem {
			t.Logf("not again: %s: %s", problem, strings.Join(s.statements, "; "))
			return false
		}
	}
	return true
}
