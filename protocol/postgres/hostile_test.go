package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"sluice/access"
	"sluice/pipeline"
	"sluice/protocol/postgres/wire"
	query "sluice/query/postgres"
)

// A script of an upstream: what it sends, whatever was asked.
type scriptedUpstream struct {
	net.Conn
	rest *bytes.Reader
}

func (u *scriptedUpstream) Read(p []byte) (int, error)  { return u.rest.Read(p) }
func (u *scriptedUpstream) Write(p []byte) (int, error) { return len(p), nil }
func (u *scriptedUpstream) Close() error                { return nil }

// A caught is a client that keeps what it gets.
type caught struct {
	net.Conn
	got bytes.Buffer
}

func (c *caught) Write(p []byte) (int, error)      { return c.got.Write(p) }
func (c *caught) SetWriteDeadline(time.Time) error { return nil }
func (c *caught) SetReadDeadline(time.Time) error  { return nil }

// hostileWorld decides nothing but that everything is masked.
type hostileWorld struct{ keeper }

func (*hostileWorld) Decide(access.Request) access.Decision {
	return access.Decision{Effect: access.Allow, Obligations: []access.Obligation{access.Limit{Rows: 3, AffectedRows: 5, Rule: "p/l"}}}
}

func (*hostileWorld) Result(_ access.Request, _ access.Decision, cols []access.Column) ([]access.Mask, error) {
	out := make([]access.Mask, len(cols))
	for i := range out {
		out[i].With = "redact"
	}
	return out, nil
}

func (*hostileWorld) Posture(access.Subject, access.Resource) access.Posture {
	return access.Posture{May: true, Masked: true, Restricted: true}
}
func (*hostileWorld) Version() uint64 { return 1 }

func (*hostileWorld) Approve(context.Context, access.Request, access.Decision, func(access.Pending)) (access.Approval, error) {
	return access.Approval{}, errors.New("nobody answers")
}
func (*hostileWorld) Use(context.Context, access.Approval) error { return nil }

