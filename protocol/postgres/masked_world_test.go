package postgres

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"sluice/access"
	"sluice/audit"
	"sluice/internal/pgtest"
	"sluice/internal/strictyaml"
	"sluice/policy"
)

// maskedPolicy allows everything: what is refused here, masks and the one table
// rule refuse.
const maskedPolicy = `
apiVersion: sluice/v1
kind: Policy
metadata: {name: data}
spec:
  rules:
  - {id: all, effect: allow}
  - {id: emails, match: {columns: ["*.customers.email"]}, effect: mask, mask: {with: email}}
  - {id: cards, match: {columns: ["*.customers.card"]}, effect: mask, mask: {with: card_last4}}
  - {id: ids, match: {columns: ["tab.notes.body", "*.customers.national_id", "*.customers.salary", "*.customers.uid", "*.customers.level"]}, effect: mask, mask: {with: zero}}
  - {id: documents, match: {columns: ["*.customers.profile", "*.customers.photo", "*.customers.tags", "*.customers.codes"]}, effect: mask, mask: {with: redact}}
  - {id: birthdays, match: {columns: ["*.customers.born", "*.customers.loud"]}, effect: mask, mask: {with: year}}
  - {id: events, match: {columns: ["*.events.payload", "*.people.secret"]}, effect: mask, mask: {with: redact}}
  - {id: finance, match: {tables: ["finance.*"]}, effect: deny, message: not for you}
  - {id: texts, effect: mask, mask: {detect: [email, card], with: redact}}
`

