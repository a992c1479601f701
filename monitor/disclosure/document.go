package disclosure

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/conmotion/conmotion/internal/jsonx"
	"github.com/conmotion/conmotion/internal/plural"
)

// format names the format of a Document.
const format = "conmotion-disclosure/1"

func sortedNames(o object) []string { return slices.Sorted(maps.Keys(o)) }

// Document is a document with hidden values, and the disclosures of some of them: all
// in the issuer's own file, and those for a reader in what the reader gets.
type Document struct {
	Payload     []byte // in JCS form: what the statement speaks of
	Disclosures []string
}

// Field is a hidden value that is shown.
type Field struct {
	Path       string // RFC 9535
	Value      []byte // JSON in JCS form
	disclosure string
}

// Opened is a document with what its disclosures show.
type Opened struct {
	Payload  []byte   // with the values that are shown, in JCS form
	Fields   []Field  // that are shown, in the order of their paths
	Hidden   []string // paths of values that can be shown and are not
	Redacted []string // paths of values that nobody can show
}

// Marshal returns the JSON that Parse reads, in JCS form.
func (d *Document) Marshal() ([]byte, error) {
	text, err := json.Marshal(struct {
		Disclosures []string        `json:"disclosures"`
		Format      string          `json:"format"`
		Payload     json.RawMessage `json:"payload"`
	}{append([]string{}, d.Disclosures...), format, d.Payload})
	if err != nil {
		return nil, err
	}
	return jsonx.Canonical(text)
}

// Parse reads a document. It has one spelling, its JCS form, perhaps with a line feed at
// its end. Errors wrap ErrMalformed.
func Parse(data []byte) (*Document, error) {
	data = bytes.TrimSuffix(data, []byte("\n"))
	var wire struct {
		Disclosures []string        `json:"disclosures"`
		Format      string          `json:"format"`
		Payload     json.RawMessage `json:"payload"`
	}
	if _, err := jsonx.Parse(data); err != nil {
		return nil, malformed("%w", err)
	}
	if err := json.Unmarshal(data, &wire); err != nil {
		return nil, malformed("%w", err)
	}
	if wire.Format != format {
		return nil, malformed("the format is %.40q and not %q", wire.Format, format)
	}
	if len(wire.Disclosures) == 0 {
		return nil, malformed("it shows nothing: there are no disclosures")
	}
	d := &Document{wire.Payload, wire.Disclosures}
	if again, err := d.Marshal(); err != nil || !bytes.Equal(again, data) {
		return nil, malformed("it is not the canonical form (RFC 8785) of what it says")
	}
	return d, nil
}

// mostPaths is how many bytes the paths of hidden values have together, at most.
const mostPaths = 256 << 20

// Open holds each disclosure to the digests in the payload and puts the values in
// their place. RFC 9901 section 7.1: "If any digest value is encountered more than
// once in the Issuer-signed JWT payload (directly or recursively via other
// Disclosures), the SD-JWT MUST be rejected", and "If any Disclosure was not
// referenced by digest value in the Issuer-signed JWT (directly or recursively via
// other Disclosures), the SD-JWT MUST be rejected." Errors wrap ErrMalformed.
func (d *Document) Open() (*Opened, error) {
	values := make(map[string]Field, len(d.Disclosures))
	decoded := make(map[string]any, len(d.Disclosures))
	for _, text := range d.Disclosures {
		digest := digestOf(text)
		if _, twice := decoded[digest]; twice {
			return nil, malformed("a disclosure stands there twice")
		}
		value, err := disclosed(text)
		if err != nil {
			return nil, err
		}
		canonical, err := jsonx.Canonical(jsonx.Append(nil, value))
		if err != nil {
			return nil, malformed("%w", err)
		}
		decoded[digest], values[digest] = value, Field{Value: canonical, disclosure: text}
	}
	tree, err := jsonx.Parse(d.Payload)
	if err != nil {
		return nil, malformed("payload: %w", err)
	}
	payload, out, seen, long := tree.Any(0), &Opened{}, map[string]bool{}, 0
	err = Walk("$", payload, func(at fmt.Stringer, v any) (any, bool, error) {
		digest, hidden, err := Mark(v)
		switch {
		case err != nil:
			return nil, false, malformed("%s: %w", at, err)
		case !hidden:
			return nil, false, nil
		}
		path := at.String()
		if long += len(path); long > mostPaths {
			return nil, false, malformed("the paths of its hidden values have more than %d bytes together", mostPaths)
		}
		switch {
		case digest == "":
			out.Redacted = append(out.Redacted, path)
			return v, true, nil
		case seen[digest]:
			return nil, false, malformed("%s: this digest stands there twice", path)
		}
		seen[digest] = true
		f, shown := values[digest]
		if !shown {
			out.Hidden = append(out.Hidden, path)
			return v, true, nil
		}
		f.Path = path
		out.Fields = append(out.Fields, f)
		return decoded[digest], true, nil
	})
	if err != nil {
		return nil, err
	}
	if len(out.Fields) < len(d.Disclosures) {
		return nil, malformed("%d of %s of no value in this document", len(d.Disclosures)-len(out.Fields), plural.Verb(len(d.Disclosures), "disclosure", "is", "are"))
	}
	if out.Payload, err = jsonx.Canonical(jsonx.Append(nil, payload)); err != nil {
		return nil, malformed("payload: %w", err)
	}
	return out, nil
}

// Add adds disclosures of more values. They are in order then, and each is there once.
func (d *Document) Add(disclosures ...string) {
	d.Disclosures = slices.Compact(slices.Sorted(slices.Values(slices.Concat(d.Disclosures, disclosures))))
}

// Only is the document with the disclosures of the hidden fields that are named, each by a
// [Pattern] or by its whole path, from $ on. A name of no hidden field is an error; others
// are those of Open.
func (d *Document) Only(fields ...string) (*Document, error) {
	patterns, used := make([]Pattern, len(fields)), make([]bool, len(fields))
	for i, text := range fields {
		if strings.HasPrefix(text, "$") {
			continue
		}
		var err error
		if patterns[i], err = ParsePattern(text); err != nil {
			return nil, err
		}
	}
	opened, err := d.Open()
	if err != nil {
		return nil, err
	}
	out := &Document{Payload: d.Payload}
	for _, f := range opened.Fields {
		steps, wanted := pathSteps(f.Path), false
		for i, p := range patterns {
			if fields[i] == f.Path || p.steps != nil && p.Matches(steps) {
				used[i], wanted = true, true
			}
		}
		if wanted {
			out.Disclosures = append(out.Disclosures, f.disclosure)
		}
	}
	if i := slices.Index(used, false); i >= 0 {
		return nil, fmt.Errorf("%s: no hidden field has such a path", fields[i])
	}
	return out, nil
}

// disclosed is the value of a disclosure: RFC 9901 section 4.2.2.
func disclosed(text string) (any, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, malformed("a disclosure is not in base64url: %w", err)
	}
	tree, err := jsonx.Parse(raw)
	if err != nil {
		return nil, malformed("a disclosure is not JSON: %w", err)
	}
	parts, _ := tree.Any(0).(list)
	if len(parts) != 2 {
		return nil, malformed("a disclosure is not an array of a salt and a value")
	}
	if _, ok := parts[0].(string); !ok {
		return nil, malformed("the salt of a disclosure is not a text")
	}
	return parts[1], plain("a disclosure", parts[1])
}
