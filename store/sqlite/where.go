package sqlite

import "strings"

// A where collects the conditions of a query whose filter has optional parts.
type where struct {
	conds []string
	args  []any
}

func (w *where) add(cond string, args ...any) {
	w.conds = append(w.conds, cond)
	w.args = append(w.args, args...)
}

// text adds an equality unless the value is empty.
func (w *where) text(column, value string) {
	if value != "" {
		w.add(column+" = ?", value)
	}
}

// sql returns the clause, empty or with a leading WHERE.
func (w *where) sql() string {
	if len(w.conds) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conds, " AND ")
}

// limit adds LIMIT unless n is zero. It must be called last.
func (w *where) limit(n int) string {
	if n == 0 {
		return ""
	}
	w.args = append(w.args, n)
	return " LIMIT ?"
}
