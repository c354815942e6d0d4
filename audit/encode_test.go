package audit

import (
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"sluice/access"
)

var at = time.Date(2026, 11, 20, 14, 10, 28, 123456000, time.UTC)

// full is an event with every member set.
func full() *access.Event {
	digest := access.Digest{1, 2, 3}
	return &access.Event{
		ID: "01936c5e-8a3f-7b21-9c4d-1234567890ab", Time: at, Type: access.ActionDecided, Session: "s-1", Ref: "r-1",
		Subject: &access.Subject{
			Issuer: "https://id.example", ID: "alice", Kind: access.Human, Email: "alice@example.test", Groups: []string{"dba", "eng \"x\""},
			Claims: map[string]any{"b": true, "a": []any{"x", 1.5, nil}, "c": map[string]any{"d": "e"}}, AuthTime: at,
			Actor: &access.Subject{Issuer: "local", ID: "bot", Kind: access.Agent, Owner: "alice"},
		},
		Resource: &access.Resource{Name: "shop", Protocol: "postgres", Address: "127.0.0.1:5432", Database: "shop", Labels: map[string]string{"env": "prod", "a": "b"}},
		Client:   &access.Client{Address: "[::1]:5", TLS: true, Program: "psql"},
		Action: &access.Action{
			Verb: access.VerbUpdate, Op: "UPDATE", Confidence: access.Exact, Pure: true, Text: "update customers set name = 'ü\n\t\x00' where id = $1",
			Objects: []access.Object{{
				Kind: access.KindTable, Schema: "public", Name: "customers", OID: 16384, Read: true, Write: true, ColumnsKnown: true,
				Columns: []access.ColumnUse{{Name: "name", Use: access.UseAssign}, {Name: "id", Use: access.UseFilter}}, Via: "v", System: true,
			}},
			Args: []access.Arg{{Value: []byte("42"), Type: 23}, {Null: true, Type: 25}, {Value: []byte{0, 1, 255}, Binary: true, Type: 17}},
			SQL: &access.SQL{
				Scoped: true, Limit: -1, Statements: 2, Index: 1, Functions: []string{"pg_catalog.lower"}, Settings: []string{"work_mem"},
				Database: "shop", Fingerprint: "ab12", Why: "because",
			},
		},
		Digest: &digest,
		Decision: &access.Decision{
			ID: "01936c5e-8a3f-7b21-9c4d-1234567890ab", Effect: access.RequireApproval, Message: "no <b>", Hint: "ask", Policy: "9f86",
			Reasons: []access.Reason{{Policy: "p", Rule: "r", Effect: "deny", Message: "m", File: "f.yaml", Line: 3, Because: "now => 5", Lost: true}},
			Would:   []access.Reason{{Policy: "p", Rule: "w", Effect: "deny"}},
			Obligations: []access.Obligation{
				access.Mask{Column: access.ColumnID{Schema: "public", Table: "customers", Column: "email"}, With: "partial", Rule: "p/m"},
				access.Mask{Column: access.ColumnID{Schema: "public", Table: "customers", Column: "profile"}, With: "hash", Rule: "p/j", Paths: []string{"$.email", "$..ssn"}, Key: "2026"},
				access.Mask{Unknown: true, Detect: []string{"card", "jwt"}, With: "redact", Rule: "p/d"},
				access.Limit{Rows: 10, Bytes: 20, AffectedRows: 30, Timeout: time.Second, Rule: "p/l"}, access.Record{Rule: "p/r"}, access.Notify{Channel: "ops", Rule: "p/n"},
			},
			Approval: access.Quorum{From: []access.Approvers{{Group: "dba", Count: 2}}, Expires: 15 * time.Minute, Rules: []string{"p/r"}},
		},
		Approval: &access.ApprovalFact{
			Request: "R-7", State: "approved", From: []access.Approvers{{Group: "dba", Count: 1}}, By: []string{"local/bob"},
			Evidence: "web", Reason: "ok", Expires: at.Add(time.Hour), Requester: "local/alice",
		},
		Outcome: &access.Outcome{Rows: 1, Bytes: 2, Masked: 3, Duration: 4, Error: "42501 denied", Undone: true, NotRun: true, Unknown: true, Truncate: true},
		Reason:  "ticket 7", Message: "hello", Extra: map[string]any{"n": 1.0, "s": "x"},
	}
}

func TestEventRoundTrip(t *testing.T) {
	e := full()
	got, err := ParseEvent(AppendEvent(nil, e))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(&got, e) {
		t.Errorf("got  %s\nwant %s", dump(got), dump(*e))
	}
}

func dump(e access.Event) string {
	b, _ := json.MarshalIndent(e, "", " ")
	return string(b)
}