// Every secret holds the word needle, or is one of the numbers below.
const maskedSchema = `
CREATE DOMAIN grade AS text CHECK (value <> '');
CREATE TABLE customers (
	id int PRIMARY KEY, name text NOT NULL, city text, note text,
	email text UNIQUE, card text, national_id int, salary numeric(12,2), uid uuid, profile jsonb, photo bytea,
	born date, tags text[], codes int[], level grade,
	loud text GENERATED ALWAYS AS (upper(email)) STORED,
	CHECK (national_id > 0));
INSERT INTO customers VALUES
 (1, 'Ann', 'Bern', 'first', 'needle.ann@secret.example', '4929123456781202', 918273645, 73519.42, 'deadbeef-5eed-4bad-8bad-0123456789ab',
  '{"ssn": "needle-json"}', '\xfeedfacecafe0bad', '1961-07-23', '{needle-tag,needle-two}', '{918273645,7}', 'needle-level'),
 (2, 'Ben', 'Rome', 'second', 'needle.ben@secret.example', '4929123456785609', 918273646, 83519.42, 'deadbeef-5eed-4bad-8bad-0123456789ac',
  '{"ssn": "needle-b"}', '\xfeedfacecafe0bae', '1962-08-24', '{needle-b}', '{918273646}', 'needle-b'),
 (3, 'Cid', 'Rome', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers, total numeric(10,2), note text, placed date DEFAULT '2024-05-06');
INSERT INTO orders VALUES (10, 1, 9.50, 'gift'), (11, 1, 20, 'plain'), (12, 2, 5, NULL);
CREATE TABLE notes (id int PRIMARY KEY, body text);
INSERT INTO notes VALUES (1, 'ask needle.ann@secret.example about 4929123456781202'), (2, 'nothing here');
CREATE SCHEMA finance;
CREATE TABLE finance.invoices (id int, iban text);
INSERT INTO finance.invoices VALUES (1, 'needle-iban');
CREATE VIEW public.v_invoices AS SELECT id, iban FROM finance.invoices;
CREATE VIEW v_same AS SELECT id, name, email FROM customers;
CREATE VIEW v_renamed AS SELECT id, email AS contact, national_id AS n FROM customers;
CREATE VIEW v_expr AS SELECT id, lower(email) AS contact, name || ' ' || city AS label FROM customers;
CREATE VIEW v_turned AS SELECT id, reverse(email) AS r, 'x@' || email AS q, substr(email, 8) AS s, reverse(card) AS k, national_id || '' AS n, x FROM (SELECT *, reverse(loud) AS x FROM customers) c;
CREATE VIEW v_over AS SELECT id, contact AS c FROM v_renamed;
CREATE VIEW v_union AS SELECT email AS x FROM customers UNION ALL SELECT note FROM orders;
CREATE VIEW v_stats AS SELECT most_common_vals::text AS v, histogram_bounds::text AS h FROM pg_stats;
CREATE VIEW v_where AS SELECT id, name FROM customers WHERE email LIKE 'n%';
CREATE VIEW v_order AS SELECT id FROM customers ORDER BY email LIMIT 1;
CREATE VIEW v_group AS SELECT max(id) AS id FROM customers GROUP BY lower(email);
CREATE VIEW v_rows AS SELECT c.id FROM customers c, generate_series(1, length(c.email)) g;
CREATE VIEW v_many AS SELECT id, unnest(tags) AS t FROM customers;
CREATE VIEW v_on_where AS SELECT id FROM v_where;
CREATE VIEW v_asks AS SELECT id, email = 'x' AS same, CASE WHEN email LIKE 'n%' THEN 1 END AS n, (SELECT count(*) FROM orders WHERE note = email) AS m FROM customers;
CREATE VIEW v_inner AS SELECT id FROM (SELECT id, email LIKE 'n%' AS yes FROM customers) s WHERE yes;
CREATE MATERIALIZED VIEW m_where AS SELECT id FROM customers WHERE email IS NOT NULL;
CREATE VIEW v_clear AS SELECT id, name, city FROM customers;
CREATE MATERIALIZED VIEW m_mails AS SELECT id, email AS contact FROM customers;
CREATE TABLE events (id int, at date, payload text) PARTITION BY RANGE (at);
CREATE TABLE events_2024 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
INSERT INTO events VALUES (1, '2024-02-03', 'needle-payload');
CREATE TABLE people (id int, secret text);
CREATE TABLE staff (desk int) INHERITS (people);
INSERT INTO staff VALUES (1, 'needle-staff', 5);
CREATE SCHEMA app;
CREATE FUNCTION mail_of(i int) RETURNS text LANGUAGE sql STABLE AS 'SELECT email FROM public.customers WHERE id = i';
CREATE FUNCTION all_customers() RETURNS SETOF customers LANGUAGE sql STABLE AS 'SELECT * FROM public.customers';
CREATE FUNCTION whole(c customers) RETURNS text LANGUAGE sql STABLE AS 'SELECT c.email';
CREATE FUNCTION tell(i int) RETURNS int LANGUAGE plpgsql AS $$ DECLARE m text; BEGIN
 SELECT email INTO m FROM public.customers WHERE id = i; RAISE NOTICE 'it is %', m; RAISE EXCEPTION 'no: %', m USING DETAIL = m, HINT = m; END $$;
CREATE FUNCTION app.lower(text) RETURNS text LANGUAGE sql AS 'SELECT email FROM public.customers WHERE id = 1';
CREATE FUNCTION app.count(int) RETURNS text LANGUAGE sql AS 'SELECT email FROM public.customers WHERE id = 1';
CREATE VIEW app.orders AS SELECT id, id AS customer_id, email AS note FROM public.customers;
CREATE FUNCTION noisy() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE m text; BEGIN
 SELECT string_agg(email, ',') INTO m FROM public.customers; RAISE NOTICE 'saw %', m; PERFORM pg_notify('gossip', m); RETURN new; END $$;
CREATE TABLE alarms (id int UNIQUE, what text CHECK (what <> 'bad'));
CREATE TRIGGER noisy BEFORE INSERT ON alarms FOR EACH ROW EXECUTE FUNCTION noisy();
CREATE FUNCTION blurt() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE m text; BEGIN
 SELECT email INTO m FROM public.customers WHERE id = 1; RAISE EXCEPTION 'no %', m USING DETAIL = m, HINT = m, COLUMN = m, TABLE = m, SCHEMA = m, CONSTRAINT = m, DATATYPE = m; END $$;
CREATE TABLE blurts (id int);
CREATE TRIGGER blurt BEFORE INSERT ON blurts FOR EACH ROW EXECUTE FUNCTION blurt();
CREATE STATISTICS st (mcv) ON email, national_id FROM customers;
ANALYZE;
`

// A maskedWorld is a gateway with the real policy in front of a real server,
// that keeps every byte it gave away.
type maskedWorld struct {
	*relayWorld
	kept    *keeper
	needles []needle
}

// A needle is one form of a secret.
type needle struct {
	name  string
	bytes []byte
	text  bool // the case of letters does not matter
}

// A keeper collects what leaves the gateway by other ways than the client's
// connection: journal and recording.
type keeper struct {
	mu      sync.Mutex
	journal bytes.Buffer
	played  bytes.Buffer
	mark    access.Mark
}

func (k *keeper) Append(es ...*access.Event) (access.Mark, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range es {
		k.journal.Write(audit.AppendEvent(nil, e))
		k.mark++
	}
	return k.mark, nil
}

func (k *keeper) Wait(context.Context, access.Mark) error { return nil }

