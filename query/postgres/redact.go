package postgres

import (
	"strings"

	pgquery "github.com/pganalyze/pg_query_go/v6"
)

// hidden is what stands for a secret in a text that is shown.
const hidden = "'***'"

// redact returns the text with secrets hidden, "" if it holds none. It works by
// the places of tokens: in statements that carry credentials every literal goes,
// elsewhere those that look like a connection string or hold a password clause.
func redact(n *pgquery.Node, text string, settings []SettingChange) string {
	all := carriesSecrets(n)
	for _, s := range settings {
		all = all || secretName(s.Name)
	}
	return hide(text, func(literal string) bool { return all || secretLiteral(literal) }, all)
}

// redactOpaque is for a text without a tree: if it speaks of secrets, every
// literal goes, and whatever follows a token that does not end.
func redactOpaque(text string) string {
	all := speaksOfSecrets(text)
	return hide(text, func(string) bool { return all }, false)
}

// hide replaces the literals that secret accepts. With words, the value of
// SET name = value goes even where it is no string.
func hide(text string, secret func(string) bool, words bool) string {
	var out []byte
	last, assigned := 0, false
	l := lexer{text: text}
	for {
		t := l.next()
		if t.kind == tokEnd {
			break
		}
		part := text[t.start:t.end]
		literal := t.kind == tokString || t.kind == tokBad || words && assigned && (t.kind != tokOp && t.kind != tokPunct)
		if literal && secret(part) {
			out = append(append(out, text[last:t.start]...), hidden...)
			last = t.end
		}
		assigned = assigned || part == "=" || strings.EqualFold(part, "to")
	}
	if out == nil {
		return ""
	}
	return string(append(out, text[last:]...))
}

// carriesSecrets reports whether a statement is one that hands credentials over.
func carriesSecrets(n *pgquery.Node) bool {
	switch v := n.GetNode().(type) {
	case *pgquery.Node_CreateRoleStmt:
		return hasPassword(v.CreateRoleStmt.Options)
	case *pgquery.Node_AlterRoleStmt:
		return hasPassword(v.AlterRoleStmt.Options)
	case *pgquery.Node_AlterRoleSetStmt:
		return secretName(v.AlterRoleSetStmt.GetSetstmt().GetName())
	case *pgquery.Node_AlterDatabaseSetStmt:
		return secretName(v.AlterDatabaseSetStmt.GetSetstmt().GetName())
	case *pgquery.Node_AlterSystemStmt:
		return secretName(v.AlterSystemStmt.GetSetstmt().GetName())
	case *pgquery.Node_CreateUserMappingStmt, *pgquery.Node_AlterUserMappingStmt,
		*pgquery.Node_CreateForeignServerStmt, *pgquery.Node_AlterForeignServerStmt,
		*pgquery.Node_CreateFdwStmt, *pgquery.Node_AlterFdwStmt,
		*pgquery.Node_CreateForeignTableStmt, *pgquery.Node_ImportForeignSchemaStmt,
		*pgquery.Node_CreateSubscriptionStmt, *pgquery.Node_AlterSubscriptionStmt:
		return true
	}
	return false
}

func hasPassword(options []*pgquery.Node) bool {
	for _, n := range options {
		if strings.Contains(n.GetDefElem().GetDefname(), "assword") {
			return true
		}
	}
	return false
}

// secretWords mark the names of settings, and the texts, that hold credentials.
var secretWords = [...]string{"passw", "secret", "token", "apikey", "api_key", "credential", "private_key", "conninfo", "passphrase"}

func secretName(name string) bool { return speaksOfSecrets(name) }

func speaksOfSecrets(text string) bool {
	folded := strings.ToLower(text)
	for _, w := range secretWords {
		if strings.Contains(folded, w) {
			return true
		}
	}
	return false
}

// secretLiteral reports whether a literal holds a password: a connection string
// (password=..., scheme://user:password@host) or the text of a statement with a
// PASSWORD clause.
func secretLiteral(literal string) bool {
	if len(literal) < 12 {
		return false
	}
	if i := strings.Index(literal, "://"); i >= 0 {
		rest := literal[i+3:]
		at := strings.IndexByte(rest, '@')
		if at > 0 && strings.IndexByte(rest[:at], ':') >= 0 && !strings.ContainsAny(rest[:at], "/ ") {
			return true
		}
	}
	return containsFold(literal, "passw", "=' ")
}

// containsFold reports whether word occurs, in any case, with one of the
// characters of after somewhere behind its letters.
func containsFold(text, word, after string) bool {
	for i := 0; i+len(word) <= len(text); i++ {
		if text[i]|0x20 != word[0] || !strings.EqualFold(text[i:i+len(word)], word) {
			continue
		}
		rest := strings.TrimLeft(text[i+len(word):], "ordORD")
		if rest != "" && strings.IndexByte(after, rest[0]) >= 0 {
			return true
		}
	}
	return false
}

// firstWord is the command of a text that could not be read.
func firstWord(text string) string {
	l := lexer{text: text}
	if t := l.next(); t.kind == tokWord && t.end-t.start <= 32 {
		return strings.ToUpper(text[t.start:t.end])
	}
	return ""
}
