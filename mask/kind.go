package mask

// A Kind is the type of a value, as far as masking must know it. The zero Kind
// is [KindUnknown], whose values every method turns into NULL.
type Kind uint8

// The kinds of value.
const (
	KindUnknown     Kind = iota // enums, composites, ranges, extensions' types
	KindText                    // text, varchar, char(n), name
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
	KindArray                   // of anything

	kindEnd
)

var kinds = [kindEnd]string{
	"unknown", "text", "bool", "int2", "int4", "int8", "oid", "float4", "float8", "numeric",
	"date", "time", "timetz", "timestamp", "timestamptz", "interval", "uuid", "json", "jsonb",
	"xml", "bytea", "inet", "cidr", "macaddr", "array",
}

// String returns the name.
func (k Kind) String() string {
	if k < kindEnd {
		return kinds[k]
	}
	return kinds[KindUnknown]
}

// FromPostgres returns the kind of a built-in PostgreSQL type (pg_type.dat;
// these OIDs never change). Types made by users and extensions are unknown;
// domains are reported by the server as the type below them.
func FromPostgres(oid uint32) Kind {
	switch oid {
	case 25, 1043, 1042, 19, 705: // text, varchar, bpchar, name, unknown
		return KindText
	case 16:
		return KindBool
	case 21:
		return KindInt2
	case 23:
		return KindInt4
	case 20:
		return KindInt8
	case 26:
		return KindOID
	case 700:
		return KindFloat4
	case 701:
		return KindFloat8
	case 1700:
		return KindNumeric
	case 2950:
		return KindUUID
	case 114:
		return KindJSON
	case 3802:
		return KindJSONB
	case 142:
		return KindXML
	case 17:
		return KindBytea
	case 869:
		return KindInet
	case 650:
		return KindCIDR
	case 829:
		return KindMAC
	}
	if k := temporalFromPostgres(oid); k != KindUnknown {
		return k
	}
	return arrayFromPostgres(oid)
}

func temporalFromPostgres(oid uint32) Kind {
	switch oid {
	case 1082:
		return KindDate
	case 1083:
		return KindTime
	case 1266:
		return KindTimeTZ
	case 1114:
		return KindTimestamp
	case 1184:
		return KindTimestampTZ
	case 1186:
		return KindInterval
	}
	return KindUnknown
}

func arrayFromPostgres(oid uint32) Kind {
	switch oid {
	case 143, 199, 651, 791, // xml, json, cidr, money
		1000, 1001, 1002, 1003, 1005, 1007, 1009, 1010, // bool, bytea, "char", name, int2, int4, text, tid
		1014, 1015, 1016, 1021, 1022, 1028, // bpchar, varchar, int8, float4, float8, oid
		1040, 1041, 1115, 1182, 1183, 1185, 1187, // macaddr, inet, timestamp, date, time, timestamptz, interval
		1231, 1270, 1561, 1563, 2951, 3807: // numeric, timetz, bit, varbit, uuid, jsonb
		return KindArray
	}
	return KindUnknown
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
