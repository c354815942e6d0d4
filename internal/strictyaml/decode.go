package strictyaml

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// An Unmarshaler decodes itself. n is never an alias or null.
type Unmarshaler interface {
	UnmarshalStrict(d *Decoder, n *yaml.Node)
}

// At is a value together with where it stands. The zero At was not given.
type At[T any] struct {
	Value T
	Pos   Pos
}

// UnmarshalStrict implements [Unmarshaler].
func (a *At[T]) UnmarshalStrict(d *Decoder, n *yaml.Node) {
	a.Pos = d.At(n)
	d.Decode(n, &a.Value)
}

// Given reports whether the file has the value.
func (a At[T]) Given() bool { return a.Pos.Line > 0 }

// A Decoder decodes one document and collects its problems. It is made by
// [Decode] and handed to an [Unmarshaler].
type Decoder struct {
	file     string
	problems []Problem
	nodes    int
	depth    int
}

// Decode fills v, a non-nil pointer, from n and returns every problem.
func Decode(file string, n *yaml.Node, v any) []Problem {
	d := &Decoder{file: file}
	d.Decode(n, v)
	return clip(d.problems)
}

// At returns where n stands.
func (d *Decoder) At(n *yaml.Node) Pos { return at(d.file, n) }

func at(file string, n *yaml.Node) Pos { return Pos{File: file, Line: n.Line, Column: n.Column} }

// Problemf reports a problem at n.
func (d *Decoder) Problemf(n *yaml.Node, format string, args ...any) {
	d.problems = append(d.problems, d.At(n).Problemf(format, args...))
}

// Decode fills v, a non-nil pointer, from n.
func (d *Decoder) Decode(n *yaml.Node, v any) { d.value(n, reflect.ValueOf(v).Elem()) }

var (
	nodeType     = reflect.TypeFor[yaml.Node]()
	posType      = reflect.TypeFor[Pos]()
	durationType = reflect.TypeFor[time.Duration]()
)

// value decodes n into v, which is settable.
func (d *Decoder) value(n *yaml.Node, v reflect.Value) {
	if !d.enter(n) {
		return
	}
	defer d.leave()
	if v.Type() == reflect.PointerTo(nodeType) {
		v.Set(reflect.ValueOf(n))
		return
	}
	n = resolve(n)
	if v.Kind() == reflect.Pointer {
		d.pointer(n, v)
		return
	}
	if isNull(n) {
		if v.Kind() != reflect.Interface {
			d.Problemf(n, "want %s, got nothing", wanted(v.Type()))
		}
		return
	}
	if d.custom(n, v) {
		return
	}
	d.plain(n, v)
}

// enter counts a node against the budget, which bounds what aliases can make
// of a small file.
func (d *Decoder) enter(n *yaml.Node) bool {
	d.nodes++
	if d.nodes == MaxNodes+1 || d.depth == MaxDepth {
		d.Problemf(n, "too large or nested too deeply")
		d.nodes = MaxNodes + 1
	}
	if d.nodes > MaxNodes {
		return false
	}
	d.depth++
	return true
}

func (d *Decoder) leave() { d.depth-- }

func (d *Decoder) pointer(n *yaml.Node, v reflect.Value) {
	if isNull(n) {
		return
	}
	p := reflect.New(v.Type().Elem())
	d.value(n, p.Elem())
	v.Set(p)
}

// custom lets types that know better decode themselves.
func (d *Decoder) custom(n *yaml.Node, v reflect.Value) bool {
	if v.Type() == durationType {
		d.duration(n, v)
		return true
	}
	if !v.CanAddr() {
		return false
	}
	switch u := v.Addr().Interface().(type) {
	case Unmarshaler:
		u.UnmarshalStrict(d, n)
	case encoding.TextUnmarshaler:
		d.text(n, u)
	default:
		return false
	}
	return true
}

func (d *Decoder) duration(n *yaml.Node, v reflect.Value) {
	got, err := time.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		d.Problemf(n, "want a duration such as 15m or 1h30m, got %s", describe(n))
		return
	}
	v.SetInt(int64(got))
}

func (d *Decoder) text(n *yaml.Node, u encoding.TextUnmarshaler) {
	if n.Kind != yaml.ScalarNode {
		d.Problemf(n, "want a text, got %s", describe(n))
		return
	}
	if err := u.UnmarshalText([]byte(n.Value)); err != nil {
		d.Problemf(n, "%s", err)
	}
}

func (d *Decoder) plain(n *yaml.Node, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, v)
	case reflect.Map:
		d.mapping(n, v)
	case reflect.Slice:
		d.sequence(n, v)
	case reflect.Interface:
		d.free(n, v)
	default:
		d.scalar(n, v)
	}
}

func (d *Decoder) scalar(n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.ScalarNode {
		d.wrong(n, v.Type())
		return
	}
	if v.Kind() == reflect.String {
		if n.ShortTag() != "!!str" {
			d.Problemf(n, "want a text, got %s; put it in quotes", describe(n))
			return
		}
		v.SetString(n.Value)
		return
	}
	if !setNumber(n.ShortTag(), n.Value, v) {
		d.wrong(n, v.Type())
	}
}

