package mask

import "strings"

// notice is added to a message that [Scrub] changed, so that nobody looks for
// the missing part in the server.
const notice = " (details hidden: a mask applies)"

// Scrub returns what may be shown of a server's error or notice while a mask
// applies: code is its SQLSTATE, message its primary message, and statement
// the client's own text, or "" to keep nothing of it. Any function or cast can
// put a value into a message and raise any code with it, so the message is
// replaced by a fixed text for its code. Two things of it may stay:
//
//   - a message that is one of the server's own constant texts, as it is;
//   - in errors about names (class 42), the quoted name that the client itself
//     wrote in statement, behind the fixed text.
//
// The caller drops DETAIL, HINT, CONTEXT and the internal query, and keeps the
// severity, the code and the position.
func Scrub(code, message, statement string) string {
	if constantMessages[message] {
		return message
	}
	text := template(code)
	if strings.HasPrefix(code, "42") {
		if name := ownName(message, statement); name != "" {
			text += ": " + name
		}
	}
	if text == message {
		return text
	}
	return text + notice
}

func template(code string) string {
	if text, ok := codeTexts[code]; ok {
		return text
	}
	if len(code) == 5 {
		if text, ok := classTexts[code[:2]]; ok {
			return text
		}
	}
	return "the database reported an error"
}

// maxName bounds a name (NAMEDATALEN) with its quotes; two of them may be
// joined by a point.
const maxName = 2*63 + 3

// ownName returns the first text between double quotes in message, with them,
// if statement holds it as a word. A longer one, or one that spells a number
// or a value's punctuation, is no name.
func ownName(message, statement string) string {
	open := strings.IndexByte(message, '"')
	if open < 0 {
		return ""
	}
	name, _, closed := strings.Cut(message[open+1:], `"`)
	if !closed || len(name) > maxName || !isName(name) || !holdsWord(statement, name) {
		return ""
	}
	return `"` + name + `"`
}

func isName(s string) bool {
	if s == "" || isDigit(s[0]) {
		return false
	}
	for i := range len(s) {
		if classes[s[i]]&className == 0 && s[i] != '_' && s[i] != '.' && s[i] != '$' {
			return false
		}
	}
	return true
}

// holdsWord looks for word in statement, case aside, as the server folds it.
func holdsWord(statement, word string) bool {
	if statement == "" {
		return false
	}
	text, word := strings.ToLower(statement), strings.ToLower(word)
	for i := 0; ; {
		at := strings.Index(text[i:], word)
		if at < 0 {
			return false
		}
		i += at
		if !nameByte(text, i-1) && !nameByte(text, i+len(word)) {
			return true
		}
		i++
	}
}

func nameByte(s string, i int) bool {
	return i >= 0 && i < len(s) && (classes[s[i]]&className != 0 || s[i] == '_' || s[i] == '$')
}

// constantMessages are texts of the server that hold no value and that people
// and programs look for.
var constantMessages = map[string]bool{
	"current transaction is aborted, commands ignored until end of transaction block": true,
	"there is already a transaction in progress":                                      true,
	"there is no transaction in progress":                                             true,
	"canceling statement due to user request":                                         true,
	"canceling statement due to statement timeout":                                    true,
	"canceling statement due to lock timeout":                                         true,
	"canceling statement due to conflict with recovery":                               true,
	"terminating connection due to administrator command":                             true,
	"terminating connection due to idle-in-transaction timeout":                       true,
	"terminating connection due to idle-session timeout":                              true,
	"the database system is shutting down":                                            true,
	"the database system is starting up":                                              true,
	"the database system is in recovery mode":                                         true,
	"sorry, too many clients already":                                                 true,
	"deadlock detected":                                                               true,
	"could not serialize access due to concurrent update":                             true,
	"could not serialize access due to concurrent delete":                             true,
	"could not serialize access due to read/write dependencies among transactions":    true,
	"division by zero": true,
	"more than one row returned by a subquery used as an expression": true,
	"unnamed prepared statement does not exist":                      true,
	"cannot insert multiple commands into a prepared statement":      true,
}

