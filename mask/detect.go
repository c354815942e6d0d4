package mask

import (
	"encoding/hex"
	"encoding/json"
	"strconv"
)

// Wants reports whether [Detector.Apply] could find anything in values of the
// kind: columns of other kinds need no look.
func (d *Detector) Wants(kind Kind) bool {
	switch kind {
	case KindText, KindJSON, KindJSONB, KindXML, KindBytea,
		KindArray, KindComposite, KindEnum, KindRange, KindMultirange, KindUnknown:
		return d.want != 0
	case KindInt8, KindNumeric:
		return d.want.has(FoundCard)
	case KindInet, KindCIDR:
		return d.want.any(ipSet)
	}
	return false
}

// Mask appends value to dst with every find replaced as with would replace it
// as a text; a find that with turns into NULL disappears. hits is how many
// there were; at 0 out is dst, and value may be used as it is.
func (d *Detector) Mask(dst, value []byte, with Transform) (out []byte, hits int) {
	var buf [8]Span
	spans := d.Find(value, buf[:0])
	if len(spans) == 0 {
		return dst, 0
	}
	at := 0
	for _, s := range spans {
		dst = append(dst, value[at:s.Start]...)
		dst, _ = with.Apply(dst, value[s.Start:s.End], KindText, false)
		at = s.End
	}
	return append(dst, value[at:]...), len(spans)
}

// Apply looks into one field of the kind and format. With hits, it appends the
// field to dst with the finds replaced (null: the whole field is NULL, nothing
// is appended). Without, out is dst, and value may be used as it is. Where a
// part cannot be replaced (numbers, arrays, types that are not known), the
// whole field is.
func (d *Detector) Apply(dst, value []byte, kind Kind, binary bool, with Transform) (out []byte, null bool, hits int) {
	switch kind {
	case KindText, KindXML:
		if with.method == methodNull {
			return d.whole(dst, value, value, kind, binary, with)
		}
		out, hits = d.Mask(dst, value, with)
		return out, false, hits
	case KindJSON, KindJSONB:
		return d.maskJSON(dst, value, kind, binary, with)
	case KindInt8, KindNumeric:
		return d.maskNumber(dst, value, kind, binary, with)
	case KindInet, KindCIDR:
		if !d.want.any(ipSet) {
			return dst, false, 0
		}
		out, null = with.Apply(dst, value, kind, binary)
		return out, null, 1
	case KindBytea:
		return d.maskBytea(dst, value, binary, with)
	case KindArray, KindComposite, KindEnum, KindRange, KindMultirange, KindUnknown:
		return d.whole(dst, value, value, kind, binary, with)
	}
	return dst, false, 0
}

// ApplyType is [Detector.Apply] for a field whose type has limits: what replaces
// a find keeps them.
func (d *Detector) ApplyType(dst, value []byte, typ *Type, binary bool, with Transform) (out []byte, null bool, hits int) {
	start := len(dst)
	out, null, hits = d.Apply(dst, value, typ.Kind, binary, with)
	switch {
	case hits == 0 || null:
	case typ.Kind == KindText && typ.Size > 0:
		out = typ.fit(out, start)
	case typ.Kind == KindNumeric:
		out, null = with.ApplyType(out[:start], value, typ, binary)
	}
	return out, null, hits
}

// whole masks all of value if text, which spells it, holds a find.
func (d *Detector) whole(dst, value, text []byte, kind Kind, binary bool, with Transform) ([]byte, bool, int) {
	var buf [8]Span
	hits := len(d.Find(text, buf[:0]))
	if hits == 0 {
		return dst, false, 0
	}
	if kind == KindArray || kind == KindRange || kind == KindMultirange { // an empty one would be a lie, and say less than NULL
		return dst, true, hits
	}
	out, null := with.Apply(dst, value, kind, binary)
	return out, null, hits
}

// maskNumber looks for card numbers, the only ones that tell themselves from
// other numbers.
func (d *Detector) maskNumber(dst, value []byte, kind Kind, binary bool, with Transform) ([]byte, bool, int) {
	n, ok := parseWhole(value, kind, binary)
	if !ok || !d.want.has(FoundCard) {
		return dst, false, 0
	}
	var buf [20]byte
	cards := Detector{of(FoundCard)}
	return cards.whole(dst, value, strconv.AppendInt(buf[:0], n, 10), kind, binary, with)
}

// maskBytea looks into the bytes; the text format spells them in hexadecimal.
func (d *Detector) maskBytea(dst, value []byte, binary bool, with Transform) ([]byte, bool, int) {
	if binary || len(value) < 2 || value[0] != '\\' || value[1] != 'x' {
		return d.whole(dst, value, value, KindBytea, binary, with)
	}
	start := len(dst)
	decoded, err := hex.AppendDecode(dst, value[2:])
	if err != nil {
		return dst, true, 1
	}
	var buf [8]Span
	hits := len(d.Find(decoded[start:], buf[:0]))
	clear(decoded[start:]) // the room behind dst must not keep the value
	if hits == 0 {
		return decoded[:start], false, 0
	}
	out, null := with.Apply(decoded[:start], value, KindBytea, false)
	return out, null, hits
}

// maskJSON replaces finds inside strings, and numbers that hold one by null.
// What would not be JSON any more is masked as a whole.
func (d *Detector) maskJSON(dst, value []byte, kind Kind, binary bool, with Transform) ([]byte, bool, int) {
	var buf [8]Span
	text := value
	if kind == KindJSONB && binary && len(value) > 0 {
		text = value[1:]
	}
	spans := d.Find(text, buf[:0])
	if len(spans) == 0 {
		return dst, false, 0
	}
	start := len(dst)
	if with.method != methodNull {
		dst = jsonVersion(dst, kind, binary)
		body := len(dst)
		dst = spliceJSON(dst, text, spans, with)
		if json.Valid(dst[body:]) {
			return dst, false, len(spans)
		}
	}
	clear(dst[start:])
	out, null := with.Apply(dst[:start], value, kind, binary)
	return out, null, len(spans)
}

func spliceJSON(dst, text []byte, spans []Span, with Transform) []byte {
	at, inside := 0, false
	for _, s := range spans {
		inside = insideString(text[at:s.Start], inside)
		if inside {
			s.Start += escapeTail(text[at:s.Start], text[s.Start:s.End])
		}
		dst = append(dst, text[at:s.Start]...)
		if inside {
			dst, _ = with.Apply(dst, text[s.Start:s.End], KindText, false)
		} else {
			dst = append(dst, "null"...)
		}
		at = s.End
	}
	return append(dst, text[at:]...)
}

// insideString walks over text and reports whether it ends in a string.
func insideString(text []byte, inside bool) bool {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			inside = !inside
		case '\\':
			i++
		}
	}
	return inside
}

// escapeTail returns how many bytes of a find belong to an escape that begins
// before it: in "\nalice@example.com" the n.
func escapeTail(before, find []byte) int {
	slashes := 0
	for slashes < len(before) && before[len(before)-1-slashes] == '\\' {
		slashes++
	}
	if slashes%2 == 0 {
		return 0
	}
	if find[0] == 'u' && len(find) > 5 {
		return 5
	}
	return 1
}
