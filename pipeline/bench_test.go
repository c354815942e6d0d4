package pipeline

import (
	"context"
	"testing"
	"time"

	"sluice/access"
)

// discard is a journal that keeps nothing.
type discard struct{}

func (discard) Append(...*access.Event) (access.Mark, error) { return 1, nil }
func (discard) Wait(context.Context, access.Mark) error      { return nil }

// BenchmarkAsk is one remembered decision from Ask to Done, without the
// journal's own work.
func BenchmarkAsk(b *testing.B) {
	w := newWorld()
	w.decide = func(access.Request) access.Decision { return access.Decision{Effect: access.Allow, Stable: true} }
	g := w.gate()
	g.Journal, g.Now = discard{}, time.Now
	s, err := g.Open(b.Context(), Login{Subject: access.Subject{Issuer: "local", ID: "ann"}}, access.Resource{Name: "shop"}, access.Client{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	a := access.Action{Verb: access.VerbSelect, Op: "SELECT", Text: "select 1", Confidence: access.Exact, Origin: new(access.Origin)}
	b.ReportAllocs()
	for b.Loop() {
		permits, err := s.Ask(b.Context(), a)
		if err != nil {
			b.Fatal(err)
		}
		permits[0].Done(access.Outcome{Rows: 1})
	}
}
