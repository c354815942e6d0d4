package pipeline

import (
	"context"
	"errors"
	"testing"

	"sluice/access"
)

// A decision that needs facts gets them, one at a time and each once, and is made
// again; the analysis that others share stays as it is.
func TestFactsAreFound(t *testing.T) {
	w := newWorld()
	n := int64(7)
	w.decide = func(r access.Request) access.Decision {
		f := r.Action.SQL.Facts
		needs := (access.FactEstimate | access.FactCount) &^ f.Asked
		if needs != 0 || f.Count == nil || *f.Count > 10 {
			return access.Decision{Needs: needs}
		}
		return access.Decision{Effect: access.Allow}
	}
	s := w.open(t)
	var asked []access.FactSet
	s.Find = func(a *access.Action, fact access.FactSet) (access.Facts, error) {
		asked = append(asked, fact)
		f := a.SQL.Facts
		if fact == access.FactCount {
			f.Count = &n
		}
		return f, nil
	}
	shared := &access.SQL{}
	a := access.Action{Verb: access.VerbDelete, SQL: shared}
	permits, err := s.Ask(context.Background(), a)
	if err != nil || len(asked) != 2 || asked[0] != access.FactEstimate || asked[1] != access.FactCount {
		t.Fatalf("%v, asked %v", err, asked)
	}
	if f := permits[0].Request.Action.SQL.Facts; *f.Count != 7 || f.Asked != access.FactEstimate|access.FactCount {
		t.Errorf("%+v", f)
	}
	if shared.Facts != (access.Facts{}) {
		t.Error("what others share was changed")
	}
	n = 11
	var d *Denied
	if _, err := s.Ask(context.Background(), a); !errors.As(err, &d) {
		t.Errorf("over: %v", err)
	}
}

func TestFactsAreNotAskedBehindADenial(t *testing.T) {
	w := newWorld()
	w.decide = func(r access.Request) access.Decision {
		if r.Action.Verb == access.VerbDrop {
			return access.Decision{}
		}
		return access.Decision{Effect: access.Allow, Needs: access.FactEstimate &^ r.Action.SQL.Facts.Asked}
	}
	s := w.open(t)
	asked := 0
	s.Find = func(*access.Action, access.FactSet) (access.Facts, error) { asked++; return access.Facts{}, nil }
	s.Ask(context.Background(), access.Action{Verb: access.VerbDrop}, access.Action{Verb: access.VerbSelect, SQL: &access.SQL{}})
	if asked != 0 {
		t.Errorf("asked %d times", asked)
	}
}

// After people were waited for the target is asked again.
func TestFactsAreFreshAfterAnApproval(t *testing.T) {
	w := newWorld()
	n := int64(1)
	w.decide = func(r access.Request) access.Decision {
		f := r.Action.SQL.Facts
		switch {
		case f.Asked == 0:
			return access.Decision{Needs: access.FactCount}
		case *f.Count > 10:
			return access.Decision{Message: "too many"}
		case r.Context.Approved == nil:
			return access.Decision{Effect: access.RequireApproval}
		}
		return access.Decision{Effect: access.Allow}
	}
	w.approve = func(_ context.Context, r access.Request) (access.Approval, error) {
		n = 100
		return access.Approval{ID: "r", Digest: r.Digest(), Approved: true, Expires: w.now.Add(1e9)}, nil
	}
	s := w.open(t)
	s.Find = func(*access.Action, access.FactSet) (access.Facts, error) {
		c := n
		return access.Facts{Count: &c}, nil
	}
	var d *Denied
	if _, err := s.Ask(context.Background(), access.Action{Verb: access.VerbDelete, SQL: &access.SQL{}}); !errors.As(err, &d) || w.uses != 0 {
		t.Errorf("%v, approval used %d times", err, w.uses)
	}
}

func TestAFailedQuestionEndsTheSession(t *testing.T) {
	w := newWorld()
	w.decide = func(access.Request) access.Decision { return access.Decision{Needs: access.FactCount} }
	s := w.open(t)
	gone := errors.New("gone")
	s.Find = func(*access.Action, access.FactSet) (access.Facts, error) { return access.Facts{}, gone }
	if _, err := s.Ask(context.Background(), access.Action{SQL: &access.SQL{}}); !errors.Is(err, gone) {
		t.Error(err)
	}
}
