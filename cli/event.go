package cli

import (
	"encoding/json"
	"strconv"
	"time"
)

// An event is what listings show of an audit event. The whole is printed by
// -o json and by export.
type event struct {
	ID       string    `json:"id"`
	Time     time.Time `json:"time"`
	Type     string    `json:"type"`
	Session  string    `json:"session"`
	Subject  *subject  `json:"subject"`
	Resource *struct {
		Name     string `json:"name"`
		Database string `json:"database"`
	} `json:"resource"`
	Client *struct {
		Address string `json:"address"`
	} `json:"client"`
	Ref    string `json:"ref"`
	Action *struct {
		Verb       string `json:"verb"`
		Op         string `json:"op"`
		Text       string `json:"text"`
		Confidence string `json:"confidence"`
	} `json:"action"`
	Decision *struct {
		Effect  string `json:"effect"`
		Reasons []rule `json:"reasons"`
		Would   []rule `json:"would"`
	} `json:"decision"`
	Approval *struct {
		Request string `json:"request"`
		State   string `json:"state"`
	} `json:"approval"`
	Outcome *struct {
		Rows     int64  `json:"rows"`
		Masked   int64  `json:"masked"`
		Duration int64  `json:"duration_us"`
		Error    string `json:"error"`
	} `json:"outcome"`
	Message string `json:"message"`
}

type subject struct {
	Issuer string   `json:"issuer"`
	ID     string   `json:"id"`
	Actor  *subject `json:"actor"`
}

type rule struct {
	Policy string `json:"policy"`
	Rule   string `json:"rule"`
}

func (r rule) name() string {
	if r.Policy == "" {
		return r.Rule
	}
	return r.Policy + "/" + r.Rule
}

func readEvent(b []byte) (event, error) {
	var e event
	err := json.Unmarshal(b, &e)
	return e, err
}

func (e event) who() string {
	name := ""
	for s := e.Subject; s != nil; s = s.Actor {
		if name != "" {
			name += " via "
		}
		name += s.ID
	}
	return name
}

func (e event) where() string {
	switch {
	case e.Resource == nil:
		return ""
	case e.Resource.Database == "" || e.Resource.Database == e.Resource.Name:
		return e.Resource.Name
	default:
		return e.Resource.Name + "/" + e.Resource.Database
	}
}

func (e event) client() string {
	if e.Client == nil {
		return ""
	}
	return e.Client.Address
}

// watched reports whether a statement went through that a rule in monitor mode
// would have stopped. One that was stopped anyway is the deciding rule's.
func (e event) watched() bool {
	return e.Decision != nil && len(e.Decision.Would) > 0 && e.Decision.Effect != "deny"
}

// effect is what was decided, or how it went on.
func (e event) effect() string {
	switch {
	case e.watched():
		return e.Decision.Effect + " (monitored)"
	case e.Decision != nil:
		return e.Decision.Effect
	case e.Approval != nil:
		return e.Approval.State
	case e.Outcome != nil && e.Outcome.Error != "":
		return "failed"
	case e.Outcome != nil:
		return count(e.Outcome.Rows) + " rows"
	default:
		return ""
	}
}

func (e event) rule() string {
	switch {
	case e.Decision == nil:
		return ""
	case e.watched():
		return e.Decision.Would[0].name()
	case len(e.Decision.Reasons) > 0:
		return e.Decision.Reasons[0].name()
	default:
		return "default"
	}
}

func (e event) text() string {
	switch {
	case e.Action != nil && e.Action.Text != "":
		return e.Action.Text
	case e.Outcome != nil && e.Outcome.Error != "":
		return e.Outcome.Error
	case e.Approval != nil:
		return "request " + e.Approval.Request
	default:
		return e.Message
	}
}

func (e event) verb() string {
	if e.Action == nil {
		return ""
	}
	return e.Action.Verb
}

// csvHeader and csv are the columns of the CSV export, for spreadsheets; the
// JSON lines have everything.
var csvHeader = []string{"id", "time", "type", "session", "subject", "resource", "client", "verb", "text", "effect", "rule", "ref", "rows", "masked", "duration_us", "error", "message"}

func (e event) csv() []string {
	effect, rows, masked, duration, fault := "", "", "", "", ""
	if e.Decision != nil {
		effect = e.Decision.Effect
	}
	if o := e.Outcome; o != nil {
		rows, masked, duration, fault = count(o.Rows), count(o.Masked), strconv.FormatInt(o.Duration, 10), o.Error
	}
	text := ""
	if e.Action != nil {
		text = e.Action.Text
	}
	return []string{e.ID, e.Time.UTC().Format(time.RFC3339Nano), e.Type, e.Session, e.who(), e.where(), e.client(), e.verb(), text,
		effect, e.rule(), e.Ref, rows, masked, duration, fault, e.Message}
}

// inert keeps a spreadsheet from taking a cell for a formula.
func inert(cells []string) []string {
	for i, c := range cells {
		if c != "" && (c[0] == '=' || c[0] == '+' || c[0] == '-' || c[0] == '@' || c[0] == '\t' || c[0] == '\r') {
			cells[i] = "'" + c
		}
	}
	return cells
}
