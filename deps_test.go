package sluice_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "sluice"

// A rule says what one package may import of the others. Test files are free:
// what they import is not in the binary.
type rule struct {
	may  []string // packages; "x/..." is x and all below; nil: none
	pure bool     // starts no goroutine and reads no clock
	why  string
}

// Groups that several rules name.
var (
	words    = []string{"access"}
	helpers  = []string{"internal/uuid7", "internal/strictyaml"}
	pureCore = []string{"access", "policy", "query/...", "mask", "audit", "recording", "store", "internal/uuid7", "internal/strictyaml"}
)

// rules has an entry for every package: one without is an error, so that
// nobody adds a room to the house without saying what it is for.
var rules = map[string]rule{
	".": {why: "documentation and these rules"},

	// Layer 0: the words.
	"access": {pure: true, why: "everybody speaks these words, so they depend on nobody"},

	// Layer 1: pure meaning. No I/O, so every answer can be tested, replayed and backtested.
	"policy":         {pure: true, may: join(words, helpers, "internal/jsonpath"), why: "a decision depends on its request alone"},
	"query":          {pure: true, may: words, why: "what a text means depends on text and catalog alone"},
	"query/catalog":  {pure: true, may: words, why: "a snapshot is built from rows that others fetch"},
	"query/postgres": {pure: true, may: join(words, "query", "query/catalog"), why: "the parser itself is handed in: it lives in another process"},
	"harden":         {pure: true, why: "text in, text out: what is written into a database must be readable in a test"},
	"classify":       {pure: true, may: join(words, "mask"), why: "what a column seems to hold follows from counts and its name; sampling is an adapter's"},
	"mask":           {pure: true, may: join(words, "internal/jsonpath"), why: "values in, values out"},
	"audit":          {pure: true, may: join(words, helpers), why: "a record's bytes are its proof: no clock, no state"},
	"recording":      {pure: true, may: join(words, helpers), why: "a format; writing in the background is recording/file's"},
	"store":          {pure: true, may: words, why: "the interface and its plain types; implementations import it"},

	// Layer 2: the one path.
	"pipeline": {pure: true, may: join(words, "internal/uuid7"), why: "it declares the small interfaces that it needs, and the rest satisfies them: policy could be replaced, the order of the steps not"},

	// Layer 3: adapters to the world outside. Never a sibling: what two of them
	// share belongs to a layer below.
	"protocol":                     {may: join(words, "pipeline"), why: "what every adapter provides and shares"},
	"protocol/protocoltest":        {may: join(words, "pipeline", "protocol"), why: "the suite that every adapter must pass"},
	"protocol/postgres":            {may: join(pureCore, "pipeline", "protocol", "protocol/postgres/wire", "internal/eventloop"), why: "one protocol; knows nothing of the others"},
	"protocol/postgres/wire":       {pure: true, why: "a codec: bytes in, messages out"},
	"protocol/postgres/transcript": {pure: true, may: []string{"protocol/postgres/wire"}, why: "recorded messages to text, for whoever plays a session"},
	"query/postgres/worker":        {may: join(words, "query", "query/postgres"), why: "runs the real parser in child processes, which a pure package may not"},
	"audit/journal":                {may: join(words, helpers, "audit"), why: "the writer and the reader of what audit describes"},
	"audit/search":                 {may: join(words, helpers, "audit", "audit/journal", "store"), why: "finds records by the index that it keeps in the store"},
	"recording/file":               {may: join(words, helpers, "recording"), why: "puts recordings on disk in the background"},
	"identity":                     {may: join(words, helpers, "protocol", "store", "internal/seal"), why: "implements protocol.Directory over users and tokens"},
	"identity/local":               {may: join(words, helpers, "identity", "protocol", "store"), why: "users from YAML"},
	"identity/oidc":                {may: join(words, "internal/seal"), why: "OpenID Connect: asks providers, knows nothing of who is let in"},
	"identity/token":               {may: join(words, helpers, "identity", "protocol", "store"), why: "short-lived credentials"},
	"approval":                     {may: join(words, helpers, "store"), why: "implements pipeline.Approver over the store"},
	"resource":                     {may: join(words, "protocol", "secret", "config"), why: "implements protocol.Targets over the configuration"},
	"secret":                       {may: words, why: "reads credentials from where they are kept"},
	"config":                       {may: join(words, helpers), why: "files to typed configuration; policy gets its documents undecoded"},
	"store/sqlite":                 {may: join(words, helpers, "store"), why: "one implementation of store"},
	"store/storetest":              {may: join(words, "store"), why: "the suite that every implementation must pass"},

	// Layer 4: wiring and faces.
	"server":     {may: []string{"..."}, why: "wires everything; the only place that knows every adapter by name"},
	"api":        {may: join(pureCore, "api/v1", "approval", "resource", "identity"), why: "HTTP in front of what the gateway knows"},
	"api/v1":     {why: "the words of the HTTP API, shared by both ends"},
	"api/client": {may: join(words, "api/v1"), why: "the other end of api, for the command line"},
	"web":        {may: join(words, "api", "api/v1"), why: "pages over what the HTTP API is given: no other way to see or to answer"},
	"cli":        {may: []string{"..."}, why: "the subcommands: a client of the API, and some that work on files alone"},

	// Layer 5: the program.
	"cmd/sluice": {may: []string{"cli", "query/postgres/worker"}, why: "arguments to exit code; the parse-worker is picked out before anything else runs"},

	// Beside the product.
	"internal/eventloop":   {why: "epoll for adapters; knows connections, not what they say"},
	"internal/seal":        {pure: true, why: "bytes in, bytes out: what the gateway hands out and takes back, encrypted"},
	"internal/oidctest":    {why: "an OpenID provider for tests, that can lie"},
	"internal/uuid7":       {pure: true, why: "RFC 9562 identifiers from a given time"},
	"internal/jsonpath":    {pure: true, why: "the paths into JSON that policy checks and mask follows"},
	"internal/sqlgen":      {pure: true, why: "random SQL from a seed, for tests that must hold whatever a statement is"},
	"internal/strictyaml":  {pure: true, why: "YAML that reports every mistake with its place"},
	"internal/pgserver":    {why: "a throw-away PostgreSQL for tests, demo and benchmarks"},
	"internal/pgtest":      {may: []string{"internal/pgserver"}, why: "the same, for tests"},
	"internal/testsummary": {pure: true, why: "counts tests"},
	"scripts/testsummary":  {may: []string{"internal/testsummary"}, why: "the last line of make test"},
	"bench":                {may: []string{"internal/pgserver"}, why: "measures the binary from outside: nothing of the product, or it would measure itself"},
	"demo":                 {may: []string{"demo/stage"}, why: "starts the binary as a user would"},
	"demo/stage":           {may: []string{"internal/pgserver"}, why: "binary, server and sample data together, for demo and e2e"},
	"e2e":                  {may: []string{"demo/stage", "internal/pgserver"}, why: "uses the binary as a user would"},
	"e2e/crash":            {may: []string{"demo/stage", "internal/pgserver"}, why: "kills the binary and looks at what is left"},
	"e2e/evasion":          {may: []string{"demo/stage", "internal/pgserver", "internal/pgtest"}, why: "attacks from outside, on the binary"},
	"suites":               {may: []string{"internal/pgserver", "internal/testsummary", "suites/relay"}, why: "other people's tests against the binary"},
	"suites/relay":         {why: "cuts a byte stream into small pieces"},
}