// setNumber sets a boolean or number if the text is one that fits.
func setNumber(tag, value string, v reflect.Value) bool {
	switch {
	case v.Kind() == reflect.Bool:
		b, err := strconv.ParseBool(value)
		v.SetBool(b)
		return err == nil && tag == "!!bool"
	case v.CanInt():
		i, err := strconv.ParseInt(value, 10, v.Type().Bits())
		v.SetInt(i)
		return err == nil && tag == "!!int"
	case v.CanUint():
		i, err := strconv.ParseUint(value, 10, v.Type().Bits())
		v.SetUint(i)
		return err == nil && tag == "!!int"
	case v.CanFloat():
		f, err := strconv.ParseFloat(value, v.Type().Bits())
		v.SetFloat(f)
		return err == nil && (tag == "!!int" || tag == "!!float")
	}
	return false
}

func (d *Decoder) wrong(n *yaml.Node, t reflect.Type) {
	d.Problemf(n, "want %s, got %s", wanted(t), describe(n))
}

func (d *Decoder) sequence(n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		d.wrong(n, v.Type())
		return
	}
	list := reflect.MakeSlice(v.Type(), 0, min(len(n.Content), 1024))
	for _, c := range n.Content {
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(c, item)
		list = reflect.Append(list, item)
	}
	v.Set(list)
}

func (d *Decoder) mapping(n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.MappingNode || v.Type().Key().Kind() != reflect.String {
		d.wrong(n, v.Type())
		return
	}
	m := reflect.MakeMap(v.Type())
	d.pairs(n, func(key, val *yaml.Node) {
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(val, item)
		m.SetMapIndex(reflect.ValueOf(key.Value).Convert(v.Type().Key()), item)
	})
	v.Set(m)
}

// pairs calls f for each key of a mapping, in order, and reports duplicates.
func (d *Decoder) pairs(n *yaml.Node, f func(key, val *yaml.Node)) {
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := resolve(n.Content[i])
		switch {
		case key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge":
			d.Problemf(key, "merge keys (<<) are not supported")
		case key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str":
			d.Problemf(key, "want a text as key, got %s", describe(key))
		case seen[key.Value] > 0:
			d.Problemf(key, "key %q is already set on line %d", key.Value, seen[key.Value])
		default:
			seen[key.Value] = key.Line
			f(key, n.Content[i+1])
		}
	}
}

// Pairs calls f for each key of the mapping n, in order. Duplicate keys and
// anything that is no mapping are reported.
func (d *Decoder) Pairs(n *yaml.Node, f func(key, val *yaml.Node)) {
	if n = resolve(n); n.Kind != yaml.MappingNode {
		d.Problemf(n, "want a mapping, got %s", describe(n))
		return
	}
	d.pairs(n, f)
}

// free decodes into any: texts, numbers, booleans, lists and maps.
func (d *Decoder) free(n *yaml.Node, v reflect.Value) {
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		d.mapping(n, reflect.ValueOf(&m).Elem())
		v.Set(reflect.ValueOf(m))
	case yaml.SequenceNode:
		var l []any
		d.sequence(n, reflect.ValueOf(&l).Elem())
		v.Set(reflect.ValueOf(l))
	default:
		d.freeScalar(n, v)
	}
}

func (d *Decoder) freeScalar(n *yaml.Node, v reflect.Value) {
	var val any = n.Value
	var err error
	switch n.ShortTag() {
	case "!!bool":
		val, err = strconv.ParseBool(n.Value)
	case "!!int":
		val, err = strconv.ParseInt(n.Value, 10, 64)
	case "!!float":
		val, err = strconv.ParseFloat(n.Value, 64)
	}
	if err != nil {
		d.Problemf(n, "%s", err)
		return
	}
	v.Set(reflect.ValueOf(val))
}

// resolve follows an alias. yaml.v3 never makes an alias of an alias.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// describe names what stands at n, for messages.
func describe(n *yaml.Node) string {
	switch n = resolve(n); n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	value := n.Value
	if len(value) > 40 {
		value = value[:40] + "..."
	}
	kinds := map[string]string{"!!int": "the number ", "!!float": "the number ", "!!bool": "the boolean ", "!!timestamp": "the date "}
	if k, ok := kinds[n.ShortTag()]; ok {
		return k + value
	}
	if isNull(n) {
		return "nothing"
	}
	return fmt.Sprintf("%q", value)
}

// wanted names what a Go type is in YAML, for messages.
func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "a mapping"
	case reflect.Interface, reflect.Pointer:
		return "a value"
	}
	if strings.HasPrefix(t.Kind().String(), "int") || strings.HasPrefix(t.Kind().String(), "uint") {
		return "a whole number"
	}
	return t.String()
}

// names returns the keys of fields, sorted, for suggestions.
func names(fields map[string]field) []string {
	var all []string
	for name := range fields {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}
