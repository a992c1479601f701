package vectors

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/conmotion/conmotion/monitor/disclosure"
)

// disclosed is a document with hidden values, and one of them shown.
type disclosed struct {
	Secret   string          `json:"secret"` // hexadecimal
	Identity string          `json:"identity"`
	Hide     []string        `json:"hide"`  // ends of paths
	Event    json.RawMessage `json:"event"` // before
	Payload  string          `json:"payload"`
	SHA256   string          `json:"payload_sha256"`
	All      string          `json:"all"`  // the issuer's own file
	Show     string          `json:"show"` // path of what is shown
	File     string          `json:"file"` // with that alone
	Opened   string          `json:"opened"`
}

// disclosures are of a text, a number, an object and an element of an array.
func disclosures() (*disclosed, error) {
	key := disclosure.Secret(sha256.Sum256([]byte("conmotion disclosure")))
	v := &disclosed{Secret: hex.EncodeToString(key[:]), Identity: "arn:aws:lambda:eu-central-1:123456789012:function:f", Show: "$.data.variables.REGION",
		Hide:  []string{"variables.*", "layers[]", "limits", "size"},
		Event: json.RawMessage(`{"data":{"hash":{"...":"redacted"},"layers":["a"],"limits":{"memory":128},"name":"f","size":1.50,"variables":{"REGION":"eu\u20ac","TOKEN":"s3cret"}}}`)}
	var hide []disclosure.Pattern
	for _, text := range v.Hide {
		p, err := disclosure.ParsePattern(text)
		if err != nil {
			return nil, fmt.Errorf("vectors: %w", err)
		}
		hide = append(hide, p)
	}
	all, err := key.HideFields(v.Identity, v.Event, hide)
	if err != nil {
		return nil, fmt.Errorf("vectors: %w", err)
	}
	some, err := all.Only(v.Show)
	if err != nil {
		return nil, fmt.Errorf("vectors: %w", err)
	}
	opened, err := some.Open()
	if err != nil {
		return nil, fmt.Errorf("vectors: %w", err)
	}
	for out, d := range map[*string]*disclosure.Document{&v.All: all, &v.File: some} {
		data, err := d.Marshal()
		if err != nil {
			return nil, fmt.Errorf("vectors: %w", err)
		}
		*out = string(data)
	}
	sum := sha256.Sum256(all.Payload)
	v.Payload, v.SHA256, v.Opened = string(all.Payload), hex.EncodeToString(sum[:]), string(opened.Payload)
	return v, nil
}
