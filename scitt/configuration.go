package scitt

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"

	"github.com/fxamacker/cbor/v2"
)

// Configuration is what a Transparency Service publishes about itself at
// /.well-known/transparency-configuration, as CBOR or as JSON with the same
// member names.
type Configuration struct {
	// Issuer is the service's URL, which its Receipts have as iss.
	Issuer string `json:"issuer"`
	// Origin names the log; it is the first line of its checkpoints.
	Origin string `json:"origin"`
	// CheckpointKeys are the log's verifier keys (C2SP signed-note vkeys): the
	// Ed25519 note key, and those of tree signatures.
	CheckpointKeys []string `json:"checkpoint_keys"`
	// Algorithms are the names of the signing algorithms that it accepts.
	Algorithms []string `json:"supported_signature_algorithms"`
	// Keys are the log's keys statements in their order, entry 0 first; nil when
	// the log has none, as those of other software.
	Keys []ConfigurationKeys `json:"keys_statements,omitempty"`
	// RegistrationEndpoint is where statements are sent.
	RegistrationEndpoint string `json:"registration_endpoint"`
	// Policy is the Registration Policy in force.
	Policy ConfigurationPolicy `json:"registration_policy"`
}

// ConfigurationKeys is where a keys statement is in the log.
type ConfigurationKeys struct {
	EntryID string `json:"entry_id"` // hexadecimal
	Index   uint64 `json:"index"`
	// Handover is a checkpoint of a tree that holds the statement, signed by the
	// note key before it. It is there when a service key signed a statement with
	// another first note key.
	Handover string `json:"handover,omitempty"`
}

// ConfigurationPolicy is a Registration Policy and its place in the log.
type ConfigurationPolicy struct {
	EntryID string `json:"entry_id"` // hexadecimal
	Index   uint64 `json:"index"`
	// Document is the JSON document; in CBOR it is the same structure.
	Document json.RawMessage `json:"document"`
}

// Marshal encodes the configuration as CBOR. It is made from the JSON form,
// so that the two always say the same.
func (c *Configuration) Marshal() ([]byte, error) {
	j, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	var v any
	dec := json.NewDecoder(bytes.NewReader(j))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if v, err = numbers(v); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return encMode.Marshal(v)
}

// numbers makes integers of the integers in decoded JSON, in place: an index
// that became a float would lose its last digits.
func numbers(v any) (_ any, err error) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if v[k], err = numbers(e); err != nil {
				return nil, err
			}
		}
	case []any:
		for i, e := range v {
			if v[i], err = numbers(e); err != nil {
				return nil, err
			}
		}
	case json.Number:
		if n, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return n, nil
		}
		if n, err := strconv.ParseUint(v.String(), 10, 64); err == nil {
			return n, nil
		}
		return v.Float64()
	}
	return v, nil
}

// ParseConfiguration reads either form.
func ParseConfiguration(data []byte) (*Configuration, error) {
	data = bytes.TrimLeft(data, " \t\r\n") // which no CBOR map begins with
	if len(data) == 0 {
		return nil, malformed("the transparency configuration is empty")
	}
	if data[0] != '{' {
		// JSON text starts with "{", a CBOR map of few members does not.
		var v map[string]any
		if err := jsonLike.Unmarshal(data, &v); err != nil {
			return nil, malformed("the transparency configuration is neither CBOR nor JSON: %w", err)
		}
		var err error
		if data, err = json.Marshal(v); err != nil {
			return nil, malformed("the transparency configuration: %w", err)
		}
	}
	var c Configuration
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, malformed("the transparency configuration: %w", err)
	}
	if c.Origin == "" || len(c.CheckpointKeys) == 0 {
		return nil, malformed("the transparency configuration has no origin or no checkpoint_keys")
	}
	return &c, nil
}

// jsonLike decodes CBOR that has the same structure as JSON.
var jsonLike = must(cbor.DecOptions{
	DupMapKey:       cbor.DupMapKeyEnforcedAPF,
	IndefLength:     cbor.IndefLengthForbidden,
	DefaultMapType:  reflect.TypeFor[map[string]any](),
	MaxNestedLevels: 32,
}.DecMode())
