package postgres

import (
	"fmt"
	"slices"
	"strings"
)

// startupAllowed are the settings that a client under restrictive rules may
// bring along: none changes what a statement means or what is recorded, except
// search_path, whose effective value the session reads before it judges.
var startupAllowed = []string{
	"application_name", "bytea_output", "client_encoding", "client_min_messages",
	"datestyle", "default_transaction_deferrable", "default_transaction_isolation",
	"extra_float_digits", "geqo", "idle_in_transaction_session_timeout",
	"idle_session_timeout", "intervalstyle", "jit", "lc_messages", "lock_timeout",
	"search_path", "statement_timeout", "timezone", "work_mem", "xmlbinary",
}

// startupForward returns the settings to open the upstream session with.
// sluice.* stay here. For a restricted subject a setting outside the allow-list
// is refused, as is an encoding that the analysis would read differently.
func startupForward(params map[string]string, restricted bool) (map[string]string, *startupError) {
	out := make(map[string]string, len(params))
	for name, value := range params {
		if strings.HasPrefix(name, "sluice.") {
			continue
		}
		if restricted && !startupHarmless(name, value) {
			return nil, startupDenied(name, value)
		}
		out[name] = value
	}
	return out, nil
}

func startupDenied(name, value string) *startupError {
	if name == "client_encoding" {
		return &startupError{Code: "42501",
			Message: fmt.Sprintf("sluice: client_encoding %q is not allowed for you here", value),
			Hint:    "Connect with client_encoding=UTF8 (PGCLIENTENCODING=UTF8 in the environment of psql)."}
	}
	return &startupError{Code: "42501",
		Message: fmt.Sprintf("sluice: setting %q at connection start is not allowed for you here", name),
		Hint:    "Connect without it."}
}

// startupHarmless reports whether a restricted subject may start with a setting.
// SQL_ASCII is what psql asks for in the locale C; whether it is the analysis's
// encoding depends on the database (see [encodingKnown]).
func startupHarmless(name, value string) bool {
	if name == "client_encoding" {
		return startupUTF8(value) || encodingName(value) == "sqlascii"
	}
	return slices.Contains(startupAllowed, name)
}

// startupUTF8 reports whether an encoding's name means UTF-8, spelled in any of
// the ways that the server accepts.
func startupUTF8(name string) bool {
	v := encodingName(name)
	return v == "utf8" || v == "unicode"
}

func encodingName(name string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("-_' ", r) {
			return -1
		}
		return r
	}, strings.ToLower(name))
}

// encodingKnown reports whether the server takes a text's bytes for the
// characters that the analysis, which reads UTF-8, takes them for. SQL_ASCII
// stands for the database's own encoding, unconverted.
func encodingKnown(client, database string) bool {
	if encodingName(client) == "sqlascii" {
		return startupUTF8(database) || encodingName(database) == "sqlascii"
	}
	return client == "" || startupUTF8(client)
}

// startupOptions reads the "options" parameter, a command line for the server
// process, into settings. Switches that are no settings are refused with the
// server's own error; so are those that only a server's administrator has a
// use for (-d, -s, -t, -W).
func startupOptions(line string, into map[string]string) error {
	words := startupWords(line)
	for i := 0; i < len(words); i++ {
		word := words[i]
		if word == "--" && i == len(words)-1 {
			return nil // the end of switches, as getopt has it
		}
		if len(word) < 2 || word[0] != '-' {
			return errStartupArgument(word)
		}
		flag, value := word[1], word[2:]
		if strings.IndexByte("cfS", flag) >= 0 && value == "" {
			if i++; i == len(words) {
				return errStartupArgument(word)
			}
			value = words[i]
		}
		if err := startupSwitch(word, flag, value, into); err != nil {
			return err
		}
	}
	return nil
}

// startupSwitch applies one switch; see the server's process_postgres_switches.
func startupSwitch(word string, flag byte, value string, into map[string]string) error {
	switch {
	case flag == 'c' || flag == '-':
		return startupAssign(word, flag, value, into)
	case flag == 'S':
		into["work_mem"] = value
	case flag == 'e' && value == "":
		into["datestyle"] = "euro"
	case flag == 'f' && startupPlans[value] != "":
		into[startupPlans[value]] = "false"
	default:
		return errStartupArgument(word)
	}
	return nil
}

// startupPlans are the settings that -f turns off (the server's set_plan_disabling_options).
var startupPlans = map[string]string{
	"s": "enable_seqscan", "i": "enable_indexscan", "o": "enable_indexonlyscan", "b": "enable_bitmapscan",
	"t": "enable_tidscan", "n": "enable_nestloop", "m": "enable_mergejoin", "h": "enable_hashjoin",
}

// startupAssign applies -c name=value or --name=value. Dashes in a name stand
// for underscores.
func startupAssign(word string, flag byte, assignment string, into map[string]string) error {
	name, value, ok := strings.Cut(assignment, "=")
	if ok && name == "" {
		return &startupError{Code: "42704", Message: `unrecognized configuration parameter ""`}
	}
	if name == "" {
		return errStartupArgument(word)
	}
	if !ok {
		what := "-c " + assignment
		if flag == '-' {
			what = "--" + assignment
		}
		return &startupError{Code: "42601", Message: what + " requires a value"}
	}
	into[strings.ToLower(strings.ReplaceAll(name, "-", "_"))] = value
	return nil
}

func errStartupArgument(word string) error {
	return &startupError{Code: "42601",
		Message: "invalid command-line argument for server process: " + word,
		Hint:    `Try "postgres --help" for more information.`}
}

// startupWords splits a command line at white space; a backslash takes the next
// character as it is (the server's pg_split_opts).
func startupWords(line string) []string {
	var words []string
	var word []byte
	inside := false
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case strings.IndexByte(" \t\n\v\f\r", c) >= 0:
			if inside {
				words = append(words, string(word))
			}
			word, inside = nil, false
			continue
		case c == '\\' && i+1 < len(line):
			i++
			c = line[i]
		case c == '\\':
			continue // nothing left to escape
		}
		word, inside = append(word, c), true
	}
	if inside {
		words = append(words, string(word))
	}
	return words
}
