package evasion

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"sluice/internal/pgtest"
)

// hang ends a conversation that does not go on. Nothing is decided by it.
const hang = 60 * time.Second

// A speaker is one session.
type speaker struct {
	ear  *pgtest.Ear
	conn net.Conn // nil: refused or ended
	out  *pgproto3.Frontend
}

// connect opens a session. A refusal is kept in what was received.
func connect(dsn string, params map[string]string) (*speaker, error) {
	cfg, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	s := new(speaker)
	cfg.Fallbacks = nil
	cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		s.ear = &pgtest.Ear{Conn: c}
		return s.ear, err
	}
	for name, value := range params {
		cfg.RuntimeParams[name] = value
	}
	conn, err := pgconn.ConnectConfig(context.Background(), cfg)
	if err != nil {
		if s.ear == nil {
			return nil, err
		}
		return s, nil
	}
	h, err := conn.Hijack()
	if err != nil {
		return nil, err
	}
	s.conn, s.out = h.Conn, h.Frontend
	return s, nil
}

// mixed stands for an unknown number of ReadyForQuery: a Query within a pipeline is
// not answered behind an error. An empty one behind everything always is.
const mixed = 1 << 20

// ask sends messages and reads the answers up to the nth ReadyForQuery. data is
// what a COPY FROM STDIN is given.
func (s *speaker) ask(ms []pgproto3.FrontendMessage, n int, data string) {
	if s.conn == nil {
		return
	}
	s.conn.SetDeadline(time.Now().Add(hang))
	for _, m := range ms {
		s.out.Send(m)
	}
	if err := s.out.Flush(); err != nil {
		s.close()
		return
	}
	for n > 0 {
		typ, err := s.next()
		switch {
		case err != nil:
			s.close()
			return
		case typ == 'I' && n == mixed:
			n = 1 // to the empty Query: what comes next ends it
		case typ == 'Z' && n != mixed:
			n--
		case typ == 'G' || typ == 'W':
			s.out.Send(&pgproto3.CopyData{Data: []byte(data)})
			s.out.Send(&pgproto3.CopyDone{})
			if _, simple := ms[0].(*pgproto3.Query); !simple {
				s.out.Send(&pgproto3.Sync{}) // the one before went under in the data
			}
			if s.out.Flush() != nil {
				s.close()
				return
			}
		}
	}
}

// next reads one message.
func (s *speaker) next() (byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(s.conn, head[:]); err != nil {
		return 0, err
	}
	_, err := io.CopyN(io.Discard, s.conn, int64(binary.BigEndian.Uint32(head[1:]))-4)
	return head[0], err
}

func (s *speaker) close() {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
}

// messages turns a step into what is sent, and how many ReadyForQuery answer it.
func (p *step) messages() (ms []pgproto3.FrontendMessage, ready int) {
	switch {
	case p.Query != "":
		return []pgproto3.FrontendMessage{&pgproto3.Query{String: p.Query}}, 1
	case p.Extended != "":
		ms = append(ms, &pgproto3.Parse{Query: p.Extended, ParameterOIDs: p.Types}, bind("", "", p.Args, p.Binary))
		if !p.Undescribed {
			ms = append(ms, &pgproto3.Describe{ObjectType: 'P'})
		}
		return append(ms, &pgproto3.Execute{MaxRows: p.Rows}, &pgproto3.Sync{}), 1
	}
	within := false // a pipeline that has no Sync yet
	for _, m := range p.Send {
		fm, ends := m.frontend()
		ms = append(ms, fm)
		if m.Query != nil && within {
			ready = mixed
		} else if ends && ready != mixed {
			ready++
		}
		within = !ends
	}
	if ready == mixed {
		ms = append(ms, &pgproto3.Query{})
	}
	return ms, ready
}

// frontend is the message, and whether a ReadyForQuery answers it.
func (m *message) frontend() (pgproto3.FrontendMessage, bool) {
	switch {
	case m.Query != nil:
		return &pgproto3.Query{String: *m.Query}, true
	case m.Parse != nil:
		return &pgproto3.Parse{Name: m.Name, Query: *m.Parse, ParameterOIDs: m.Types}, false
	case m.Bind != nil:
		return bind(*m.Bind, m.Statement, m.Args, m.Binary), false
	case m.Describe != nil:
		return &pgproto3.Describe{ObjectType: (*m.Describe)[0], Name: (*m.Describe)[2:]}, false
	case m.Execute != nil:
		return &pgproto3.Execute{Portal: *m.Execute, MaxRows: m.Rows}, false
	case m.Close != nil:
		return &pgproto3.Close{ObjectType: (*m.Close)[0], Name: (*m.Close)[2:]}, false
	case m.Flush:
		return &pgproto3.Flush{}, false
	}
	return &pgproto3.Sync{}, true
}

func bind(portal, statement string, args []arg, results bool) *pgproto3.Bind {
	b := &pgproto3.Bind{DestinationPortal: portal, PreparedStatement: statement}
	for _, a := range args {
		b.Parameters = append(b.Parameters, a.value)
		format := int16(0)
		if a.binary {
			format = 1
		}
		b.ParameterFormatCodes = append(b.ParameterFormatCodes, format)
	}
	if results {
		b.ResultFormatCodes = []int16{1}
	}
	return b
}

// transcript says what was received, without what is another in every run: ids of
// decisions, of processes and of the users' own objects.
func transcript(raw []byte) string {
	var b strings.Builder
	for len(raw) >= 5 {
		n := int(binary.BigEndian.Uint32(raw[1:])) + 1
		if n < 5 || n > len(raw) {
			break
		}
		if line := spell(raw[0], raw[5:n]); line != "" {
			b.WriteString(line + "\n")
		}
		raw = raw[n:]
	}
	if len(raw) > 0 {
		fmt.Fprintf(&b, "... %q\n", raw)
	}
	return b.String()
}

func spell(typ byte, body []byte) string {
	switch typ {
	case 'R', 'K': // authentication, cancel key
		return ""
	case 'T':
		return "T " + spellFields(body)
	case 'E', 'N':
		return string(typ) + " " + spellReport(body)
	case 'A':
		return fmt.Sprintf("A %q", body[4:])
	case 't':
		return "t"
	}
	return fmt.Sprintf("%c %q", typ, body)
}

// firstUser is the first OID that the server gives to objects of users.
const firstUser = 16384

func spellFields(body []byte) string {
	var m pgproto3.RowDescription
	if err := m.Decode(body); err != nil {
		return err.Error()
	}
	var out []string
	for _, f := range m.Fields {
		oid := fmt.Sprint(f.DataTypeOID)
		if f.DataTypeOID >= firstUser {
			oid = "user"
		}
		out = append(out, fmt.Sprintf("%q:%s:%d", f.Name, oid, f.Format))
	}
	return strings.Join(out, " ")
}

// decisionID is what the gateway's own errors and hints say.
var decisionID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)

func spellReport(body []byte) string {
	var out []string
	for _, f := range bytes.Split(bytes.TrimRight(body, "\x00"), []byte{0}) {
		if len(f) == 0 || strings.IndexByte("FLRV", f[0]) >= 0 {
			continue
		}
		out = append(out, fmt.Sprintf("%c=%q", f[0], decisionID.ReplaceAll(f[1:], []byte("ID"))))
	}
	return strings.Join(out, " ")
}
