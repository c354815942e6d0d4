package audit

import (
	"slices"
	"unicode/utf8"

	"sluice/access"
)

// appendStatic writes the members of an action that all actions of one origin
// share, without braces.
func appendStatic(b []byte, a *access.Action) []byte {
	o := obj{b, true}
	o.raw("verb", a.Verb.String())
	o.must("op", a.Op)
	o.raw("confidence", a.Confidence.String())
	o.flag("pure", a.Pure)
	if len(a.Objects) > 0 {
		o.key("objects")
		o.b = appendObjects(o.b, a.Objects)
	}
	text, was := cut(a.Visible(), MaxText)
	o.must("text", text)
	if was {
		o.num("text_truncated", int64(len(a.Visible())))
	}
	o.flag("redacted", a.Shown != "" && a.Shown != a.Text)
	if a.SQL != nil {
		o.key("sql")
		o.b = appendSQL(o.b, a.SQL)
	}
	return o.b
}

func appendAction(b []byte, e *access.Event, static *memo) []byte {
	b = append(b, '{')
	o := obj{append(b, static.json...), false}
	if len(e.Action.Args) > 0 {
		o.key("args")
		var whole bool
		o.b, whole = appendArgs(o.b, e.Action.Args)
		if !whole {
			o.num("args_truncated", int64(len(e.Action.Args)))
		}
	}
	if e.Digest != nil {
		o.hex("digest", e.Digest[:])
	}
	return o.close()
}

// appendArgs writes bound values until MaxArgs bytes or MaxList values, and
// reports whether that was all of them.
func appendArgs(b []byte, args []access.Arg) (_ []byte, whole bool) {
	room := MaxArgs
	b = append(b, '[')
	for i := range args {
		if room <= 0 || i >= MaxList {
			return append(b, ']'), false
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = appendArg(b, &args[i])
		room -= min(len(args[i].Value), MaxArg) + 16
	}
	return append(b, ']'), true
}

// appendArg writes one bound value: text as it is, anything else as hex.
func appendArg(b []byte, a *access.Arg) []byte {
	o := open(b)
	o.count("type", int64(a.Type))
	switch {
	case a.Null:
		o.flag("null", true)
	case a.Secret:
		o.raw("value", Redacted)
	case a.Binary || !utf8.Valid(a.Value):
		o.hex("hex", a.Value[:min(len(a.Value), MaxArg/2)])
		if len(a.Value) > MaxArg/2 {
			o.num("truncated", int64(len(a.Value)))
		}
	default:
		appendText(&o, a.Value)
	}
	o.flag("binary", a.Binary)
	o.flag("secret", a.Secret)
	return o.close()
}

func appendText(o *obj, v []byte) {
	short := v
	if len(v) > MaxArg {
		n := MaxArg
		for n > 0 && !utf8.RuneStart(v[n]) {
			n--
		}
		short = v[:n]
	}
	o.key("value")
	o.b = appendString(o.b, string(short))
	if len(short) < len(v) {
		o.num("truncated", int64(len(v)))
	}
}

func appendObjects(b []byte, objects []access.Object) []byte {
	b = append(b, '[')
	for i := range objects[:min(len(objects), MaxList)] {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendObject(b, &objects[i])
	}
	return append(b, ']')
}

func appendObject(b []byte, x *access.Object) []byte {
	o := open(b)
	o.must("kind", string(x.Kind))
	o.str("schema", x.Schema)
	o.must("name", x.Name)
	o.count("oid", int64(x.OID))
	o.flag("read", x.Read)
	o.flag("write", x.Write)
	if len(x.Columns) > 0 {
		o.key("columns")
		o.b = appendColumns(o.b, x.Columns)
	}
	o.flag("columns_known", x.ColumnsKnown)
	o.str("via", x.Via)
	o.flag("system", x.System)
	return o.close()
}

func appendColumns(b []byte, columns []access.ColumnUse) []byte {
	b = append(b, '[')
	for i, c := range columns[:min(len(columns), MaxList)] {
		if i > 0 {
			b = append(b, ',')
		}
		o := open(b)
		o.must("name", c.Name)
		o.num("use", int64(c.Use))
		b = o.close()
	}
	return append(b, ']')
}

func appendSQL(b []byte, s *access.SQL) []byte {
	o := open(b)
	o.boolean("scoped", s.Scoped)
	o.num("limit", s.Limit)
	o.count("statements", int64(s.Statements))
	o.count("index", int64(s.Index))
	o.strings("functions", s.Functions[:min(len(s.Functions), MaxList)])
	o.strings("settings", s.Settings[:min(len(s.Settings), MaxList)])
	o.str("database", s.Database)
	o.str("fingerprint", s.Fingerprint)
	o.str("why", s.Why)
	return o.close()
}

func appendLabels(b []byte, m map[string]string) []byte {
	var few [8]string
	keys := few[:0]
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, k)
		b = append(b, ':')
		b = appendString(b, m[k])
	}
	return append(b, '}')
}
