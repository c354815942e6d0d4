package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strconv"
)

// ErrMalformed is returned for a body that does not follow its format.
var ErrMalformed = errors.New("wire: malformed message")

// A cursor walks a body. After the first fault every read returns zero values
// and bad stays true.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) str() []byte {
	i := bytes.IndexByte(c.b, 0)
	if i < 0 {
		c.b, c.bad = nil, true
		return nil
	}
	s := c.b[:i:i]
	c.b = c.b[i+1:]
	return s
}

func (c *cursor) take(n int) []byte {
	if n < 0 || n > len(c.b) {
		c.b, c.bad = nil, true
		return nil
	}
	s := c.b[:n:n]
	c.b = c.b[n:]
	return s
}

func (c *cursor) u8() byte {
	if s := c.take(1); s != nil {
		return s[0]
	}
	return 0
}

func (c *cursor) i16() int {
	if s := c.take(2); s != nil {
		return int(int16(binary.BigEndian.Uint16(s)))
	}
	return 0
}

func (c *cursor) u16() int {
	if s := c.take(2); s != nil {
		return int(binary.BigEndian.Uint16(s))
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if s := c.take(4); s != nil {
		return binary.BigEndian.Uint32(s)
	}
	return 0
}

func (c *cursor) i32() int { return int(int32(c.u32())) }

// end reports whether everything was there and nothing is left.
func (c *cursor) end() error {
	if c.bad || len(c.b) > 0 {
		return ErrMalformed
	}
	return nil
}

// A Parse is the Parse message.
type Parse struct {
	Name, Query []byte
	types       []byte
}

// ParseParse decodes the body of a Parse message.
func ParseParse(body []byte) (Parse, error) {
	c := cursor{b: body}
	p := Parse{Name: c.str(), Query: c.str()}
	p.types = c.take(4 * c.u16())
	return p, c.end()
}

// NumTypes returns how many parameter types the client declared.
func (p Parse) NumTypes() int { return len(p.types) / 4 }

// Type returns the declared OID of parameter i; 0: left to the server.
func (p Parse) Type(i int) uint32 { return binary.BigEndian.Uint32(p.types[4*i:]) }

// A Bind is the Bind message.
type Bind struct {
	Portal, Statement []byte
	formats           []byte
	params            []byte
	NumParams         int
	Results           []byte // the result formats as sent: a count and the codes
}

// ParseBind decodes the body of a Bind message.
func ParseBind(body []byte) (Bind, error) {
	c := cursor{b: body}
	b := Bind{Portal: c.str(), Statement: c.str()}
	b.formats = c.take(2 * c.u16())
	b.NumParams = c.u16()
	start := c.b
	for range b.NumParams {
		if n := c.i32(); n >= 0 {
			c.take(n)
		} else if n < -1 {
			return b, ErrMalformed
		}
		if c.bad {
			return b, ErrMalformed
		}
	}
	b.params = start[:len(start)-len(c.b)]
	b.Results = c.b
	c.take(2 * c.u16())
	if n := len(b.formats) / 2; n > 1 && n != b.NumParams {
		// The server raises an error of its own; the gateway need not guess
		// which format it would have used.
		return b, c.end()
	}
	return b, c.end()
}

// Binary reports whether parameter i is in binary format.
func (b Bind) Binary(i int) bool { return formatCode(b.formats, i) == 1 }

func formatCode(codes []byte, i int) int {
	switch n := len(codes) / 2; {
	case n == 0:
		return 0
	case n == 1:
		return int(binary.BigEndian.Uint16(codes))
	case i < n:
		return int(binary.BigEndian.Uint16(codes[2*i:]))
	}
	return 0
}

// Each calls f for every parameter; value is nil for NULL.
func (b Bind) Each(f func(i int, value []byte)) {
	c := cursor{b: b.params}
	for i := range b.NumParams {
		n := c.i32()
		if n < 0 {
			f(i, nil)
			continue
		}
		f(i, c.take(n))
	}
}

// A Target names a statement ('S') or portal ('P') to describe or close.
type Target struct {
	Kind byte
	Name []byte
}

// ParseTarget decodes the body of a Describe or Close message.
func ParseTarget(body []byte) (Target, error) {
	c := cursor{b: body}
	t := Target{Kind: c.u8(), Name: c.str()}
	if t.Kind != 'S' && t.Kind != 'P' {
		return t, ErrMalformed
	}
	return t, c.end()
}

// An Execute is the Execute message.
type Execute struct {
	Portal  []byte
	MaxRows uint32 // 0: no limit
}

// Limited reports whether MaxRows limits: the server takes it for a signed number.
func (e Execute) Limited() bool { return int32(e.MaxRows) > 0 }

// ParseExecute decodes the body of an Execute message.
func ParseExecute(body []byte) (Execute, error) {
	c := cursor{b: body}
	e := Execute{Portal: c.str(), MaxRows: c.u32()}
	return e, c.end()
}

// ParseQuery decodes the body of a Query message.
func ParseQuery(body []byte) ([]byte, error) {
	c := cursor{b: body}
	q := c.str()
	return q, c.end()
}

// A FunctionCall is the FunctionCall message.
type FunctionCall struct {
	OID uint32
	Bind
}

// ParseFunctionCall decodes the body of a FunctionCall message.
func ParseFunctionCall(body []byte) (FunctionCall, error) {
	c := cursor{b: body}
	f := FunctionCall{OID: c.u32()}
	f.formats = c.take(2 * c.u16())
	f.NumParams = c.u16()
	start := c.b
	for range f.NumParams {
		if n := c.i32(); n >= 0 {
			c.take(n)
		}
		if c.bad {
			return f, ErrMalformed
		}
	}
	f.params = start[:len(start)-len(c.b)]
	f.Results = c.take(2)
	return f, c.end()
}

// A Field is one column of a RowDescription.
type Field struct {
	Name      []byte
	Table     uint32 // OID; 0: not a plain column
	Attribute int16  // attribute number; 0: not a plain column
	Type      uint32 // OID
	Mod       int32  // type modifier; -1: none
	Binary    bool
}

// ParseRowDescription decodes the body of a RowDescription message, appending
// to fields.
func ParseRowDescription(body []byte, fields []Field) ([]Field, error) {
	c := cursor{b: body}
	n := c.u16()
	for range n {
		f := Field{Name: c.str(), Table: c.u32(), Attribute: int16(c.i16()), Type: c.u32()}
		c.take(2) // type size
		f.Mod = int32(c.u32())
		f.Binary = c.i16() == 1
		if c.bad {
			return fields, ErrMalformed
		}
		fields = append(fields, f)
	}
	return fields, c.end()
}

// A ServerError is the part of ErrorResponse and NoticeResponse that the
// gateway reads.
type ServerError struct {
	Severity, Code, Message string
}

// ParseError decodes the body of an ErrorResponse or NoticeResponse.
func ParseError(body []byte) (ServerError, error) {
	var e ServerError
	err := EachField(body, func(typ byte, value []byte) {
		switch typ {
		case 'S':
			e.Severity = string(value)
		case 'C':
			e.Code = string(value)
		case 'M':
			e.Message = string(value)
		}
	})
	return e, err
}

// EachField calls f for every field of an ErrorResponse or NoticeResponse.
func EachField(body []byte, f func(typ byte, value []byte)) error {
	c := cursor{b: body}
	for {
		typ := c.u8()
		if typ == 0 {
			return c.end()
		}
		v := c.str()
		if c.bad {
			return ErrMalformed
		}
		f(typ, v)
	}
}

// ParseParameterStatus decodes the body of a ParameterStatus message.
func ParseParameterStatus(body []byte) (name, value string, err error) {
	c := cursor{b: body}
	n, v := c.str(), c.str()
	return string(n), string(v), c.end()
}

// TagAffected returns how many rows a statement changed, by its command tag. It
// reports false for tags of statements that do not say so.
func TagAffected(tag []byte) (n int64, ok bool) {
	if !TagWrites(tag) && !bytes.HasPrefix(tag, []byte("COPY ")) {
		return 0, false
	}
	last := tag[bytes.LastIndexByte(tag, ' ')+1:]
	n, err := strconv.ParseInt(string(last), 10, 64)
	return n, err == nil && n >= 0
}

// TagWrites reports whether a command tag is that of INSERT, UPDATE, DELETE or MERGE.
func TagWrites(tag []byte) bool {
	word, _, _ := bytes.Cut(tag, []byte(" "))
	switch string(word) {
	case "INSERT", "UPDATE", "DELETE", "MERGE":
		return true
	}
	return false
}

// TagRows returns the row count at the end of a command tag, 0 if it has none.
func TagRows(tag []byte) int64 {
	i := bytes.LastIndexByte(tag, ' ')
	if i < 0 || i == len(tag)-1 {
		return 0
	}
	var n int64
	for _, d := range tag[i+1:] {
		if d < '0' || d > '9' || n > 1<<58 {
			return 0
		}
		n = n*10 + int64(d-'0')
	}
	return n
}

// EachValue calls f for every value of a DataRow; nil is NULL.
func EachValue(body []byte, f func(i int, value []byte)) error {
	c := cursor{b: body}
	for i := range c.u16() {
		n := c.i32()
		if c.bad {
			return ErrMalformed
		}
		if n < 0 {
			f(i, nil)
			continue
		}
		v := c.take(n)
		if c.bad {
			return ErrMalformed
		}
		f(i, v)
	}
	return c.end()
}
