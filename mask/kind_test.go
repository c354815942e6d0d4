package mask

import (
	"math"
	"math/big"
	"net"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// A sample is one value of a PostgreSQL type, as pgx's own codecs write it.
type sample struct {
	oid  uint32
	kind Kind
	v    any
}

var samples = []sample{
	{pgtype.TextOID, KindText, "alice.liddell@example.com"},
	{pgtype.TextOID, KindText, ""},
	{pgtype.TextOID, KindText, "Grüße aus Köln, 4111 1111 1111 1111"},
	{pgtype.VarcharOID, KindText, "2024-05-06"},
	{pgtype.NameOID, KindText, "pg_class"},
	{pgtype.BoolOID, KindBool, true},
	{pgtype.Int2OID, KindInt2, int16(-12345)},
	{pgtype.Int2OID, KindInt2, int16(math.MinInt16)},
	{pgtype.Int4OID, KindInt4, int32(123456789)},
	{pgtype.Int4OID, KindInt4, int32(math.MinInt32)},
	{pgtype.Int8OID, KindInt8, int64(4111111111111111)},
	{pgtype.Int8OID, KindInt8, int64(math.MinInt64)},
	{pgtype.Int8OID, KindInt8, int64(7)},
	{pgtype.OIDOID, KindOID, uint32(4000000000)},
	{pgtype.Float4OID, KindFloat4, float32(1.5)},
	{pgtype.Float8OID, KindFloat8, math.Inf(-1)},
	{pgtype.NumericOID, KindNumeric, numeric("1234567890123456789012345678901234567890", -10)},
	{pgtype.NumericOID, KindNumeric, numeric("-4111111111111111", 0)},
	{pgtype.NumericOID, KindNumeric, numeric("1", 300)},
	{pgtype.NumericOID, KindNumeric, numeric("7", -30)},
	{pgtype.NumericOID, KindNumeric, numeric("0", 0)},
	{pgtype.NumericOID, KindNumeric, pgtype.Numeric{NaN: true, Valid: true}},
	{pgtype.NumericOID, KindNumeric, pgtype.Numeric{InfinityModifier: pgtype.Infinity, Valid: true}},
	{pgtype.DateOID, KindDate, time.Date(1969, 7, 20, 0, 0, 0, 0, time.UTC)},
	{pgtype.DateOID, KindDate, pgtype.Date{InfinityModifier: pgtype.Infinity, Valid: true}},
	{pgtype.TimeOID, KindTime, pgtype.Time{Microseconds: 12345678901, Valid: true}},
	{pgtype.TimestampOID, KindTimestamp, time.Date(2024, 2, 29, 23, 59, 59, 999999000, time.UTC)},
	{pgtype.TimestampOID, KindTimestamp, pgtype.Timestamp{InfinityModifier: pgtype.NegativeInfinity, Valid: true}},
	{pgtype.TimestamptzOID, KindTimestampTZ, time.Date(1815, 12, 10, 3, 4, 5, 0, time.UTC)},
	{pgtype.TimestamptzOID, KindTimestampTZ, pgtype.Timestamptz{InfinityModifier: pgtype.Infinity, Valid: true}},
	{pgtype.IntervalOID, KindInterval, pgtype.Interval{Microseconds: 5, Days: 6, Months: 7, Valid: true}},
	{pgtype.UUIDOID, KindUUID, [16]byte{0xde, 0xad, 0xbe, 0xef, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}},
	{pgtype.JSONOID, KindJSON, map[string]any{"email": "alice@example.com", "n": 4111111111111111}},
	{pgtype.JSONBOID, KindJSONB, map[string]any{"email": "alice@example.com", "n": []int{1, 2}}},
	{pgtype.ByteaOID, KindBytea, []byte("alice@example.com")},
	{pgtype.InetOID, KindInet, netip.MustParsePrefix("10.20.30.40/24")},
	{pgtype.CIDROID, KindCIDR, netip.MustParsePrefix("2001:db8::/32")},
	{pgtype.MacaddrOID, KindMAC, net.HardwareAddr{1, 2, 3, 4, 5, 6}},
	{pgtype.TextArrayOID, KindArray, []string{"alice@example.com", "bob"}},
	{pgtype.Int4ArrayOID, KindArray, []int32{1, 2, 3}},
	{pgtype.TimestamptzArrayOID, KindArray, []time.Time{time.Unix(0, 0)}},
	{pgtype.PointOID, KindUnknown, pgtype.Point{P: pgtype.Vec2{X: 1, Y: 2}, Valid: true}},
}

func numeric(digits string, exp int32) pgtype.Numeric {
	n, _ := new(big.Int).SetString(digits, 10)
	return pgtype.Numeric{Int: n, Exp: exp, Valid: true}
}

// formats are the two formats of a field.
var formats = []struct {
	name   string
	binary bool
	code   int16
}{{"text", false, pgtype.TextFormatCode}, {"binary", true, pgtype.BinaryFormatCode}}
