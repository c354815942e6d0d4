package wire

import "encoding/binary"

// Begin appends the header of a message whose body follows; End fills in its
// length. start is the offset that Begin returned.
func Begin(dst []byte, typ byte) (out []byte, start int) {
	return append(dst, typ, 0, 0, 0, 0), len(dst)
}

// End writes the length of the message that began at start.
func End(dst []byte, start int) []byte {
	binary.BigEndian.PutUint32(dst[start+1:], uint32(len(dst)-start-1))
	return dst
}

// AppendString appends a zero-terminated string. Zero bytes in s end it early,
// as they would for the reader.
func AppendString(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] == 0 {
			s = s[:i]
			break
		}
	}
	return append(append(dst, s...), 0)
}

// AppendQuery appends a Query message.
func AppendQuery(dst []byte, text string) []byte {
	dst, at := Begin(dst, 'Q')
	return End(AppendString(dst, text), at)
}

// AppendParse appends a Parse message; types are its parameter types as sent.
func AppendParse(dst []byte, name, query string, types []uint32) []byte {
	dst, at := Begin(dst, 'P')
	dst = AppendString(AppendString(dst, name), query)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(types)))
	for _, t := range types {
		dst = binary.BigEndian.AppendUint32(dst, t)
	}
	return End(dst, at)
}

// AppendBind appends a Bind message without parameters, with text results.
func AppendBind(dst []byte, portal, statement string) []byte {
	dst, at := Begin(dst, 'B')
	dst = AppendString(AppendString(dst, portal), statement)
	return End(append(dst, 0, 0, 0, 0, 0, 0), at)
}

// AppendBindValues appends a Bind message with parameters, and text results. A nil
// value is NULL; binary says which values are in their type's binary format.
func AppendBindValues(dst []byte, portal, statement string, values [][]byte, binaryFormat []bool) []byte {
	dst, at := Begin(dst, 'B')
	dst = AppendString(AppendString(dst, portal), statement)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(binaryFormat)))
	for _, b := range binaryFormat {
		code := uint16(0)
		if b {
			code = 1
		}
		dst = binary.BigEndian.AppendUint16(dst, code)
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(values)))
	for _, v := range values {
		if v == nil {
			dst = append(dst, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		dst = append(binary.BigEndian.AppendUint32(dst, uint32(len(v))), v...)
	}
	return End(append(dst, 0, 0), at)
}

// AppendTarget appends a Describe ('D') or Close ('C') message for a statement
// ('S') or portal ('P').
func AppendTarget(dst []byte, typ, kind byte, name string) []byte {
	dst, at := Begin(dst, typ)
	return End(AppendString(append(dst, kind), name), at)
}

// AppendExecute appends an Execute message without a row limit.
func AppendExecute(dst []byte, portal string) []byte {
	dst, at := Begin(dst, 'E')
	return End(append(AppendString(dst, portal), 0, 0, 0, 0), at)
}

// AppendEmpty appends a message without a body: Sync, Flush, Terminate, CopyDone.
func AppendEmpty(dst []byte, typ byte) []byte { return append(dst, typ, 0, 0, 0, 4) }

// AppendBadFunctionCall appends a FunctionCall of the invalid function 0,
// which every server refuses.
func AppendBadFunctionCall(dst []byte) []byte {
	dst, at := Begin(dst, 'F')
	return End(append(dst, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), at)
}

// A Report is what an ErrorResponse or NoticeResponse says. Empty fields are
// left out.
type Report struct {
	Severity, Code, Message, Detail, Hint string
}

// AppendReport appends an ErrorResponse ('E') or NoticeResponse ('N').
func AppendReport(dst []byte, typ byte, r Report) []byte {
	dst, at := Begin(dst, typ)
	for _, f := range [...]struct {
		code  byte
		value string
	}{{'S', r.Severity}, {'V', r.Severity}, {'C', r.Code}, {'M', r.Message}, {'D', r.Detail}, {'H', r.Hint}} {
		if f.value != "" {
			dst = AppendString(append(dst, f.code), f.value)
		}
	}
	return End(append(dst, 0), at)
}

// AppendReady appends a ReadyForQuery with a transaction status: I, T or E.
func AppendReady(dst []byte, status byte) []byte {
	return append(dst, 'Z', 0, 0, 0, 5, status)
}

// AppendParameterStatus appends a ParameterStatus.
func AppendParameterStatus(dst []byte, name, value string) []byte {
	dst, at := Begin(dst, 'S')
	return End(AppendString(AppendString(dst, name), value), at)
}

// AppendCommandComplete appends a CommandComplete with a tag.
func AppendCommandComplete(dst []byte, tag string) []byte {
	dst, at := Begin(dst, 'C')
	return End(AppendString(dst, tag), at)
}

// AppendBackendKey appends a BackendKeyData.
func AppendBackendKey(dst []byte, pid uint32, secret []byte) []byte {
	dst, at := Begin(dst, 'K')
	dst = binary.BigEndian.AppendUint32(dst, pid)
	return End(append(dst, secret...), at)
}