// Queue, Kick, Settled and Notify let sessions run by turns.
func (k *keeper) Queue(es ...*access.Event) (access.Mark, error) { return k.Append(es...) }
func (k *keeper) Kick()                                          {}
func (k *keeper) Settled(access.Mark) bool                       { return true }
func (k *keeper) Notify(func()) (stop func())                    { return func() {} }

func (k *keeper) Begin(string, access.Subject, access.Resource) (Recording, error) { return k, nil }
func (k *keeper) Input(_, text string)                                             { k.add([]byte(text)) }
func (k *keeper) Output(_ string, p []byte)                                        { k.add(p) }
func (k *keeper) Close()                                                           {}

func (k *keeper) add(p []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.played.Write(p)
}

// take returns what was kept since the last call.
func (k *keeper) take() (journal, played []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	journal, played = bytes.Clone(k.journal.Bytes()), bytes.Clone(k.played.Bytes())
	k.journal.Reset()
	k.played.Reset()
	return journal, played
}

func newMaskedWorld(t testing.TB) *maskedWorld {
	t.Helper()
	return maskedWorldOf(t, maskedSchema, maskedPolicy)
}

// maskedWorldOf is a maskedWorld with a schema and a policy of its own.
func maskedWorldOf(t testing.TB, schema, rules string) *maskedWorld {
	t.Helper()
	docs, problems := strictyaml.Parse("policy.yaml", []byte(rules))
	set, more := policy.Load(docs)
	if problems = append(problems, more...); len(problems) > 0 {
		t.Fatal(problems)
	}
	live := new(policy.Live)
	live.Swap(set)
	m := &maskedWorld{kept: new(keeper), needles: maskedNeedles()}
	m.relayWorld = newRelayWorld(t, func(srv *Server) {
		srv.Gate.Decider, srv.Gate.Journal, srv.Recorder = live, m.kept, m.kept
	})
	m.pg.Exec(t, m.db, schema)
	return m
}

// maskedNeedles are the secrets in the forms in which they could get out.
func maskedNeedles() []needle {
	var all []needle
	add := func(name string, b []byte) { all = append(all, needle{name, b, !strings.HasPrefix(name, "binary")}) }
	add("a text", []byte("needle"))
	for _, text := range []string{"needle.ann@secret.example", "4929123456781202", "918273645"} {
		reversed := []byte(text)
		slices.Reverse(reversed)
		sum := md5.Sum([]byte(text))
		add(text, []byte(text))
		add("reversed "+text, reversed)
		add("hex of "+text, []byte(hex.EncodeToString([]byte(text))))
		add("base64 of "+text, []byte(base64.StdEncoding.EncodeToString([]byte(text))[:len(text)]))
		add("md5 of "+text, []byte(hex.EncodeToString(sum[:])))
	}
	for _, text := range []string{"nna.eldeen", "@needle", "2021876", "73519.42", "83519.42", "deadbeef-5eed", "feedfacecafe0b", "1961-07-23", "1962-08-24", "4929123456785609", "918273646"} {
		add(text, []byte(text))
	}
	for _, n := range []uint32{918273645, 918273646} {
		add("binary int", binary.BigEndian.AppendUint32(nil, n))
	}
	add("binary uuid", []byte{0xde, 0xad, 0xbe, 0xef, 0x5e, 0xed})
	add("binary bytea", []byte{0xfe, 0xed, 0xfa, 0xce, 0xca, 0xfe})
	epoch := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	born := time.Date(1961, 7, 23, 0, 0, 0, 0, time.UTC)
	add("binary date", binary.BigEndian.AppendUint32([]byte{0, 0, 0, 4}, uint32(int32(born.Sub(epoch).Hours()/24))))
	// numeric in base 10000: 7 3519 4200
	add("binary numeric", []byte{0, 7, 0x0d, 0xbf, 0x10, 0x68})
	return all
}

// search returns the first needle in b, whatever the case of its letters.
func (m *maskedWorld) search(b []byte) string {
	lower := pgtest.Lower(b)
	for _, n := range m.needles {
		at := bytes.Index(b, n.bytes)
		if at < 0 && n.text {
			at = bytes.Index(lower, pgtest.Lower(n.bytes))
		}
		if at >= 0 {
			return fmt.Sprintf("%s: %q", n.name, b[max(0, at-60):min(len(b), at+60)])
		}
	}
	return ""
}

// clean fails the test if a secret got out: through the bytes that a client
// received, the journal or the recording.
func (m *maskedWorld) clean(t testing.TB, received []byte) {
	t.Helper()
	journal, played := m.kept.take()
	for where, b := range map[string][]byte{"the client received": received, "the journal holds": journal, "the recording holds": played} {
		if found := m.search(b); found != "" {
			t.Errorf("LEAK: %s %s", where, found)
		}
	}
}

