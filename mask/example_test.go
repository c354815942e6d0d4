package mask_test

import (
	"fmt"

	"sluice/access"
	"sluice/mask"
)

func ExampleTransform_Apply() {
	keys, err := mask.NewKeys(mask.Key{ID: "2026", Secret: access.NewSecret("sixteen bytes or more")})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, with := range mask.Methods() {
		t, err := keys.Compile(with, "")
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Print(with)
		for _, v := range []struct {
			kind  mask.Kind
			value string
		}{
			{mask.KindText, "alice@example.com"}, {mask.KindInt8, "4111111111111111"}, {mask.KindDate, "1987-06-05"},
		} {
			out, null := t.Apply(nil, []byte(v.value), v.kind, false)
			if null {
				out = []byte("-")
			}
			fmt.Printf(" | %s", out)
		}
		fmt.Println()
	}
	// Output:
	// null | - | - | -
	// redact | [redacted] | - | -
	// zero |  | 0 | 2000-01-01
	// hash | 7e69b65684a85db7bae93266cee56bff | 45683634461720569 | -
	// partial | ****.com | 1111 | -
	// card_last4 | **** | 1111 | -
	// first_letter | a**** | - | -
	// email | a***@example.com | - | -
	// year | **** | - | 1987-01-01
}

func ExampleDetector_Mask() {
	d, err := mask.NewDetector([]string{"pii", "secrets"})
	if err != nil {
		fmt.Println(err)
		return
	}
	with, err := new(mask.Keys).Compile("partial", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	out, hits := d.Mask(nil, []byte("alice@example.com paid 19.99 with 4111 1111 1111 1111"), with)
	fmt.Println(string(out), hits)
	// Output: ****.com paid 19.99 with ****1111 2
}
