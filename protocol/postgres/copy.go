package postgres

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"sluice/access"
	"sluice/pipeline"
	"sluice/protocol/postgres/wire"
	"sluice/query/catalog"
	query "sluice/query/postgres"
)

// COPY TO STDOUT has no RowDescription: what its columns are comes from the
// catalog and the analysis. The server sends one row a CopyData message in
// every format (PostgreSQL documentation, COPY, "File Formats").

// A copyFormat says how rows of a COPY are written.
type copyFormat struct {
	binary    bool
	csv       bool
	delimiter byte
	null      string
	quote     byte
	escape    byte
	header    bool // the first row holds names
	begun     bool // the first message has been seen
}

var errCopyFormat = errors.New("COPY with these options cannot be masked; use the format text, csv or binary without further options")

// formatOf reads the options of a COPY that masks can follow.
func formatOf(c *query.Copy) (*copyFormat, error) {
	f := &copyFormat{delimiter: '\t', null: `\N`}
	switch c.Format {
	case "", "text":
	case "csv":
		f.csv, f.delimiter, f.null, f.quote = true, ',', "", '"'
	case "binary":
		f.binary = true
	default:
		return nil, errCopyFormat
	}
	if c.OtherOptions || len(c.Delimiter) > 1 || len(c.Quote) > 1 || len(c.Escape) > 1 {
		return nil, errCopyFormat
	}
	if c.Delimiter != "" {
		f.delimiter = c.Delimiter[0]
	}
	if c.Null != "" {
		// In the text format a value equal to another null string would show
		// itself by being left as it is.
		if c.Null != f.null && !f.csv {
			return nil, errCopyFormat
		}
		f.null = c.Null
	}
	if c.Quote != "" {
		f.quote = c.Quote[0]
	}
	f.escape = f.quote
	if c.Escape != "" {
		f.escape = c.Escape[0]
	}
	f.header = c.Header
	return f, nil
}

// A copyTo is how one COPY TO STDOUT is sent.
type copyTo struct{ plan *plan } // nil: all rows may pass

var errCopyColumnsUnknown = errors.New("what COPY would send cannot be traced")

// maskable reports whether rows under a permit may have to be masked.
func (s *session) maskable(p *pipeline.Permit) bool {
	if s.masked() {
		return true
	}
	for _, o := range p.Decision.Obligations {
		if _, ok := o.(access.Mask); ok {
			return true
		}
	}
	return false
}

// copyPlans prepares the plans for a batch's COPY TO STDOUT statements.
func (s *session) copyPlans(r *run, b *query.Batch, permits []*pipeline.Permit) error {
	for i, st := range b.Statements {
		if st.Copy == nil || st.Copy.From || !st.Copy.Stdio || !s.mustPlan(permits[i]) {
			continue
		}
		p, err := s.copyOutPlan(st, permits[i])
		if err != nil {
			return err
		}
		if r.copies == nil {
			r.copies = make([]*copyTo, len(b.Statements))
		}
		r.copies[i] = &copyTo{p}
	}
	return nil
}

// copyPortal prepares the plan of a portal that is a COPY TO STDOUT.
func (s *session) copyPortal(po *portal) error {
	st := po.def.st
	if st == nil || st.Copy == nil || st.Copy.From || !st.Copy.Stdio || !s.mustPlan(po.permit) {
		return nil
	}
	p, err := s.copyOutPlan(st, po.permit)
	po.copy = &copyTo{p}
	return err
}

// copyOutPlan makes the plan of one COPY TO STDOUT; nil if all may pass.
func (s *session) copyOutPlan(st *query.Statement, permit *pipeline.Permit) (*plan, error) {
	cols, known := s.copyColumns(st)
	if cols == nil && s.maskable(permit) {
		return nil, errCopyColumnsUnknown
	}
	pl, err := s.planColumns(permit, cols, known)
	if err != nil || pl == nil {
		return pl, err
	}
	f, err := formatOf(st.Copy)
	if err != nil {
		return nil, err
	}
	pl.copy = f
	for i := range pl.columns {
		pl.columns[i].binary = f.binary
	}
	return pl, nil
}

