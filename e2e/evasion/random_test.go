package evasion

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// How much of TestRandomStatements runs every time.
const (
	randomRounds  = 2   // policies for each server
	randomScripts = 100 // for each policy
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
		got := w.play(t, s)
		if problem := w.judge(got); problem != "" {
			t.Errorf("%s (way %d): %s", p.user, way, problem)
		}
		if found(w.needles[bare], got[bare].raw, nil) == "" {
			t.Errorf("%s (way %d) finds nothing where nobody holds it back: %s", p.user, way, got[bare].text)
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
			t.Fatalf("the gateway does not take the policies: %s\n%s", transcript(s.ear.Heard()), doc)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
