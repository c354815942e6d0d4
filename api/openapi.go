package api

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	v1 "sluice/api/v1"
)

// An object is a piece of the OpenAPI document.
type object = map[string]any

// openAPI describes the routes: OpenAPI 3.1, whose schemas are JSON Schema
// 2020-12, taken from the Go types by their json tags.
func openAPI(routes []route, version string) ([]byte, error) {
	s := schemas{defs: object{}}
	s.of(reflect.TypeFor[v1.Problem]())
	paths := object{}
	for _, r := range routes {
		path := strings.TrimSuffix(r.path, "{$}")
		item, _ := paths[path].(object)
		if item == nil {
			item = object{}
			paths[path] = item
		}
		item[strings.ToLower(r.method)] = s.operation(r)
	}
	doc := object{
		"openapi": "3.1.0",
		"info":    object{"title": "Sluice", "version": version, "license": object{"name": "Apache-2.0", "identifier": "Apache-2.0"}},
		"paths":   paths,
		"components": object{
			"schemas": s.defs,
			"securitySchemes": object{
				"bearer": object{"type": "http", "scheme": "bearer"},
				"basic":  object{"type": "http", "scheme": "basic"},
			},
		},
		"security": []any{object{"bearer": []any{}}, object{"basic": []any{}}},
	}
	b, err := json.MarshalIndent(doc, "", " ")
	if err != nil {
		return nil, fmt.Errorf("api: openapi: %w", err)
	}
	return append(b, '\n'), nil
}

// operation describes one route.
func (s schemas) operation(r route) object {
	op := object{"operationId": r.name, "summary": r.summary, "responses": s.responses(r)}
	if params := parameters(r); len(params) > 0 {
		op["parameters"] = params
	}
	if r.body != nil {
		op["requestBody"] = object{"required": true, "content": object{"application/json": object{"schema": s.of(reflect.TypeOf(r.body))}}}
	}
	if r.open {
		op["security"] = []any{}
	}
	return op
}

func (s schemas) responses(r route) object {
	status, content := "200", object{}
	if r.status != 0 {
		status = fmt.Sprint(r.status)
	}
	if r.answer != nil {
		content["application/json"] = object{"schema": s.of(reflect.TypeOf(r.answer))}
	} else {
		content[r.media] = object{}
	}
	return object{
		status: object{"description": "done", "content": content},
		"default": object{"description": "refused or failed", "content": object{
			"application/problem+json": object{"schema": object{"$ref": "#/components/schemas/Problem"}}}},
	}
}

func parameters(r route) []any {
	var all []any
	for _, part := range strings.Split(r.path, "/") {
		name, ok := strings.CutPrefix(part, "{")
		if !ok || part == "{$}" {
			continue
		}
		all = append(all, object{"name": strings.TrimSuffix(name, "}"), "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	for _, p := range r.query {
		all = append(all, object{"name": p.name, "in": "query", "description": p.about, "schema": object{"type": "string"}})
	}
	return all
}

// schemas collects the named types met on the way.
type schemas struct{ defs object }

func (s schemas) of(t reflect.Type) object {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case t.Kind() == reflect.Pointer:
		return s.of(t.Elem())
	case t.Kind() == reflect.Slice:
		return object{"type": "array", "items": s.of(t.Elem())}
	case t.Kind() == reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem())}
	case t.Kind() == reflect.Struct:
		return s.named(t)
	}
	return scalar(t.Kind())
}

func scalar(k reflect.Kind) object {
	switch k {
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return object{"type": "integer"}
	default:
		panic("api: no schema for " + k.String())
	}
}

func (s schemas) named(t reflect.Type) object {
	ref := object{"$ref": "#/components/schemas/" + t.Name()}
	if _, done := s.defs[t.Name()]; done {
		return ref
	}
	properties, required := object{}, []any{}
	s.defs[t.Name()] = object{"type": "object", "properties": properties}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		properties[name] = s.of(f.Type)
		if !strings.Contains(options, "omit") {
			required = append(required, name)
		}
	}
	if len(required) > 0 {
		s.defs[t.Name()].(object)["required"] = required
	}
	return ref
}