// codeTexts are the texts by SQLSTATE (PostgreSQL's appendix A).
var codeTexts = map[string]string{
	"00000": "the database sent a notice",
	"0A000": "the feature is not supported",
	"21000": "more rows than one where one is expected",
	"22001": "value too long for its type",
	"22003": "numeric value out of range",
	"22004": "null value not allowed",
	"22007": "invalid date or time format",
	"22008": "date or time field value out of range",
	"22012": "division by zero",
	"22021": "character not in repertoire",
	"22023": "invalid parameter value",
	"2201B": "invalid regular expression",
	"22026": "string length mismatch",
	"22P02": "invalid input syntax for a type",
	"22P03": "invalid binary representation",
	"22P04": "bad copy file format",
	"22P05": "untranslatable character",
	"23502": "null value violates a not-null constraint",
	"23503": "a foreign key constraint is violated",
	"23505": "duplicate key value violates a unique constraint",
	"23514": "a check constraint is violated",
	"23P01": "conflicting key value violates an exclusion constraint",
	"25001": "a transaction is in progress",
	"25006": "cannot write in a read-only transaction",
	"25P01": "no transaction is in progress",
	"25P02": "current transaction is aborted",
	"26000": "the prepared statement does not exist",
	"28000": "invalid authorization",
	"28P01": "authentication failed",
	"34000": "the cursor does not exist",
	"3B001": "the savepoint does not exist",
	"3D000": "the database does not exist",
	"3F000": "the schema does not exist",
	"40001": "could not serialize access",
	"40P01": "deadlock detected",
	"42501": "permission denied",
	"42601": "syntax error",
	"42602": "invalid name",
	"42622": "name too long",
	"42701": "duplicate column",
	"42702": "ambiguous column",
	"42703": "column does not exist",
	"42704": "object does not exist",
	"42710": "duplicate object",
	"42712": "duplicate alias",
	"42723": "duplicate function",
	"42725": "ambiguous function or operator",
	"42803": "grouping error",
	"42804": "datatype mismatch",
	"42809": "wrong object type",
	"42830": "invalid foreign key",
	"42846": "cannot cast",
	"42883": "function or operator does not exist",
	"42939": "reserved name",
	"42P01": "relation does not exist",
	"42P02": "parameter does not exist",
	"42P03": "duplicate cursor",
	"42P04": "duplicate database",
	"42P05": "duplicate prepared statement",
	"42P06": "duplicate schema",
	"42P07": "relation already exists",
	"42P08": "ambiguous parameter",
	"42P10": "invalid column reference",
	"42P18": "indeterminate datatype",
	"42P20": "windowing error",
	"53100": "disk full",
	"53200": "out of memory",
	"53300": "too many connections",
	"54000": "a limit of the server is exceeded",
	"54001": "statement too complex",
	"55000": "object not in the right state",
	"55006": "object in use",
	"55P03": "lock not available",
	"57014": "statement canceled",
	"57P01": "terminated by an administrator",
	"P0001": "an exception was raised",
	"P0002": "no data found",
	"P0003": "too many rows",
	"P0004": "an assertion failed",
}

// classTexts are the texts of codes that codeTexts leaves out, by class.
var classTexts = map[string]string{
	"00": "the database sent a notice",
	"01": "the database sent a warning",
	"02": "no data",
	"08": "connection error",
	"0A": "the feature is not supported",
	"22": "invalid data",
	"23": "an integrity constraint is violated",
	"24": "invalid cursor state",
	"25": "invalid transaction state",
	"26": "invalid statement name",
	"28": "invalid authorization",
	"38": "an external routine failed",
	"39": "an external routine was called wrongly",
	"40": "transaction rolled back",
	"42": "syntax error or access rule violation",
	"44": "a view's check option is violated",
	"53": "insufficient resources",
	"54": "a limit of the server is exceeded",
	"55": "object not in the right state",
	"57": "operator intervention",
	"58": "system error",
	"HV": "a foreign data wrapper failed",
	"P0": "an exception was raised",
	"XX": "internal error",
}
