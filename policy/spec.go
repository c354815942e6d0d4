package policy

import (
	"time"

	"go.yaml.in/yaml/v3"
	"sluice/internal/strictyaml"
)

// This file is the form of kind Policy on disk; compile.go gives it its meaning.

type (
	text  = strictyaml.At[string]
	texts = []text
)

type policySpec struct {
	Mode      text       `yaml:"mode"`
	Protocols texts      `yaml:"protocols"` // for rules whose match names none
	Defs      defsSpec   `yaml:"defs"`
	Rules     []ruleSpec `yaml:"rules,required"`
}

type ruleSpec struct {
	Pos      strictyaml.Pos
	ID       text           `yaml:"id,required"`
	Mode     text           `yaml:"mode"`
	Match    matchSpec      `yaml:"match"`
	When     expressionSpec `yaml:"when"`
	Effect   text           `yaml:"effect,required"`
	Approval *approvalSpec  `yaml:"approval"`
	Identity *identitySpec  `yaml:"identity"`
	Mask     *maskSpec      `yaml:"mask"`
	Limit    *limitSpec     `yaml:"limit"`
	Record   bool           `yaml:"record"`
	Notify   texts          `yaml:"notify"`
	Message  string         `yaml:"message"`
	Hint     string         `yaml:"hint"`
}

type matchSpec struct {
	Pos        strictyaml.Pos
	Protocols  texts         `yaml:"protocols"`
	Verbs      texts         `yaml:"verbs"`
	Access     texts         `yaml:"access"`
	Groups     texts         `yaml:"groups"`
	Subjects   texts         `yaml:"subjects"`
	Kinds      texts         `yaml:"kinds"`
	Resource   *resourceSpec `yaml:"resource"`
	Tables     texts         `yaml:"tables"`
	Columns    texts         `yaml:"columns"`
	Tags       texts         `yaml:"tags"`
	Functions  texts         `yaml:"functions"`
	Settings   texts         `yaml:"settings"`
	Commands   *commandsSpec `yaml:"commands"`
	Confidence texts         `yaml:"confidence"`
	Client     *clientSpec   `yaml:"client"`
	Not        *matchSpec    `yaml:"not"`
}

type resourceSpec struct {
	Names  texts                `yaml:"names"`
	Labels map[string]labelSpec `yaml:"labels"`
}

type commandsSpec struct {
	Pos   strictyaml.Pos
	Words texts `yaml:"words"`
	Paths texts `yaml:"paths"`
	Regex texts `yaml:"regex"`
}

type clientSpec struct {
	CIDR texts `yaml:"cidr,required"`
}

type approvalSpec struct {
	Pos     strictyaml.Pos
	From    []approverSpec               `yaml:"from,required"`
	Expires strictyaml.At[time.Duration] `yaml:"expires"`
	Binds   text                         `yaml:"binds"`
	Grant   *grantSpec                   `yaml:"grant"`

	Reason   text                         `yaml:"reason"`
	Ticket   text                         `yaml:"ticket"`
	Comment  text                         `yaml:"comment"`
	Confirm  bool                         `yaml:"confirm"`
	Remind   strictyaml.At[time.Duration] `yaml:"remind"`
	Escalate *escalateSpec                `yaml:"escalate"`
	Channels texts                        `yaml:"channels"`
	At       text                         `yaml:"at"`
	Preview  text                         `yaml:"preview"`
	MaxHold  strictyaml.At[time.Duration] `yaml:"max_hold"`
	Glass    *glassSpec                   `yaml:"break_glass"`
}

type glassSpec struct {
	Pos    strictyaml.Pos
	Groups texts                        `yaml:"groups,required"`
	For    strictyaml.At[time.Duration] `yaml:"for,required"`
	Review strictyaml.At[time.Duration] `yaml:"review,required"`
	Alert  texts                        `yaml:"alert"`
}

type grantSpec struct {
	Pos  strictyaml.Pos
	For  strictyaml.At[time.Duration] `yaml:"for,required"`
	Uses int                          `yaml:"uses,required"`
	Rows int64                        `yaml:"rows,required"`
}

type escalateSpec struct {
	Pos   strictyaml.Pos
	After strictyaml.At[time.Duration] `yaml:"after,required"`
	To    []approverSpec               `yaml:"to,required"`
}

type approverSpec struct {
	Pos   strictyaml.Pos
	Group text `yaml:"group,required"`
	Count *int `yaml:"count"`
}

type maskSpec struct {
	Pos     strictyaml.Pos
	Columns texts `yaml:"columns"`
	Detect  texts `yaml:"detect"`
	Paths   texts `yaml:"paths"`
	Key     text  `yaml:"key"`
	With    text  `yaml:"with,required"`

	Filterable   text              `yaml:"filterable"`
	Aggregatable *aggregatableSpec `yaml:"aggregatable"`
	Joinable     bool              `yaml:"joinable"`
}

type limitSpec struct {
	Pos          strictyaml.Pos
	Rows         *int64                       `yaml:"rows"`
	Bytes        *int64                       `yaml:"bytes"`
	AffectedRows *int64                       `yaml:"affected_rows"`
	Timeout      strictyaml.At[time.Duration] `yaml:"timeout"`
}

// A labelSpec is one wanted value of a label, or a list of them.
type labelSpec struct {
	Pos    strictyaml.Pos
	Values []string
}

// UnmarshalStrict implements [strictyaml.Unmarshaler].
func (l *labelSpec) UnmarshalStrict(d *strictyaml.Decoder, n *yaml.Node) {
	l.Pos = d.At(n)
	if n.Kind == yaml.SequenceNode {
		d.Decode(n, &l.Values)
		return
	}
	var one string
	d.Decode(n, &one)
	l.Values = []string{one}
}

// An expressionSpec is CEL text that knows how it was written, so that an
// error inside it can be placed.
type expressionSpec struct {
	Pos   strictyaml.Pos
	Text  string
	Style yaml.Style
}

// UnmarshalStrict implements [strictyaml.Unmarshaler].
func (e *expressionSpec) UnmarshalStrict(d *strictyaml.Decoder, n *yaml.Node) {
	e.Pos, e.Style = d.At(n), n.Style
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!bool" {
		e.Text = n.Value // when: true
		return
	}
	d.Decode(n, &e.Text)
}

func (e expressionSpec) given() bool { return e.Pos.Line > 0 }

// place maps a place inside the expression (line from 1, column from 0) to one
// in the file. Folded and escaped texts are placed as well as can be.
func (e expressionSpec) place(line, column int) strictyaml.Pos {
	p := e.Pos
	switch {
	case e.Style&yaml.LiteralStyle != 0:
		p.Line, p.Column = p.Line+line, column+1
	case e.Style&yaml.FoldedStyle != 0:
		p.Line, p.Column = p.Line+line, 1
	case e.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		p.Column += column + 1
	default:
		p.Column += column
	}
	return p
}

// defsSpec keeps the definitions in order: each may use those above it.
type defsSpec []defSpec

type defSpec struct {
	name text
	expr expressionSpec
}

// UnmarshalStrict implements [strictyaml.Unmarshaler].
func (l *defsSpec) UnmarshalStrict(d *strictyaml.Decoder, n *yaml.Node) {
	d.Pairs(n, func(key, val *yaml.Node) {
		def := defSpec{name: text{Value: key.Value, Pos: d.At(key)}}
		d.Decode(val, &def.expr)
		*l = append(*l, def)
	})
}
