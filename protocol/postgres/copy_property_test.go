package postgres

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"

	"sluice/access"
)

// Whatever stands in a table, and in whatever form it is copied out: the server
// reads what came through the gateway as the same rows, but for the masked column.
func TestMaskedCopiesAreCopies(t *testing.T) {
	w := newRelayWorld(t)
	w.posture = access.Posture{May: true, Masked: true, Restricted: true}
	w.masks = func(c access.Column) string {
		if c.Name == "b" {
			return "redact"
		}
		return ""
	}
	direct, err := pgconn.Connect(context.Background(), w.pg.DSN(w.db))
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close(context.Background())
	execSQL(direct, "create table t (i int, a text, b text, c text); create table back (i int, a text, b text, c text)")
	gated := w.connect()
	rapid.Check(t, func(rt *rapid.T) {
		execSQL(direct, "truncate t; truncate back")
		for i := range rapid.IntRange(0, 4).Draw(rt, "rows") {
			args := [][]byte{fmt.Append(nil, i), drawCopied(rt), drawCopied(rt), drawCopied(rt)}
			if r := direct.ExecParams(context.Background(), "insert into t values ($1, $2, $3, $4)", args, nil, nil, nil).Read(); r.Err != nil {
				rt.Fatal(r.Err)
			}
		}
		options := drawCopyOptions(rt)
		var out bytes.Buffer
		tag, err := gated.CopyTo(context.Background(), &out, "copy (select i, a, b, c from t order by i) to stdout "+options)
		if err != nil {
			rt.Fatalf("%s: %v", options, err)
		}
		if _, err := direct.CopyFrom(context.Background(), bytes.NewReader(out.Bytes()), "copy back from stdin "+options); err != nil {
			rt.Fatalf("%s: the server does not read %q: %v", options, &out, err)
		}
		const same = "select count(*) from t full join back using (i) where t.a is distinct from back.a or t.c is distinct from back.c or back.b is distinct from case when t.b is not null then '[redacted]' end"
		if got := execSQL(direct, same); got != "0" {
			rt.Errorf("%s: %s: %q for %s", options, got, &out, execSQL(direct, "select * from t"))
		}
		if n := execSQL(direct, "select count(*) from t"); tag.String() != "COPY "+n {
			rt.Errorf("%s: %s of %s", options, tag, n)
		}
	})
}

// drawCopied draws a text of all that COPY has a word for; nil: NULL.
func drawCopied(t *rapid.T) []byte {
	if rapid.IntRange(0, 5).Draw(t, "null") == 0 {
		return nil
	}
	parts := rapid.SliceOfN(rapid.SampledFrom([]string{`\`, `\.`, `\N`, "\n", "\r", "\t", "\b", "\v", "\f", `"`, "'", ",", "|", ";", "x", "e", "NULL", "é", "漢", " ", "secret"}), 0, 5).Draw(t, "parts")
	return []byte(strings.Join(parts, ""))
}

func drawCopyOptions(t *rapid.T) string {
	switch rapid.IntRange(0, 3).Draw(t, "format") {
	case 0:
		return rapid.SampledFrom([]string{"", "with delimiter '|'", "with (delimiter ';')", `with (null '\N')`}).Draw(t, "text")
	case 1:
		return "with (format binary)"
	}
	list := []string{"format csv"}
	for _, o := range []struct{ name, from string }{{"delimiter", ",|;x\t"}, {"quote", `"'|e`}, {"escape", `"\x'`}} {
		if c := rapid.SampledFrom([]rune(o.from)).Draw(t, o.name); rapid.Bool().Draw(t, "with") && !strings.Contains(strings.Join(list, ","), fmt.Sprintf("e'%c'", c)) {
			list = append(list, fmt.Sprintf("%s e'%s'", o.name, strings.NewReplacer("'", "''", `\`, `\\`).Replace(string(c))))
		}
	}
	if n := rapid.SampledFrom([]string{"", "NULL", "nil", " "}).Draw(t, "null as"); n != "" {
		list = append(list, "null '"+n+"'")
	}
	if rapid.Bool().Draw(t, "header") {
		list = append(list, "header")
	}
	return "with (" + strings.Join(list, ", ") + ")"
}
