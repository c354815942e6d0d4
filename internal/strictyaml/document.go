package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// APIVersion is the version that every document states.
const APIVersion = "sluice/v1"

// Limits on what is read. They bound memory and time, not real configurations.
const (
	MaxFile      = 4 << 20 // bytes in a file
	MaxDocuments = 10_000  // documents in a file
	MaxNodes     = 400_000 // YAML nodes decoded from one document, aliases expanded
	MaxDepth     = 64      // nesting
	maxProblems  = 1000    // reported for a file; more would help nobody
)

// A Document is one resource on disk.
type Document struct {
	File       string
	APIVersion string
	Kind       string
	Name       string
	Labels     map[string]string
	Spec       *yaml.Node // a mapping; nil if the document has none
	Line       int        // where the document starts, from 1
	NamePos    Pos        // where the name stands
}

// Pos returns where the document starts.
func (d Document) Pos() Pos { return Pos{File: d.File, Line: d.Line, Column: 1} }

// Decode fills v, a pointer, from the document's spec. It returns every problem
// in it; v is filled as far as it could be.
func (d Document) Decode(v any) []Problem {
	if d.Spec == nil {
		return []Problem{d.Pos().Problemf("%s %q: spec is missing", d.Kind, d.Name)}
	}
	return Decode(d.File, d.Spec, v)
}

// envelope is the outer form of a document.
type envelope struct {
	APIVersion At[string] `yaml:"apiVersion,required"`
	Kind       At[string] `yaml:"kind,required"`
	Metadata   metadata   `yaml:"metadata,required"`
	Spec       *yaml.Node `yaml:"spec"`
}

type metadata struct {
	Name   At[string]        `yaml:"name,required"`
	Labels map[string]string `yaml:"labels"`
}

// Parse reads the documents of one file. file is only used in positions. The
// documents without problems are returned even if others have some.
func Parse(file string, data []byte) ([]Document, []Problem) {
	start := Pos{File: file, Line: 1, Column: 1}
	if len(data) > MaxFile {
		return nil, []Problem{start.Problemf("the file has %d bytes, more than %d", len(data), MaxFile)}
	}
	var (
		docs     []Document
		problems []Problem
	)
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var n yaml.Node
		err := dec.Decode(&n)
		if errors.Is(err, io.EOF) {
			return docs, clip(problems)
		}
		if err != nil {
			return docs, clip(append(problems, syntaxProblem(file, err)))
		}
		if len(docs) >= MaxDocuments {
			return docs, clip(append(problems, start.Problemf("the file has more than %d documents", MaxDocuments)))
		}
		d, ps := document(file, &n)
		problems = append(problems, ps...)
		if d != nil && len(ps) == 0 {
			docs = append(docs, *d)
		}
	}
}

// document reads one envelope; nil for an empty document.
func document(file string, n *yaml.Node) (*Document, []Problem) {
	if n.Kind != yaml.DocumentNode || len(n.Content) == 0 || isNull(n.Content[0]) {
		return nil, nil
	}
	root := n.Content[0]
	var e envelope
	problems := Decode(file, root, &e)
	if len(problems) > 0 {
		return nil, problems
	}
	if e.APIVersion.Value != APIVersion {
		problems = append(problems, e.APIVersion.Pos.Problemf("unknown apiVersion %q, want %q", e.APIVersion.Value, APIVersion))
	}
	if e.Metadata.Name.Value == "" || e.Kind.Value == "" {
		problems = append(problems, e.Kind.Pos.Problemf("kind and metadata.name must not be empty"))
	}
	if e.Spec != nil && resolve(e.Spec).Kind != yaml.MappingNode {
		problems = append(problems, at(file, e.Spec).Problemf("spec: want a mapping, got %s", describe(e.Spec)))
	}
	return &Document{
		File: file, APIVersion: e.APIVersion.Value, Kind: e.Kind.Value, Name: e.Metadata.Name.Value,
		Labels: e.Metadata.Labels, Spec: e.Spec, Line: root.Line, NamePos: e.Metadata.Name.Pos,
	}, problems
}

// Duplicates reports documents that share kind and name with an earlier one.
func Duplicates(docs []Document) []Problem {
	type key struct{ kind, name string }
	var problems []Problem
	seen := map[key]Pos{}
	for _, d := range docs {
		k := key{d.Kind, d.Name}
		if first, ok := seen[k]; ok {
			problems = append(problems, d.NamePos.Problemf("%s %q is already defined at %s", d.Kind, d.Name, first))
			continue
		}
		seen[k] = d.NamePos
	}
	return problems
}

// yaml.v3 puts the position into the text of its errors.
var errorLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

func syntaxProblem(file string, err error) Problem {
	p := Problem{File: file, Line: 1, Column: 1, Message: err.Error()}
	if m := errorLine.FindStringSubmatch(err.Error()); m != nil {
		p.Message = "not valid YAML: " + m[2]
		if line, err := strconv.Atoi(m[1]); err == nil {
			p.Line = line
		}
	}
	return p
}

func clip(ps []Problem) []Problem {
	if len(ps) <= maxProblems {
		return ps
	}
	more := ps[maxProblems]
	more.Message = fmt.Sprintf("%d more problems", len(ps)-maxProblems)
	return append(ps[:maxProblems:maxProblems], more)
}
