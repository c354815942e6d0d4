package postgres

import (
	"slices"
	"strings"

	pgquery "github.com/pganalyze/pg_query_go/v6"

	"sluice/access"
	"sluice/query/catalog"
)

// call walks a function call. Whatever goes in may come out.
func (a *analysis) call(sc *scope, f *pgquery.FuncCall, use access.Use) {
	use = flowing(use)
	shown := a.shown
	if setReturning()[lastName(f.Funcname)] { // how many rows there are
		use |= access.UseFilter
		a.shown = false
	}
	defer func() { a.shown = shown }()
	p := names(f.Funcname)
	schema, name := "", p[len(p)-1]
	if len(p) > 1 {
		schema = p[len(p)-2]
	}
	if len(p) > 2 {
		a.database(p[0])
	}
	if !a.aggregated(sc, f, use) {
		a.exprs(sc, f.Args, use)
	}
	if f.AggWithinGroup { // what is sorted is what it returns
		a.exprs(sc, f.AggOrder, use)
	} else {
		a.keys(sc, f.AggOrder, access.UseOrder)
	}
	a.condition(sc, f.AggFilter, use)
	a.windowDef(sc, f.Over, use)
	a.function(schema, name, len(f.Args), f)
}

// setReturning are the functions of the server and of trusted extensions that
// return rows, of those that only compute.
var setReturning = set(`generate_series generate_subscripts unnest regexp_matches regexp_split_to_table string_to_table
 json_array_elements json_array_elements_text jsonb_array_elements jsonb_array_elements_text json_each json_each_text
 jsonb_each jsonb_each_text json_object_keys jsonb_object_keys jsonb_path_query jsonb_path_query_tz json_populate_recordset
 jsonb_populate_recordset json_to_recordset jsonb_to_recordset aclexplode ts_debug ts_parse ts_token_type
 pg_available_extension_versions pg_available_extensions pg_config pg_extension_update_paths pg_get_catalog_foreign_keys
 pg_get_keywords pg_get_multixact_members pg_get_publication_tables pg_options_to_table pg_partition_ancestors
 pg_partition_tree pg_show_all_settings pg_snapshot_xip pg_stat_get_backend_idset pg_stat_get_slru pg_tablespace_databases
 pg_timezone_abbrevs pg_timezone_names txid_snapshot_xip each skeys svals pgp_armor_headers`)

// function judges a call by name and number of arguments. f is nil for
// functional notation (row.name).
func (a *analysis) function(schema, name string, args int, f *pgquery.FuncCall) {
	class, qualified := a.classify(schema, name, args)
	if schema == "" && a.env.Catalog == nil {
		a.partial("without a catalog a user's function may stand behind " + name)
	}
	if !slices.Contains(a.funcs, qualified) {
		a.funcs = append(a.funcs, qualified)
	}
	switch class {
	case fnPure:
		return
	case fnHarmless:
		a.impure()
		return
	}
	a.impure()
	a.literal = a.literal || class != fnUnknown
	a.functionObject(qualified)
	a.special(class, name, qualified, f)
}

func (a *analysis) functionObject(qualified string) {
	o := access.Object{Kind: access.KindFunction, Name: qualified}
	if schema, name, ok := strings.Cut(qualified, "."); ok {
		o.Schema, o.Name = schema, name
	}
	o.System = o.Schema == "pg_catalog"
	a.object(o)
}

// special handles the functions that do more than compute.
func (a *analysis) special(class funcClass, name, qualified string, f *pgquery.FuncCall) {
	switch class {
	case fnSequence:
		a.effect(access.VerbNextval)
		a.sequence(f)
	case fnSetting:
		a.setConfig(f)
	case fnNotify:
		a.effect(access.VerbNotify)
		if channel, ok := a.stringArg(f, 0); ok {
			a.object(access.Object{Kind: access.KindChannel, Name: channel, Write: true})
		} else {
			a.partial("pg_notify's channel is computed")
		}
	case fnLock:
		a.effect(access.VerbLock) // other sessions see the number, which is judged as any argument
	case fnLeak:
		if strings.HasPrefix(name, "pg_input_") {
			a.partial(qualified + " checks a value with code that is not in the text")
		}
		a.partial(qualified + " shows what is not its own")
		a.flow(lineage{broken: true})
	case fnFile:
		a.effect(access.VerbExecute)
		a.file(name, f)
		a.partial(qualified + " reaches the server's files")
		a.flow(lineage{broken: true})
	case fnSQL, fnAdmin:
		a.effect(access.VerbExecute)
		a.partial(qualified + " runs what is not in the text")
		a.flow(lineage{broken: true})
		a.st.MayChangeSettings = true
	default:
		a.partial("function " + qualified + " may do anything")
		a.flow(lineage{broken: true})
		a.st.MayChangeSettings = true
	}
}

// classify finds out which function is meant. A user's function that the
// search_path finds and that takes so many arguments may be chosen over the
// server's of the same name, wherever pg_catalog stands: the types decide.
func (a *analysis) classify(schema, name string, args int) (funcClass, string) {
	if schema == "information_schema" && strings.HasPrefix(name, "_pg_") {
		return fnPure, schema + "." + name
	}
	if class, qualified, ok := a.userFunction(schema, name, args); ok {
		return class, qualified
	}
	if schema == "" || schema == "pg_catalog" {
		if class, ok := functionClasses()[name]; ok {
			return class, "pg_catalog." + name
		}
	}
	if strings.HasPrefix(name, "dblink") {
		return fnSQL, strings.TrimPrefix(schema+"."+name, ".")
	}
	return fnUnknown, strings.TrimPrefix(schema+"."+name, ".")
}

