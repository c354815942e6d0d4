package audit

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"sluice/access"
)

// A wireEvent is an event as its JSON stands in the journal.
type wireEvent struct {
	ID       string               `json:"id"`
	Time     time.Time            `json:"time"`
	Type     access.EventType     `json:"type"`
	Session  string               `json:"session"`
	Subject  *access.Subject      `json:"subject"`
	Resource *access.Resource     `json:"resource"`
	Client   *access.Client       `json:"client"`
	Ref      string               `json:"ref"`
	Action   *wireAction          `json:"action"`
	Decision *wireDecision        `json:"decision"`
	Approval *access.ApprovalFact `json:"approval"`
	Outcome  *access.Outcome      `json:"outcome"`
	Digest   string               `json:"digest"`
	Reason   string               `json:"reason"`
	Message  string               `json:"message"`
	Extra    map[string]any       `json:"extra"`
}

type wireAction struct {
	Verb       access.Verb       `json:"verb"`
	Op         string            `json:"op"`
	Confidence access.Confidence `json:"confidence"`
	Pure       bool              `json:"pure"`
	Objects    []access.Object   `json:"objects"`
	Text       string            `json:"text"`
	Redacted   bool              `json:"redacted"`
	SQL        *access.SQL       `json:"sql"`
	Args       []wireArg         `json:"args"`
	Digest     string            `json:"digest"`
}

type wireArg struct {
	Type   uint32  `json:"type"`
	Null   bool    `json:"null"`
	Value  *string `json:"value"`
	Hex    *string `json:"hex"`
	Binary bool    `json:"binary"`
	Secret bool    `json:"secret"`
}

type wireDecision struct {
	ID          string           `json:"id"`
	Effect      access.Effect    `json:"effect"`
	Reasons     []access.Reason  `json:"reasons"`
	Would       []access.Reason  `json:"would"`
	Obligations []wireObligation `json:"obligations"`
	Approval    access.Quorum    `json:"approval"`
	Message     string           `json:"message"`
	Hint        string           `json:"hint"`
	Policy      string           `json:"policy"`
}

type wireObligation struct {
	Kind         string           `json:"kind"`
	Column       *access.ColumnID `json:"column"`
	Unknown      bool             `json:"unknown"`
	Detect       []string         `json:"detect"`
	Paths        []string         `json:"paths"`
	Key          string           `json:"key"`
	With         string           `json:"with"`
	Rule         string           `json:"rule"`
	Rows         int64            `json:"rows"`
	Bytes        int64            `json:"bytes"`
	AffectedRows int64            `json:"affected_rows"`
	Timeout      int64            `json:"timeout_us"`
	Channel      string           `json:"channel"`
}

// ParseEvent is the inverse of AppendEvent, as far as an event is recorded:
// what was redacted or cut stays so. An action whose text was redacted comes
// back with Shown and without Text. Unknown members are ignored, so that an
// older reader can read a newer journal; an unknown kind of obligation, verb
// or effect is an error.
func ParseEvent(b []byte) (access.Event, error) {
	if len(b) > MaxBody {
		return access.Event{}, fmt.Errorf("audit: parse event: %d bytes, limit %d", len(b), MaxBody)
	}
	var w wireEvent
	if err := json.Unmarshal(b, &w); err != nil {
		return access.Event{}, fmt.Errorf("audit: parse event: %w", err)
	}
	e := access.Event{
		ID: w.ID, Time: w.Time, Type: w.Type, Session: w.Session,
		Subject: w.Subject, Resource: w.Resource, Client: w.Client, Ref: w.Ref,
		Approval: w.Approval, Outcome: w.Outcome, Reason: w.Reason, Message: w.Message, Extra: w.Extra,
	}
	err := w.parts(&e)
	if err != nil {
		return access.Event{}, fmt.Errorf("audit: parse event %s: %w", w.ID, err)
	}
	return e, nil
}

func (w *wireEvent) parts(e *access.Event) (err error) {
	digest := w.Digest
	if w.Action != nil {
		digest = w.Action.Digest
		if e.Action, err = w.Action.action(); err != nil {
			return err
		}
	}
	if w.Decision != nil {
		if e.Decision, err = w.Decision.decision(); err != nil {
			return err
		}
	}
	if digest != "" {
		e.Digest, err = parseDigest(digest)
	}
	return err
}

func parseDigest(s string) (*access.Digest, error) {
	var d access.Digest
	if len(s) != 2*len(d) {
		return nil, errors.New("bad digest")
	}
	if _, err := hex.Decode(d[:], []byte(s)); err != nil {
		return nil, errors.New("bad digest")
	}
	return &d, nil
}

func (w *wireAction) action() (*access.Action, error) {
	a := &access.Action{
		Verb: w.Verb, Op: w.Op, Confidence: w.Confidence, Pure: w.Pure,
		Objects: w.Objects, SQL: w.SQL,
	}
	if w.Redacted {
		a.Shown = w.Text
	} else {
		a.Text = w.Text
	}
	for i := range w.Args {
		arg, err := w.Args[i].arg()
		if err != nil {
			return nil, err
		}
		a.Args = append(a.Args, arg)
	}
	return a, nil
}

func (w *wireArg) arg() (access.Arg, error) {
	a := access.Arg{Type: w.Type, Null: w.Null, Binary: w.Binary, Secret: w.Secret}
	switch {
	case w.Null:
	case w.Hex != nil:
		v, err := hex.DecodeString(*w.Hex)
		if err != nil {
			return a, errors.New("bad argument")
		}
		a.Value = v
	case w.Value != nil:
		a.Value = []byte(*w.Value)
	}
	return a, nil
}

func (w *wireDecision) decision() (*access.Decision, error) {
	d := &access.Decision{
		ID: w.ID, Effect: w.Effect, Reasons: w.Reasons, Would: w.Would, Approval: w.Approval,
		Message: w.Message, Hint: w.Hint, Policy: w.Policy,
	}
	for i := range w.Obligations {
		o, err := w.Obligations[i].obligation()
		if err != nil {
			return nil, err
		}
		d.Obligations = append(d.Obligations, o)
	}
	return d, nil
}

func (w *wireObligation) obligation() (access.Obligation, error) {
	switch w.Kind {
	case kindMask:
		m := access.Mask{Unknown: w.Unknown, Detect: w.Detect, With: w.With, Rule: w.Rule, Paths: w.Paths, Key: w.Key}
		if w.Column != nil {
			m.Column = *w.Column
		}
		return m, nil
	case kindLimit:
		return access.Limit{Rows: w.Rows, Bytes: w.Bytes, AffectedRows: w.AffectedRows,
			Timeout: time.Duration(w.Timeout) * time.Microsecond, Rule: w.Rule}, nil
	case kindRecord:
		return access.Record{Rule: w.Rule}, nil
	case kindNotify:
		return access.Notify{Channel: w.Channel, Rule: w.Rule}, nil
	}
	return nil, fmt.Errorf("unknown obligation %q", w.Kind)
}
