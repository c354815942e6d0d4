package evasion

import (
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
// Every run takes the same seeds, and what was found once
// (testdata/random-found.yaml). SLUICE_FUZZ=30m takes fresh ones for that long;
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
	if text := os.Getenv("SLUICE_SEED"); text != "" {
		var policy, script uint64
		if _, err := fmt.Sscanf(text, "%x %d", &policy, &script); err != nil {
			t.Fatal(err)
		}
		p := drawPolicy(policy)
		f.install(t, []*randomPolicy{p})
		f.round(t, p, []uint64{script})
		return
	}
	var all []*randomPolicy
	for seed := range uint64(randomRounds) {
		all = append(all, drawPolicy(seed+100*uint64(f.version)))
	}
	kept := f.kept(t)
	for i := range kept {
		all = append(all, kept[i].policy(i))
	}
	f.install(t, all)
	for _, p := range all[:randomRounds] {
		f.round(t, p, upToScript(randomScripts))
	}
	for i, p := range all[randomRounds:] {
		f.again(t, p, kept[i].Statements)
	}
}

func upToScript(n uint64) (all []uint64) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

// A finding is what random statements once found, as it was then: what a seed
// makes changes with the generator.
type finding struct {
	ID         string            `yaml:"id"`
	About      string            `yaml:"about"`
	Since      int               `yaml:"since"`
	Masks      map[string]string `yaml:"masks"` // methods by column
	Statements []string          `yaml:"statements"`
}

func (f *fuzz) kept(t *testing.T) (all []finding) {
	t.Helper()
	readYAML(t, "testdata/random-found.yaml", &all)
	return slices.DeleteFunc(all, func(k finding) bool { return k.Since > f.version })
}

func (k *finding) policy(n int) *randomPolicy {
	p := newPolicy(uint64(n))
	p.user = "found-" + k.ID
	p.rule("all", "allow", "", "")
	for _, c := range secretColumns {
		if m := k.Masks[c.String()]; m != "" {
			p.secrets = append(p.secrets, c)
			p.rule(fmt.Sprintf("m%d", len(p.secrets)), "mask", fmt.Sprintf("columns: [%q]", c), fmt.Sprintf("with: %q", m))
		}
	}
	return p
}

// again runs statements in every way.
func (f *fuzz) again(t *testing.T, p *randomPolicy, statements []string) {
	w := f.trio(t, p)
	defer w.drop()
	for way := range ways {
		s := randomScript{statements, way}
		if problem := w.judge(w.play(t, s)); problem != "" {
			t.Errorf("%s (way %d): %s", p.user, way, problem)
		}
	}
}

// fresh runs until the time is over.
func (f *fuzz) fresh(t *testing.T, long time.Duration) {
	end := f.started.Add(long)
	report := f.started.Add(time.Minute)
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
			f.round(t, p, upToScript(longScripts))
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
	way        int
}

// Ways to send a statement: simple, extended, with binary results, undescribed.
const (
	simply = iota
	extended
	inBinary
	undescribed
	ways
)

func drawScript(policy, n uint64, version int) randomScript {
	seed := policy<<16 ^ n
	return randomScript{sqlgen.New(randomSchema(version), seed, 1+int(n%13)).Script(), int(seed*2654435761>>16) % ways}
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
		p := step{Extended: sql, Binary: s.way == inBinary, Undescribed: s.way == undescribed}
		if s.way == simply {
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

// confirmed runs a script twice more, in databases of its own: some answers are
// others every time (a default that is now()). A value that has come up needs no
// second look.
func (w *trio) confirmed(t *testing.T, s randomScript, problem string) bool {
	if problem != differs {
		return true
	}
	var once string
	for range 2 {
		again := w.f.trio(t, w.p)
		got := again.play(t, s)
		now := again.judge(got)
		again.drop()
		text := loosely(got[worldA].text)
		if now != problem || once != "" && once != text {
			return false
		}
		once = text
	}
	return true
}
