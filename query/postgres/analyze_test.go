package postgres

import (
	"strings"
	"testing"

	"sluice/access"
)

// sketch writes a statement's meaning on one line:
// verb confidence[ pure][ unscoped] | objects
func sketch(st *Statement) string {
	a := &st.Action
	head := a.Verb.String() + " " + a.Confidence.String()
	if a.Pure {
		head += " pure"
	}
	if !a.SQL.Scoped {
		head += " unscoped"
	}
	var objects []string
	for _, o := range a.Objects {
		objects = append(objects, sketchObject(o))
	}
	return head + " | " + strings.Join(objects, "; ")
}

func sketchObject(o access.Object) string {
	s := ""
	if o.Kind != access.KindTable {
		s = string(o.Kind) + " "
	}
	s += o.Qualified() + " "
	if o.Read {
		s += "r"
	}
	if o.Write {
		s += "w"
	}
	if o.Via != "" {
		s += " via " + o.Via
	}
	if o.Kind != access.KindTable {
		return s
	}
	if !o.ColumnsKnown {
		return s + " (?)"
	}
	var cols []string
	for _, c := range o.Columns {
		cols = append(cols, c.Name+":"+sketchUse(c.Use))
	}
	return s + " (" + strings.Join(cols, " ") + ")"
}

func sketchUse(u access.Use) string {
	s := ""
	// output, expression (flow), filter, assign, equal, range, null, join, group, sort, aggregate, row, write (store), carry
	for i, c := range "oefa=<njgs#rwc" {
		if u&(1<<i) != 0 {
			s += string(c)
		}
	}
	return s
}

func TestAnalyze(t *testing.T) {
	env := testEnv(t)
	for _, c := range analyzeCases {
		t.Run(c.sql, func(t *testing.T) {
			if got := sketch(analyze(t, env, c.sql)); got != c.want {
				t.Errorf("\n got %s\nwant %s\n why %s", got, c.want, analyze(t, env, c.sql).Action.SQL.Why)
			}
		})
	}
}
