package postgres

import (
	"encoding/binary"
	"fmt"

	"sluice/protocol/postgres/wire"
)

// This file masks rows; result.go makes the plans that it follows.

// maskRow appends the DataRow msg with its values masked.
func (p *plan) maskRow(dst, msg []byte, hits *int64) ([]byte, error) {
	body := msg[wire.HeaderLen:]
	if len(body) < 2 || int(binary.BigEndian.Uint16(body)) != len(p.columns) {
		return dst, fmt.Errorf("it has other columns than described")
	}
	dst, at := wire.Begin(dst, 'D')
	dst = append(dst, body[:2]...)
	rest := body[2:]
	for i := range p.columns {
		if len(rest) < 4 {
			return dst, wire.ErrMalformed
		}
		n := int32(binary.BigEndian.Uint32(rest))
		if n < 0 {
			dst, rest = append(dst, rest[:4]...), rest[4:]
			continue
		}
		if int(n) > len(rest)-4 {
			return dst, wire.ErrMalformed
		}
		c := &p.columns[i]
		if !c.masked && c.detect == nil {
			dst = append(dst, rest[:4+n]...)
		} else {
			dst = p.appendValue(dst, c, rest[4:4+n], hits)
		}
		rest = rest[4+n:]
	}
	return wire.End(dst, at), nil
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
	if c.masked {
		out, null = c.with.ApplyType(dst, v, &c.typ, c.binary)
		return out, null, 1
	}
	out, null, hits = c.detect.Apply(dst, v, c.typ.Kind, c.binary, c.with)
	if hits == 0 {
		return append(dst, v...), false, 0
	}
	return out, null, hits
}
