// Package disclosure hides fields of a JSON document so that each can be shown
// later, alone, and proven against the digest of the document.
//
// In place of a hidden value stands {"...": DIGEST}, as SD-JWT has it for elements of
// arrays (RFC 9901 section 4.2.4.2), here for members of objects too: the name stays,
// so that who compares two documents knows what was not compared. DIGEST is
// base64url(SHA-256(DISCLOSURE)), where DISCLOSURE is the ASCII text
// base64url([SALT, VALUE]) (sections 4.2.2 and 4.2.3). {"...": "redacted"} stands for
// a value that nobody can show any more. What has the member "..." and is neither of
// these is malformed.
//
// The format is permanent: docs/formats.md.
package disclosure

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/conmotion/conmotion/internal/jsonx"
)

// ErrMalformed is wrapped when a document or its disclosures are not what they are
// meant to be.
var ErrMalformed = errors.New("malformed disclosure")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrMalformed, fmt.Errorf(format, args...))
}

// Member is the name of the one member of what stands for a hidden value.
const Member = "..."

const redacted = "redacted"

// object is a decoded JSON object, list a decoded array.
type (
	object = map[string]any
	list   = []any
)

// Redacted stands for a value that nobody can show any more.
func Redacted() any { return object{Member: redacted} }

// Secret is what an issuer makes salts of. Who has it can guess the values that were
// hidden with it; without it, or the disclosures, nobody can show one.
type Secret [sha256.Size]byte

// saltSize is in bytes. RFC 9901 section 9.3: "It is RECOMMENDED to base64url-encode
// a minimum of 128 bits of cryptographically secure random data, producing a string."
const saltSize = 16

// Hide returns what stands for a value of a document about something with an
// identity, and its disclosure. The salt is HMAC(secret, identity, path, value), the
// first two with their length before them (8 bytes, big endian): the same value at the
// same place of the same thing has one digest, so that it is seen that it stayed, and
// at another place or of another thing another one. Value is what [jsonx.Tree.Any]
// returns; an error says that it has no canonical form or has hidden values in it.
func (s *Secret) Hide(identity, path string, value any) (mark any, disclosure string, err error) {
	text, err := jsonx.Canonical(jsonx.Append(nil, value))
	if err != nil {
		return nil, "", malformed("%s: %w", path, err)
	}
	if err := plain(path, value); err != nil {
		return nil, "", err
	}
	mac := hmac.New(sha256.New, s[:])
	for _, part := range []string{identity, path} {
		_ = binary.Write(mac, binary.BigEndian, uint64(len(part)))
		_, _ = io.WriteString(mac, part)
	}
	mac.Write(text)
	salt := base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:saltSize])
	disclosure = base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `["%s",%s]`, salt, text))
	return object{Member: digestOf(disclosure)}, disclosure, nil
}

func digestOf(disclosure string) string {
	sum := sha256.Sum256([]byte(disclosure))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Mark reads what may stand for a hidden value: hidden reports whether it does, and
// digest is "" where nobody can show it.
func Mark(v any) (digest string, hidden bool, err error) {
	o, _ := v.(object)
	mark, ok := o[Member]
	if !ok {
		return "", false, nil
	}
	digest, ok = mark.(string)
	if ok && len(o) == 1 && digest == redacted {
		return "", true, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(digest)
	if !ok || len(o) > 1 || err != nil || len(raw) != sha256.Size {
		return "", false, malformed(`the member "..." does not stand for a hidden value`)
	}
	return digest, true, nil
}

// Stands reports whether a value has the form of what stands for a hidden one.
func Stands(t *jsonx.Tree, n int32) bool {
	return t.Kind(n) == jsonx.Object && t.Len(n) == 1 && t.Member(n, Member) != 0
}

// plain refuses what has a member "...": hidden values are not nested.
func plain(path string, v any) error {
	return Walk(path, v, func(path fmt.Stringer, v any) (any, bool, error) {
		if o, ok := v.(object); ok {
			if _, there := o[Member]; there {
				return nil, false, malformed(`%s has a member "...", which is reserved`, path)
			}
		}
		return nil, false, nil
	})
}

// Walk visits a value and all that is in it, with their JSON paths (RFC 9535), which begin
// with path and are made when they are asked for. Where visit returns true, what it returns
// takes the value's place and is not visited; the value that Walk begins with stays.
func Walk(path string, v any, visit func(path fmt.Stringer, v any) (any, bool, error)) error {
	root := jsonx.At(path)
	if _, _, err := visit(root, v); err != nil {
		return err
	}
	return within(root, v, visit)
}

func within(path *jsonx.Path, v any, visit func(path fmt.Stringer, v any) (any, bool, error)) error {
	each := func(path *jsonx.Path, v any, put func(any)) error {
		w, replaced, err := visit(path, v)
		switch {
		case err != nil:
			return err
		case replaced:
			put(w)
			return nil
		}
		return within(path, v, visit)
	}
	switch v := v.(type) {
	case object:
		for _, name := range sortedNames(v) {
			if err := each(path.Member(name), v[name], func(w any) { v[name] = w }); err != nil {
				return err
			}
		}
	case list:
		for i := range v {
			if err := each(path.Element(i), v[i], func(w any) { v[i] = w }); err != nil {
				return err
			}
		}
	}
	return nil
}

// HideFields hides the fields of a JSON document that one of the patterns selects. It
// returns the document in JCS form with their disclosures. What is hidden already stays.
func (s *Secret) HideFields(identity string, payload []byte, patterns []Pattern) (*Document, error) {
	tree, err := jsonx.Parse(payload)
	if err != nil {
		return nil, malformed("%w", err)
	}
	v, out := tree.Any(0), &Document{}
	err = Walk("$", v, func(at fmt.Stringer, v any) (any, bool, error) {
		if _, hidden, err := Mark(v); hidden || err != nil {
			return v, hidden, err
		}
		path := at.String()
		steps := pathSteps(path)
		if !slices.ContainsFunc(patterns, func(p Pattern) bool { return p.Matches(steps) }) {
			return nil, false, nil
		}
		mark, text, err := s.Hide(identity, path, v)
		out.Disclosures = append(out.Disclosures, text)
		return mark, true, err
	})
	if err != nil {
		return nil, err
	}
	out.Payload, err = jsonx.Canonical(jsonx.Append(nil, v))
	return out, err
}
