package vectors

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness"
)

var dir = filepath.Join("..", "..", "testdata", "formats")

// TestFiles: the vectors that are stored are those that the code makes.
func TestFiles(t *testing.T) {
	files, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is another one: a permanent format has changed, or run go generate ./testdata/formats", name)
		}
	}
}

func read(t *testing.T, name string, v any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatal(err)
	}
}

func decodeHex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// readPostQuantum: both Receipts verify with the key set, the checkpoint has both lines, and
// the private keys are those of the verifier keys.
func readPostQuantum(t *testing.T, pq *postQuantumVector, entry string) {
	t.Helper()
	keys, err := scitt.ParseKeySet(decodeHex(t, pq.KeySet))
	if err != nil {
		t.Fatal(err)
	}
	out, err := (&scitt.Verifier{LogKeys: keys}).Verify(decodeHex(t, pq.Transparent))
	if err == nil {
		err = out.Err()
	}
	if err != nil || len(out.Receipts) != 2 || out.Receipts[0].Receipt.PostQuantum() || out.Receipts[1].Err != nil || !out.Receipts[1].Receipt.PostQuantum() {
		t.Errorf("%+v, %v", out, err)
	}
	if got := hex.EncodeToString(out.Statement.Entry()); got != entry {
		t.Errorf("the entry is %s", got)
	}
	verifiers, err := scitt.NewCheckpointVerifiers(pq.VKeys)
	if err != nil {
		t.Fatal(err)
	}
	cp, sigs, err := scitt.OpenNote([]byte(pq.Checkpoint), append(verifiers.Tree, verifiers.Note, verifiers.PQ)...)
	if err != nil || len(sigs) != 4 || cp.Origin != verifiers.PQ.Name() {
		t.Errorf("%d signatures, %v", len(sigs), err)
	}
	for i, vkey := range map[string]func(string, crypto.PublicKey) (string, error){pq.NoteKey: scitt.CosignerVKey, pq.ReceiptKey: scitt.TreeVKey} {
		key, err := scitt.ParsePrivateKey([]byte(i))
		if err != nil {
			t.Fatal(err)
		}
		if v, err := vkey(cp.Origin, key.Public()); err != nil || !slices.Contains(pq.VKeys, v) {
			t.Errorf("%s: %v", v, err)
		}
	}
}

// TestRead: what is stored verifies with what is stored.
func TestRead(t *testing.T) {
	var statements []statementVector
	read(t, "statements.json", &statements)
	var log logVector
	read(t, "log.json", &log)
	keys, err := scitt.ParseKeySet(decodeHex(t, log.KeySet))
	if err != nil {
		t.Fatal(err)
	}
	verifiers, err := scitt.NewCheckpointVerifiers(log.VKeys)
	if err != nil {
		t.Fatal(err)
	}
	checkpoint, err := verifiers.Open([]byte(log.Checkpoint))
	if err != nil {
		t.Fatal(err)
	}
	if hex.EncodeToString(checkpoint.Root) != log.Root || checkpoint.Size != uint64(len(statements)) {
		t.Errorf("the checkpoint is of %x, %d", checkpoint.Root, checkpoint.Size)
	}
	// The first Receipt has the quorum of witnesses, offline.
	out, err := (&scitt.Verifier{LogKeys: keys}).Verify(decodeHex(t, log.CosignedTransparent))
	if err == nil {
		err = out.Err()
	}
	if err != nil {
		t.Fatal(err)
	}
	policy, err := witness.ParsePolicy([]byte(log.Policy))
	if err != nil {
		t.Fatal(err)
	}
	c, err := policy.OpenReceipt(out.Receipts[0].Receipt, out.Statement.Entry())
	if err != nil || c.Quorum() != nil || len(c.By) != 2 || bytes.Count(c.Raw, []byte("\n")) != strings.Count(log.Cosigned, "\n")-1 { // all but the tree signature
		t.Errorf("the cosigned receipt: %v, %s", err, c)
	}
	var pq postQuantumVector
	read(t, "postquantum.json", &pq)
	readPostQuantum(t, &pq, statements[0].Entry)
	var ledger ledgerVector
	read(t, "ledger.json", &ledger)
	ledgerKeys, err := scitt.ParseKeySet(decodeHex(t, ledger.KeySet))
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range statements {
		out, err := (&scitt.Verifier{LogKeys: ledgerKeys}).Verify(decodeHex(t, ledger.Transparents[i]))
		if err == nil {
			err = out.Err()
		}
		if err != nil || ledger.Entries[i] != v.Entry {
			t.Errorf("%s in a ledger: %v", v.Name, err)
		}
		t.Run(v.Name, func(t *testing.T) {
			key, err := scitt.ParseKey(decodeHex(t, v.PublicKey))
			if err != nil {
				t.Fatal(err)
			}
			for _, form := range []struct {
				data, entry, leaf string
				low               bool
			}{{v.Statement, v.Entry, v.LeafHash, v.LowS}, {v.Entry, v.Entry, v.LeafHash, v.LowS}, {v.Twin.Entry, v.Twin.Entry, v.Twin.LeafHash, v.Twin.LowS}} {
				s, err := scitt.ParseStatement(decodeHex(t, form.data))
				if err != nil {
					t.Fatal(err)
				}
				if err := s.VerifySignature(key.Public); err != nil {
					t.Error(err)
				}
				if s.ID().String() != v.EntryID || hex.EncodeToString(s.Entry()) != form.entry || hex.EncodeToString(scitt.LeafHash(s.Entry())) != form.leaf || s.LowS() != form.low {
					t.Errorf("%s is entry %s, %x", form.data, s.ID(), scitt.LeafHash(s.Entry()))
				}
			}
			out, err := (&scitt.Verifier{LogKeys: keys}).Verify(decodeHex(t, log.Transparent[i]))
			if err != nil {
				t.Fatal(err)
			}
			if err := out.Err(); err != nil {
				t.Error(err)
			}
			// A Receipt does not fit another signature.
			twin, err := scitt.ParseStatement(decodeHex(t, v.Twin.Entry))
			if err != nil {
				t.Fatal(err)
			}
			if out, err = (&scitt.Verifier{LogKeys: keys}).Verify(scitt.AttachReceipts(twin, decodeHex(t, log.Receipts[i]))); err != nil {
				t.Fatal(err)
			}
			if out.SignatureErr != nil || out.Err() == nil {
				t.Errorf("with a Receipt of another signature: %v, %v", out.SignatureErr, out.Err())
			}
		})
	}
}