// hostileSession is a session with a client's messages in flight.
func hostileSession(t testing.TB, answer []byte, flight func(*session, *pipeline.Permit) []*entry) (*session, *caught) {
	t.Helper()
	w := new(hostileWorld)
	gate := &pipeline.Gate{Decider: w, Approver: w, Journal: w, Identity: relayIdentity{}, Now: time.Now, Meter: pipeline.NewMeter()}
	srv := &Server{Gate: gate, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	client := new(caught)
	s := &session{srv: srv, client: &clientWriter{conn: client, now: time.Now}, queue: newQueue(), names: newNames(),
		up: &upstream{Conn: &scriptedUpstream{rest: bytes.NewReader(answer)}}, conn: client}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.env = newEnvironment(nil, "shop", "alice", nil, nil)
	s.maskedNow.Store(true)
	var err error
	if s.gate, err = gate.Open(s.ctx, pipeline.Login{Subject: access.Subject{ID: "alice"}}, access.Resource{Name: "shop"}, access.Client{}, func(*access.Action, access.Obligation) error { return nil }); err != nil {
		t.Fatal(err)
	}
	permits, err := s.gate.Ask(s.ctx, access.Action{Verb: access.VerbUpdate, Op: "UPDATE", Text: "update t set i = 1 returning i", Confidence: access.Exact,
		SQL: &access.SQL{Limit: -1, Changes: access.ChangesCounted}})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range flight(s, permits[0]) {
		s.queue.push(e)
	}
	s.replies.rd = wire.NewReader(s.up.Conn, upstreamBuffer, nil)
	return s, client
}

// flights are what can be in flight when the upstream says something.
var flights = map[string]func(*session, *pipeline.Permit) []*entry{
	"query": func(s *session, p *pipeline.Permit) []*entry {
		e := &entry{kind: kindQuery, permits: []*pipeline.Permit{p}}
		e.run = s.newRun(&describer{judged: []*query.Statement{{}}}, e.permits, false)
		return []*entry{e}
	},
	"script": func(s *session, p *pipeline.Permit) []*entry {
		e := &entry{kind: kindQuery, permits: []*pipeline.Permit{p, p}, scripted: true, verdicts: make(chan verdict, verdicts)}
		e.run = s.newRun(&describer{judged: []*query.Statement{{}, {}}}, e.permits, false)
		return []*entry{e}
	},
	"extended": func(s *session, p *pipeline.Permit) []*entry {
		po := newPortal(&prepared{st: &query.Statement{}}, p, time.Now())
		po.asked = true
		return []*entry{{kind: kindParse}, {kind: kindBind, portal: po}, {kind: kindDescribe, hidden: true, portal: po},
			{kind: kindExecute, portal: po, permits: []*pipeline.Permit{p}}, {kind: kindClose}, {kind: kindSync}}
	},
	"own": func(s *session, p *pipeline.Permit) []*entry {
		f := &finding{done: make(chan struct{})}
		return []*entry{{kind: kindParse, hidden: true}, {kind: kindBind, hidden: true}, {kind: kindExecute, hidden: true, finding: f}, {kind: kindSync, hidden: true, last: f}}
	},
	"refused": func(s *session, p *pipeline.Permit) []*entry {
		return []*entry{{kind: kindParse, deny: noStatement("x")}, {kind: kindExecute, deny: noStatement("x")}, {kind: kindSync}}
	},
	"function": func(s *session, p *pipeline.Permit) []*entry {
		return []*entry{{kind: kindFunction, permits: []*pipeline.Permit{p}}}
	},
	"nothing": func(*session, *pipeline.Permit) []*entry { return nil },
}

const hostileNeedle = "n33dle"

// hostile runs what an upstream says against what is in flight. Whatever it says, the
// gateway must not panic, and nothing of a row gets through: all are masked.
func hostile(t testing.TB, name string, answer []byte) error {
	s, client := hostileSession(t, answer, flights[name])
	err := guard(s.readUpstream)
	var f *fatal
	if errors.As(err, &f) && strings.Contains(f.message, "internal error") {
		t.Errorf("%s: %q: %v", name, answer, err)
	}
	for out := client.got.Bytes(); len(out) >= wire.HeaderLen; {
		n := min(len(out), 1+int(binary.BigEndian.Uint32(out[1:])))
		if (out[0] == 'D' || out[0] == 'd') && bytes.Contains(out[:n], []byte(hostileNeedle)) {
			t.Errorf("%s: LEAK: %q became %q", name, answer, out[:n])
		}
		out = out[n:]
	}
	s.queue.stop()
	s.cancel(nil)
	s.gate.Close("")
	return err
}

func messages(ms ...string) (all []byte) {
	for _, m := range ms {
		var at int
		all, at = wire.Begin(all, m[0])
		all = wire.End(append(all, m[1:]...), at)
	}
	return all
}

// A column called i, of type text; and a row of it.
const (
	hostileField = "T\x00\x01i\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x19\xff\xff\xff\xff\xff\xff\x00\x00"
	hostileRow   = "D\x00\x01\x00\x00\x00\x06" + hostileNeedle
)

var hostileAnswers = [][]byte{
	messages("C"), messages("C", "Z"), messages("Z"), messages("CUPDATE"), messages("CUPDATE 1\x00", "ZI"), messages("CUPDATE 99\x00", "ZI"),
	messages(hostileRow, "CSELECT 1\x00", "ZI"), messages("d" + hostileNeedle), messages("H\x00\x00\x01\x00\x00", "d"+hostileNeedle+"\n", "c", "CCOPY 1\x00", "ZI"),
	messages(hostileField, hostileRow, hostileRow, hostileRow, hostileRow, hostileRow, hostileRow, "CUPDATE 2\x00", "ZI"), messages(hostileField, "D\x00\x02\x00\x00\x00\x06"+hostileNeedle), messages("T\xff\xff"),
	messages(hostileField, "D\x00\x01\x7f\xff\xff\xff"+hostileNeedle), messages(hostileField, "D\x00\x01\x00\x00\x00\x01x"+hostileNeedle), messages("ESERROR\x00C57014\x00M"+hostileNeedle+"\x00\x00", "ZI"),
	messages("1", "2", hostileField, hostileRow, "CUPDATE 1\x00", "3", "ZI"), messages("1", "2", "n", hostileRow, "CSELECT 1\x00"), messages("1", "2", hostileField, "s", hostileRow, "Z"), messages("1", "2", hostileRow, "CSHOW\x00", "Z"),
	messages("1", "2", hostileRow, "CSHOW\x00", "ZI"), messages("G", "W", "Z"), messages("G", "G", "G", "G", "G", "G"), messages("G", "ESERROR\x00\x00", "ESERROR\x00\x00", "ESERROR\x00\x00", "ESERROR\x00\x00", "ESERROR\x00\x00"), messages("1", "2", hostileField, "H", "d"+hostileNeedle), messages("E"), messages("N"), messages("A"), messages("S"), messages("A\x00\x00\x00\x01x\x00" + hostileNeedle + "\x00"), messages("N\x00"),
	messages("NM" + hostileNeedle + "\x00\x00"), []byte("D\xff\xff\xff\xff"), []byte("D\x00\x00\x00\x00"), messages("V\x00\x00\x00\x06x", "ZI"), messages("K12345678"), messages("R\x00\x00\x00\x00"), messages("t\x00\x00", hostileField),
	messages(hostileField, "D\x00\x01\x00\x03\x00\x00"+hostileNeedle+strings.Repeat("x", 3<<16-6), "CUPDATE 1\x00", "ZI"),
}

func TestHostileUpstreams(t *testing.T) {
	for name := range flights {
		for _, answer := range hostileAnswers {
			for cut := range min(len(answer), 100) {
				hostile(t, name, answer[:len(answer)-cut])
			}
		}
	}
	if err := hostile(t, "extended", messages("1", "2", hostileField, hostileRow, "CUPDATE 1\x00", "3", "ZI")); err != io.EOF {
		t.Errorf("an honest one: %v", err)
	}
}

func FuzzUpstreams(f *testing.F) {
	for _, answer := range hostileAnswers {
		f.Add(answer)
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		for name := range flights {
			hostile(t, name, answer)
		}
	})
}
