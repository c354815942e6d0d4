package evasion

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// What an attack may say of itself.
const (
	leaks    = "leaks"             // undefended
	safe     = "safe"              // undefended: the server itself does not tell
	blocked  = "blocked"           // through Sluice
	byDesign = "allowed-by-design" // through Sluice, with a reason
)

// An attack is one entry of attacks/*.yaml.
type attack struct {
	ID    string `yaml:"id"`
	About string `yaml:"about"`

	// Since is the first server version that knows what the attack needs; 0: all.
	Since int `yaml:"since"`

	// Setup makes what the attack needs. Writes gives it a database of its own: it
	// changes something, or its setup would meet other attacks.
	Setup  string `yaml:"setup"`
	Writes bool   `yaml:"writes"`

	Startup map[string]string `yaml:"startup"` // parameters of the connection
	Steps   []step            `yaml:"steps"`

	Undefended string `yaml:"undefended"`
	Through    string `yaml:"through"`
	Reason     string `yaml:"reason"` // of what is allowed by design

	topic string
}

// A step is one exchange: a text is a simple Query.
type step struct {
	On string `yaml:"on"` // which session of the subject; the first if empty

	Query     string    `yaml:"query"`
	Extended  string    `yaml:"extended"`  // Parse, Bind, Describe, Execute, Sync
	Send      []message `yaml:"send"`      // messages as they are, ending with a Sync
	Call      string    `yaml:"call"`      // FunctionCall: a regprocedure
	Elsewhere string    `yaml:"elsewhere"` // run directly, by somebody else

	Args        []arg    `yaml:"args"`
	Types       []uint32 `yaml:"types"`
	Named       []string `yaml:"named"`  // types that have a number of their own in every database
	Binary      bool     `yaml:"binary"` // results in binary
	Undescribed bool     `yaml:"undescribed"`
	Rows        uint32   `yaml:"rows"` // Execute's limit
	Data        string   `yaml:"data"` // for COPY FROM STDIN
}

// A message is one of the extended protocol.
type message struct {
	Query *string `yaml:"query"`

	Parse *string  `yaml:"parse"` // the text
	Name  string   `yaml:"name"`
	Types []uint32 `yaml:"types"`

	Bind      *string `yaml:"bind"` // the portal
	Statement string  `yaml:"statement"`
	Args      []arg   `yaml:"args"`
	Binary    bool    `yaml:"binary"`

	Describe *string `yaml:"describe"` // "S:statement" or "P:portal"
	Execute  *string `yaml:"execute"`  // the portal
	Rows     uint32  `yaml:"rows"`
	Close    *string `yaml:"close"` // as describe
	Flush    bool    `yaml:"flush"`
	Sync     bool    `yaml:"sync"`
}

// An arg is a value to bind: a text, null, or {hex: ...} for the binary format.
type arg struct {
	value  []byte
	binary bool
}

func (a *arg) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		if n.Tag != "!!null" {
			a.value = []byte(n.Value)
		}
		return nil
	}
	var m struct {
		Hex string `yaml:"hex"`
	}
	if err := n.Decode(&m); err != nil {
		return err
	}
	a.binary = true
	var err error
	a.value, err = hex.DecodeString(m.Hex)
	return err
}

func (s *step) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		s.Query = n.Value
		return nil
	}
	type plain step
	return decodeStrictly(n, (*plain)(s))
}

// decodeStrictly is Node.Decode that knows no keys but those of v.
func decodeStrictly(n *yaml.Node, v any) error {
	b, err := yaml.Marshal(n)
	if err != nil {
		return err
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	return d.Decode(v)
}

var idForm = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// loadAttacks reads the corpus and checks what is written down.
func loadAttacks(t testing.TB) []*attack {
	t.Helper()
	files, err := filepath.Glob("attacks/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no attacks", err)
	}
	var all []*attack
	ids := map[string]bool{}
	for _, name := range files {
		var list []*attack
		readYAML(t, name, &list)
		for _, a := range list {
			a.topic = strings.TrimSuffix(filepath.Base(name), ".yaml")
			if problem := a.check(); problem != "" || ids[a.ID] {
				t.Fatalf("%s: %s: %s (seen before: %v)", name, a.ID, problem, ids[a.ID])
			}
			ids[a.ID] = true
		}
		all = append(all, list...)
	}
	return all
}

func readYAML(t testing.TB, name string, v any) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(v); err != nil {
		t.Fatal(fmt.Errorf("%s: %w", name, err))
	}
}

func (a *attack) check() string {
	switch {
	case !idForm.MatchString(a.ID):
		return "what a name"
	case a.About == "" || len(a.Steps) == 0:
		return "about and steps are needed"
	case a.Undefended != leaks && a.Undefended != safe:
		return "undefended is leaks or safe"
	case a.Through != blocked && a.Through != byDesign:
		return "through is blocked or allowed-by-design"
	case (a.Through == byDesign) != (a.Reason != ""):
		return "what is allowed by design has a reason, and only that"
	}
	return ""
}

// ownEnds are statements for which it matters whether a transaction is open.
var ownEnds = regexp.MustCompile(`(?i)\b(begin|commit|rollback|vacuum|discard|alter database|create database|copy|setval|cursor|with hold|listen|on commit)\b`)

// rolledBack is the attack within a transaction that is rolled back, its setup
// included, where that makes no difference.
func (a *attack) rolledBack() ([]step, bool) {
	if !a.Writes || ownEnds.MatchString(a.Setup) {
		return nil, false
	}
	steps := []step{{Query: "BEGIN"}}
	if a.Setup != "" {
		steps = append(steps, step{Query: a.Setup})
	}
	for _, s := range a.Steps {
		if s.Query == "" || s.On != "" || s.Data != "" || ownEnds.MatchString(s.Query) {
			return nil, false
		}
		steps = append(steps, s)
	}
	return append(steps, step{Query: "ROLLBACK"}), true
}

// text is all that the attacker writes.
func (a *attack) text() []byte {
	var b []byte
	add := func(args []arg, texts ...string) {
		for _, text := range texts {
			b = append(append(b, text...), 0)
		}
		for _, v := range args {
			b = append(append(b, v.value...), 0)
		}
	}
	for _, s := range a.Steps {
		add(s.Args, s.Query, s.Extended, s.Data)
		for _, m := range s.Send {
			for _, text := range []*string{m.Query, m.Parse} {
				if text != nil {
					add(nil, *text)
				}
			}
			add(m.Args)
		}
	}
	return b
}
