package postgres

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"sluice/access"
	"sluice/pipeline"
	"sluice/protocol/postgres/wire"
)

// SQLSTATEs of the gateway's own answers.
const (
	codeDenied    = "42501" // insufficient_privilege
	codeWithdrawn = "57014" // query_canceled
	codeJournal   = "58030" // io_error
	codeSyntax    = "42601" // syntax_error
)

// errTimeout is what a read returns whose deadline has passed.
var errTimeout = os.ErrDeadlineExceeded

// A refusal is the answer to a message that must not reach the upstream. In
// its place goes one that fails there, so that the transaction's fate is the
// server's own truth; the server's error becomes this report.
type refusal struct {
	id     string // of the decision; empty: none was made
	report wire.Report
}

// stand returns the text that goes upstream in the place of the refused one: a
// syntax error in every state of a session, with nothing of the action in it.
func (r *refusal) stand() string {
	if r.id == "" {
		return "sluice refused"
	}
	return "sluice denied /* " + r.id + " */"
}

// refusal puts a denial into the protocol's words.
func (s *session) refusal(d *pipeline.Denied, a access.Action) *refusal {
	dec := &d.Decision
	r := &refusal{id: dec.ID, report: wire.Report{Severity: "ERROR", Code: codeDenied, Hint: dec.Hint}}
	r.report.Detail = "decision " + dec.ID
	switch {
	case errors.Is(d.Err, pipeline.ErrJournal):
		r.report.Code = codeJournal
		r.report.Message = "sluice: the audit journal cannot be written, so nothing may run"
		r.report.Hint = "Tell those who run the gateway; its log says why."
		r.report.Detail = ""
	case d.Withdrawn:
		r.report.Code = codeWithdrawn
		r.report.Message = "sluice: the request for approval was withdrawn"
	case d.Pending != nil:
		r.report.Message = fmt.Sprintf("sluice: %s needs approval: request %s waits for %s", dec.By(), d.Pending.ID, groups(d.Pending.From))
		r.report.Detail = fmt.Sprintf("request %s, decision %s", d.Pending.ID, dec.ID)
		r.report.Hint = "Send the same statement again once it is approved."
	case a.Confidence == access.Opaque && s.syntax != nil:
		r.report.Code = codeSyntax
		r.report.Message = s.syntax.Message
		r.report.Detail = "sluice: the statement was not understood and not forwarded; " + r.report.Detail
	default:
		r.report.Message = "sluice: denied by " + dec.By()
		if dec.Message != "" {
			r.report.Message += ": " + dec.Message
		}
	}
	if r.report.Hint == "" && r.report.Code == codeDenied {
		r.report.Hint = "Why: sluice why " + dec.ID
	}
	return r
}

// notCanonical refuses what cannot be forwarded as it was judged.
func notCanonical(id string, why error) *refusal {
	r := &refusal{id: id, report: wire.Report{
		Severity: "ERROR", Code: codeDenied,
		Message: "sluice: denied: the statement cannot be forwarded as it was judged: " + why.Error(),
		Hint:    "Write the statement in another way.",
	}}
	if id != "" {
		r.report.Detail = "decision " + id
	}
	return r
}

// noStatement is the server's own error for an unknown statement.
func noStatement(name string) *refusal {
	if name == "" {
		return missing("26000", "unnamed prepared statement does not exist")
	}
	return missing("26000", fmt.Sprintf("prepared statement \"%s\" does not exist", name))
}

// missing is the server's own error for a name that means nothing.
func missing(code, message string) *refusal {
	return &refusal{report: wire.Report{Severity: "ERROR", Code: code, Message: message}}
}

func groups(from []access.Approvers) string {
	if len(from) == 0 {
		return "an approver"
	}
	var parts []string
	for _, a := range from {
		if a.Count > 1 {
			parts = append(parts, fmt.Sprintf("%d of %s", a.Count, a.Group))
		} else {
			parts = append(parts, a.Group)
		}
	}
	return strings.Join(parts, " and ")
}

// waitingReport tells a client that its action waits for people.
func waitingReport(p access.Pending) wire.Report {
	msg := fmt.Sprintf("sluice: waiting for approval %s from %s", p.ID, groups(p.From))
	if p.URL != "" {
		msg += ": " + p.URL
	}
	r := wire.Report{Severity: "NOTICE", Code: "00000", Message: msg,
		Hint: "Cancel (Ctrl+C) withdraws the request."}
	if !p.Expires.IsZero() {
		r.Detail = "It expires at " + p.Expires.UTC().Format("2006-01-02 15:04:05 MST") + "."
	}
	return r
}

// A fatal ends the session and tells the client why.
type fatal struct{ code, message string }

func (f *fatal) Error() string { return f.message }

func (f *fatal) report() []byte {
	return wire.AppendReport(nil, 'E', wire.Report{Severity: "FATAL", Code: f.code, Message: f.message})
}

func journalFatal(err error) error {
	if errors.Is(err, pipeline.ErrJournal) {
		return &fatal{code: codeJournal, message: "sluice: the audit journal cannot be written, so nothing may run"}
	}
	return err
}

func panicError(r any) error {
	return &fatal{code: "XX000", message: fmt.Sprintf("sluice: internal error: %v", r)}
}
