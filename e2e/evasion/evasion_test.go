package evasion

import (
	"bytes"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// open are attacks that still leak through Sluice and must not. The list may only
// become shorter: one that does not leak any more fails the test until it is
// taken off.
var open = []string{}

// An answer is what a client received in one run of an attack.
type answer struct {
	raw  []byte
	text string
}

// A verdict says whether an attack told the worlds apart.
type verdict struct {
	leak bool
	how  string
	got  [2]answer
}

func TestAttacks(t *testing.T) {
	all := loadAttacks(t)
	for _, version := range versions {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			h := houseOf(t, version)
			c := new(count)
			t.Run("corpus", func(t *testing.T) {
				for _, a := range all {
					if a.Since <= version {
						t.Run(a.topic+"/"+a.ID, func(t *testing.T) {
							t.Parallel()
							h.try(t, a, c)
						})
					}
				}
			})
			h.unchanged(t)
			c.print(t, version)
		})
	}
}

// try runs an attack on both sides and compares with what is written down.
func (h *house) try(t *testing.T, a *attack, c *count) {
	undefended, defended, err := h.judge(a)
	if err != nil {
		t.Fatal(err)
	}
	c.add(a, undefended, defended)
	if undefended.leak != (a.Undefended == leaks) {
		t.Errorf("undefended it %s, not as written down: %s", undefended, undefended.show())
	}
	for _, got := range defended.got {
		if strings.Contains(got.text, "internal error") {
			t.Errorf("the gateway failed: %s", got.text)
		}
	}
	switch expected := a.Through == byDesign; {
	case slices.Contains(open, a.ID):
		if defended.leak == expected {
			t.Errorf("it is as it should be: take it off the list")
		}
	case defended.leak && !expected:
		t.Errorf("LEAK through Sluice, it %s: %s", defended, defended.show())
	case !defended.leak && expected:
		t.Errorf("it does not leak: the exception in the document is none: %s", defended.show())
	}
}

// judge runs an attack through Sluice in both worlds, and directly in as many as
// it takes.
func (h *house) judge(a *attack) (undefended, defended verdict, err error) {
	var grounds [2]*ground
	defer func() {
		for _, g := range grounds {
			g.leave()
		}
	}()
	for i, w := range worlds {
		if grounds[i], err = h.ground(a, w); err != nil {
			return undefended, defended, err
		}
		if defended.got[i], err = h.play(a, through, grounds[i]); err != nil {
			return undefended, defended, err
		}
	}
	if err = h.compare(&defended, a, through); err != nil {
		return undefended, defended, err
	}
	if done, err := h.undone(a, &undefended); done || err != nil {
		return undefended, defended, err
	}
	// What is refused leaves the database as it was.
	for i := range grounds {
		if err = grounds[i].renew(a); err != nil {
			return undefended, defended, err
		}
		if undefended.got[i], err = h.play(a, direct, grounds[i]); err != nil {
			return undefended, defended, err
		}
		if i == 0 && a.tells(&undefended) {
			return undefended, defended, nil
		}
	}
	return undefended, defended, h.compare(&undefended, a, direct)
}

// undone runs an attack directly within a transaction that is rolled back: making
// a database costs a hundred times as much. It reports whether that told enough.
func (h *house) undone(a *attack, v *verdict) (bool, error) {
	steps, ok := a.rolledBack()
	if !ok {
		return false, nil
	}
	h.scratch.Lock()
	defer h.scratch.Unlock()
	play := func(w world) (answer, error) {
		return h.play(&attack{Steps: steps, Startup: a.Startup}, direct, &ground{h: h, w: w, database: "scratch_" + w["world"]})
	}
	var err error
	if v.got[0], err = play(worlds[0]); err != nil || a.tells(v) {
		return err == nil, err
	}
	if v.got[1], err = play(worlds[1]); err != nil || v.got[0].text == v.got[1].text {
		return false, err
	}
	again, err := play(worlds[0])
	v.leak, v.how = again.text == v.got[0].text, "the worlds differ"
	return v.leak, err
}

// tells reports whether the first world's answer alone shows a secret that is no
// part of the attack itself.
func (a *attack) tells(v *verdict) bool {
	v.how = found(worlds[0].needles(), v.got[0].raw, a.text())
	v.leak = v.how != ""
	return v.leak
}

// compare says whether a client could tell the worlds apart.
func (h *house) compare(v *verdict, a *attack, s side) error {
	for i, w := range worlds {
		if name := found(w.needles(), v.got[i].raw, v.got[1-i].raw); name != "" {
			v.leak, v.how = true, name
			return nil
		}
	}
	if v.got[0].text == v.got[1].text {
		return nil
	}
	// Is it the world that makes the difference, or the time of day?
	g, err := h.ground(a, worlds[0])
	if err != nil {
		return err
	}
	defer g.leave()
	again, err := h.play(a, s, g)
	if err != nil {
		return err
	}
	v.how = "differs from run to run"
	if again.text == v.got[0].text {
		v.leak, v.how = true, "the worlds differ"
	}
	return nil
}

func (v verdict) String() string {
	if v.leak {
		return "leaks (" + v.how + ")"
	}
	if v.how != "" {
		return "is safe (" + v.how + ")"
	}
	return "is safe"
}

