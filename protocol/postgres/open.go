package postgres

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/access"
	"sluice/pipeline"
	"sluice/protocol/postgres/wire"
)

// open turns a proven client into a session: the policy first, then the
// upstream. Nothing is dialled for someone whom no rule could allow anything.
// Errors for the client are *startupError.
func (srv *Server) open(ctx context.Context, st *startup) (*session, error) {
	leave, err := srv.admit(st.Login.Subject)
	if err != nil {
		return nil, err
	}
	s, err := srv.openFor(ctx, st)
	if err != nil {
		leave()
		return nil, err
	}
	s.leave = leave
	return s, nil
}

func (srv *Server) openFor(ctx context.Context, st *startup) (*session, error) {
	client := access.Client{Address: st.Conn.RemoteAddr().String(), TLS: st.TLS, Program: st.Params["application_name"]}
	target, err := srv.Targets.Target(ctx, st.Resource, st.Database)
	if err != nil {
		srv.Gate.Refuse(&st.Login.Subject, nil, client, err.Error())
		return nil, &startupError{Code: "3D000", Message: "sluice: " + err.Error(), Hint: "List what you may use with: sluice ls"}
	}
	s := &session{srv: srv, target: target, minor: st.Minor, conn: st.Conn}
	gs, err := srv.Gate.Open(ctx, pipeline.Login{Subject: st.Login.Subject, Credential: st.Login.Credential}, target.Resource, client, s.fulfills)
	if err != nil {
		return nil, refusedOpen(err)
	}
	s.gate = gs
	s.info = SessionInfo{ID: gs.ID, Subject: gs.Subject(), Resource: target.Resource, Client: client, Opened: srv.Now()}
	if err := s.connect(ctx, st); err != nil {
		s.abandon(err)
		return nil, err
	}
	return s, nil
}

func refusedOpen(err error) error {
	var d *pipeline.Denied
	switch {
	case errors.As(err, &d):
		return &startupError{Code: codeDenied, Message: "sluice: " + d.Decision.Message, Hint: d.Decision.Hint}
	case errors.Is(err, pipeline.ErrJournal):
		return &startupError{Code: codeJournal, Message: "sluice: the audit journal cannot be written, so no session may open"}
	}
	return &startupError{Code: "28000", Message: "sluice: " + err.Error()}
}

// abandon gives back what a session that did not come about holds.
func (s *session) abandon(why error) {
	s.gate.Close(why.Error())
	if s.cancel != nil {
		s.cancel(why)
	}
	if s.unregister != nil {
		s.unregister()
	}
	if s.up != nil {
		s.up.Conn.Close()
	}
	if s.env != nil {
		s.env.release()
	}
	if s.rec != nil {
		s.rec.Close()
	}
}

// connect dials the upstream and tells the client that it is ready.
func (s *session) connect(ctx context.Context, st *startup) error {
	s.parent = ctx
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	s.client = &clientWriter{conn: st.Conn, now: s.srv.Now}
	s.queue, s.names = newQueue(), newNames()
	s.redacted = map[*access.Origin]string{}
	s.gate.Tell, s.gate.Redact, s.gate.Find, s.gate.Defers = s.tell, s.redact, s.find, s.defers
	s.maskedNow.Store(s.gate.Posture().Masked)
	s.status.Store('I')
	s.active.Store(s.srv.Now().UnixNano())
	var b [16]byte
	rand.Read(b[:])
	s.marker = "sluice_" + hex.EncodeToString(b[:])
	for name, value := range st.Params {
		s.setOwn(name, value)
	}
	if err := s.record(); err != nil {
		return err
	}
	params, serr := s.startupSettings(ctx, st)
	if serr != nil {
		return serr
	}
	up, err := dialUpstream(ctx, s.target, params)
	if err != nil {
		s.srv.Log.Warn("upstream", "resource", s.target.Resource.Name, "error", err)
		return dialRefusal(s.target.Resource.Name, err)
	}
	s.up = up
	s.env = newEnvironment(s.loader(ctx), s.target.Resource.Database, s.target.User, params, up.Params)
	s.in = wire.NewReader(s.conn, clientBuffer, st.Buffered)
	s.in.Limit = s.srv.messageLimit
	return s.welcome()
}

func (s *session) record() error {
	if s.srv.Recorder == nil {
		return nil
	}
	rec, err := s.srv.Recorder.Begin(s.info.ID, s.info.Subject, s.info.Resource)
	if err != nil {
		return &startupError{Code: codeJournal, Message: "sluice: the session cannot be recorded, so it may not open"}
	}
	s.rec = rec
	return nil
}

// firstCatalog is how long an unrestricted session waits for the first snapshot
// of its database. Without one its statements are recorded as partly understood.
const firstCatalog = 3 * time.Second

// loader returns the catalog of the session's database. A restricted subject
// waits for the first snapshot: without it nothing could be understood.
func (s *session) loader(ctx context.Context) *catalogLoader {
	l := s.srv.catalogs.acquire(s.target)
	if !s.gate.Posture().Restricted {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, firstCatalog)
		defer cancel()
	}
	l.Ready(ctx) // an error leaves everything unknown, which the policy judges as such
	return l
}

