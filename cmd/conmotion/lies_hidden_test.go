package main

import (
	"bytes"
	"crypto"
	"slices"
	"testing"
	"time"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor/disclosure"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

const (
	verifyDisclosed   = "verify --keys {provider.keys} --disclosed {disclosed} {hidden}"
	verifyPostQuantum = "verify --keys {pq.keys} --require-pq {pq-transparent}"
)

// hides is a document of the provider about a thing, with the fields of it hidden.
func hides(t *testing.T, thing string) *disclosure.Document {
	t.Helper()
	fields := testlog.Must(disclosure.ParsePattern("variables.*"))(t)
	event := []byte(`{"name":"` + thing + `","variables":{"REGION":"eu","TOKEN":"s3cret"}}`)
	return testlog.Must((&disclosure.Secret{1}).HideFields(thing, event, []disclosure.Pattern{fields}))(t)
}

// showHidden adds what is true of hidden fields: the provider signed them, and shows one.
func (w *world) showHidden(t *testing.T) {
	d := hides(t, "f")
	o := scitt.SignOptions{IssuedAt: signedAt, Subject: "f", ContentType: "application/json"}
	log := w.provider.and(testlog.Must(scitt.SignStatement(w.provider.key, o, d.Payload))(t))
	w.write(t, "hidden", log.transparent(t, len(log.entries)-1))
	some := testlog.Must(d.Only("variables.REGION"))(t)
	w.write(t, "disclosed", testlog.Must(some.Marshal())(t))
}

func hiddenLies() []lie {
	discloses := func(change func(t *testing.T, d *disclosure.Document)) func(t *testing.T, w *world) shown {
		return func(t *testing.T, w *world) shown {
			d := testlog.Must(disclosure.Parse(read(t, w.truth["disclosed"])))(t)
			change(t, d)
			return shown{"disclosed": write(t, "disclosed", testlog.Must(d.Marshal())(t))}
		}
	}
	other := func(identity string, value any) func(t *testing.T, d *disclosure.Document) {
		return func(t *testing.T, d *disclosure.Document) {
			_, text, err := (&disclosure.Secret{1}).Hide(identity, "$.variables.REGION", value)
			if err != nil {
				t.Fatal(err)
			}
			d.Disclosures[0] = text
		}
	}
	return []lie{
		{"another value than was hidden", discloses(other("f", "us")), looks(cli.ExitBad, `disclosed`, verifyDisclosed)},
		{"the same value with another salt", discloses(other("g", "eu")), looks(cli.ExitBad, `disclosed`, verifyDisclosed)},
		{"another record with the field in the clear", discloses(func(_ *testing.T, d *disclosure.Document) {
			d.Payload, d.Disclosures = []byte(`{"name":"f","variables":{"REGION":"us","TOKEN":"x"}}`), nil
		}), looks(cli.ExitBad, `it shows nothing`, verifyDisclosed)},
		{"another record with hidden fields", discloses(func(t *testing.T, d *disclosure.Document) { *d = *hides(t, "g") }),
			looks(cli.ExitBad, `the record in it is not what the statement is about`, verifyDisclosed)},
	}
}

// pqReceipt is the provider's of an entry, by a key of ML-DSA-44.
func (w *world) pqReceipt(t *testing.T, key crypto.Signer, index int) []byte {
	t.Helper()
	p := w.provider
	cp := testlog.Must(p.keys.Verifiers.Open(p.keys.Checkpoint(t, uint64(len(p.entries)), p.root())))(t)
	view := testlog.Must(tiles.NewTree(p.files(t)).At(t.Context(), cp))(t)
	at := testlog.Must(view.Inclusion(t.Context(), uint64(index), scitt.LeafHash(p.entries[index])))(t)
	return testlog.Must(scitt.SignTree(key, testlog.Issuer, cp.Origin, time.Now(), p.root()))(t).Receipt(at)
}

// pqTransparent is web with the Receipt that there always is and another one.
func (w *world) pqTransparent(t *testing.T, receipt []byte) []byte {
	t.Helper()
	s := testlog.Must(scitt.DecodeStatement(w.provider.entries[webEntry]))(t)
	return scitt.AttachReceipts(s, w.provider.receipt(t, webEntry), receipt)
}

// showPostQuantum adds what is true of a second Receipt: the provider's key of ML-DSA-44 signed it.
func (w *world) showPostQuantum(t *testing.T) {
	w.pq = testlog.Key(t, "ML-DSA-44")
	keys := append(slices.Clone(w.provider.keys.KeySet(t)), testlog.KeySet(t, w.pq)...)
	w.write(t, "pq.keys", testlog.Must(keys.Marshal())(t))
	w.write(t, "pq-transparent", w.pqTransparent(t, w.pqReceipt(t, w.pq, webEntry)))
}

func postQuantumLies() []lie {
	second := func(receipt func(t *testing.T, w *world) []byte) func(t *testing.T, w *world) shown {
		return func(t *testing.T, w *world) shown {
			return shown{"pq-transparent": write(t, "t", w.pqTransparent(t, receipt(t, w)))}
		}
	}
	const none = `receipts by ML-DSA-44 keys that are known: 0`
	return []lie{
		{"a receipt of the other kind twice", second(func(t *testing.T, w *world) []byte { return w.provider.receipt(t, webEntry) }), looks(cli.ExitUsage, none, verifyPostQuantum)},
		{"a second receipt by a key that the log did not announce", second(func(t *testing.T, w *world) []byte {
			return w.pqReceipt(t, testlog.Key(t, "ML-DSA-44"), webEntry)
		}), looks(cli.ExitUsage, none, verifyPostQuantum)},
		{"a second receipt that the key did not sign", second(func(t *testing.T, w *world) []byte {
			return testlog.Garbage(w.pqReceipt(t, w.pq, webEntry))
		}), looks(cli.ExitBad, `^failed +receipt 2 `, verifyPostQuantum)},
		{"a second receipt of another entry", second(func(t *testing.T, w *world) []byte { return w.pqReceipt(t, w.pq, dbEntry) }), looks(cli.ExitBad, `^failed +receipt 2 `, verifyPostQuantum)},
		{"a receipt of the other kind in the name of the key", second(func(t *testing.T, w *world) []byte {
			own, pq := w.provider.receipt(t, webEntry), testlog.KeySet(t, w.pq)[0].ID
			return bytes.Replace(own, w.provider.keys.KeySet(t)[0].ID, pq, 1)
		}), looks(cli.ExitBad, `^failed +receipt 2 `, verifyPostQuantum)},
	}
}
