package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func folderOf(t *testing.T, files map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// plain is a configuration whose upstream nobody has to reach.
var plain = strings.NewReplacer("%s\", database: %s, credential: {user: %s, password: {value: \"%s\"}}", "127.0.0.1:1\", credential: {user: app, password: {value: x}}").Replace(house)

const policyTests = `
apiVersion: sluice/v1
kind: PolicyTest
metadata: {name: deletes}
spec:
  tables: {public.customers: [id, email]}
  given: {subject: {id: alice, groups: [engineering]}, resource: {name: shop, protocol: postgres, labels: {env: prod}}}
  cases:
  - {name: all rows, postgres: "DELETE FROM customers", expect: {effect: deny, rule: access/no-unscoped-writes}}
  - {name: one row, postgres: "DELETE FROM customers WHERE id = 1", expect: require_approval}
  - {name: wrong on purpose, postgres: "SELECT id FROM customers", expect: deny}
`

func TestCheckFindsEverythingInOneRun(t *testing.T) {
	folder := folderOf(t, map[string]string{
		"house.yaml": strings.Replace(plain, "roles:", "rolls:", 1),
		"rules.yaml": strings.Replace(rules, "verbs: [delete, update]", "verb: [delete]", 1),
	})
	r := Check(t.Context(), folder)
	all := strings.Join(r.Errors, "\n")
	if len(r.Errors) != 2 || !strings.Contains(all, "house.yaml:") || !strings.Contains(all, "rules.yaml:") {
		t.Errorf("%q", r.Errors)
	}
	if _, err := load(folder); err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("serve says something else: %v", err)
	}
}

func TestCheckWarns(t *testing.T) {
	r := Check(t.Context(), folderOf(t, map[string]string{"house.yaml": plain, "rules.yaml": rules}))
	if len(r.Errors) != 0 || !strings.Contains(strings.Join(r.Warnings, "\n"), "no policy tests") {
		t.Errorf("%+v", r)
	}
	r = Check(t.Context(), folderOf(t, map[string]string{"house.yaml": plain, "rules.yaml": rules, "tests.yaml": policyTests}))
	all := strings.Join(r.Warnings, "\n")
	if !strings.Contains(all, `"access/dba": no test`) || strings.Contains(all, "no-unscoped-writes") || !strings.Contains(r.Summary, "1 resource, 3 users, 1 policy, 1 policy test") {
		t.Errorf("%+v", r)
	}
}

func TestPolicyTestsRun(t *testing.T) {
	folder := folderOf(t, map[string]string{"rules.yaml": rules, "tests.yaml": policyTests})
	results, err := Test(t.Context(), []string{folder})
	if err != nil || len(results) != 3 {
		t.Fatalf("%v %+v", err, results)
	}
	for i, r := range results {
		if r.OK != (i < 2) || !strings.Contains(r.Where, "tests.yaml:") {
			t.Errorf("%+v", r)
		}
	}
	if !strings.Contains(results[2].Detail, "allow") {
		t.Errorf("the failure does not say what came: %+v", results[2])
	}
}

func TestCanWithoutItsDatabaseSaysSo(t *testing.T) {
	folder := folderOf(t, map[string]string{"house.yaml": plain, "rules.yaml": rules})
	list, err := Can(t.Context(), folder, question("alice", "SELECT id FROM customers"))
	if err != nil || len(list) != 1 {
		t.Fatalf("%v %+v", err, list)
	}
	if list[0].Confidence == "exact" || !strings.Contains(list[0].Incomplete, "catalog") {
		t.Errorf("%+v", list[0])
	}
	for _, q := range []struct{ subject, resource string }{{"nobody", "shop"}, {"alice", "nowhere"}} {
		ask := question(q.subject, "SELECT 1")
		ask.Resource = q.resource
		if _, err := Can(t.Context(), folder, ask); err == nil {
			t.Errorf("%+v was answered", q)
		}
	}
}

const tags = `
apiVersion: sluice/v1
kind: Classification
metadata: {name: shop}
spec: {resource: shop, columns: {public.customers.email: [pii]}}
`

func TestCheckKnowsTags(t *testing.T) {
	tagged := strings.Replace(rules, "verbs: [delete, update]", "tags: [pi]", 1)
	r := Check(t.Context(), folderOf(t, map[string]string{"house.yaml": plain, "rules.yaml": tagged, "tags.yaml": tags}))
	if len(r.Errors) != 0 || !strings.Contains(strings.Join(r.Warnings, "\n"), `no Classification gives the tag "pi", did you mean "pii"?`) ||
		!strings.HasSuffix(r.Summary, ", 1 classification") {
		t.Errorf("%+v", r)
	}
	elsewhere := folderOf(t, map[string]string{"house.yaml": plain, "rules.yaml": rules, "tags.yaml": strings.Replace(tags, "resource: shop", "resource: shopp", 1)})
	if r := Check(t.Context(), elsewhere); len(r.Errors) != 1 || !strings.Contains(r.Errors[0], `tags.yaml:5:18: there is no resource "shopp", did you mean "shop"?`) {
		t.Errorf("%+v", r)
	}
	if _, err := load(elsewhere); err == nil {
		t.Error("serve starts with tags for a resource that does not exist")
	}
}

func writeFile(t *testing.T, folder, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