// startupSettings judges the settings that a client brings along, and its wish
// to replicate.
func (s *session) startupSettings(ctx context.Context, st *startup) (map[string]string, error) {
	params, serr := startupForward(st.Params, s.gate.Posture().Restricted)
	if serr != nil {
		s.srv.Gate.Refuse(&s.info.Subject, &s.info.Resource, s.info.Client, serr.Message)
		return nil, serr
	}
	if s.readOnly = s.gate.Posture().ReadOnly; s.readOnly {
		params = maps.Clone(params)
		params[readOnlySetting] = "on"
	}
	if st.Replication == "" {
		return params, nil
	}
	s.replication = true
	a := access.Action{Verb: access.VerbReplication, Op: "REPLICATION", Text: "replication=" + st.Replication,
		SQL: &access.SQL{Limit: -1, Why: "a replication stream is not looked into"}}
	err := s.gate.Do(ctx, a, func(context.Context, *pipeline.Permit) (access.Outcome, error) { return access.Outcome{}, nil })
	if err != nil {
		return nil, &startupError{Code: codeDenied, Message: "sluice: replication is not allowed here: " + err.Error()}
	}
	params = maps.Clone(params)
	params["replication"] = st.Replication
	return params, nil
}

// welcome sends what a server sends once a session is open, with a cancel
// secret of the gateway's own.
func (s *session) welcome() error {
	key, done := s.srv.cancels.register(s.up.PID, s.keyMinor(), s.cancelled)
	s.unregister = done
	var out []byte
	for _, name := range slices.Sorted(maps.Keys(s.up.Params)) {
		out = wire.AppendParameterStatus(out, name, s.up.Params[name])
	}
	out = wire.AppendBackendKey(out, key.PID, key.Secret)
	return s.client.write(wire.AppendReady(out, 'I'), true)
}

// keyMinor is the protocol version that the cancel key is made for: that of the
// client, but long keys only where the upstream's own would be (PostgreSQL 18),
// since clients infer the length from the server's version.
func (s *session) keyMinor() uint16 {
	major, _, _ := strings.Cut(s.up.Params["server_version"], ".")
	if n, err := strconv.Atoi(major); err != nil || n < 18 {
		return 0
	}
	return s.minor
}

// messageLimit is the longest body of a client's message: the server's own
// limit, and a bound of the gateway's for what is held in memory as a whole.
func (srv *Server) messageLimit(typ byte) int {
	limit := wire.ClientLimit(typ)
	if typ != 'd' {
		limit = min(limit, srv.Limits.Message)
	}
	return limit
}

// overdue says why a session must end, if it must.
func (s *session) overdue(now time.Time, l Limits) error {
	if since := s.client.since.Load(); since != 0 && now.Sub(time.Unix(0, since)) > l.Stalled {
		return errors.New("the client does not read")
	}
	idle := now.Sub(time.Unix(0, s.active.Load()))
	if l.Idle > 0 && idle > l.Idle && s.queue.idle() {
		return &fatal{code: "57P05", message: fmt.Sprintf("sluice: terminating connection due to idle timeout (%s)", l.Idle)}
	}
	return nil
}

// fulfills reports why an obligation cannot be carried out on an action.
func (s *session) fulfills(a *access.Action, o access.Obligation) error {
	switch o := o.(type) {
	case access.Mask:
		return Maskable(a, o)
	case access.Limit:
		if o.AffectedRows > 0 && (a.SQL == nil || a.SQL.Changes == access.ChangesUnknown) {
			return fmt.Errorf("at most %s rows may be changed, and the server does not tell how many this changes", thousands(o.AffectedRows))
		}
		return nil
	case access.Record:
		if s.rec == nil {
			return errors.New("the rule demands a recording, and recording is off")
		}
		return nil
	case access.Notify:
		return errors.New("no channel can be notified yet")
	}
	return fmt.Errorf("unknown obligation %T", o)
}

// Maskable reports why a mask cannot be fulfilled on an action; nil: it can.
// Which uses of a masked column are allowed the policy has said; here it must be
// known what is masked, and the result must be one that passes the gateway.
func Maskable(a *access.Action, m access.Mask) error {
	if m.Unknown {
		if a.Verb == access.VerbFunctionCall {
			return errors.New("a function call could show masked columns")
		}
		why := ""
		if a.SQL != nil && a.SQL.Why != "" {
			why = ": " + a.SQL.Why
		}
		return errors.New("it could show masked columns, and cannot be traced" + why)
	}
	if m.Column == (access.ColumnID{}) {
		return nil
	}
	use := columnUse(a, m.Column)
	name := m.Column.Table + "." + m.Column.Column
	switch {
	case use&(access.UseFlow|access.UseRow|access.UseStore|access.UseFilter) != 0: // no rule permits these
		return fmt.Errorf("it uses masked %s other than as a plain result column", name)
	case use&access.UseOutput != 0 && !returnsPlainly(a.Verb):
		return fmt.Errorf("it would copy masked %s", name)
	}
	return nil
}

func columnUse(a *access.Action, c access.ColumnID) (use access.Use) {
	for i := range a.Objects {
		o := &a.Objects[i]
		if o.Kind != access.KindTable || o.Name != c.Table || o.Schema != c.Schema {
			continue
		}
		if !o.ColumnsKnown {
			return access.UseFlow
		}
		for _, u := range o.Columns {
			if u.Name == c.Column {
				use |= u.Use
			}
		}
	}
	return use
}

// returnsPlainly reports whether a bare output column of the verb goes to the
// client and nowhere else.
func returnsPlainly(v access.Verb) bool {
	switch v {
	case access.VerbSelect, access.VerbFetch, access.VerbExplain, access.VerbCopyOut, access.VerbLock,
		access.VerbInsert, access.VerbUpdate, access.VerbDelete, access.VerbMerge, access.VerbPrepare, access.VerbNextval:
		return true
	}
	return false
}
