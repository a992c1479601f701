// Package pkcs11 has keys in what speaks PKCS #11: an HSM, a smart card, SoftHSM. It
// calls the C library of the token, so it is built with the tag pkcs11 and cgo.
package pkcs11

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/conmotion/conmotion/keys"
)

// Variables of the environment for what a URI leaves out: the PIN and the library.
const (
	pinVariable    = "CONMOTION_PKCS11_PIN"
	moduleVariable = "CONMOTION_PKCS11_MODULE"
)

// key names a private key by its token and itself (RFC 7512).
type key struct {
	uri                         string
	token, serial, manufacturer string
	slot                        string // decimal; "" for any
	object, id                  string // CKA_LABEL and CKA_ID
	module, pinFile             string
}

// attributes are those of RFC 7512 section 2.3 that choose a key here.
func (k *key) attributes() map[string]*string {
	return map[string]*string{"token": &k.token, "serial": &k.serial, "manufacturer": &k.manufacturer, "slot-id": &k.slot, "object": &k.object, "id": &k.id}
}

// parse reads a URI. What it does not know is refused: it would choose another key.
func parse(uri string) (k *key, err error) {
	rest, ok := strings.CutPrefix(uri, "pkcs11:")
	if !ok {
		return nil, errors.New("not a pkcs11: URI")
	}
	if strings.Contains(uri, "pin-value") { // not repeated in an error
		return nil, fmt.Errorf("the URI holds a PIN (pin-value), which others can read in configuration files and lists of processes: use pin-source=file:PATH, or the variable %s", pinVariable)
	}
	k = &key{uri: uri}
	path, query, _ := strings.Cut(rest, "?")
	known := k.attributes()
	if err := each(path, ";", func(name, value string) error {
		to, ok := known[name]
		switch {
		case name == "type" && value == "private":
			return nil
		case !ok:
			return fmt.Errorf("the attribute %q is not one that chooses a private key", name)
		case *to != "":
			return fmt.Errorf("the attribute %q is there twice", name) // RFC 7512 section 2.3: "MUST NOT contain duplicate attributes"
		}
		*to = value
		return nil
	}); err != nil {
		return nil, fmt.Errorf("%s: %w", uri, err)
	}
	if err := each(query, "&", func(name, value string) error {
		switch name {
		case "module-path":
			k.module = value
		case "pin-source":
			file, _, err := keys.File(value)
			if err != nil || strings.HasPrefix(value, "|") {
				return fmt.Errorf("pin-source is file:PATH")
			}
			k.pinFile = file
		default:
			return fmt.Errorf("the attribute %q is not one of module-path and pin-source", name)
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("%s: %w", uri, err)
	}
	if k.object == "" && k.id == "" {
		return nil, fmt.Errorf("%s: object or id must name the key", uri)
	}
	return k, nil
}

// each splits NAME=VALUE pairs and decodes the values.
func each(list, separator string, to func(name, value string) error) error {
	if list == "" {
		return nil
	}
	for pair := range strings.SplitSeq(list, separator) {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || value == "" {
			return fmt.Errorf("%q is not NAME=VALUE", pair)
		}
		value, err := url.PathUnescape(value)
		if err == nil {
			err = to(name, value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pin reads the PIN, which is in no error.
func (k *key) pin(ctx context.Context) (string, error) {
	if k.pinFile != "" {
		pin, err := keys.ReadPassphrase(ctx, k.pinFile)
		return string(pin), err
	}
	if pin := os.Getenv(pinVariable); pin != "" {
		return pin, nil
	}
	return "", fmt.Errorf("%s: the PIN is in pin-source=file:PATH of the URI, or in %s", k.uri, pinVariable)
}
