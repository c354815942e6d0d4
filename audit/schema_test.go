package audit

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/access"
)

// A schema is the part of JSON Schema that docs/schema uses.
type schema struct {
	Ref                  string             `json:"$ref"`
	Type                 string             `json:"type"`
	Enum                 []string           `json:"enum"`
	Pattern              string             `json:"pattern"`
	Format               string             `json:"format"`
	Properties           map[string]*schema `json:"properties"`
	Required             []string           `json:"required"`
	AdditionalProperties json.RawMessage    `json:"additionalProperties"`
	Items                *schema            `json:"items"`
	Defs                 map[string]*schema `json:"$defs"`
}

func loadSchema(t *testing.T) *schema {
	b, err := os.ReadFile("../docs/schema/event.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var s schema
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	return &s
}

// check returns what in v the schema does not allow.
func (s *schema) check(v any, at string, root *schema) (bad []string) {
	if s.Ref != "" {
		return root.Defs[strings.TrimPrefix(s.Ref, "#/$defs/")].check(v, at, root)
	}
	say := func(format string, args ...any) { bad = append(bad, at+": "+fmt.Sprintf(format, args...)) }
	switch v := v.(type) {
	case map[string]any:
		if s.Type != "object" {
			say("an object is not allowed")
		}
		bad = append(bad, s.object(v, at, root)...)
	case []any:
		if s.Type != "array" {
			say("an array is not allowed")
			return bad
		}
		for i, e := range v {
			bad = append(bad, s.Items.check(e, fmt.Sprintf("%s[%d]", at, i), root)...)
		}
	case string:
		if s.Type != "string" && s.Enum == nil {
			say("a string is not allowed")
		}
		if s.Enum != nil && !slices.Contains(s.Enum, v) {
			say("%q is not one of %q", v, s.Enum)
		}
		if s.Pattern != "" && !regexp.MustCompile(s.Pattern).MatchString(v) {
			say("%q does not match %s", v, s.Pattern)
		}
		if _, err := time.Parse(time.RFC3339Nano, v); s.Format == "date-time" && err != nil {
			say("%q is no time", v)
		}
	case float64:
		if s.Type != "integer" || v != float64(int64(v)) {
			say("%v is not allowed", v)
		}
	case bool:
		if s.Type != "boolean" {
			say("a boolean is not allowed")
		}
	default:
		say("%v is not allowed", v)
	}
	return bad
}

func (s *schema) object(v map[string]any, at string, root *schema) (bad []string) {
	for _, k := range s.Required {
		if _, ok := v[k]; !ok {
			bad = append(bad, at+": "+k+" is missing")
		}
	}
	for k, e := range v {
		switch p := s.Properties[k]; {
		case p != nil:
			bad = append(bad, p.check(e, at+"."+k, root)...)
		case string(s.AdditionalProperties) == "false":
			bad = append(bad, at+": "+k+" is not in the schema")
		}
	}
	return bad
}

func TestSchemaDescribesEvents(t *testing.T) {
	root := loadSchema(t)
	long := full()
	long.Message, long.Reason = strings.Repeat("x", MaxArg+1), strings.Repeat("x", MaxArg+1)
	long.Action.Text = strings.Repeat("x", MaxText+1)
	long.Action.Args = append(long.Action.Args, access.Arg{Value: make([]byte, 2*MaxArg)}, access.Arg{Secret: true})
	long.Decision.Message, long.Decision.Hint = long.Message, long.Message
	long.Decision.Reasons[0].Because, long.Decision.Reasons[0].Message = long.Message, long.Message
	long.Outcome.Error, long.Client.Program = long.Message, long.Message
	long.Approval.Evidence, long.Approval.Reason = long.Message, long.Message
	noAction := full()
	noAction.Action = nil
	for _, e := range []*access.Event{full(), decided(), long, noAction, {Type: access.GatewayStarted}} {
		var v any
		if err := json.Unmarshal(AppendEvent(nil, e), &v); err != nil {
			t.Fatal(err)
		}
		for _, bad := range root.check(v, "event", root) {
			t.Error(bad)
		}
	}
}

func TestSchemaKnowsEveryType(t *testing.T) {
	root := loadSchema(t)
	b, err := os.ReadFile("../access/event.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`EventType = "([a-z.]+)"`).FindAllStringSubmatch(string(b), -1) {
		if !slices.Contains(root.Properties["type"].Enum, m[1]) {
			t.Errorf("event type %s is not in the schema", m[1])
		}
	}
}

func TestSchemaRefuses(t *testing.T) {
	root := loadSchema(t)
	for _, s := range []string{
		`{}`, `{"id":"x","time":"today","type":"action.decided"}`, `{"id":"x","time":"2026-11-20T14:10:28.123456Z","type":"nonsense"}`,
		`{"id":"x","time":"2026-11-20T14:10:28.123456Z","type":"action.decided","surprise":1}`,
		`{"id":"x","time":"2026-11-20T14:10:28.123456Z","type":"action.decided","action":{"verb":"select"}}`,
	} {
		var v any
		if err := json.Unmarshal([]byte(s), &v); err != nil {
			t.Fatal(err)
		}
		if len(root.check(v, "event", root)) == 0 {
			t.Errorf("%s is accepted", s)
		}
	}
}
