package access

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestZeroValuesDeny(t *testing.T) {
	var d Decision
	if d.Effect != Deny || d.Effect.String() != "deny" {
		t.Errorf("the zero decision is %v", d.Effect)
	}
	if VerbUnknown.Class() != ClassUnknown || Verb(250).Class() != ClassUnknown {
		t.Error("an unknown verb has a class")
	}
	var c Confidence
	if c != Opaque {
		t.Errorf("the zero confidence is %v", c)
	}
	if (Posture{}).May {
		t.Error("the zero posture may do something")
	}
}

func TestNamesAreThereAndBack(t *testing.T) {
	for _, v := range Verbs() {
		got, ok := ParseVerb(v.String())
		if !ok || got != v || v.Class() == ClassUnknown {
			t.Errorf("%v: %v %v, class %v", v, got, ok, v.Class())
		}
		if c, ok := ParseClass(v.Class().String()); !ok || c != v.Class() {
			t.Errorf("class %v: %v %v", v.Class(), c, ok)
		}
	}
	for _, e := range []Effect{Deny, Allow, RequireApproval} {
		var got Effect
		text, _ := e.MarshalText()
		if err := got.UnmarshalText(text); err != nil || got != e {
			t.Errorf("%v: %v %v", e, got, err)
		}
	}
	var v Verb
	if err := v.UnmarshalText([]byte("selekt")); err == nil {
		t.Error("a misspelt verb was read")
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	s := NewSecret("hunter2")
	holder := struct{ S Secret }{s}
	b, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q %x %d", s, holder, holder, s, s, s, holder), string(b)} {
		if strings.Contains(text, "hunter2") || strings.Contains(text, "68756e74657232") {
			t.Errorf("printed: %s", text)
		}
	}
	if s.Reveal() != "hunter2" || s.Empty() || !(Secret{}).Empty() {
		t.Error("the secret is lost")
	}
}

func request(t *rapid.T) Request {
	word := rapid.SampledFrom([]string{"", "a", "b", "ab", "a\x00b"})
	r := Request{
		Subject:  Subject{Issuer: word.Draw(t, "issuer"), ID: word.Draw(t, "id")},
		Resource: Resource{Name: word.Draw(t, "resource"), Database: word.Draw(t, "database")},
		Action:   Action{Verb: rapid.SampledFrom(Verbs()).Draw(t, "verb"), Text: word.Draw(t, "text")},
	}
	for range rapid.IntRange(0, 2).Draw(t, "args") {
		r.Action.Args = append(r.Action.Args, Arg{Value: []byte(word.Draw(t, "value")), Null: rapid.Bool().Draw(t, "null")})
	}
	for range rapid.IntRange(0, 2).Draw(t, "bindings") {
		r.Action.Binding = append(r.Action.Binding, Setting{Name: word.Draw(t, "name"), Value: word.Draw(t, "value")})
	}
	if rapid.Bool().Draw(t, "actor") {
		r.Subject.Actor = &Subject{Issuer: word.Draw(t, "actor issuer"), ID: word.Draw(t, "actor id")}
	}
	return r
}

// An approval is for exactly one question: requests that differ in who, what,
// where or a value have different digests; time, session and reason do not count.
func TestDigestIdentifiesTheQuestion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := request(t), request(t)
		same := fmt.Sprintf("%#v %#v", a.Subject.Actor, a) == fmt.Sprintf("%#v %#v", b.Subject.Actor, b)
		spelt := func(r Request) string {
			actor := ""
			if r.Subject.Actor != nil {
				actor = fmt.Sprintf("%q %q", r.Subject.Actor.Issuer, r.Subject.Actor.ID)
			}
			r.Subject.Actor = nil
			return fmt.Sprintf("%#v|%s", r, actor)
		}
		same = same || spelt(a) == spelt(b)
		if (a.Digest() == b.Digest()) != same {
			t.Fatalf("digests equal %v, requests equal %v:\n%s\n%s", a.Digest() == b.Digest(), same, spelt(a), spelt(b))
		}
		c := a
		c.Context = Context{Time: time.Now(), Session: SessionInfo{ID: "other"}, Reason: "hurry"}
		c.Subject.Groups = []string{"more"}
		if a.Digest() != c.Digest() {
			t.Fatal("asking again is another question")
		}
	})
}
