package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// The document and the mux come from one table; this test reads the document as
// a client would and asks the mux for each operation.
func TestOpenAPIDescribesWhatIsServed(t *testing.T) {
	a := serve(t, newFake())
	w := a.do(req{method: "GET", path: "/api/v1/openapi.json"})
	var doc struct {
		OpenAPI string `json:"openapi"`
		Paths   map[string]map[string]struct {
			OperationID string                      `json:"operationId"`
			Summary     string                      `json:"summary"`
			Responses   map[string]json.RawMessage  `json:"responses"`
			Parameters  []struct{ Name, In string } `json:"parameters"`
			RequestBody *struct {
				Content map[string]json.RawMessage `json:"content"`
			} `json:"requestBody"`
		} `json:"paths"`
		Components struct {
			Schemas map[string]json.RawMessage `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.1.0" {
		t.Errorf("version %s", doc.OpenAPI)
	}
	ids := map[string]bool{}
	operations := 0
	for path, item := range doc.Paths {
		for method, op := range item {
			operations++
			if op.OperationID == "" || ids[op.OperationID] || op.Summary == "" {
				t.Errorf("%s %s: operationId %q is empty or not unique, or there is no summary", method, path, op.OperationID)
			}
			ids[op.OperationID] = true
			if op.Responses["default"] == nil || len(op.Responses) != 2 {
				t.Errorf("%s %s: responses %v", method, path, op.Responses)
			}
			if strings.Contains(path, "{id}") && (len(op.Parameters) == 0 || op.Parameters[0].In != "path") {
				t.Errorf("%s %s: the path parameter is not described", method, path)
			}
			h := httptest.NewRequest(strings.ToUpper(method), strings.ReplaceAll(path, "{id}", "x"), nil)
			if got := served(a, h); got == http.StatusNotFound {
				t.Errorf("%s %s is described and not served", method, path)
			}
		}
	}
	if operations != len(a.routes()) {
		t.Errorf("%d operations described, %d routes served", operations, len(a.routes()))
	}
	for _, part := range strings.Split(w.Body.String(), `"#/components/schemas/`)[1:] {
		name, _, _ := strings.Cut(part, `"`)
		if doc.Components.Schemas[name] == nil {
			t.Errorf("schema %s is referred to and missing", name)
		}
	}
}

// served asks without a credential: 401 or success say that the route exists.
func served(a *API, h *http.Request) int {
	w := httptest.NewRecorder()
	a.ServeHTTP(w, h)
	return w.Code
}

func TestMomentsAreRead(t *testing.T) {
	for s, want := range map[string]string{
		"15m": "2026-03-01T11:45:00Z", "7d": "2026-02-22T12:00:00Z", "2026-01-31": "2026-01-31T00:00:00Z",
		"2026-01-31T10:00:00+02:00": "2026-01-31T08:00:00Z",
	} {
		got, err := ParseMoment(s, noon)
		if err != nil || got.UTC().Format("2006-01-02T15:04:05Z") != want {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"-5m", "d", "-1d", "9999999d", "tomorrow"} {
		if got, err := ParseMoment(s, noon); err == nil {
			t.Errorf("%q was read as %v", s, got)
		}
	}
}