// The zero event and each part alone must be readable, too.
func TestSparseEvents(t *testing.T) {
	for _, e := range []*access.Event{
		{}, {Subject: &access.Subject{}}, {Action: &access.Action{}}, {Decision: &access.Decision{}}, {Outcome: &access.Outcome{}},
		{Approval: &access.ApprovalFact{}}, {Resource: &access.Resource{}}, {Client: &access.Client{}}, {Digest: &access.Digest{7}},
	} {
		got, err := ParseEvent(AppendEvent(nil, e))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(&got, e) {
			t.Errorf("got %s want %s", dump(got), dump(*e))
		}
	}
}

// Every struct's members must be in the JSON under the names that encoding/json
// gives them, so that other tools that use those types can read the journal.
func TestNamesAreThoseOfTheTypes(t *testing.T) {
	e := full()
	var got map[string]any
	if err := json.Unmarshal(AppendEvent(nil, e), &got); err != nil {
		t.Fatal(err)
	}
	for member, v := range map[string]any{"subject": e.Subject, "resource": e.Resource, "client": e.Client, "approval": e.Approval, "outcome": e.Outcome} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var want any
		if err := json.Unmarshal(b, &want); err != nil {
			t.Fatal(err)
		}
		micros(want)
		if !reflect.DeepEqual(got[member], want) {
			t.Errorf("%s:\n got %v\nwant %v", member, got[member], want)
		}
	}
}

// micros writes times as the journal does: always six digits.
func micros(v any) {
	m, ok := v.(map[string]any)
	if !ok {
		return
	}
	for k, x := range m {
		if s, ok := x.(string); ok {
			if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
				m[k] = string(appendTime(nil, t))
			}
		}
		micros(x)
	}
}

func TestSecretsNeverAppear(t *testing.T) {
	a := &access.Action{
		Verb: access.VerbAlter, Text: "alter role x password 'hunter2'", Shown: "alter role x password '[redacted]'",
		Args: []access.Arg{{Value: []byte("hunter2"), Secret: true}, {Value: []byte("hunter2"), Binary: true, Secret: true}},
	}
	var enc Encoder
	for _, a := range []access.Action{*a, func() access.Action { b := *a; b.Origin = new(access.Origin); return b }()} {
		e := &access.Event{Action: &a}
		for range 2 {
			got := string(enc.AppendBody(nil, e))
			if strings.Contains(got, "hunter2") || strings.Contains(got, hex.EncodeToString([]byte("hunter2"))) {
				t.Errorf("a secret is in %s", got)
			}
			if strings.Count(got, Redacted) != 3 {
				t.Errorf("not marked: %s", got)
			}
		}
		back, err := ParseEvent(AppendEvent(nil, e))
		if err != nil {
			t.Fatal(err)
		}
		if back.Action.Text != "" || back.Action.Shown != a.Shown || !back.Action.Args[0].Secret {
			t.Errorf("comes back as %+v", back.Action)
		}
	}
}

func TestCutsAreMarked(t *testing.T) {
	e := &access.Event{
		Action: &access.Action{
			Text: strings.Repeat("ü", MaxText),
			Args: []access.Arg{{Value: []byte(strings.Repeat("x", MaxArg+1))}, {Value: make([]byte, MaxArg), Binary: true}},
		},
		Message: strings.Repeat("m", MaxArg+5),
	}
	var got map[string]any
	if err := json.Unmarshal(AppendEvent(nil, e), &got); err != nil {
		t.Fatal(err)
	}
	a := got["action"].(map[string]any)
	if text := a["text"].(string); len(text) > MaxText || !utf8.ValidString(text) || a["text_truncated"] != float64(2*MaxText) {
		t.Errorf("text of %d bytes, marker %v", len(text), a["text_truncated"])
	}
	for i, want := range []float64{MaxArg + 1, MaxArg} {
		if got := a["args"].([]any)[i].(map[string]any)["truncated"]; got != want {
			t.Errorf("argument %d: marker %v, want %v", i, got, want)
		}
	}
	if got["message_truncated"] != float64(MaxArg+5) {
		t.Errorf("message: marker %v", got["message_truncated"])
	}
}

func TestArgumentsAreBounded(t *testing.T) {
	args := make([]access.Arg, 5000)
	for i := range args {
		args[i].Value = []byte(strings.Repeat("y", 1000))
	}
	b := AppendEvent(nil, &access.Event{Action: &access.Action{Args: args}})
	if len(b) > 2*MaxArgs {
		t.Errorf("%d bytes", len(b))
	}
	if !strings.Contains(string(b), `"args_truncated":5000`) {
		t.Error("not marked")
	}
}

// An event that exceeds every limit still becomes a record that fits.
func TestMonstrousEventFits(t *testing.T) {
	object := access.Object{Name: strings.Repeat("\x01", 4000), Columns: []access.ColumnUse{{Name: strings.Repeat("c", 4000)}}}
	objects := make([]access.Object, MaxList)
	for i := range objects {
		objects[i] = object
	}
	e := full()
	e.Action.Objects, e.Action.Text = objects, strings.Repeat("\x01", MaxText)
	var enc Encoder
	b := enc.AppendBody(nil, e)
	if len(b) > MaxBody {
		t.Fatalf("%d bytes", len(b))
	}
	_, _, j, err := splitBody(b)
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseEvent(j)
	if err != nil {
		t.Fatal(err)
	}
	if back.ID != e.ID || !strings.Contains(back.Message, "too large") {
		t.Errorf("comes back as %s %q", back.ID, back.Message)
	}
}

