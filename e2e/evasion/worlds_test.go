package evasion

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"testing"

	"sluice/internal/pgtest"
)

// A world is what its secrets are. What a mask leaves of a value on purpose (first
// letter and domain, last digits, year, whether it is NULL) is the same in both.
type world map[string]string

var worlds = [2]world{{
	"world": "a", "longer": "0", "padding": "0", "twin": "5", "staff": "60",
	"email": "zqxw.ann@vault.example", "card": "4929123456781202", "national_id": "918273645",
	"ssn": "271828182", "salary": "73519.42", "uid": "deadbeef-5eed-4bad-8bad-0123456789ab", "born": "1961-07-23",
	"word": "xyzzyplugh", "bytes": "feedfacecafe0bad", "home": "203.0.113.77",
}, {
	"world": "b", "longer": "1", "padding": "9", "twin": "6, 7", "staff": "50",
	"email": "zkjv.evelyn@vault.example", "card": "4929765432101202", "national_id": "736455463",
	"ssn": "314159265", "salary": "28657.11", "uid": "c0ffee00-1dea-4fab-9fab-9876543210ba", "born": "1961-11-02",
	"word": "grueplover", "bytes": "0ddba11badc0ffee", "home": "198.51.100.55",
}}

// secrets are the names in a world that are secret, not just different.
var secrets = []string{"email", "card", "national_id", "ssn", "salary", "uid", "born", "word", "bytes", "home"}

// script is the world's SQL.
func (w world) script(t testing.TB) string {
	b, err := os.ReadFile("testdata/world.sql")
	if err != nil {
		t.Fatal(err)
	}
	var pairs []string
	for name, value := range w {
		pairs = append(pairs, "{"+name+"}", value)
	}
	return strings.NewReplacer(pairs...).Replace(string(b))
}

// A needle is one form of a secret.
type needle struct {
	name  string
	bytes []byte // lower case, as what is searched is
}

// needles are the world's secrets in the forms in which they could get out.
func (w world) needles() []needle {
	var all []needle
	add := func(name string, b []byte) { all = append(all, needle{name, pgtest.Lower(b)}) }
	for _, name := range secrets {
		text := []byte(w[name])
		reversed := slices.Clone(text)
		slices.Reverse(reversed)
		sum := md5.Sum(text)
		add(name, text)
		add(name+" reversed", reversed)
		add(name+" in hex", []byte(hex.EncodeToString(text)))
		add(name+"'s md5", []byte(hex.EncodeToString(sum[:])))
		// Without what base64 makes of the bytes before and behind.
		for skip := range 3 {
			padded := append(make([]byte, skip), text...)
			form := base64.RawStdEncoding.EncodeToString(padded)
			add(name+" in base64", []byte(form[(skip*4+2)/3:len(form)-2]))
		}
	}
	bin, _ := hex.DecodeString(w["bytes"])
	add("bytes raw", bin)
	uid, _ := hex.DecodeString(strings.ReplaceAll(w["uid"], "-", ""))
	add("uid raw", uid)
	return all
}

// found names the first needle that is in mine and not in others': what is in
// both came from the attack itself.
func found(all []needle, mine, others []byte) string {
	mine, others = pgtest.Lower(mine), pgtest.Lower(others)
	for _, n := range all {
		if bytes.Contains(mine, n.bytes) && !bytes.Contains(others, n.bytes) {
			return n.name
		}
	}
	return ""
}
