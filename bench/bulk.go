package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// telltale stands in every value of people that a mask may cover, at its
// beginning, so that one look tells whether a result is masked.
const telltale = "telltale"

// A fetchJob is one statement whose result is read and thrown away.
type fetchJob struct {
	login    `json:"-"`
	Port     int
	User     string
	Password string
	DBName   string
	TLS      bool
	SQL      string
}

// A fetched is what came back.
type fetched struct {
	Rows, Bytes int64
	First       time.Duration // to the first row
	Took        time.Duration
	Telltales   int // in the first row
	CPU         time.Duration
}

// fetchMain is the child process that reads: apart from the harness, so that
// its CPU time can be told. The job comes on standard input, the answer goes to
// standard output.
func fetchMain() error {
	var job fetchJob
	if err := json.NewDecoder(os.Stdin).Decode(&job); err != nil {
		return err
	}
	job.login = login{job.User, job.Password, job.DBName}
	got, err := fetch(job)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(got)
}

// runFetch runs a job in a child process.
func runFetch(job fetchJob) (got fetched, err error) {
	self, err := os.Executable()
	if err != nil {
		return got, err
	}
	job.User, job.Password, job.DBName = job.login.user, job.login.password, job.login.dbname
	in, err := json.Marshal(job)
	if err != nil {
		return got, err
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(self, "fetch")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &stdout, &stderr
	cmd.SysProcAttr = attributes()
	if err := cmd.Run(); err != nil {
		return got, fmt.Errorf("fetch: %w: %s", err, stderr.Bytes())
	}
	err = json.Unmarshal(stdout.Bytes(), &got)
	got.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return got, err
}

// fetch connects with pgconn, takes the connection over and reads the answer
// with as little work as can be, so that the client is not what limits.
func fetch(job fetchJob) (got fetched, err error) {
	c, err := connect(job)
	if err != nil {
		return got, err
	}
	conn, err := c.Hijack()
	if err != nil {
		return got, err
	}
	defer conn.Conn.Close()
	message := append([]byte{'Q', 0, 0, 0, 0}, job.SQL...)
	message = append(message, 0)
	binary.BigEndian.PutUint32(message[1:], uint32(len(message)-1))
	start := time.Now()
	if _, err := conn.Conn.Write(message); err != nil {
		return got, err
	}
	err = drain(conn.Conn, &got, start)
	got.Took = time.Since(start)
	return got, err
}

const connectDeadline = 30 * time.Second

func connect(job fetchJob) (*pgconn.PgConn, error) {
	config, err := pgconn.ParseConfig("sslmode=disable")
	if err != nil {
		return nil, err
	}
	config.Host, config.Port = "127.0.0.1", uint16(job.Port)
	config.User, config.Password, config.Database = job.login.user, job.login.password, job.login.dbname
	config.Fallbacks = nil
	if job.TLS {
		config.TLSConfig = &tls.Config{InsecureSkipVerify: true} // a certificate of our own, on loopback
	}
	ctx, cancel := context.WithTimeout(context.Background(), connectDeadline)
	defer cancel()
	return pgconn.ConnectConfig(ctx, config)
}

// readBuffer is what one read takes at most.
const readBuffer = 256 << 10

// drain walks over messages up to ReadyForQuery.
func drain(from io.Reader, got *fetched, start time.Time) error {
	r := bufio.NewReaderSize(from, readBuffer)
	for {
		head, err := r.Peek(5)
		if err != nil {
			return err
		}
		kind, size := head[0], int(binary.BigEndian.Uint32(head[1:]))+1
		if kind == 'E' || got.Rows == 0 && (kind == 'D' || kind == 'd') {
			if err := look(r, kind, min(size, readBuffer), got, start); err != nil {
				return err
			}
		}
		if kind == 'D' || kind == 'd' {
			got.Rows++
		}
		got.Bytes += int64(size)
		if _, err := r.Discard(size); err != nil {
			return err
		}
		if kind == 'Z' {
			return nil
		}
	}
}

// look examines the first row, or turns an ErrorResponse into an error.
func look(r *bufio.Reader, kind byte, size int, got *fetched, start time.Time) error {
	message, err := r.Peek(size)
	if err != nil {
		return err
	}
	if kind == 'E' {
		return fmt.Errorf("the server says: %q", message[5:])
	}
	got.First = time.Since(start)
	got.Telltales = bytes.Count(message, []byte(telltale))
	return nil
}

// A bulk is one reading of the large table.
type bulk struct {
	copy   bool
	masked int // columns
}

func (b bulk) name() string {
	name := "bulk-select"
	if b.copy {
		name = "bulk-copy"
	}
	if b.masked > 0 {
		name += fmt.Sprintf("-masked%d", b.masked)
	}
	return name
}

func (b bulk) clients() int { return 1 }

func (b bulk) sql() string {
	const columns = "id, name, v, email, phone, card, note"
	if b.copy {
		return "COPY people (" + columns + ") TO STDOUT"
	}
	return "SELECT " + columns + " FROM people"
}

func (b bulk) fits(p *peer) bool { return b.masked == 0 || p.masked != nil }

// run reads the table once and checks that it is all there, and masked if it
// should be.
func (b bulk) run(s *stage, p *peer, tls bool, begin func(int) error) (r result, err error) {
	if err := begin(0); err != nil {
		return r, err
	}
	who := p.login
	if b.masked > 0 {
		who = p.masked[b.masked]
	}
	got, err := runFetch(fetchJob{Port: p.port, login: who, TLS: tls, SQL: b.sql()})
	if err != nil {
		return r, err
	}
	if want := len(maskedColumns) - b.masked; got.Telltales != want || got.Rows != int64(s.rows) {
		return r, fmt.Errorf("%s: %d rows with %d values in clear, want %d and %d", b.name(), got.Rows, got.Telltales, s.rows, want)
	}
	return result{
		Operations: got.Rows, Seconds: got.Took.Seconds(), Bytes: got.Bytes, Client: got.CPU,
		P10: micros(got.First), P50: micros(got.First), P99: micros(got.First),
	}, nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
