package classify

import (
	"regexp"
	"slices"
)

// A kind is something that a column can hold: its tag, what else it is called,
// and how it is masked so that what stays is of use.
type kind struct {
	tag  string
	also string // the wider tag
	with string
}

// The kinds that detectors and names lead to.
var (
	kindEmail      = kind{"email", "pii", "email"}
	kindPhone      = kind{"phone", "pii", "partial"}
	kindName       = kind{"name", "pii", "first_letter"}
	kindAddress    = kind{"address", "pii", "redact"}
	kindBirth      = kind{"birth-date", "pii", "year"}
	kindNational   = kind{"national-id", "pii", "null"}
	kindNetwork    = kind{"ip", "pii", "null"}
	kindLocation   = kind{"location", "pii", "null"}
	kindBank       = kind{"bank-account", "pii", "partial"}
	kindCard       = kind{"card", "pci", "card_last4"}
	kindCardCode   = kind{"card-code", "pci", "null"}
	kindPay        = kind{"salary", "sensitive", "null"}
	kindSensitive  = kind{"special-category", "sensitive", "null"}
	kindCredential = kind{"credential", "secret", "null"}
	kindFreeText   = kind{"free-text", "", ""}
)

// detected maps what detectors find to kinds.
func detected(name string) (kind, bool) {
	switch name {
	case "email":
		return kindEmail, true
	case "phone":
		return kindPhone, true
	case "card":
		return kindCard, true
	case "iban":
		return kindBank, true
	case "ipv4", "ipv6":
		return kindNetwork, true
	case "us_ssn", "uk_nino", "de_tax_id", "es_dni", "it_codice_fiscale", "fr_nir":
		return kindNational, true
	case "jwt", "cloud_key", "api_token", "private_key", "url_password", "high_entropy":
		return kindCredential, true
	}
	return kind{}, false
}

// A hint is a word in a column's name that tells what it holds.
type hint struct {
	words *regexp.Regexp
	kind  kind
}

// word matches whole words of a name written with_underscores.
func word(alternatives string) *regexp.Regexp {
	return regexp.MustCompile(`(^|_)(` + alternatives + `)(_|$)`)
}

// The first hint that fits counts, so the narrower ones stand first.
var hints = []hint{
	{word(`cvv|cvc|cvv2|card_code|security_code`), kindCardCode},
	{word(`password|passwd|pwd|passphrase|secret|api_?key|private_?key|access_?token|refresh_?token|auth_?token|token|credential|credentials|otp|totp|pin`), kindCredential},
	{word(`e_?mail|e_?mails|email_?address|mail_address`), kindEmail},
	{word(`phone|phones|telephone|tel|mobile|msisdn|fax|cell`), kindPhone},
	{word(`card|card_?number|cc_?number|cc|pan|credit_?card`), kindCard},
	{word(`iban|bic|account_?number|account_?no|routing_?number|sort_?code|bank_?account`), kindBank},
	{word(`ssn|nino|national_?id|tax_?id|vat_?id|passport|passport_no|driver_?licen[cs]e|licen[cs]e_number|social_?security|personal_?number|dni|nif|codice_fiscale|nir`), kindNational},
	{word(`birth|born|birthday|birthdate|birth_?date|date_?of_?birth|dob`), kindBirth},
	{word(`salary|wage|wages|income|compensation|bonus|pay_?grade`), kindPay},
	{word(`religion|ethnicity|ethnic|race|gender|sex|sexual_orientation|disability|diagnosis|diagnoses|medical|health|blood_?type|union_member|political`), kindSensitive},
	{word(`first_?name|last_?name|full_?name|middle_?name|maiden_?name|given_?name|family_?name|surname|forename|sur_name|contact_name|customer_name|holder_name|cardholder`), kindName},
	{word(`address|street|street_?address|addr|address_?line_?[0-9]?|postcode|post_?code|postal_?code|zip|zip_?code`), kindAddress},
	{word(`ip|ip_?addr|ip_?address|client_ip|remote_addr|mac_?address`), kindNetwork},
	{word(`lat|latitude|lon|lng|longitude|geo|geom|gps|coordinates`), kindLocation},
}

// people are tables whose column "name" is a person's, and columns of text that
// name one.
var people = word(`customer|customers|user|users|person|persons|people|employee|employees|staff|contact|contacts|patient|patients|member|members|subscriber|subscribers|lead|leads|passenger|passengers|student|students|actor|actors|author|authors`)

// hinted says what a name leads to expect in a column.
func hinted(table, column, typ string) (kind, bool) {
	for _, h := range hints {
		if h.words.MatchString(column) && plausible(h.kind, column, typ) {
			return h.kind, true
		}
	}
	if textual(typ) && (column == "name" && people.MatchString(table) || people.MatchString(column)) {
		return kindName, true
	}
	return kind{}, false
}

// about matches what is said of a thing, not the thing: email_sent_at.
var about = regexp.MustCompile(`(^(is|has|num|n|count)_)|(_(at|on|count|sent|verified|confirmed|enabled|id|type|status|hash_algorithm|expires|expiry)$)`)

// plausible reports whether a column of this name and type can hold the kind.
func plausible(k kind, column, typ string) bool {
	if k != kindNational && about.MatchString(column) {
		return false
	}
	switch typ {
	case "boolean":
		return k == kindSensitive
	case "date", "timestamp without time zone", "timestamp with time zone":
		return k == kindBirth
	case "smallint", "double precision", "real", "numeric":
		return slices.Contains([]kind{kindPay, kindLocation, kindCard, kindPhone, kindCardCode}, k)
	case "integer", "bigint":
		return !slices.Contains([]kind{kindEmail, kindName, kindAddress, kindSensitive}, k)
	}
	return true
}

func textual(typ string) bool {
	switch typ {
	case "text", "character varying", "character", "citext", "name":
		return true
	}
	return false
}