// libraries says where each module from outside may be imported, so that it can
// be replaced, reviewed and mistrusted in one place. The reasons for having them
// at all stand in docs/decisions.md.
var libraries = map[string]struct {
	in  []string
	why string
}{
	"github.com/jackc/pgx/v5":             {[]string{"protocol/postgres", "bench"}, "one adapter speaks this protocol"},
	"cel.dev/cel-go":                      {[]string{"policy"}, "conditions are compiled in one place"},
	"cel.dev/expr":                        {[]string{"policy"}, "CEL's syntax trees"},
	"github.com/pganalyze/pg_query_go":    {[]string{"query/postgres", "query/postgres/worker"}, "C code: the call runs in the worker, its tree types are read by query/postgres"},
	"google.golang.org/protobuf":          {[]string{"query/postgres", "query/postgres/worker", "policy"}, "pg_query's and CEL's trees"},
	"modernc.org/sqlite":                  {[]string{"store/sqlite"}, "SQL dialects stay behind the store"},
	"github.com/spf13/cobra":              {[]string{"cli"}, "command lines"},
	"github.com/spf13/pflag":              {[]string{"cli"}, "cobra's flags"},
	"github.com/prometheus/client_golang": {[]string{"server", "api"}, "metrics are wired, never sprinkled"},
	"go.yaml.in/yaml/v3":                  {[]string{"internal/strictyaml", "policy", "config", "cli"}, "only strict decoding, and -o yaml"},
	"github.com/klauspost/compress":       {[]string{"recording", "recording/file"}, "recordings are zstd"},
	"golang.org/x/mod":                    {[]string{"audit", "audit/journal", "cli", "server"}, "signed notes and transparency-log hashes"},
	"golang.org/x/sys":                    {[]string{"query/postgres/worker", "audit/journal", "server", "cli", "internal/eventloop"}, "confinement, locks, fdatasync, epoll"},
	"golang.org/x/crypto":                 {[]string{"identity", "identity/local", "identity/token", "protocol/postgres"}, "SCRAM's key derivation"},
	"golang.org/x/text":                   {[]string{"identity", "identity/local", "protocol/postgres"}, "SASLprep's normalisation"},
	"github.com/coreos/go-oidc/v3":        {[]string{"identity/oidc"}, "discovery, keys and signatures of ID tokens"},
	"golang.org/x/oauth2":                 {[]string{"identity/oidc"}, "go-oidc's words for endpoints and tokens; PKCE"},
	"github.com/lib/pq":                   {[]string{"e2e"}, "a second driver to test with"},
	"github.com/rogpeppe/go-internal":     {[]string{"e2e"}, "scripts as tests"},
	"pgregory.net/rapid":                  {nil, "property tests"},
}