// copyColumns describes the columns that a COPY sends.
func (s *session) copyColumns(st *query.Statement) (cols []access.Column, known []shown) {
	if st.Copy.Query != nil {
		shared, ok := st.Copy.Query.Columns()
		if !ok {
			return nil, nil
		}
		cols, known = slices.Clone(shared), make([]shown, len(shared))
		snap := s.snapshot()
		for i := range st.Copy.Query.Outputs {
			o := &st.Copy.Query.Outputs[i]
			known[i].copied = tracedCopy(snap, o)
			cols[i].Type, known[i].mod = outputType(snap, o)
		}
		return cols, known
	}
	return s.relationColumns(st.Copy)
}

// relationColumns describes what COPY of a relation sends: the server copies
// tables only, so all are a table's values.
func (s *session) relationColumns(c *query.Copy) (cols []access.Column, known []shown) {
	snap := s.snapshot()
	if snap == nil {
		return nil, nil
	}
	rel := snap.Lookup(c.Schema, c.Relation)
	if rel == nil {
		return nil, nil
	}
	add := func(c *catalog.Column) {
		origins, traced := snap.Origins(rel.OID, c.Num)
		cols = append(cols, access.Column{Name: c.Name, Type: c.Type, Origins: origins, Traced: traced})
		known = append(known, shown{true, c.Mod})
	}
	if len(c.Columns) == 0 {
		for _, col := range rel.Columns {
			if col.Computed {
				continue // as the server does
			}
			add(&col)
		}
		return cols, known
	}
	for _, name := range c.Columns {
		col := rel.Column(name)
		if col == nil {
			return nil, nil
		}
		add(col)
	}
	return cols, known
}

// maskCopy appends the CopyData msg with its values masked.
func (p *plan) maskCopy(dst, msg []byte, hits *int64) ([]byte, error) {
	body := msg[wire.HeaderLen:]
	dst, at := wire.Begin(dst, 'd')
	var err error
	first := !p.copy.begun
	p.copy.begun = true
	switch {
	case p.copy.binary:
		dst, err = p.copyBinary(dst, body, first, hits)
	case first && p.copy.header:
		dst = append(dst, body...)
	case p.copy.csv:
		dst, err = p.copyCSV(dst, body, hits)
	default:
		dst, err = p.copyText(dst, body, hits)
	}
	return wire.End(dst, at), err
}

func errCopyColumns(got, want int) error {
	return fmt.Errorf("a row of %d columns where %d were expected", got, want)
}

// copyText masks a row in text format.
func (p *plan) copyText(dst, row []byte, hits *int64) ([]byte, error) {
	line, end := cutLine(row)
	if n := bytes.Count(line, []byte{p.copy.delimiter}) + 1; n < len(p.columns) {
		return dst, errCopyColumns(n, len(p.columns))
	}
	i := 0
	for ; ; i++ {
		field, rest, more := cutField(line, p.copy.delimiter)
		if i >= len(p.columns) {
			return dst, errCopyColumns(i+1, len(p.columns))
		}
		dst = p.textField(dst, &p.columns[i], field, hits)
		if !more {
			break
		}
		dst, line = append(dst, p.copy.delimiter), rest
	}
	if i+1 != len(p.columns) {
		return dst, errCopyColumns(i+1, len(p.columns))
	}
	return append(dst, end...), nil
}

func cutLine(row []byte) (line, end []byte) {
	n := len(row)
	for n > 0 && (row[n-1] == '\n' || row[n-1] == '\r') {
		n--
	}
	return row[:n], row[n:]
}

// cutField cuts at the first delimiter that is not escaped by a backslash.
func cutField(line []byte, delimiter byte) (field, rest []byte, more bool) {
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
		case delimiter:
			return line[:i], line[i+1:], true
		}
	}
	return line, nil, false
}

func (p *plan) textField(dst []byte, c *columnPlan, field []byte, hits *int64) []byte {
	if !c.masked && c.detect == nil || string(field) == p.copy.null {
		return append(dst, field...)
	}
	value := field
	if bytes.IndexByte(field, '\\') >= 0 {
		p.clear = unescapeCopy(p.clear[:0], field)
		value = p.clear
	}
	out, null, n := p.value(p.shown[:0], c, value)
	p.shown = out[:0]
	*hits += int64(n)
	if null {
		return append(dst, p.copy.null...)
	}
	if n == 0 {
		return append(dst, field...)
	}
	return escapeCopy(dst, out, p.copy.delimiter)
}

