// Package config reads the gateway's YAML: one file or a folder of them, each a
// list of documents with one envelope (package strictyaml).
//
// [Load] reads everything, checks it as a whole and returns either a complete
// [Config] or every problem in it with file:line:column; there is no half
// configuration. What it checks goes beyond spelling: secrets must be there,
// a listener beyond loopback must have TLS, names must be usable as database
// names, nobody's owner may be missing. Policies and policy tests are handed on
// as documents: package policy compiles them.
//
// The types are plain data. Defaults are filled in, relative paths are relative to the file that
// names them and absolute afterwards. No secret is read here,
// only looked for: package secret resolves them, when they are needed. A literal secret
// is kept in an [access.Secret].
//
// [Watcher] polls the files and reports a new valid configuration, or why the
// new one is none; the caller keeps the old one then.
package config