func join(first []string, more ...any) []string {
	all := slices.Clone(first)
	for _, m := range more {
		switch m := m.(type) {
		case string:
			all = append(all, m)
		case []string:
			all = append(all, m...)
		}
	}
	return all
}

// A source is one parsed Go file that is not a test.
type source struct {
	pkg, file string
	tree      *ast.File
	fset      *token.FileSet
}

// walk visits every file of the project: nothing built, fetched or hidden.
func walk(t *testing.T, visit func(name string) error) {
	t.Helper()
	skip := []string{"testdata", "node_modules", "demo-data", "bin"}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if base := d.Name(); d.IsDir() && name != "." && (base[0] == '.' || slices.Contains(skip, base)) {
			return fs.SkipDir
		}
		if !d.Type().IsRegular() || name == "sluice" { // what go build ./cmd/sluice leaves
			return nil
		}
		return visit(filepath.ToSlash(name))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// sources parses every Go file of the module that is not a test.
func sources(t *testing.T) (all []source) {
	t.Helper()
	walk(t, func(name string) error {
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		fset := token.NewFileSet()
		tree, err := parser.ParseFile(fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err == nil && !generator(tree) {
			all = append(all, source{path.Dir(name), name, tree, fset})
		}
		return err
	})
	return all
}

// generator reports whether a file is a program of its own, run by hand and no
// part of the package beside it.
func generator(tree *ast.File) bool {
	for _, group := range tree.Comments {
		if group.Pos() < tree.Package && strings.HasPrefix(group.List[0].Text, "//go:build ignore") {
			return true
		}
	}
	return false
}

func (s source) imports(t *testing.T) (paths []string) {
	for _, spec := range s.tree.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, p)
	}
	return paths
}

func TestEveryPackageHasARule(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range sources(t) {
		if _, ok := rules[s.pkg]; !ok && !seen[s.pkg] {
			t.Errorf("%s: no rule in deps_test.go: add one that says which layer it is and why it exists", s.pkg)
		}
		seen[s.pkg] = true
	}
	for pkg, r := range rules {
		if r.why == "" {
			t.Errorf("%s: rule without a reason", pkg)
		}
	}
}

func TestImports(t *testing.T) {
	for _, s := range sources(t) {
		for _, p := range s.imports(t) {
			if complaint := checkImport(s.pkg, p); complaint != "" {
				t.Errorf("%s: %s", s.file, complaint)
			}
		}
	}
}

// checkImport says what is wrong with a package importing p; "" if nothing is.
func checkImport(pkg, p string) string {
	first, _, _ := strings.Cut(p, "/")
	switch {
	case strings.HasPrefix(p, module+"/"):
		own := strings.TrimPrefix(p, module+"/")
		if !allowed(rules[pkg].may, own) {
			return pkg + " may not import " + own + " (" + rules[pkg].why + ")"
		}
	case p == "C":
		return "cgo stays in pg_query_go"
	case strings.Contains(first, "."):
		for prefix, lib := range libraries {
			if p == prefix || strings.HasPrefix(p, prefix+"/") {
				if !slices.Contains(lib.in, pkg) {
					return p + " stays in " + strings.Join(lib.in, ", ") + " (" + lib.why + ")"
				}
				return ""
			}
		}
		return p + " is not listed in deps_test.go; see CONTRIBUTING.md on dependencies"
	}
	return ""
}