// A user is one connection, through the gateway or not.
type user struct {
	t    testing.TB
	dsn  string
	conn *pgconn.PgConn
	ear  *pgtest.Ear
}

func (m *maskedWorld) user(t testing.TB) *user   { return (&user{t: t, dsn: m.dsn()}).open() }
func (m *maskedWorld) direct(t testing.TB) *user { return (&user{t: t, dsn: m.pg.DSN(m.db)}).open() }

func (u *user) open() *user {
	u.t.Helper()
	cfg, err := pgconn.ParseConfig(u.dsn)
	if err != nil {
		u.t.Fatal(err)
	}
	cfg.TLSConfig, cfg.Fallbacks = nil, nil
	cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		u.ear = &pgtest.Ear{Conn: c}
		return u.ear, err
	}
	if u.conn, err = pgconn.ConnectConfig(context.Background(), cfg); err != nil {
		u.t.Fatal(err)
	}
	conn := u.conn
	u.t.Cleanup(func() { conn.Close(context.Background()) })
	return u
}

// A mode is a way to run a statement.
type mode string

const (
	simple       mode = "simple"
	extended     mode = "extended"
	extendedBin  mode = "binary"
	undescribed  mode = "undescribed" // Parse, Bind, Execute, and never a Describe
	undescribedB mode = "undescribed binary"
)

// run runs one statement and returns its rows as text, cells by |, or the error.
func (u *user) run(how mode, sql string, args ...string) string {
	u.t.Helper()
	if u.conn.IsClosed() {
		u.open()
	}
	switch how {
	case simple:
		return execSQL(u.conn, sql)
	case undescribed, undescribedB:
		return u.raw(how == undescribedB, sql, args...)
	}
	format := int16(0)
	if how == extendedBin {
		format = 1
	}
	var values [][]byte
	for _, a := range args {
		values = append(values, []byte(a))
	}
	r := u.conn.ExecParams(context.Background(), sql, values, nil, nil, []int16{format}).Read()
	return render(r)
}

func render(r *pgconn.Result) string {
	var out []string
	for _, row := range r.Rows {
		out = append(out, cells(row))
	}
	if r.Err != nil {
		return strings.Join(append(out, sqlError(r.Err)), "; ")
	}
	if len(r.Rows) == 0 {
		return r.CommandTag.String()
	}
	return strings.Join(out, "; ")
}

func cells(row [][]byte) string {
	var out []string
	for _, v := range row {
		if v == nil {
			out = append(out, "NULL")
		} else {
			out = append(out, string(v))
		}
	}
	return strings.Join(out, "|")
}

// raw runs a statement as a client would that knows what it gets.
func (u *user) raw(bin bool, sql string, args ...string) string {
	formats := []int16{0}
	if bin {
		formats[0] = 1
	}
	var values [][]byte
	for _, a := range args {
		values = append(values, []byte(a))
	}
	f := u.conn.Frontend()
	f.Send(&pgproto3.Parse{Query: sql})
	f.Send(&pgproto3.Bind{Parameters: values, ResultFormatCodes: formats})
	f.Send(&pgproto3.Execute{})
	f.Send(&pgproto3.Sync{})
	return u.until(1)
}

// until sends what was collected and reads up to the nth ReadyForQuery.
func (u *user) until(n int) string {
	u.t.Helper()
	f := u.conn.Frontend()
	if err := f.Flush(); err != nil {
		u.conn.Close(context.Background())
		return err.Error()
	}
	var out []string
	for {
		m, err := f.Receive()
		if err != nil {
			u.conn.Close(context.Background())
			return strings.Join(append(out, err.Error()), "; ")
		}
		switch m := m.(type) {
		case *pgproto3.ErrorResponse:
			out = append(out, m.Code+" "+m.Message)
		case *pgproto3.DataRow:
			out = append(out, cells(m.Values))
		case *pgproto3.CommandComplete:
			if len(out) == 0 {
				out = append(out, string(m.CommandTag))
			}
		case *pgproto3.ReadyForQuery:
			if n--; n == 0 {
				return strings.Join(out, "; ")
			}
		}
	}
}

// isRefusal reports whether an answer ends in the gateway's refusal.
func isRefusal(got string) bool {
	at := strings.LastIndex("; "+got, "; 42501 sluice: ")
	return at >= 0 && !strings.Contains(strings.ReplaceAll(got[at:], " || ", ""), "|")
}
