package main

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/fxamacker/cbor/v2"
	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

func (a *app) inspect() *cobra.Command {
	cmd := &cobra.Command{
		Use: "inspect FILE", Short: "Show what is in a file",
		Long: `Show what is in a file, whatever it is: a Signed or Transparent Statement, a
receipt, keys, problem details, a transparency configuration, a checkpoint, a
tlog-proof, or an entry bundle of a log. CBOR is written in diagnostic notation
(RFC 8949 section 8) with comments that name labels, algorithms and times, and
with everything that is encoded within opened. Nothing is verified.

FILE may be "-" for standard input.`,
		Example: `  conmotion inspect transparent.cose
  conmotion inspect conmotion-data/public/checkpoint
  curl -s http://127.0.0.1:8080/.well-known/scitt-keys | conmotion inspect -`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.runInspect(args[0]) },
	}
	return cmd
}

func (a *app) runInspect(path string) error {
	data, err := a.ReadInput(path)
	if err != nil {
		return err
	}
	found := inspect(data)
	if len(found) == 0 {
		return cli.Bad(fmt.Errorf("%s (%d bytes) is nothing that this tool knows", path, len(data)))
	}
	if a.JSON {
		return a.PrintJSON(found)
	}
	for _, o := range found {
		if _, err := fmt.Fprintln(a.Stdout, o); err != nil {
			return err
		}
	}
	return nil
}

// fact is something to know about an object that its bytes do not say openly.
type fact struct{ name, value string }

// object is one thing that inspect found.
type object struct {
	kind  string
	facts []fact
	body  string // annotated
}

// MarshalJSON gives the facts as members.
func (o object) MarshalJSON() ([]byte, error) {
	m := map[string]string{"kind": o.kind}
	for _, f := range o.facts {
		m[strings.ReplaceAll(f.name, " ", "_")] = f.value
	}
	if o.body != "" {
		m["diagnostic"] = o.body
	}
	return json.Marshal(m)
}

// String is the object for people: facts, and then the notation.
func (o object) String() string {
	var b strings.Builder
	prefix := ""
	if o.body != "" {
		prefix = "# " // a comment of diagnostic notation
	}
	line := func(format string, args ...any) {
		b.WriteString(prefix + cli.Clean(fmt.Sprintf(format, args...)) + "\n")
	}
	line("%s", o.kind)
	for _, f := range o.facts {
		if f.value != "" {
			line("%-11s  %s", f.name, f.value)
		}
	}
	if o.body != "" {
		b.WriteString(o.body + "\n")
	}
	return b.String()
}

// inspect says what data is. It takes any bytes.
func inspect(data []byte) []object {
	if objects := inspectText(data); objects != nil {
		return objects
	}
	if objects := inspectCBOR(data); objects != nil {
		return objects
	}
	return inspectBundle(data)
}

// inspectCBOR reads one CBOR item, or a sequence of statements.
func inspectCBOR(data []byte) []object {
	var objects []object
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

func inspectItem(item []byte) (object, bool) {
	switch {
	case isSign1(item):
		return inspectSign1(item), true
	case item[0]>>5 == majorArray:
		if set, err := scitt.ParseKeySet(item); err == nil {
			return object{"COSE Key Set", keyFacts(set), diagnose(item, newShapes(nil).keySet)}, true
		}
	case item[0]>>5 == majorMap:
		if c, err := scitt.ParseConfiguration(item); err == nil {
			return object{"Transparency Configuration", configurationFacts(c), diagnose(item, nil)}, true
		}
		if key, err := scitt.ParseKey(item); err == nil {
			return object{"COSE_Key", keyFacts(scitt.KeySet{key}), diagnose(item, newShapes(nil).key)}, true
		}
		if p, err := scitt.ParseProblem(0, item); err == nil && p.Title != "" {
			return object{"Concise Problem Details", nil, diagnose(item, newShapes(nil).problem)}, true
		}
	}
	// A number or a string alone is hardly meant as CBOR.
	return object{"CBOR", nil, diagnose(item, nil)}, item[0]>>5 >= majorArray
}

// inspectSign1 tells receipts, tree signatures and statements apart; what is
// wrong with one is a fact about it.
func inspectSign1(item []byte) object {
	if r, err := scitt.ParseReceipt(item); err == nil {
		facts := []fact{{"algorithm", scitt.AlgorithmName(r.Algorithm)}, {"log", r.Subject}, {"issuer", r.Issuer}, {"issued at", cli.TimeOf(r.IssuedAt)}}
		return object{"Receipt", facts, diagnose(item, newShapes(nil).receipt)}
	}
	if _, err := scitt.ParseTreeSignature(item); err == nil {
		return object{"Tree Signature", nil, diagnose(item, newShapes(nil).receipt)}
	}
	st, err := scitt.DecodeStatement(item)
	if err == nil && st.Header[labelVDS] != nil {
		_, err := scitt.ParseReceipt(item)
		return object{"Receipt", []fact{{"not read", err.Error()}}, diagnose(item, newShapes(nil).receipt)}
	}
	if err != nil {
		return object{"COSE_Sign1", []fact{{"not read", err.Error()}}, diagnose(item, newShapes(nil).statement)}
	}
	facts := []fact{
		{"entry id", st.ID().String()},
		{"leaf hash", hex.EncodeToString(scitt.LeafHash(st.Entry()))},
		{"algorithm", scitt.AlgorithmName(st.Algorithm)},
		{"issuer", st.Issuer}, {"subject", st.Subject}, {"issued at", cli.TimeOf(st.IssuedAt)}, {"type", st.Type},
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
	return object{kind, facts, diagnose(item, newShapes(payload).statement)}
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
func inspectBundle(data []byte) []object {
	var objects []object
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
		o.kind = fmt.Sprintf("Entry %d of the bundle: %s", len(objects), o.kind)
		objects = append(objects, o)
		data = data[2+size:]
	}
	if len(data) > 0 {
		return nil
	}
	return objects
}
