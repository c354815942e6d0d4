package postgres

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"sluice/internal/pgtest"
)

func TestStartupWords(t *testing.T) {
	for line, want := range map[string][]string{
		"":                     nil,
		" \t ":                 nil,
		"-c a=b":               {"-c", "a=b"},
		"  -c\ta=b\n--c=d ":    {"-c", "a=b", "--c=d"},
		`-c a=b\ c`:            {"-c", "a=b c"},
		`-c a=b\\c`:            {"-c", `a=b\c`},
		`-c a="b"`:             {"-c", `a="b"`},
		`-c a=b\`:              {"-c", "a=b"},
		`\ `:                   {" "},
		"-c search_path=a,b\v": {"-c", "search_path=a,b"},
	} {
		if got := startupWords(line); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

// The server itself says what an options string means: sent whole to it, and
// taken apart here and sent as settings, it must come to the same.
func TestOptionsAsTheServer(t *testing.T) {
	s := pgtest.Shared(t)
	const show = `SELECT concat_ws('|', current_setting('work_mem'), current_setting('search_path'), current_setting('datestyle'),
 current_setting('geqo'), current_setting('enable_seqscan'), current_setting('my.setting', true), current_setting('timezone') = 'Asia/Tokyo')`
	for _, options := range []string{
		"", "-c work_mem=1MB", "-cwork_mem=1MB", "--work_mem=2MB", "--work-mem=3MB", "-S 1024", "-S1024", "-e", "-fs", "-f s",
		`-c search_path=a\ b,c`, `-c search_path="x",\ public`, `-c my.setting=a\\b\ c`, "-c my.setting=", "-c my.setting=a=b", "-c My.Setting=z",
		"-c geqo=off -c geqo=on --geqo=off", "-c WORK_MEM=1MB", "-c timezone=Asia/Tokyo -c DateStyle=German",
		// refused
		"-c", "-c work_mem", "--work_mem", "-c work_mem=lots", "-c no_such=1", "nonsense", "-c geqo=off nonsense", "-z", "-f x", "-c =1", "--", "-", "-- x", "-c geqo=off --", "--=1",
	} {
		t.Run(options, func(t *testing.T) {
			directly, code1 := optionsAsked(t, s, map[string]string{"options": options}, show)
			params := map[string]string{}
			var here, code2 string
			if err := startupOptions(options, params); err != nil {
				var f *startupError
				errors.As(err, &f)
				code2 = f.Code
			} else {
				here, code2 = optionsAsked(t, s, params, show)
			}
			if directly != here || code1 != code2 {
				t.Errorf("server: %q %s; here: %q %s", directly, code1, here, code2)
			}
		})
	}
}

func optionsAsked(t *testing.T, s *pgtest.Server, params map[string]string, show string) (answer, code string) {
	t.Helper()
	u, err := dialUpstream(t.Context(), upstreamTarget(s, "postgres"), params)
	if err != nil {
		var pe *pgconn.PgError
		if !errors.As(err, &pe) {
			t.Fatal(err)
		}
		return "", pe.Code
	}
	defer u.Conn.Close()
	answer, failed := u.ask(t, show)
	if failed != nil {
		t.Fatal(failed.Message)
	}
	return answer, ""
}

func FuzzStartupOptions(f *testing.F) {
	f.Add(`-c a=b\ c --d=e -S 3 -e -fs`)
	f.Fuzz(func(t *testing.T, line string) {
		settings := map[string]string{}
		if err := startupOptions(line, settings); err != nil {
			return
		}
		for name := range settings {
			if name == "" || name != strings.ToLower(name) || strings.ContainsAny(name, "=-") {
				t.Errorf("%q gives the setting %q", line, name)
			}
		}
	})
}
