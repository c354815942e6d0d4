// Package strictyaml reads configuration in the one envelope that everything on
// disk uses (apiVersion, kind, metadata, spec) and decodes it strictly.
//
// [Read] and [Parse] turn files into [Document]s, each with its spec still a
// YAML node. [Document.Decode] fills a Go value from that node and reports
// every mistake at once, each as a [Problem] with file, line and column:
// unknown keys (with the nearest known one), duplicate keys, wrong types,
// missing required keys. It never stops at the first.
//
// Fields take their key from the `yaml:"name"` tag, as usual; the option
// "required" demands the key, "inline" merges an embedded struct's keys. A
// struct field of type [Pos] is set to where its struct stands, and [At] wraps
// any type with the position of its value, so that later checks can point at
// the text too. Types that implement [Unmarshaler] or encoding.TextUnmarshaler
// decode themselves; time.Duration reads "15m".
//
// YAML's surprises are closed: a number or boolean where a text is wanted is
// an error rather than a conversion, merge keys are refused, and aliases count
// against a budget of nodes, so that a small file cannot expand into a large
// one. Sizes are bounded by [MaxFile], [MaxDocuments], [MaxNodes] and
// [MaxDepth].
//
// The package has no global state; its functions are safe for concurrent use.
package strictyaml
