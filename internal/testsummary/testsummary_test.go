package testsummary

import (
	"reflect"
	"strings"
	"testing"
)

func TestSummary(t *testing.T) {
	for _, test := range []struct {
		name, in        string
		passed          int
		failed, skipped []string
		report          string
	}{
		{name: "empty"},
		{
			name: "verdicts",
			in: `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Test":"TestB","Output":"because\n"}
{"Action":"fail","Package":"p","Test":"TestB"}
{"Action":"run","Package":"p","Test":"TestC"}
{"Action":"skip","Package":"p","Test":"TestC"}
{"Action":"fail","Package":"p","Elapsed":0.1}`,
			passed: 1, failed: []string{"p TestB"}, skipped: []string{"p TestC"}, report: "because\n",
		},
		{
			name: "a panic leaves tests without a verdict",
			in: `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"panic: no\n"}
{"Action":"fail","Package":"p"}`,
			failed: []string{"p TestA"}, report: "panic: no\n",
		},
		{
			name: "a build failure",
			in: `{"ImportPath":"p","Action":"build-output","Output":"p.go:1: syntax error\n"}
{"ImportPath":"p","Action":"build-fail"}
{"Action":"output","Package":"p","Output":"FAIL\tp [build failed]\n"}
{"Action":"fail","Package":"p","FailedBuild":"p"}`,
			failed: []string{"p"}, report: "p.go:1: syntax error\nFAIL\tp [build failed]\n",
		},
		{
			name: "lines that are no events are shown",
			in: "go: cannot find main module\n" + `{"Action":"start","Package":"p"}
{"Action":"pass","Package":"p"}`,
			report: "go: cannot find main module\n",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			var s Summary
			var report strings.Builder
			if err := s.Read(strings.NewReader(test.in), nil); err != nil {
				t.Fatal(err)
			}
			s.Report(&report)
			if s.Passed() != test.passed || !reflect.DeepEqual(s.Failed(), test.failed) || !reflect.DeepEqual(s.Skipped(), test.skipped) {
				t.Errorf("passed %d, failed %q, skipped %q", s.Passed(), s.Failed(), s.Skipped())
			}
			if report.String() != test.report {
				t.Errorf("report %q, want %q", report.String(), test.report)
			}
		})
	}
}

func TestProgress(t *testing.T) {
	var s Summary
	var lines []string
	in := `{"Action":"pass","Package":"sluice/access","Elapsed":1.25}`
	if err := s.Read(strings.NewReader(in), func(l string) { lines = append(lines, l) }); err != nil {
		t.Fatal(err)
	}
	if want := []string{"pass sluice/access 1.2s"}; !reflect.DeepEqual(lines, want) {
		t.Errorf("got %q", lines)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(`{"Action":"run","Package":"p","Test":"T"}`)
	f.Add("{}\n[]\nnull\n")
	f.Fuzz(func(t *testing.T, in string) {
		var s Summary
		s.Read(strings.NewReader(in), nil)
		if n := s.Passed() + len(s.Skipped()) + len(s.Failed()); n > strings.Count(in, "\n")+1 {
			t.Errorf("%d verdicts out of %q", n, in)
		}
	})
}
