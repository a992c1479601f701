// Package inspect says what is in a file, whatever it is: statements, Receipts,
// keys, problem details, configurations, checkpoints, proofs and entry bundles. CBOR
// is written in diagnostic notation (RFC 8949 section 8) with comments. Nothing is
// verified.
package inspect

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/fxamacker/cbor/v2"

	"github.com/conmotion/conmotion/internal/printable"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// fact is something to know about an object that its bytes do not say openly.
type fact struct{ Name, Value string }

// Object is one thing that was found.
type Object struct {
	Kind  string
	Facts []fact
	// Diagnostic is its content in diagnostic notation, or as JSON; "" where the
	// facts are all.
	Diagnostic string
}

// MarshalJSON gives the facts as members.
func (o Object) MarshalJSON() ([]byte, error) {
	m := map[string]string{"kind": o.Kind}
	for _, f := range o.Facts {
		m[strings.ReplaceAll(f.Name, " ", "_")] = f.Value
	}
	if o.Diagnostic != "" {
		m["diagnostic"] = o.Diagnostic
	}
	return json.Marshal(m)
}

// Summary is the kind and the facts, each on a line.
func (o Object) Summary() string {
	var b strings.Builder
	prefix := ""
	if o.Diagnostic != "" {
		prefix = "# " // a comment of diagnostic notation
	}
	line := func(format string, args ...any) {
		b.WriteString(prefix + printable.Line(fmt.Sprintf(format, args...)) + "\n")
	}
	line("%s", o.Kind)
	for _, f := range o.Facts {
		if f.Value != "" {
			line("%-11s  %s", f.Name, f.Value)
		}
	}
	return b.String()
}

// String is the object for people.
func (o Object) String() string {
	if o.Diagnostic == "" {
		return o.Summary()
	}
	return o.Summary() + o.Diagnostic + "\n"
}

// Bytes says what data is, which may be anything; nil where nothing is known of it.
func Bytes(data []byte) []Object {
	if objects := inspectText(data); objects != nil {
		return objects
	}
	if objects := inspectCBOR(data); objects != nil {
		return objects
	}
	return inspectBundle(data)
}

// inspectCBOR reads one CBOR item, or a sequence of statements.
func inspectCBOR(data []byte) []Object {
	var objects []Object
	for len(data) > 0 {
		rest, err := skipItem(data)
		if err != nil {
			return nil
		}
		item := data[:len(data)-len(rest)]
		if len(rest) > 0 && !isSign1(item) {
			return nil
		}
		o, ok := inspectItem(item)
		if !ok {
			return nil
		}
		objects = append(objects, o)
		data = rest
	}
	return objects
}

// skipItem gives what follows the first CBOR item.
func skipItem(data []byte) (rest []byte, err error) {
	var raw cbor.RawMessage
	return cbor.UnmarshalFirst(data, &raw)
}

func isSign1(item []byte) bool { return item[0] == 0xd2 }

func inspectItem(item []byte) (Object, bool) {
	switch {
	case isSign1(item):
		return inspectSign1(item), true
	case item[0]>>5 == majorArray:
		if set, err := scitt.ParseKeySet(item); err == nil {
			return Object{"COSE Key Set", keyFacts(set), diagnose(item, newShapes(nil).keySet)}, true
		}
	case item[0]>>5 == majorMap:
		if c, err := scitt.ParseConfiguration(item); err == nil {
			return Object{"Transparency Configuration", configurationFacts(c), diagnose(item, nil)}, true
		}
		if key, err := scitt.ParseKey(item); err == nil {
			return Object{"COSE_Key", keyFacts(scitt.KeySet{key}), diagnose(item, newShapes(nil).key)}, true
		}
		if p, err := scitt.ParseProblem(0, item); err == nil && p.Title != "" {
			return Object{"Concise Problem Details", nil, diagnose(item, newShapes(nil).problem)}, true
		}
	}
	// A number or a string alone is probably not meant as CBOR.
	return Object{"CBOR", nil, diagnose(item, nil)}, item[0]>>5 >= majorArray
}

// inspectSign1 tells receipts, tree signatures and statements apart; what is
// wrong with one is a fact about it.
func inspectSign1(item []byte) Object {
	if r, err := scitt.ParseReceipt(item); err == nil {
		facts := []fact{{"algorithm", scitt.AlgorithmName(r.Algorithm)}, {"log", r.Subject}, {"issuer", r.Issuer}, {"issued at", printable.Time(r.IssuedAt)}}
		return Object{"Receipt", facts, diagnose(item, newShapes(nil).receipt)}
	}
	if _, err := scitt.ParseTreeSignature(item); err == nil {
		return Object{"Tree Signature", nil, diagnose(item, newShapes(nil).receipt)}
	}
	st, err := scitt.DecodeStatement(item)
	if err == nil && st.Header[labelVDS] != nil {
		_, err := scitt.ParseReceipt(item)
		return Object{"Receipt", []fact{{"not read", err.Error()}}, diagnose(item, newShapes(nil).receipt)}
	}
	if err != nil {
		return Object{"COSE_Sign1", []fact{{"not read", err.Error()}}, diagnose(item, newShapes(nil).statement)}
	}
	facts := []fact{
		{"entry id", st.ID().String()},
		{"leaf hash", hex.EncodeToString(scitt.LeafHash(st.Entry()))},
		{"algorithm", scitt.AlgorithmName(st.Algorithm)},
		{"issuer", st.Issuer}, {"subject", st.Subject}, {"issued at", printable.Time(st.IssuedAt)}, {"type", st.Type},
	}
	if _, err := scitt.ParseStatement(item); err != nil {
		facts = append(facts, fact{"a log would refuse it", err.Error()})
	}
	kind := "Signed Statement"
	if n := len(st.Receipts); n > 0 {
		kind = fmt.Sprintf("Transparent Statement with %d receipt(s)", n)
	}
	var payload *shape
	if st.Type == scitt.TypeKeys {
		payload = &shape{inner: newShapes(nil).keys}
	}
	return Object{kind, facts, diagnose(item, newShapes(payload).statement)}
}

func keyFacts(set scitt.KeySet) (facts []fact) {
	for i, k := range set {
		alg, err := scitt.AlgorithmFor(k.Public)
		if err != nil {
			continue
		}
		thumbprint, err := scitt.Thumbprint(k.Public)
		if err != nil {
			continue
		}
		facts = append(facts, fact{fmt.Sprintf("key %d", i+1), fmt.Sprintf("%s, COSE Key Thumbprint %x", scitt.AlgorithmName(alg), thumbprint)})
	}
	return facts
}

func configurationFacts(c *scitt.Configuration) []fact {
	return []fact{{"issuer", c.Issuer}, {"origin", c.Origin}, {"policy", fmt.Sprintf("entry %d, %s", c.Policy.Index, c.Policy.EntryID)}}
}

// inspectBundle reads an entry bundle.
//
// C2SP tlog-tiles: "Entry bundles are sequences of big-endian uint16
// length-prefixed log entries."
func inspectBundle(data []byte) []Object {
	var objects []Object
	for len(data) > 2 {
		size := int(binary.BigEndian.Uint16(data))
		if size == 0 || len(data) < 2+size || len(objects) == tiles.Width {
			return nil
		}
		entry := data[2 : 2+size]
		if !isSign1(entry) || !wellFormed(entry) {
			return nil
		}
		o := inspectSign1(entry)
		o.Kind = fmt.Sprintf("Entry %d of the bundle: %s", len(objects), o.Kind)
		objects = append(objects, o)
		data = data[2+size:]
	}
	if len(data) > 0 {
		return nil
	}
	return objects
}