// What the encoder remembers of an origin must give the same bytes.
func TestMemoryChangesNothing(t *testing.T) {
	var enc Encoder
	e := full()
	e.Action.Origin = new(access.Origin)
	want := string(AppendEvent(nil, e))
	for range 3 {
		if got := string(enc.AppendEvent(nil, e)); got != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	}
	// Another origin, another text, whatever slot it falls into.
	for range 5000 {
		f := *e
		a := *e.Action
		a.Origin, a.Text = new(access.Origin), "select "+string(rune('a'+rand.IntN(26)))
		f.Action = &a
		if got, want := string(enc.AppendEvent(nil, &f)), string(AppendEvent(nil, &f)); got != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	}
}

func TestEncodeDoesNotAllocate(t *testing.T) {
	var enc Encoder
	e := decided()
	dst := enc.AppendBody(make([]byte, 0, 4096), e)
	if n := testing.AllocsPerRun(100, func() { dst = enc.AppendBody(dst[:0], e) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func decided() *access.Event {
	e := full()
	e.Subject.Claims, e.Subject.Actor, e.Resource.Labels, e.Extra, e.Outcome, e.Approval = nil, nil, nil, nil, nil, nil
	e.Action.Origin = new(access.Origin)
	e.Decision.Obligations, e.Decision.Would, e.Decision.Approval = nil, nil, access.Quorum{}
	return e
}

func BenchmarkEncode(b *testing.B) {
	var enc Encoder
	e := decided()
	dst := enc.AppendBody(make([]byte, 0, 4096), e)
	b.ReportAllocs()
	b.SetBytes(int64(len(dst)))
	for b.Loop() {
		dst = enc.AppendBody(dst[:0], e)
	}
}

func BenchmarkFrame(b *testing.B) {
	var enc Encoder
	e := decided()
	var salt [saltSize]byte
	dst := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		dst, _ = AppendFrame(dst[:0], e.Time, &salt, func(p []byte) []byte { return enc.AppendBody(p, e) })
		Seal(dst, 0, Hash{})
	}
}

// Any string comes back as encoding/json would give it back.
func TestStringsAreJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOf(rapid.Byte()).Draw(t, "s"))
		got := appendString(nil, s)
		var mine, std string
		if err := json.Unmarshal(got, &mine); err != nil {
			t.Fatalf("%q: %v", got, err)
		}
		want, _ := json.Marshal(s)
		json.Unmarshal(want, &std)
		if mine != std {
			t.Fatalf("%q comes back as %q, want %q", s, mine, std)
		}
	})
}

func TestTimesSortAsText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		micro := rapid.Int64Range(-1<<50, 1<<57)
		a, b := time.UnixMicro(micro.Draw(t, "a")), time.UnixMicro(micro.Draw(t, "b"))
		sa, sb := string(appendTime(nil, a)), string(appendTime(nil, b))
		if len(sa) != 27 {
			t.Fatalf("%s has %d characters", sa, len(sa))
		}
		if a.Year() >= 0 && a.Year() <= 9999 && b.Year() >= 0 && b.Year() <= 9999 && (sa < sb) != a.Before(b) {
			t.Fatalf("%s and %s are not in order", sa, sb)
		}
		if back, err := time.Parse(time.RFC3339Nano, sa); a.Year() >= 0 && a.Year() <= 9999 && (err != nil || !back.Equal(a)) {
			t.Fatalf("%s is not %s", sa, a)
		}
	})
}

func TestParseRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, s := range []string{
		``, `{`, `[]`, `{"action":{"verb":"fly"}}`, `{"decision":{"effect":"perhaps"}}`, `{"decision":{"effect":"allow","obligations":[{"kind":"sing"}]}}`,
		`{"digest":"zz"}`, `{"action":{"verb":"select","confidence":"exact","args":[{"hex":"0"}]}}`, `{"time":"yesterday"}`,
	} {
		if _, err := ParseEvent([]byte(s)); err == nil {
			t.Errorf("%s is accepted", s)
		}
	}
}

func FuzzParseEvent(f *testing.F) {
	f.Add(AppendEvent(nil, full()))
	f.Add(AppendEvent(nil, decided()))
	f.Add([]byte(`{"id":"x"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseEvent(b)
		if err != nil {
			return
		}
		// What was read can be written and read again.
		again, err := ParseEvent(AppendEvent(nil, &e))
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if again.ID != e.ID && utf8.ValidString(e.ID) {
			t.Fatalf("id %q became %q", e.ID, again.ID)
		}
	})
}
