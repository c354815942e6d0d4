package evasion

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"sluice/internal/sqlgen"
)

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

// Ways to send a script.
const (
	simply      = iota // a Query for each statement
	together           // one Query for all of them
	extended           // Parse, Bind, Describe, Execute, Sync for each
	bound              // with a value bound for each 'n1'
	inBinary           // with binary results
	undescribed        // without Describe
	inBits             // a row for each Execute
	pipelined          // one Sync for all of them
	ways
)

// messages is what is sent, up to each ReadyForQuery.
func (s *randomScript) messages() (all [][]pgproto3.FrontendMessage) {
	switch s.way {
	case simply:
		for _, sql := range s.statements {
			all = append(all, []pgproto3.FrontendMessage{&pgproto3.Query{String: sql}})
		}
	case together:
		all = append(all, []pgproto3.FrontendMessage{&pgproto3.Query{String: strings.Join(s.statements, "; ")}})
	case pipelined:
		var line []pgproto3.FrontendMessage
		for _, sql := range s.statements {
			ms := s.extended(sql)
			line = append(line, ms[:len(ms)-1]...)
		}
		all = append(all, append(line, &pgproto3.Sync{}))
	default:
		for _, sql := range s.statements {
			all = append(all, s.extended(sql))
		}
	}
	return all
}

func (s *randomScript) extended(sql string) []pgproto3.FrontendMessage {
	p := step{Extended: sql, Binary: s.way == inBinary, Undescribed: s.way == undescribed}
	if text := strings.ReplaceAll(sql, "'n1'", "$1::text"); s.way == bound && text != sql {
		p.Extended, p.Args = text, []arg{{value: []byte("n1")}}
	}
	if s.way == inBits {
		p.Rows = 1
	}
	ms, _ := p.messages()
	if s.way == inBits {
		last := len(ms) - 1
		ms = append(ms[:last], &pgproto3.Execute{MaxRows: 2}, &pgproto3.Execute{}, ms[last])
	}
	return ms
}

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
	c.ear.Take()
	c.simply("BEGIN")
	for _, ms := range s.messages() {
		c.ask(ms, 1, "")
	}
	c.simply("ROLLBACK")
	raw := c.ear.Heard()
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
		return fmt.Errorf("%s: no session: %s", w.p.user, transcript(w.session[i].ear.Heard()))
	}
	w.session[i].simply("SET statement_timeout = '1s'")
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