// show prints what was received, where the worlds differ.
func (v verdict) show() string {
	a, b := strings.Split(v.got[0].text, "\n"), strings.Split(v.got[1].text, "\n")
	var out strings.Builder
	same := 0
	for i := 0; i < max(len(a), len(b)) && out.Len() < 4000; i++ {
		var x, y string
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		switch {
		case x != y:
			fmt.Fprintf(&out, "\n  a: %.600s\n  b: %.600s", x, y)
		case !strings.HasPrefix(x, "S ") && same < 12:
			same++
			fmt.Fprintf(&out, "\n  =: %.300s", x)
		}
	}
	return out.String()
}

// play runs an attack once.
func (h *house) play(a *attack, s side, g *ground) (answer, error) {
	c := &cast{h: h, a: a, dsn: h.dsn(s, g.database, "mallory"), database: g.database, by: map[string]*speaker{}}
	return c.play()
}

// A cast are the sessions of one run.
type cast struct {
	h        *house
	a        *attack
	dsn      string
	database string
	by       map[string]*speaker
	names    []string
}

func (c *cast) play() (answer, error) {
	defer c.close()
	for i := range c.a.Steps {
		if err := c.step(&c.a.Steps[i]); err != nil {
			return answer{}, err
		}
	}
	var out answer
	for _, name := range c.names {
		s := c.by[name]
		// What was sent meanwhile, notifications, comes with the next answer.
		s.ask([]pgproto3.FrontendMessage{&pgproto3.Query{}}, 1, "")
		heard := s.ear.Heard()
		out.raw = append(out.raw, heard...)
		out.text += name + "\n" + transcript(heard)
	}
	return out, nil
}

func (c *cast) step(p *step) error {
	if p.Elsewhere != "" {
		return c.h.exec(c.database, p.Elsewhere)
	}
	s, err := c.speaker(p.On)
	if err != nil {
		return err
	}
	if p.Call != "" {
		m, err := c.call(p)
		if err != nil {
			return err
		}
		s.ask([]pgproto3.FrontendMessage{m}, 1, "")
		return nil
	}
	named := *p
	for _, name := range p.Named {
		oid, err := c.number(name, "regtype")
		if err != nil {
			return err
		}
		named.Types = append(named.Types, oid)
	}
	ms, ready := named.messages()
	s.ask(ms, ready, p.Data)
	return nil
}

// number is the OID of something that every database numbers for itself.
func (c *cast) number(name, kind string) (uint32, error) {
	text, err := c.h.value(c.database, "SELECT '"+name+"'::"+kind+"::oid::int")
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(text, 10, 32)
	return uint32(n), err
}

func (c *cast) speaker(name string) (*speaker, error) {
	if s := c.by[name]; s != nil {
		return s, nil
	}
	s, err := connect(c.dsn, c.a.Startup)
	if err != nil {
		return nil, err
	}
	c.by[name] = s
	c.names = append(c.names, name)
	return s, nil
}

// call is a FunctionCall: functions go by number.
func (c *cast) call(p *step) (pgproto3.FrontendMessage, error) {
	oid, err := c.number(p.Call, "regprocedure")
	if err != nil {
		return nil, err
	}
	m := &pgproto3.FunctionCall{Function: oid}
	for _, a := range p.Args {
		format := uint16(0)
		if a.binary {
			format = 1
		}
		m.ArgFormatCodes = append(m.ArgFormatCodes, format)
		m.Arguments = append(m.Arguments, a.value)
	}
	if p.Binary {
		m.ResultFormatCode = 1
	}
	return m, nil
}

func (c *cast) close() {
	for _, s := range c.by {
		s.close()
	}
}

const worldState = `SELECT concat_ws(' ', (SELECT md5(string_agg(c::text, ',' ORDER BY id)) FROM customers c), (SELECT count(*) FROM pg_class),
	(SELECT count(*) FROM pg_proc), (SELECT md5(string_agg(n::text, ',')) FROM notes n), (SELECT count(*) FROM orders), (SELECT count(*) FROM pg_largeobject_metadata),
	(SELECT count(*) FROM pg_description), (SELECT count(*) FROM pg_db_role_setting), (SELECT last_value FROM counter))`

// unchanged fails if an attack changed the worlds that all share: it needs
// `writes: true`.
func (h *house) unchanged(t *testing.T) {
	for name, was := range h.state {
		is, err := h.value("world_"+name, worldState)
		if err != nil {
			t.Fatal(err)
		}
		if was != is {
			t.Errorf("an attack without `writes: true` changed world %s:\n %s\n %s", name, was, is)
		}
	}
}

// A count is the table that outsiders want to see.
type count struct {
	mu                    sync.Mutex
	lines                 []string
	all, leaked, through  int
	exceptions, stillOpen int
}

func (c *count) add(a *attack, undefended, defended verdict) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all++
	if undefended.leak {
		c.leaked++
	}
	if defended.leak {
		c.through++
		if a.Through == byDesign {
			c.exceptions++
		}
		if slices.Contains(open, a.ID) {
			c.stillOpen++
		}
	}
	c.lines = append(c.lines, fmt.Sprintf("%-18s %-34s undefended %-38s through Sluice %s", a.topic, a.ID, undefended, defended))
}

func (c *count) print(t *testing.T, version int) {
	sort.Strings(c.lines)
	var b bytes.Buffer
	for _, line := range c.lines {
		fmt.Fprintln(&b, line)
	}
	t.Logf("\n%sPostgreSQL %d: %d attacks: undefended %d leak; through Sluice %d leak (documented exceptions %d, open %d)", b.Bytes(), version, c.all, c.leaked, c.through, c.exceptions, c.stillOpen)
}
