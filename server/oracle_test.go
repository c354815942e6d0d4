package server

import (
	"strings"
	"testing"

	v1 "sluice/api/v1"
)

func TestCanAgreesWithTheGateway(t *testing.T) {
	g := start(t)
	for command, want := range map[string]string{
		"SELECT id FROM customers":           "allow access/engineers",
		"DELETE FROM customers":              "deny access/no-unscoped-writes",
		"DELETE FROM customers WHERE id = 1": "require_approval access/prod-deletes",
		"TRUNCATE customers":                 "deny default",
		"SELECT 1; DROP TABLE customers":     "deny default",
	} {
		q := v1.Question{Subject: "alice", Resource: "shop", Command: command}
		live, err := g.client(t, "bob").Can(t.Context(), q)
		if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		alone, err := Can(t.Context(), g.folder, q)
		if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		for how, list := range map[string][]v1.Verdict{"gateway": live, "alone": alone} {
			last := list[len(list)-1]
			if got := last.Effect + " " + last.Rule; got != want || last.Confidence != "exact" {
				t.Errorf("%s, %s: %s (%s %s), want %s", how, command, got, last.Confidence, last.Incomplete, want)
			}
			if last.Effect == "require_approval" && strings.Join(last.Approvers, " ") != "bob" {
				t.Errorf("%s: approvers %v", how, last.Approvers)
			}
		}
	}
}