func unescapeCopy(out, field []byte) []byte {
	for i := 0; i < len(field); i++ {
		if field[i] != '\\' || i+1 == len(field) {
			out = append(out, field[i])
			continue
		}
		i++
		out = append(out, copyEscape(field[i]))
	}
	return out
}

// copyEscape is what a byte behind a backslash stands for.
func copyEscape(b byte) byte {
	switch b {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'v':
		return '\v'
	}
	return b
}

func escapeCopy(dst, v []byte, delimiter byte) []byte {
	for _, b := range v {
		switch b {
		case '\\', delimiter:
			dst = append(dst, '\\', b)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		default:
			dst = append(dst, b)
		}
	}
	return dst
}

// copyCSV masks a row in CSV format.
func (p *plan) copyCSV(dst, row []byte, hits *int64) ([]byte, error) {
	line, end := cutLine(row)
	for i := 0; ; i++ {
		raw, quoted, rest, more := p.copy.csvField(line)
		if i >= len(p.columns) {
			return dst, errCopyColumns(i+1, len(p.columns))
		}
		c := &p.columns[i]
		if !c.masked && c.detect == nil || !quoted && string(raw) == p.copy.null {
			dst = append(dst, raw...)
		} else {
			dst = p.csvValue(dst, c, raw, hits)
		}
		if !more {
			if i+1 != len(p.columns) {
				return dst, errCopyColumns(i+1, len(p.columns))
			}
			return append(dst, end...), nil
		}
		dst, line = append(dst, p.copy.delimiter), rest
	}
}

// csvField cuts the first field of a line, as it is written.
func (f *copyFormat) csvField(line []byte) (raw []byte, quoted bool, rest []byte, more bool) {
	inside := false
	for i := 0; i < len(line); i++ {
		b := line[i]
		switch {
		case inside && f.escapes(line[i:]):
			i++
		case b == f.quote:
			inside, quoted = !inside, true
		case !inside && b == f.delimiter:
			return line[:i], quoted, line[i+1:], true
		}
	}
	return line, quoted, nil, false
}

// escapes reports whether b begins with an escaped quote or escape.
func (f *copyFormat) escapes(b []byte) bool {
	return b[0] == f.escape && len(b) > 1 && (b[1] == f.quote || b[1] == f.escape)
}

// csvClear appends the value of a field.
func (f *copyFormat) csvClear(out, raw []byte) []byte {
	inside := false
	for i := 0; i < len(raw); i++ {
		switch {
		case inside && f.escapes(raw[i:]):
			i++
			out = append(out, raw[i])
		case raw[i] == f.quote:
			inside = !inside
		default:
			out = append(out, raw[i])
		}
	}
	return out
}

func (p *plan) csvValue(dst []byte, c *columnPlan, raw []byte, hits *int64) []byte {
	p.clear = p.copy.csvClear(p.clear[:0], raw)
	out, null, n := p.value(p.shown[:0], c, p.clear)
	p.shown = out[:0]
	*hits += int64(n)
	if null {
		return append(dst, p.copy.null...)
	}
	if n == 0 {
		return append(dst, raw...)
	}
	dst = append(dst, p.copy.quote)
	for _, b := range out {
		if b == p.copy.quote || b == p.copy.escape {
			dst = append(dst, p.copy.escape)
		}
		dst = append(dst, b)
	}
	return append(dst, p.copy.quote)
}

// copySignature begins a binary COPY: signature, flags, length of the extension.
var copySignature = []byte("PGCOPY\n\xff\r\n\x00")

// copyBinary masks a row in binary format. The first message begins with the
// header; the last holds the trailer -1.
func (p *plan) copyBinary(dst, b []byte, first bool, hits *int64) ([]byte, error) {
	if first && bytes.HasPrefix(b, copySignature) {
		n := len(copySignature) + 8
		if len(b) < n {
			return dst, wire.ErrMalformed
		}
		n += int(binary.BigEndian.Uint32(b[n-4:]))
		if n > len(b) {
			return dst, wire.ErrMalformed
		}
		dst, b = append(dst, b[:n]...), b[n:]
	}
	if len(b) == 0 {
		return dst, nil
	}
	if bytes.Equal(b, copyTrailer) {
		return append(dst, b...), nil
	}
	// A tuple has the layout of a DataRow's body.
	return p.maskTuple(dst, b, hits)
}
