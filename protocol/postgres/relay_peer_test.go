package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"sluice/access"
	"sluice/internal/pgtest"
	"sluice/pipeline"
	"sluice/protocol"
	query "sluice/query/postgres"
	"sluice/query/postgres/worker"
)

// TestMain lets the test binary be its own parse-worker.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "parse-worker" {
		os.Exit(worker.Main())
	}
	os.Exit(m.Run())
}

// analyzer is shared by the tests of this binary: starting grammars is slow.
var analyzer = sync.OnceValues(func() (*query.Analyzer, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	pool, err := worker.NewPool(worker.Options{Exe: exe, N: 1})
	if err != nil {
		return nil, err
	}
	return query.New(pool, query.Options{}), nil
})

// A relayWorld is a gateway in front of a real server, whose policy, people and
// journal are functions of the test.
type relayWorld struct {
	t  testing.TB
	pg *pgtest.Server
	db string

	srv  *Server
	addr string
	more string // of every connection string
	via  string // address of the server, if not its own

	mu      sync.Mutex
	decide  func(access.Request) access.Decision
	masks   func(access.Column) string
	posture access.Posture
	approve func(context.Context, access.Request, func(access.Pending)) (access.Approval, error)
	version uint64
	events  []relayEvent
	mark    access.Mark
	durable func(access.Mark) error
	settled map[access.Mark]bool
	hooks   []func()
}

type relayEvent struct {
	Type    access.EventType
	ID, Ref string
	Verb    access.Verb
	Text    string
	Effect  access.Effect
	Outcome access.Outcome
	Args    []access.Arg
	Objects []access.Object
	Conf    access.Confidence
}

func allowAll(access.Request) access.Decision { return access.Decision{Effect: access.Allow} }

// newRelayWorld starts a gateway, after set has had its way with it.
func newRelayWorld(t testing.TB, set ...func(*Server)) *relayWorld {
	t.Helper()
	a, err := analyzer()
	if err != nil {
		t.Fatal(err)
	}
	pg := pgtest.Shared(t)
	w := &relayWorld{t: t, pg: pg, db: pg.Database(t), decide: allowAll, version: 1, posture: access.Posture{May: true}}
	w.srv = &Server{
		Gate:      &pipeline.Gate{Decider: w, Approver: w, Journal: w, Identity: relayIdentity{}, Now: time.Now, Meter: pipeline.NewMeter(), MaxHold: time.Minute},
		Directory: newStartupDirectory(), Targets: w, Analyzer: a, Now: time.Now,
		factTime: time.Minute,
	}
	for _, f := range set {
		f(w.srv)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.addr = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.srv.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		w.srv.Close()
	})
	return w
}

func (w *relayWorld) Target(_ context.Context, name, database string) (protocol.Target, error) {
	if name != "shop" {
		return protocol.Target{}, fmt.Errorf("there is no resource %q", name)
	}
	if database == "" {
		database = w.db
	}
	address := w.via
	if address == "" {
		address = fmt.Sprintf("127.0.0.1:%d", w.pg.Port)
	}
	return protocol.Target{
		Resource: access.Resource{Name: "shop", Protocol: "postgres", Address: address, Database: database},
		User:     w.pg.User, Password: access.NewSecret(w.pg.Password),
	}, nil
}

func (w *relayWorld) Decide(r access.Request) access.Decision {
	w.mu.Lock()
	decide := w.decide
	w.mu.Unlock()
	return decide(r)
}

func (w *relayWorld) Result(_ access.Request, _ access.Decision, cols []access.Column) ([]access.Mask, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]access.Mask, len(cols))
	for i, c := range cols {
		if w.masks != nil {
			out[i].With = w.masks(c)
		}
	}
	return out, nil
}

func (w *relayWorld) Posture(access.Subject, access.Resource) access.Posture {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.posture
}

func (w *relayWorld) Version() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.version
}

func (w *relayWorld) Approve(ctx context.Context, r access.Request, _ access.Decision, tell func(access.Pending)) (access.Approval, error) {
	if w.approve == nil {
		return access.Approval{}, errors.New("nobody answered")
	}
	return w.approve(ctx, r, tell)
}
func (w *relayWorld) Use(context.Context, access.Approval) error { return nil }

func (w *relayWorld) Append(es ...*access.Event) (access.Mark, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range es {
		r := relayEvent{Type: e.Type, ID: e.ID, Ref: e.Ref}
		if e.Action != nil {
			r.Verb, r.Text, r.Args, r.Objects, r.Conf = e.Action.Verb, e.Action.Visible(), e.Action.Args, e.Action.Objects, e.Action.Confidence
		}
		if e.Decision != nil {
			r.Effect = e.Decision.Effect
		}
		if e.Outcome != nil {
			r.Outcome = *e.Outcome
		}
		w.events = append(w.events, r)
		w.mark++
	}
	return w.mark, nil
}

func (w *relayWorld) Wait(_ context.Context, m access.Mark) error {
	w.mu.Lock()
	durable := w.durable
	w.mu.Unlock()
	if durable != nil {
		return durable(m)
	}
	return nil
}

// Queue, Kick, Settled and Notify make the world a pipeline.Notifier, so that
// sessions run by turns.
func (w *relayWorld) Queue(es ...*access.Event) (access.Mark, error) { return w.Append(es...) }

