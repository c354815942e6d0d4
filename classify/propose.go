package classify

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"sluice/access"
	"sluice/mask"
)

// A Column counts what is found in the sampled values of one column. Make one
// with [NewColumn]. It is for one goroutine.
type Column struct {
	ID   access.ColumnID
	Type string // as the server spells it, without length: "character varying"

	looked    int            // values that were not null or empty
	whole     map[string]int // values that are one, by detector
	within    map[string]int // values that contain one
	spans     []mask.Span
	detectors *mask.Detector
}

// NewColumn returns a column to count into.
func NewColumn(id access.ColumnID, typ string) (*Column, error) {
	d, err := mask.NewDetector([]string{"all"})
	if err != nil {
		return nil, fmt.Errorf("classify: %w", err)
	}
	return &Column{ID: id, Type: typ, whole: map[string]int{}, within: map[string]int{}, detectors: d}, nil
}

// Add counts one value, as text. It keeps nothing of it.
func (c *Column) Add(value []byte) {
	value = bytes.Trim(bytes.TrimSpace(value), `"`)
	if len(value) == 0 {
		return
	}
	c.looked++
	c.spans = c.detectors.Find(value, c.spans[:0])
	var once []string
	for _, s := range c.spans {
		name := s.What.String()
		if slices.Contains(once, name) {
			continue
		}
		once = append(once, name)
		if s.Start == 0 && s.End == len(value) {
			c.whole[name]++
		} else {
			c.within[name]++
		}
	}
}

// A Proposal says what a column seems to hold.
type Proposal struct {
	Schema string `json:"schema"`
	Table  string `json:"table"`
	Column string `json:"column"`
	Type   string `json:"type"`

	Tags []string `json:"tags"`           // empty: nothing was found
	Mask string   `json:"mask,omitempty"` // a method that leaves something of use; empty: none is needed, or only detectors help
	Why  string   `json:"why"`            // the evidence, in numbers; never a value

	Looked int            `json:"values"`          // values looked at
	Found  map[string]int `json:"found,omitempty"` // values with each kind of find
	// Empty is true if there was no value to look at and the name says nothing:
	// somebody has to look.
	Empty bool `json:"empty,omitempty"`
}

const (
	// mostly is the share of values that must be of a kind, in hundredths.
	mostly = 60
	// enough is how many values make a share worth something.
	enough = 5
	// hintedShare is the share that is enough where the name says the same.
	hintedShare = 10
)

// Propose weighs what was counted. sampled is false for types whose values are
// not looked at.
func Propose(c *Column, sampled bool) Proposal {
	p := Proposal{Schema: c.ID.Schema, Table: c.ID.Table, Column: c.ID.Column, Type: c.Type, Tags: []string{}, Looked: c.looked, Found: c.found()}
	name, count := c.commonest()
	by, known := detected(name)
	hint, named := hinted(strings.ToLower(c.ID.Table), snake(c.ID.Column), c.Type)
	switch {
	case known && !c.identifier(name) && (c.share(count) >= mostly && c.looked >= enough || named && hint == by && c.share(count) >= hintedShare):
		p.take(by, fmt.Sprintf("%d of %d values look like %s", count, c.looked, name))
	case named:
		p.take(hint, c.nameOnly(hint))
	case c.contains():
		p.take(kindFreeText, "text that contains "+c.containing())
	case !sampled:
		p.Why = c.Type
	case c.looked == 0:
		p.Why, p.Empty = "no values to look at", true
	default:
		p.Why = fmt.Sprintf("nothing found in %d values", c.looked)
	}
	return p
}

// identifiers are columns whose values look random and are no secret.
var identifiers = regexp.MustCompile(`(^|_)(id|uuid|guid|ulid|hash|sha|sha256|md5|digest|checksum|sku|slug|code|etag|ref|reference|number|version|commit)$`)

func (c *Column) identifier(found string) bool {
	return found == "high_entropy" && identifiers.MatchString(snake(c.ID.Column))
}

func (p *Proposal) take(k kind, why string) {
	p.Tags, p.Mask, p.Why = append(p.Tags, k.tag), k.with, why
	if k.also != "" {
		p.Tags = append(p.Tags, k.also)
	}
}

func (c *Column) share(n int) int {
	if c.looked == 0 {
		return 0
	}
	return n * 100 / c.looked
}

// nameOnly is the evidence where the name decides.
func (c *Column) nameOnly(k kind) string {
	if c.looked == 0 {
		return "by its name"
	}
	n, telling := 0, false
	for _, name := range mask.Detectables() {
		if found, ok := detected(name); ok && found == k {
			n, telling = n+c.whole[name], true
		}
	}
	if !telling { // no detector knows one
		return "by its name"
	}
	return fmt.Sprintf("by its name; %d of %d values look like it", n, c.looked)
}

// commonest returns the detector that fits most values as a whole.
func (c *Column) commonest() (name string, count int) {
	for _, n := range sortedNames(c.whole) {
		if c.whole[n] > count {
			name, count = n, c.whole[n]
		}
	}
	return name, count
}

// contains reports whether what was found stands among other text, or in too
// few values to name the column by it. Strings that only look random do not
// count: identifiers do, too.
func (c *Column) contains() bool { return len(c.mixed()) > 0 && c.looked > 0 }

func (c *Column) mixed() map[string]int {
	all := map[string]int{}
	for name, n := range c.found() {
		if name != "high_entropy" && (n*100 >= c.looked || n >= enough) && textHolding(c.Type) {
			all[name] = n
		}
	}
	return all
}

// textHolding reports types whose values can be prose.
func textHolding(typ string) bool {
	return textual(typ) || typ == "json" || typ == "jsonb" || typ == "xml" || strings.HasSuffix(typ, "[]")
}

func (c *Column) containing() string {
	var parts []string
	mixed := c.mixed()
	for _, name := range sortedNames(mixed) {
		parts = append(parts, fmt.Sprintf("%s (%d of %d values)", name, mixed[name], c.looked))
	}
	return strings.Join(parts, ", ")
}

// found merges both counts.
func (c *Column) found() map[string]int {
	all := map[string]int{}
	for name, n := range c.whole {
		all[name] += n
	}
	for name, n := range c.within {
		all[name] += n
	}
	return all
}

func sortedNames(m map[string]int) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// snake turns camelCase into words with underscores between.
func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if r >= 'A' && r <= 'Z' {
			if i > 0 && name[i-1] >= 'a' && name[i-1] <= 'z' {
				b.WriteByte('_')
			}
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}
