package pkcs11

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

func ExampleOpen() {
	_, err := Open(context.Background(), "pkcs11:token=issuers")
	fmt.Println(err)
	// Output: pkcs11:token=issuers: object or id must name the key
}

func TestParse(t *testing.T) {
	t.Setenv(pinVariable, "")
	k, err := parse("pkcs11:token=My%20token;object=issuer;id=%01%A0;type=private?module-path=/usr/lib/softhsm.so&pin-source=file:/run/pin")
	if err != nil || k.token != "My token" || k.object != "issuer" || k.id != "\x01\xa0" || k.module != "/usr/lib/softhsm.so" || k.pinFile != "/run/pin" {
		t.Fatalf("%+v, %v", k, err)
	}
	if _, err := k.pin(t.Context()); err == nil {
		t.Error("a PIN from a file that is not there")
	}
	for uri, says := range map[string]string{
		"pkcs11:token=a":                         "object or id",
		"pkcs11:object=a;object=b":               "twice",
		"pkcs11:object=a;colour=red":             "colour",
		"pkcs11:object=a;type=public":            "type",
		"pkcs11:object":                          "NAME=VALUE",
		"pkcs11:object=%zz":                      "invalid URL escape",
		"pkcs11:object=a?pin-source=|cat%20/pin": "pin-source is file:PATH",
		"pkcs11:object=a?x-library=b":            "x-library",
		"pkcs11:object=a?pin-value=1234":         "pin-source=file:PATH",
		"file:a":                                 "not a pkcs11",
	} {
		if _, err := parse(uri); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "1234") {
			t.Errorf("%s: %v", uri, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("pkcs11:token=My%20token;object=issuer;id=%01%A0;type=private?module-path=/usr/lib/softhsm.so&pin-source=file:/run/pin")
	f.Add("pkcs11:object=a?pin-value=1234")
	f.Fuzz(func(t *testing.T, uri string) {
		k, err := parse(uri)
		if err == nil && (k.object == "" && k.id == "" || strings.Contains(uri, "pin-value")) {
			t.Errorf("%q names no key, or has the PIN", uri)
		}
	})
}
