package mask

import (
	"encoding/binary"
	"time"
)

// PostgreSQL counts dates in days and timestamps in microseconds from
// 2000-01-01; the extremes of both are the infinities.
const (
	usecPerDay  = 24 * 60 * 60 * 1000 * 1000
	epochYear   = 2000
	maxDays     = 2145031949 // 5874897-12-31, the last date
	maxUsecDays = 106751991  // days of an int64 of microseconds
)

// zero appends the kind's own zero.
func zero(dst, value []byte, kind Kind, bin bool) ([]byte, bool) {
	if kind == KindArray {
		return Transform{method: methodZero}.array(dst, value, &unknownType, bin)
	}
	if kind >= kindEnd {
		return dst, true
	}
	z := zeros[kind]
	if z.size < 0 {
		return dst, true
	}
	if !bin {
		return append(dst, z.text...), false
	}
	if kind.textual() {
		dst = jsonVersion(dst, kind, bin)
		return append(dst, z.text...), false
	}
	if z.binary != "" {
		return append(dst, z.binary...), false
	}
	return append(dst, nothing[:z.size]...), false
}

var nothing [16]byte

// zeros holds the text of each kind's zero and its binary form: that many zero
// bytes, unless spelt out.
var zeros = [kindEnd]struct {
	text   string
	size   int
	binary string
}{
	KindUnknown:     {size: -1},
	KindArray:       {size: -1}, // array.go
	KindComposite:   {size: -1}, // record.go
	KindEnum:        {size: -1}, // Type.zero, as bit(n)
	KindBit:         {size: -1},
	KindVarbit:      {size: 4},
	KindRange:       {text: "empty", binary: "\x01"},
	KindMultirange:  {text: "{}", size: 4},
	KindText:        {},
	KindXML:         {},
	KindJSON:        {text: "null"},
	KindJSONB:       {text: "null"},
	KindBytea:       {text: `\x`},
	KindBool:        {text: "f", size: 1},
	KindInt2:        {text: "0", size: 2},
	KindInt4:        {text: "0", size: 4},
	KindInt8:        {text: "0", size: 8},
	KindOID:         {text: "0", size: 4},
	KindFloat4:      {text: "0", size: 4},
	KindFloat8:      {text: "0", size: 8},
	KindNumeric:     {text: "0", size: 8},
	KindDate:        {text: "2000-01-01", size: 4},
	KindTime:        {text: "00:00:00", size: 8},
	KindTimeTZ:      {text: "00:00:00+00", size: 12},
	KindTimestamp:   {text: "2000-01-01 00:00:00", size: 8},
	KindTimestampTZ: {text: "2000-01-01 00:00:00+00", size: 8},
	KindInterval:    {text: "00:00:00", size: 16},
	KindUUID:        {text: zeroUUID, size: 16},
	KindInet:        {text: "0.0.0.0", binary: "\x02\x20\x00\x04\x00\x00\x00\x00"}, // family, bits, is cidr, length
	KindCIDR:        {text: "0.0.0.0/0", binary: "\x02\x00\x01\x04\x00\x00\x00\x00"},
	KindMAC:         {text: "00:00:00:00:00:00", size: 6},
	KindMAC8:        {text: "00:00:00:00:00:00:00:00", size: 8},
}

// year moves a date or timestamp to the start of its year.
func year(dst, value []byte, kind Kind, bin bool) ([]byte, bool) {
	switch kind {
	case KindDate, KindTimestamp, KindTimestampTZ:
		if bin {
			return yearBinary(dst, value, kind)
		}
		return yearText(dst, value, kind)
	case KindText:
		if saysDate(value) {
			return append(dst, value[:4]...), false
		}
	}
	return constant(dst, hidden, kind, bin)
}

func yearBinary(dst, value []byte, kind Kind) ([]byte, bool) {
	if kind == KindDate {
		if len(value) != 4 {
			return dst, true
		}
		days := int64(int32(binary.BigEndian.Uint32(value)))
		if days > maxDays || days == -1<<31 {
			return dst, true
		}
		return binary.BigEndian.AppendUint32(dst, uint32(yearStart(days))), false
	}
	if len(value) != 8 {
		return dst, true
	}
	usec := int64(binary.BigEndian.Uint64(value))
	days := floorDiv(usec, usecPerDay)
	if start := yearStart(days); days < maxUsecDays && start > -maxUsecDays {
		return binary.BigEndian.AppendUint64(dst, uint64(start*usecPerDay)), false
	}
	return dst, true
}

// yearStart returns the first day of the year that holds the day, both counted
// from 2000-01-01.
func yearStart(days int64) int64 {
	epoch := time.Date(epochYear, 1, 1, 0, 0, 0, 0, time.UTC)
	day := time.Unix(epoch.Unix()+days*86400, 0).UTC()
	return days - int64(day.YearDay()-1)
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// yearText knows the ISO DateStyle; what another style wrote becomes NULL.
func yearText(dst, value []byte, kind Kind) ([]byte, bool) {
	y, era := isoYear(value)
	if y == nil {
		return dst, true
	}
	dst = append(dst, y...)
	dst = append(dst, "-01-01"...)
	switch kind {
	case KindTimestamp:
		dst = append(dst, " 00:00:00"...)
	case KindTimestampTZ:
		dst = append(dst, " 00:00:00+00"...)
	}
	return append(dst, era...), false
}

// saysDate reports whether a text is a date, or begins with one and a time: other
// numbers have dashes, too.
func saysDate(value []byte) bool {
	const date = len("2006-01-02")
	if len(value) < date || len(value) > date && value[date] != ' ' && value[date] != 'T' {
		return false
	}
	y, _ := isoYear(value)
	month, day := twoDigits(value[5:]), twoDigits(value[8:])
	return len(y) == 4 && month >= 1 && month <= 12 && day >= 1 && day <= 31
}

func twoDigits(b []byte) int { return int(b[0]-'0')*10 + int(b[1]-'0') }

// isoYear returns the year of YYYY-MM-DD... and " BC" where that follows; nil
// if the value does not begin so.
func isoYear(value []byte) (y []byte, era string) {
	n := 0
	for n < len(value) && isDigit(value[n]) {
		n++
	}
	if n < 4 || n > 7 || len(value) < n+6 || value[n] != '-' || value[n+3] != '-' ||
		!allDigits(value[n+1:n+3]) || !allDigits(value[n+4:n+6]) {
		return nil, ""
	}
	if len(value) > 3 && string(value[len(value)-3:]) == " BC" {
		era = " BC"
	}
	return value[:n], era
}
