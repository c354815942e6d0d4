package mask

// A Kind is the type of a value, as far as masking must know it. The zero Kind
// is [KindUnknown], whose values every method turns into NULL.
type Kind uint8

// The kinds of value.
const (
	KindUnknown     Kind = iota // extensions' types, geometry and other rare ones
	KindText                    // text, varchar, char(n), name, citext
	KindBool                    //
	KindInt2                    //
	KindInt4                    //
	KindInt8                    //
	KindOID                     // unsigned 32 bit
	KindFloat4                  //
	KindFloat8                  //
	KindNumeric                 //
	KindDate                    //
	KindTime                    //
	KindTimeTZ                  //
	KindTimestamp               //
	KindTimestampTZ             //
	KindInterval                //
	KindUUID                    //
	KindJSON                    //
	KindJSONB                   //
	KindXML                     //
	KindBytea                   //
	KindInet                    //
	KindCIDR                    //
	KindMAC                     // macaddr, 6 bytes
	KindMAC8                    // macaddr8
	KindBit                     // bit(n)
	KindVarbit                  //
	KindEnum                    //
	KindRange                   // of anything
	KindMultirange              // of anything
	KindComposite               // rows of a composite type
	KindArray                   // of anything

	kindEnd
)

var kinds = [kindEnd]string{
	"unknown", "text", "bool", "int2", "int4", "int8", "oid", "float4", "float8", "numeric",
	"date", "time", "timetz", "timestamp", "timestamptz", "interval", "uuid", "json", "jsonb",
	"xml", "bytea", "inet", "cidr", "macaddr", "macaddr8", "bit", "varbit",
	"enum", "range", "multirange", "composite", "array",
}

// String returns the name.
func (k Kind) String() string {
	if k < kindEnd {
		return kinds[k]
	}
	return kinds[KindUnknown]
}

// FromPostgres returns the kind of a built-in PostgreSQL type (pg_type.dat;
// these OIDs never change). Types made by users and extensions are unknown
// here; domains are reported by the server as the type below them.
func FromPostgres(oid uint32) Kind {
	if k, ok := builtins[oid]; ok {
		return k
	}
	if elementOf(oid) != 0 {
		return KindArray
	}
	return KindUnknown
}

var builtins = map[uint32]Kind{
	25: KindText, 1043: KindText, 1042: KindText, 19: KindText, 705: KindText, // text, varchar, bpchar, name, unknown
	16: KindBool, 21: KindInt2, 23: KindInt4, 20: KindInt8, 26: KindOID,
	700: KindFloat4, 701: KindFloat8, 1700: KindNumeric,
	1082: KindDate, 1083: KindTime, 1266: KindTimeTZ, 1114: KindTimestamp, 1184: KindTimestampTZ, 1186: KindInterval,
	2950: KindUUID, 114: KindJSON, 3802: KindJSONB, 142: KindXML, 17: KindBytea,
	869: KindInet, 650: KindCIDR, 829: KindMAC, 774: KindMAC8, 1560: KindBit, 1562: KindVarbit,
	3904: KindRange, 3906: KindRange, 3908: KindRange, 3910: KindRange, 3912: KindRange, 3926: KindRange,
	4451: KindMultirange, 4532: KindMultirange, 4533: KindMultirange, 4534: KindMultirange, 4535: KindMultirange, 4536: KindMultirange,
}

// elementOf returns the type of a built-in array type's elements, 0 if it is
// none.
func elementOf(array uint32) uint32 { return elements[array] }

var elements = map[uint32]uint32{
	143: 142, 199: 114, 651: 650, 775: 774, 791: 790, // xml, json, cidr, macaddr8, money
	1000: 16, 1001: 17, 1002: 18, 1003: 19, 1005: 21, 1007: 23, 1009: 25, 1010: 27, // bool, bytea, "char", name, int2, int4, text, tid
	1014: 1042, 1015: 1043, 1016: 20, 1021: 700, 1022: 701, 1028: 26, // bpchar, varchar, int8, float4, float8, oid
	1040: 829, 1041: 869, 1115: 1114, 1182: 1082, 1183: 1083, 1185: 1184, 1187: 1186, // macaddr, inet, times
	1231: 1700, 1270: 1266, 1561: 1560, 1563: 1562, 2951: 2950, 3807: 3802, // numeric, timetz, bit, varbit, uuid, jsonb
	3905: 3904, 3907: 3906, 3909: 3908, 3911: 3910, 3913: 3912, 3927: 3926, // ranges
	6150: 4451, 6151: 4532, 6152: 4533, 6153: 4534, 6155: 4535, 6157: 4536, // multiranges
}

// textual reports kinds whose binary format is their text (jsonb: behind a
// version byte).
func (k Kind) textual() bool {
	switch k {
	case KindText, KindJSON, KindJSONB, KindXML:
		return true
	}
	return false
}
