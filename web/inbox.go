package web

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"sluice/api"
	v1 "sluice/api/v1"
)

// perPage is how many requests a list shows.
const perPage = 50

// A listing is a page of requests.
type listing struct {
	Heading, Empty string
	Sections       []section
	Next           string // the next page; empty: there is none
}

// A section is some of them under a heading.
type section struct {
	Heading string
	Rows    []row
}

// A row is one request in a list.
type row struct {
	ID, Href, State string
	Who, Through    string
	Verb, Action    string
	Resource, Env   string
	Says            string // the requester's reason, else the rule's message
	Age, Left       string
	At              time.Time
	May             bool
}

func (p *pages) row(r *v1.Request) row {
	now := p.Now()
	one := row{ID: r.ID, Href: "/requests/" + url.PathEscape(r.ID), State: r.State, Who: r.Requester, Through: strings.Join(r.Actors, ", "),
		Verb: strings.ToUpper(r.Verb), Action: brief(r.Action), Resource: r.Resource, Env: r.Labels["env"],
		Says: r.Reason, Age: ago(now.Sub(r.Created)), At: r.Created, May: r.MayVote}
	if one.Says == "" {
		one.Says = r.Message
	}
	if r.State == "pending" {
		one.Left = left(r.Expires.Sub(now))
	}
	return one
}

// brief is a statement's beginning on one line.
func brief(text string) string {
	const most = 240
	if len(text) > 4*most {
		text = strings.ToValidUTF8(text[:4*most], "")
	}
	text = plain(strings.Join(strings.Fields(text), " "))
	if utf8.RuneCountInString(text) > most {
		text = string([]rune(text)[:most]) + " …"
	}
	return text
}

// inbox lists what waits: for the visitor's answer first, then the rest that
// they may see.
func (p *pages) inbox(w http.ResponseWriter, r *http.Request, v api.Visitor) {
	list, next, ok := p.list(w, r, &v, api.RequestFilter{State: "pending"})
	if !ok {
		return
	}
	var yours, mine, others []row
	for i := range list {
		switch one := p.row(&list[i]); {
		case list[i].MayVote:
			yours = append(yours, one)
		case list[i].Mine:
			mine = append(mine, one)
		default:
			others = append(others, one)
		}
	}
	f := p.frame(&v, "Inbox", "inbox")
	if n := len(yours); n > 0 {
		f.Title = fmt.Sprintf("(%d) Inbox", n)
	}
	f.Events = "/api/v1/requests/events"
	f.Body = listing{Heading: "Inbox", Empty: "Nothing waits for your answer.", Next: next, Sections: sections(
		section{"For your answer", yours}, section{"Asked by you", mine}, section{"Waiting for others", others})}
	p.show(w, http.StatusOK, "inbox", f)
}

func (p *pages) mine(w http.ResponseWriter, r *http.Request, v api.Visitor) {
	p.simple(w, r, &v, api.RequestFilter{Mine: true}, "mine", listing{Heading: "My requests", Empty: "You have asked for nothing yet."})
}

func (p *pages) past(w http.ResponseWriter, r *http.Request, v api.Visitor) {
	p.simple(w, r, &v, api.RequestFilter{}, "past", listing{Heading: "All requests", Empty: "There are no requests that you may see."})
}

// simple shows a list in one section.
func (p *pages) simple(w http.ResponseWriter, r *http.Request, v *api.Visitor, q api.RequestFilter, tab string, l listing) {
	list, next, ok := p.list(w, r, v, q)
	if !ok {
		return
	}
	var rows []row
	for i := range list {
		rows = append(rows, p.row(&list[i]))
	}
	f := p.frame(v, l.Heading, tab)
	if q.After == "" {
		f.Events = "/api/v1/requests/events"
	}
	l.Next, l.Sections = next, sections(section{"", rows})
	f.Body = l
	p.show(w, http.StatusOK, "inbox", f)
}

func (p *pages) list(w http.ResponseWriter, r *http.Request, v *api.Visitor, q api.RequestFilter) (list []v1.Request, next string, ok bool) {
	q.After, q.Limit = r.URL.Query().Get("after"), perPage
	list, err := p.Approvals.List(r.Context(), &v.Caller, q)
	if err == nil {
		err = p.visitors.Looked(w, r, *v, list...)
	}
	if err != nil {
		p.fail(w, v, err)
		return nil, "", false
	}
	if len(list) == perPage {
		next = r.URL.Path + "?" + url.Values{"after": {list[len(list)-1].ID}}.Encode()
	}
	return list, next, true
}

// sections leaves out what is empty.
func sections(all ...section) (kept []section) {
	for _, s := range all {
		if len(s.Rows) > 0 {
			kept = append(kept, s)
		}
	}
	return kept
}

// ago says how long ago something was.
func ago(d time.Duration) string {
	if d < 10*time.Second {
		return "just now"
	}
	return span(d) + " ago"
}

// left says how much time something has.
func left(d time.Duration) string {
	if d <= 0 {
		return "expired"
	}
	return "expires in " + span(d)
}

func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// sentence begins with a capital and ends with a full stop.
func sentence(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	if size == 0 {
		return ""
	}
	text = string(unicode.ToUpper(first)) + text[size:]
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	return text
}