func allowed(may []string, own string) bool {
	return slices.ContainsFunc(may, func(m string) bool {
		below, tree := strings.CutSuffix(m, "...")
		return m == own || tree && strings.HasPrefix(own+"/", below)
	})
}

func TestCheckImportCanFail(t *testing.T) {
	for _, test := range []struct {
		pkg, imports string
		ok           bool
	}{
		{"access", "fmt", true},
		{"access", "sluice/policy", false},
		{"policy", "sluice/access", true},
		{"policy", "sluice/pipeline", false},
		{"protocol/postgres", "sluice/query/catalog", true},
		{"protocol/postgres", "sluice/query/postgres/worker", true},
		{"protocol/postgres", "sluice/identity", false},
		{"server", "sluice/protocol/postgres", true},
		{"bench", "sluice/policy", false},
		{"store/sqlite", "modernc.org/sqlite", true},
		{"policy", "modernc.org/sqlite", false},
		{"policy", "example.test/unheard/of", false},
		{"policy", "C", false},
	} {
		if got := checkImport(test.pkg, test.imports) == ""; got != test.ok {
			t.Errorf("%s importing %s: allowed %t, want %t", test.pkg, test.imports, got, test.ok)
		}
	}
}

// minComment is the shortest package comment that can be called a tour.
const minComment = 60

func TestEveryPackageHasAComment(t *testing.T) {
	longest := map[string]int{}
	for _, s := range sources(t) {
		longest[s.pkg] = max(longest[s.pkg], len(s.tree.Doc.Text()))
	}
	for pkg, n := range longest {
		if n < minComment {
			t.Errorf("%s: its package comment has %d characters: say what it does, where to start reading, how to debug it", pkg, n)
		}
	}
}

// TestNoInit: registration by import makes what a program does depend on what
// it links; server lists the adapters by name instead.
func TestNoInit(t *testing.T) {
	for _, s := range sources(t) {
		for _, d := range s.tree.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: func init", s.fset.Position(f.Pos()))
			}
		}
	}
}

// clock lists what reads or waits for the time.
var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

// TestPurePackages: layers 0 to 2 give the same answer to the same question,
// which is what lets a decision be explained and replayed later.
func TestPurePackages(t *testing.T) {
	for _, s := range sources(t) {
		if !rules[s.pkg].pure {
			continue
		}
		ast.Inspect(s.tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s: starts a goroutine", s.fset.Position(n.Pos()))
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(clock, n.Sel.Name) {
					t.Errorf("%s: time.%s: take the time as an argument", s.fset.Position(n.Pos()), n.Sel.Name)
				}
			}
			return true
		})
	}
}

// TestNoGlobalState finds package variables that are made to be changed. A
// sync.Pool or sync.Once is a cache of what can be made again, and may stay.
func TestNoGlobalState(t *testing.T) {
	for _, s := range sources(t) {
		if s.pkg == "internal/pgtest" {
			continue // one server for a whole test binary is what it is for
		}
		for _, d := range s.tree.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, spec := range g.Specs {
				if v := spec.(*ast.ValueSpec); changeable(v) {
					t.Errorf("%s: global mutable state: %s", s.fset.Position(v.Pos()), v.Names[0].Name)
				}
			}
		}
	}
}

func changeable(v *ast.ValueSpec) bool {
	if sel, ok := v.Type.(*ast.SelectorExpr); ok {
		pkg, _ := sel.X.(*ast.Ident)
		return pkg != nil && (pkg.Name == "atomic" || pkg.Name == "sync" && (sel.Sel.Name == "Mutex" || sel.Sel.Name == "RWMutex" || sel.Sel.Name == "Map"))
	}
	for _, value := range v.Values {
		if call, ok := value.(*ast.CallExpr); ok {
			if f, ok := call.Fun.(*ast.Ident); ok && f.Name == "make" {
				return true
			}
		}
	}
	return false
}

// TestNoMachinePaths: a file that names the folder it was written in works
// nowhere else.
func TestNoMachinePaths(t *testing.T) {
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	walk(t, func(name string) error {
		b, err := os.ReadFile(name)
		for i, line := range strings.Split(string(b), "\n") {
			if strings.Contains(line, root+"/") {
				t.Errorf("%s:%d: names %s", name, i+1, root)
			}
		}
		return err
	})
}