// userFunction looks for functions outside the server's own.
func (a *analysis) userFunction(schema, name string, args int) (funcClass, string, bool) {
	if a.env.Catalog == nil {
		return 0, "", false
	}
	worst, qualified, found := fnPure, "", false
	rows := a.env.Catalog.Functions(name)
	for i := range rows {
		f := &rows[i]
		if !a.visible(schema, f.Schema) || !accepts(f, args) {
			continue
		}
		class := fnPure
		if !trustedFunction(f) {
			class = extensionClass(f.Extension)
			if class == fnUnknown && f.Language == "c" && strings.HasPrefix(name, "dblink") {
				class = fnSQL
			}
		}
		if !found || worse(class, worst) {
			worst, qualified = class, f.Schema+"."+f.Name
		}
		found = true
	}
	if !found || worst != fnPure {
		return worst, qualified, found
	}
	// All of them only compute; the server's own of that name may do more.
	if own, ok := functionClasses()[name]; ok && schema == "" && worse(own, worst) {
		return own, "pg_catalog." + name, true
	}
	return worst, qualified, true
}

func (a *analysis) visible(wanted, schema string) bool {
	if wanted != "" {
		return wanted == schema
	}
	return slices.Contains(a.env.path, schema)
}

// accepts reports whether a call with so many arguments can mean f.
func accepts(f *catalog.FunctionRow, args int) bool {
	return args >= f.Args-f.Defaults-b2i(f.Variadic) && (args <= f.Args || f.Variadic)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// worse reports whether class x must win over y.
func worse(x, y funcClass) bool {
	rank := func(c funcClass) int {
		if c == fnUnknown {
			return int(fnLock) // as little known as a lock is harmless: above notify, below leaks
		}
		return int(c)
	}
	return rank(x) > rank(y)
}

// stringArg returns the i-th argument if it is a string constant, with or
// without a cast.
func (a *analysis) stringArg(f *pgquery.FuncCall, i int) (string, bool) {
	a.literal = true
	if f == nil || i >= len(f.Args) {
		return "", false
	}
	return stringConst(f.Args[i])
}

func stringConst(n *pgquery.Node) (string, bool) {
	if c := n.GetTypeCast(); c != nil {
		n = c.Arg
	}
	c := n.GetAConst()
	if c == nil || c.Isnull {
		return "", false
	}
	s, ok := c.Val.(*pgquery.A_Const_Sval)
	if !ok {
		return "", false
	}
	return s.Sval.GetSval(), true
}

// sequence records the sequence that nextval or setval moves.
func (a *analysis) sequence(f *pgquery.FuncCall) {
	text, ok := a.stringArg(f, 0)
	if !ok {
		a.partial("the sequence's name is computed")
		return
	}
	schema, name, ok := splitName(text)
	if !ok {
		a.partial("the sequence's name cannot be read")
		return
	}
	for _, r := range slices.Concat(a.relation(schema, name), a.hidden(&pgquery.RangeVar{Schemaname: schema, Relname: name})) {
		r.write = true
	}
}

// file records the server file that a function names, where it is a constant.
func (a *analysis) file(name string, f *pgquery.FuncCall) {
	i := 0
	if name == "lo_export" {
		i = 1
	}
	if path, ok := a.stringArg(f, i); ok {
		writes := name == "lo_export" || name == "pg_file_write" || name == "pg_file_rename" || name == "pg_file_unlink"
		a.object(access.Object{Kind: access.KindFile, Name: path, Read: !writes, Write: writes})
	}
}

// setConfig is set_config(name, value, is_local).
func (a *analysis) setConfig(f *pgquery.FuncCall) {
	a.set = true
	name, ok := a.stringArg(f, 0)
	if !ok {
		a.effect(access.VerbConfigure)
		a.st.MayChangeSettings = true
		a.partial("set_config sets a setting whose name is computed")
		return
	}
	change := SettingChange{Name: settingName(name)}
	change.Value, change.Known = a.stringArg(f, 1)
	change.Local = f != nil && len(f.Args) > 2 && !isFalse(f.Args[2]) // unknown counts as local and more
	if !change.Known {
		a.st.MayChangeSettings = true
	}
	a.setting(change)
}

func isFalse(n *pgquery.Node) bool {
	if c := n.GetTypeCast(); c != nil {
		s, ok := stringConst(n)
		return ok && (s == "f" || s == "false")
	}
	b, ok := n.GetAConst().GetVal().(*pgquery.A_Const_Boolval)
	return ok && !b.Boolval.GetBoolval()
}

// splitName reads a possibly qualified and quoted name as regclass does.
func splitName(text string) (schema, name string, ok bool) {
	l := lexer{text: text}
	var parts []string
	for {
		t := l.next()
		part, good := identifier(text[t.start:t.end], t.kind)
		if !good {
			return "", "", false
		}
		parts = append(parts, part)
		t = l.next()
		if t.kind == tokEnd {
			break
		}
		if text[t.start:t.end] != "." {
			return "", "", false
		}
	}
	switch len(parts) {
	case 1:
		return "", parts[0], true
	case 2:
		return parts[0], parts[1], true
	}
	return "", "", false
}

// identifier returns the name that a token stands for.
func identifier(text string, kind tokenKind) (string, bool) {
	switch {
	case kind == tokWord:
		return string(lower(nil, text)), true
	case kind == tokQuoted && text[0] == '"':
		return strings.ReplaceAll(text[1:len(text)-1], `""`, `"`), true
	}
	return "", false
}
