package scitt_test

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/conmotion/conmotion/scitt"
)

func testConfiguration() scitt.Configuration {
	return scitt.Configuration{
		Issuer: issuer, Origin: origin, CheckpointKeys: []string{"log.example/test+00000000+AQ=="},
		Algorithms: scitt.Algorithms(), RegistrationEndpoint: issuer + "/entries",
		Policy: scitt.ConfigurationPolicy{
			EntryID: scitt.EntryID{1}.String(), Index: math.MaxInt64,
			Document: json.RawMessage(`{"a":[1,-2,2.5,18446744073709551615,true,null,"x"],"b":{"c":{}}}`),
		},
	}
}

func TestConfigurationForms(t *testing.T) {
	want := testConfiguration()
	asJSON, err := json.Marshal(&want)
	must(t, err)
	asCBOR, err := want.Marshal()
	must(t, err)
	for name, data := range map[string][]byte{"JSON": asJSON, "CBOR": asCBOR} {
		t.Run(name, func(t *testing.T) {
			got, err := scitt.ParseConfiguration(data)
			must(t, err)
			if !reflect.DeepEqual(*got, want) {
				t.Errorf("got  %+v\nwant %+v", *got, want)
			}
		})
	}
	// Readers in other languages take the members at their types.
	var members struct {
		Issuer string `cbor:"issuer"`
		Policy struct {
			Index    cbor.RawMessage `cbor:"index"`
			Document struct {
				A []any `cbor:"a"`
			} `cbor:"document"`
		} `cbor:"registration_policy"`
	}
	must(t, cbor.Unmarshal(asCBOR, &members))
	if members.Issuer != issuer || len(members.Policy.Index) == 0 || members.Policy.Index[0]>>5 != 0 {
		t.Errorf("index is encoded as %x", []byte(members.Policy.Index))
	}
	wantA := []any{uint64(1), int64(-2), 2.5, uint64(math.MaxUint64), true, nil, "x"}
	if !reflect.DeepEqual(members.Policy.Document.A, wantA) {
		t.Errorf("document %v", members.Policy.Document.A)
	}

	for _, document := range []string{"{", "1e999", `{"a":[1e999]}`} {
		bad := testConfiguration()
		bad.Policy.Document = json.RawMessage(document)
		if data, err := bad.Marshal(); err == nil {
			t.Errorf("document %s became %x", document, data)
		}
	}
}

func TestParseConfigurationRefusals(t *testing.T) {
	good := map[string]any{"origin": origin, "checkpoint_keys": []string{"k"}}
	_, err := scitt.ParseConfiguration(enc(t, good))
	must(t, err)
	for name, c := range map[string]struct {
		data  []byte
		piece string
	}{
		"empty":             {nil, "is empty"},
		"text":              {[]byte("<html>"), "neither CBOR nor JSON"},
		"JSON not closed":   {[]byte("{"), "transparency configuration"},
		"JSON of nothing":   {[]byte("{}"), "no origin or no checkpoint_keys"},
		"no keys":           {[]byte(`{"origin":"o","checkpoint_keys":[]}`), "no origin or no checkpoint_keys"},
		"no origin":         {[]byte(`{"checkpoint_keys":["k"]}`), "no origin or no checkpoint_keys"},
		"member of a type":  {[]byte(`{"origin":1}`), "transparency configuration"},
		"nil":               {[]byte{0xf6}, "no origin or no checkpoint_keys"},
		"integer label":     {enc(t, m{1: 2}), "neither CBOR nor JSON"},
		"index negative":    {enc(t, m{"origin": "o", "registration_policy": m{"index": -1}}), "transparency configuration"},
		"not a number":      {enc(t, m{"origin": math.NaN()}), "transparency configuration"},
		"duplicate":         {unhex(t, "a2 666f726967696e 6161 666f726967696e 6162"), "duplicate"},
		"trailing":          {append(enc(t, good), 0), "extraneous"},
		"indefinite length": {unhex(t, "bf666f726967696e6161ff"), "indefinite"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := scitt.ParseConfiguration(c.data)
			wantError(t, err, scitt.ErrMalformed, c.piece)
		})
	}
}
