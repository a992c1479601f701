package client_test

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/vectors"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
)

// held is a log that holds one statement.
type held struct {
	keys        scitt.KeySet
	transparent []byte
}

// newHeld makes the log of two entries, of which the statement is the second.
func newHeld(t *testing.T, statement []byte) held {
	t.Helper()
	key, err := scitt.GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	st, err := scitt.ParseStatement(statement)
	if err != nil {
		t.Fatal(err)
	}
	first := scitt.LeafHash([]byte("first"))
	proof := &scitt.InclusionProof{Size: 2, Index: 1, Path: [][]byte{first}}
	root, err := proof.Root(scitt.LeafHash(st.Entry()))
	if err != nil {
		t.Fatal(err)
	}
	tree, err := scitt.SignTree(key, "https://ts.example", "ts.example", time.Unix(1_700_000_000, 0), root)
	if err != nil {
		t.Fatal(err)
	}
	named, err := scitt.NewKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return held{scitt.KeySet{named}, scitt.AttachReceipts(st, tree.Receipt(proof))}
}

func sign(t *testing.T, key crypto.Signer, o scitt.SignOptions, content string) []byte {
	t.Helper()
	o.Subject = "asset"
	data, err := scitt.SignStatement(key, o, []byte(content))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestRegistered: at 409 the client gets what the log holds, and takes it only
// when it is its own content, signed with its own key, in that log.
func TestRegistered(t *testing.T) {
	key, err := scitt.GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := scitt.GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	own, named := sign(t, key, scitt.SignOptions{}, "x"), sign(t, key, scitt.SignOptions{Issuer: "https://issuer.example"}, "x")
	twin := func(of []byte) []byte {
		data, err := vectors.Twin(key, of)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	garbage := bytes.Clone(own)
	garbage[len(garbage)-1] ^= 1
	otherLog := newHeld(t, own)
	for name, c := range map[string]struct {
		sent, there []byte
		issuer      *scitt.Key
		logKeys     scitt.KeySet // of the log when nil
		raw         []byte       // what the service sends, when it is not that
		want        error
	}{
		"the other form":      {own, twin(own), nil, nil, nil, nil},
		"given key":           {named, twin(named), &scitt.Key{Public: key.Public()}, nil, nil, nil},
		"no key":              {named, twin(named), nil, nil, nil, scitt.ErrUnknownKey},
		"another's key":       {named, twin(named), &scitt.Key{Public: stranger.Public()}, nil, nil, scitt.ErrSignature},
		"garbage":             {own, garbage, nil, nil, nil, scitt.ErrSignature},
		"other content":       {own, sign(t, key, scitt.SignOptions{}, "y"), nil, nil, nil, client.ErrOther},
		"by a stranger":       {own, sign(t, stranger, scitt.SignOptions{}, "x"), nil, nil, nil, client.ErrOther},
		"another log's":       {own, twin(own), nil, otherLog.keys, nil, scitt.ErrUnknownKey},
		"without a receipt":   {own, twin(own), nil, nil, twin(own), scitt.ErrProof},
		"not a statement":     {own, twin(own), nil, nil, []byte("x"), scitt.ErrMalformed},
		"receipt of the sent": {own, twin(own), nil, otherLog.keys, withReceiptsOf(t, twin(own), otherLog.transparent), scitt.ErrSignature},
	} {
		t.Run(name, func(t *testing.T) {
			log := newHeld(t, c.there)
			if c.logKeys == nil {
				c.logKeys = log.keys
			}
			if c.raw == nil {
				c.raw = log.transparent
			}
			st, err := scitt.ParseStatement(c.sent)
			if err != nil {
				t.Fatal(err)
			}
			conflict := scitt.AlreadyRegistered(entry)
			cl := scripted(t, []step{
				{want: post, status: 409, header: location(), body: string(conflict.Marshal())},
				{want: get + "/statement", status: http.StatusOK, body: string(c.raw)},
				{want: "GET https://ts.example/entries/" + st.ID().String() + "/statement", status: http.StatusOK, body: string(c.raw)},
			})
			_, err = cl.Register(t.Context(), c.sent)
			p, ok := errors.AsType[*scitt.Problem](err)
			if !errors.Is(err, scitt.ErrRegistered) || !ok || p.Location != entry {
				t.Fatalf("register: %v", err)
			}
			for _, location := range []string{p.Location, ""} {
				got, err := cl.Registered(context.WithoutCancel(t.Context()), st, location, scitt.Verifier{LogKeys: c.logKeys, IssuerKey: c.issuer})
				if c.want == nil {
					if err != nil || !bytes.Equal(scitt.AttachReceipts(got, got.Receipts...), c.raw) || bytes.Equal(got.Entry(), st.Entry()) {
						t.Errorf("%v, %v", got, err)
					}
					continue
				}
				if got != nil || !errors.Is(err, client.ErrOther) || !errors.Is(err, c.want) {
					t.Errorf("got %v, %v", got, err)
				}
			}
		})
	}
}

// withReceiptsOf attaches the Receipts of one statement to another.
func withReceiptsOf(t *testing.T, to, from []byte) []byte {
	t.Helper()
	a, err := scitt.DecodeStatement(to)
	if err != nil {
		t.Fatal(err)
	}
	b, err := scitt.DecodeStatement(from)
	if err != nil {
		t.Fatal(err)
	}
	return scitt.AttachReceipts(a, b.Receipts...)
}

func scripted(t *testing.T, steps []step) *client.Client {
	t.Helper()
	c, err := client.New("https://ts.example", client.Options{HTTP: &http.Client{Transport: &script{t: t, steps: steps}}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
