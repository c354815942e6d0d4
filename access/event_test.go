package access

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"
)

// EventTypes leaves none out.
func TestEventTypes(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(f, func(node ast.Node) bool {
		v, ok := node.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := v.Type.(*ast.Ident); !ok || typ.Name != "EventType" {
			return true
		}
		text, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
		if err != nil || !slices.Contains(EventTypes(), EventType(text)) {
			t.Errorf("%s is left out", v.Names[0].Name)
		}
		n++
		return true
	})
	if n != len(EventTypes()) {
		t.Errorf("%d declared, %d listed", n, len(EventTypes()))
	}
}
