package postgres

import (
	"encoding/binary"
	"fmt"

	"sluice/access"
	"sluice/mask"
	"sluice/protocol/postgres/wire"
)

// This file masks rows; result.go makes the plans that it follows.

// keys are the keys of the hash mask, as they are now.
func (srv *Server) keys() *mask.Keys {
	if srv.Masks == nil {
		return nil
	}
	return srv.Masks()
}

// compile makes what a mask says a column's plan. On an error the values must
// not be shown.
func (c *columnPlan) compile(keys *mask.Keys, m access.Mask) (err error) {
	if m.With == "" {
		m.With = "redact"
	}
	if c.with, err = keys.Compile(m.With, m.Key); err != nil {
		return err
	}
	c.with, c.masked = c.with.Own(), len(m.Detect) == 0
	if len(m.Paths) > 0 {
		if c.with, err = c.with.Paths(m.Paths); err != nil {
			return err
		}
		c.masked, m.With = true, m.Finds
	}
	return c.compileDetect(keys, m)
}

// compileDetect adds what looks into values, where a mask says so.
func (c *columnPlan) compileDetect(keys *mask.Keys, m access.Mask) (err error) {
	if len(m.Detect) == 0 {
		return nil
	}
	d, err := mask.NewDetector(m.Detect)
	if err != nil || !d.Wants(c.typ.Kind) {
		return err
	}
	c.detect = d
	c.found, err = keys.Compile(m.With, m.Key)
	c.found = c.found.Own()
	return err
}

// maskRow appends the DataRow msg with its values masked.
func (p *plan) maskRow(dst, msg []byte, hits *int64) ([]byte, error) {
	dst, at := wire.Begin(dst, 'D')
	dst, err := p.maskTuple(dst, msg[wire.HeaderLen:], hits)
	if err != nil {
		return dst, err
	}
	return wire.End(dst, at), nil
}

// maskTuple appends a DataRow's body with its values masked. What lies between
// masked values is copied as it is, in one piece.
func (p *plan) maskTuple(dst, body []byte, hits *int64) ([]byte, error) {
	if len(body) < 2 || int(binary.BigEndian.Uint16(body)) != len(p.columns) {
		return dst, fmt.Errorf("it has other columns than described")
	}
	from, at := 0, 2 // what is not yet written, and where the next value begins
	for i := range p.columns {
		if len(body)-at < 4 {
			return dst, wire.ErrMalformed
		}
		n := int(int32(binary.BigEndian.Uint32(body[at:])))
		value := at + 4
		if n < 0 {
			at = value
			continue
		}
		if n > len(body)-value {
			return dst, wire.ErrMalformed
		}
		if c := &p.columns[i]; c.masked || c.detect != nil {
			dst = append(dst, body[from:at]...)
			dst = p.appendValue(dst, c, body[value:value+n], hits)
			from = value + n
		}
		at = value + n
	}
	if at < len(body) {
		return dst, wire.ErrMalformed
	}
	return append(dst, body[from:]...), nil
}

// appendValue appends one masked value with its length; -1: NULL.
func (p *plan) appendValue(dst []byte, c *columnPlan, v []byte, hits *int64) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	out, null, n := p.value(dst, c, v)
	*hits += int64(n)
	if null {
		dst = out[:at+4]
		binary.BigEndian.PutUint32(dst[at:], 0xffffffff)
		return dst
	}
	binary.BigEndian.PutUint32(out[at:], uint32(len(out)-at-4))
	return out
}

// value appends v as it may be shown.
func (p *plan) value(dst []byte, c *columnPlan, v []byte) (out []byte, null bool, hits int) {
	if !c.masked {
		out, null, hits = c.detect.ApplyType(dst, v, &c.typ, c.binary, c.found)
		if hits == 0 {
			return append(dst, v...), false, 0
		}
		return out, null, hits
	}
	out, null = c.with.ApplyType(dst, v, &c.typ, c.binary)
	if null || c.detect == nil {
		return out, null, 1
	}
	at, end := len(dst), len(out)
	more, null, hits := c.detect.ApplyType(out, out[at:], &c.typ, c.binary, c.found)
	if hits > 0 { // what was found, and hides, stands behind what the paths left
		out = more[:at+copy(more[at:], more[end:])]
	}
	return out, null, hits + 1
}