func (w *relayWorld) Kick() {}

// Settled begins to wait for a mark that durable decides about.
func (w *relayWorld) Settled(m access.Mark) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.durable == nil {
		return true
	}
	if w.settled == nil {
		w.settled = map[access.Mark]bool{}
	}
	done, begun := w.settled[m]
	if !begun {
		w.settled[m] = false
		go func() {
			w.Wait(context.Background(), m)
			w.mu.Lock()
			w.settled[m] = true
			hooks := w.hooks
			w.mu.Unlock()
			for _, f := range hooks {
				f()
			}
		}()
	}
	return done
}

func (w *relayWorld) Notify(f func()) (stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hooks = append(w.hooks, f)
	return func() {}
}

type relayIdentity struct{}

func (relayIdentity) Version() uint64                                            { return 1 }
func (relayIdentity) Current(s access.Subject, _ string) (access.Subject, error) { return s, nil }

// dsn is a connection string for the user and password that the fake directory knows.
func (w *relayWorld) dsn(more ...string) string {
	host, port, _ := net.SplitHostPort(w.addr)
	return fmt.Sprintf("host=%s port=%s user=alice password=first dbname=shop sslmode=disable %s %s", host, port, w.more, strings.Join(more, " "))
}

func (w *relayWorld) connect(more ...string) *pgconn.PgConn {
	w.t.Helper()
	c, err := pgconn.Connect(context.Background(), w.dsn(more...))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

// execSQL runs SQL and returns rows as text, or the error as "SQLSTATE message".
func execSQL(c *pgconn.PgConn, sql string) string {
	results, err := c.Exec(context.Background(), sql).ReadAll()
	var out []string
	for _, r := range results {
		for _, row := range r.Rows {
			var cells []string
			for _, v := range row {
				if v == nil {
					cells = append(cells, "NULL")
				} else {
					cells = append(cells, string(v))
				}
			}
			out = append(out, strings.Join(cells, "|"))
		}
		if len(r.Rows) == 0 && r.Err == nil {
			out = append(out, r.CommandTag.String())
		}
	}
	if err != nil {
		out = append(out, sqlError(err))
	}
	return strings.Join(out, "; ")
}

func sqlError(err error) string {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return pe.Code + " " + pe.Message
	}
	return err.Error()
}

// a talk is a typed conversation: messages sent, and what must come back.
type talk struct {
	t        testing.TB
	f        *pgproto3.Frontend
	c        net.Conn
	warnings bool // warnings are told as W
}

func (w *relayWorld) talk() *talk {
	c := w.connect()
	h, err := c.Hijack()
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { h.Conn.Close() })
	return &talk{t: w.t, f: h.Frontend, c: h.Conn}
}

func (k *talk) send(ms ...pgproto3.FrontendMessage) {
	k.t.Helper()
	for _, m := range ms {
		k.f.Send(m)
	}
	if err := k.f.Flush(); err != nil {
		k.t.Fatal(err)
	}
}

// until reads up to and including the nth ReadyForQuery and returns the
// messages in short.
func (k *talk) until(n int) string {
	k.t.Helper()
	var out []string
	k.c.SetReadDeadline(time.Now().Add(2 * time.Minute)) // a hang is a failure; nothing is decided by it
	for {
		m, err := k.f.Receive()
		if err != nil {
			k.t.Fatalf("after %s: %v", strings.Join(out, " "), err)
		}
		s := short(m)
		if n, ok := m.(*pgproto3.NoticeResponse); ok && k.warnings && n.Severity == "WARNING" {
			s = "W"
		}
		if s != "" {
			out = append(out, s)
		}
		if _, ok := m.(*pgproto3.ReadyForQuery); ok {
			if n--; n == 0 {
				return strings.Join(out, " ")
			}
		}
	}
}

func short(m pgproto3.BackendMessage) string {
	switch m := m.(type) {
	case *pgproto3.ReadyForQuery:
		return "Z" + string(m.TxStatus)
	case *pgproto3.ErrorResponse:
		return "E" + m.Code
	case *pgproto3.CommandComplete:
		return "C(" + string(m.CommandTag) + ")"
	case *pgproto3.DataRow:
		var cells []string
		for _, v := range m.Values {
			cells = append(cells, string(v))
		}
		return "D(" + strings.Join(cells, "|") + ")"
	case *pgproto3.ParseComplete:
		return "1"
	case *pgproto3.BindComplete:
		return "2"
	case *pgproto3.CloseComplete:
		return "3"
	case *pgproto3.NoData:
		return "n"
	case *pgproto3.RowDescription:
		return "T"
	case *pgproto3.ParameterDescription:
		return "t"
	case *pgproto3.PortalSuspended:
		return "s"
	case *pgproto3.EmptyQueryResponse:
		return "I"
	case *pgproto3.CopyInResponse:
		return "G"
	case *pgproto3.CopyOutResponse:
		return "H"
	case *pgproto3.CopyData:
		return "d(" + strings.TrimSpace(string(m.Data)) + ")"
	case *pgproto3.CopyDone:
		return "c"
	case *pgproto3.FunctionCallResponse:
		return "V"
	case *pgproto3.ParameterStatus, *pgproto3.NoticeResponse:
		return ""
	}
	return fmt.Sprintf("%T", m)
}
