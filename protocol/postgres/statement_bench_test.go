package postgres

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"sluice/access"
	"sluice/audit"
)

// encoding is a journal without a disk: records are made and dropped.
type encoding struct {
	enc audit.Encoder
	buf []byte
}

func (j *encoding) Append(events ...*access.Event) (access.Mark, error) {
	for _, e := range events {
		j.buf = j.enc.AppendBody(j.buf[:0], e)
	}
	return 1, nil
}

func (j *encoding) Wait(context.Context, access.Mark) error { return nil }

// benchPolicy has a hundred rules, of which masks and a hidden schema concern one
// group.
func benchPolicy(group string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `
apiVersion: sluice/v1
kind: Policy
metadata: {name: data}
spec:
  rules:
  - {id: all, effect: allow}
  - {id: unscoped, match: {protocols: [postgres], verbs: [delete, update]}, when: "!sql.scoped", effect: deny}
  - {id: emails, match: {%[1]s columns: ["*.customers.email"]}, effect: mask, mask: {with: email, filterable: equality}}
  - {id: cards, match: {%[1]s columns: ["*.customers.card"]}, effect: mask, mask: {with: card_last4}}
  - {id: finance, match: {%[1]s tables: ["finance.*"]}, effect: deny}
`, group)
	for i := range 95 {
		fmt.Fprintf(&b, "  - {id: r%d, match: {groups: [team%d], access: [read, write]}, effect: allow}\n", i, i)
	}
	return b.String()
}

// BenchmarkStatement is what a statement costs in the gateway from its text to
// the text that is forwarded: analysis, decision and the making of both records,
// without network and disk. cached: the same text again; constants: another
// constant each time; new: another shape each time, so that it is parsed, and for
// restricted subjects written anew.
func BenchmarkStatement(b *testing.B) {
	const point = "SELECT o.id, o.total, c.name FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.id = %s"
	texts := map[string]func(i int) string{
		"cached":    func(int) string { return fmt.Sprintf(point, "7") },
		"constants": func(i int) string { return fmt.Sprintf(point, fmt.Sprint(i)) },
		"new": func(i int) string {
			return strings.Replace(fmt.Sprintf(point, "7"), "c.name", fmt.Sprintf("c.name AS n%d", i), 1)
		},
	}
	for _, who := range []string{"unrestricted", "restricted"} {
		group := ""
		if who == "unrestricted" {
			group = "groups: [interns],"
		}
		for _, kind := range []string{"cached", "constants", "new"} {
			b.Run(who+"/"+kind, func(b *testing.B) { benchStatement(b, benchPolicy(group), texts[kind]) })
		}
	}
}

func benchStatement(b *testing.B, rules string, text func(i int) string) {
	w := maskedWorldOf(b, maskedSchema, rules)
	w.user(b).run(simple, "select 1") // its first turns are over
	var s *session
	for s == nil { // it greets the client before it is listed
		w.srv.mu.Lock()
		for s = range w.srv.sessions {
			break
		}
		w.srv.mu.Unlock()
	}
	w.srv.Gate.Journal = &encoding{}
	list := make([]string, 0, b.N)
	for i := range b.N {
		list = append(list, text(i))
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, sql := range list {
		batch, err := s.analyze(sql)
		if err != nil {
			b.Fatal(err)
		}
		actions, err := s.describer(&entry{kind: kindQuery}).actions(batch)
		if err != nil {
			b.Fatal(err)
		}
		permits, refused, err := s.ask(actions...)
		if err != nil || refused != nil {
			b.Fatal(err, refused)
		}
		if _, _, err := s.forwarded(batch, false); err != nil {
			b.Fatal(err, context.Cause(s.ctx))
		}
		permits[0].Done(access.Outcome{Rows: 1})
	}
}
