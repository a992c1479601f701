package scitt_test

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/conmotion/conmotion/scitt"
)

// vector is the expected.json of a test vector of another implementation.
type vector struct {
	Protected struct {
		Statement, Receipt struct {
			Alg string
		}
	} `json:"protected_header"`
	Leaf           string   `json:"leaf_entry"`
	Index          uint64   `json:"leaf_index"`
	Size           uint64   `json:"tree_size"`
	Path           []string `json:"inclusion_path"`
	Root           *string  `json:"reconstructed_root"`
	StatementValid bool     `json:"statement_signature_valid"`
	ReceiptValid   bool     `json:"receipt_valid"`
	Result         string
	Failure        string `json:"failure_code"`
}

// failures are the errors that the failure codes of the vectors stand for.
var failures = map[string]error{
	"BAD_STATEMENT_SIGNATURE": scitt.ErrSignature,
	"TAMPERED_INCLUSION_PATH": scitt.ErrSignature, // the path leads to a root that nobody signed
}

// TestForeignVectors runs when the folder of shared test data is there. What it
// shows of another log's leaves and receipts, TestVerifierReceipts and
// TestReceiptVerify show with data of their own.
func TestForeignVectors(t *testing.T) {
	shared := cmp.Or(os.Getenv("CONMOTION_SHARED"), filepath.Join("..", "..", "shared"))
	dirs, err := filepath.Glob(filepath.Join(shared, "vectors", "*", "expected.json"))
	must(t, err)
	for _, path := range dirs {
		dir := filepath.Dir(path)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			read := func(name string) []byte {
				t.Helper()
				data, err := os.ReadFile(filepath.Join(dir, name))
				must(t, err)
				return data
			}
			var want vector
			must(t, json.Unmarshal(read("expected.json"), &want))
			issuerKey, err := scitt.ParsePublicKey(read("issuer-key.pub"))
			must(t, err)
			logKey, err := scitt.ParsePublicKey(read("log-key.pub"))
			must(t, err)
			s, err := scitt.DecodeStatement(read("statement.cose"))
			must(t, err)
			r, err := scitt.ParseReceipt(read("receipt.cose"))
			must(t, err)

			if scitt.AlgorithmName(s.Algorithm) != want.Protected.Statement.Alg || scitt.AlgorithmName(r.Algorithm) != want.Protected.Receipt.Alg {
				t.Errorf("algorithms %v and %v", s.Algorithm, r.Algorithm)
			}
			if leaf := scitt.LeafDigest.Leaf(s); hex.EncodeToString(leaf) != want.Leaf {
				t.Errorf("leaf %x, want %s", leaf, want.Leaf)
			}
			p := r.Proofs[0]
			if p.Index != want.Index || p.Size != want.Size || len(p.Path) != len(want.Path) {
				t.Errorf("proof %+v", p)
			}
			for i, h := range p.Path {
				if hex.EncodeToString(h) != want.Path[i] {
					t.Errorf("hash %d is %x, want %s", i, h, want.Path[i])
				}
			}
			if want.Root != nil {
				root, err := p.Root(scitt.LeafHash(scitt.LeafDigest.Leaf(s)))
				must(t, err)
				if hex.EncodeToString(root) != *want.Root {
					t.Errorf("root %x, want %s", root, *want.Root)
				}
			}
			if got, err := s.PayloadMatches(read("payload.bin")); err != nil || !got {
				t.Errorf("payload: %v %v", got, err)
			}

			// The receipt names its key as its log does.
			v := &scitt.Verifier{IssuerKey: &issuerKey, LogKeys: scitt.KeySet{{ID: r.KeyID, Public: logKey.Public}}}
			got, err := v.Verify(withReceipt(t, read("statement.cose"), read("receipt.cose")))
			must(t, err)
			if (got.SignatureErr == nil) != want.StatementValid {
				t.Errorf("statement: %v, want valid: %v", got.SignatureErr, want.StatementValid)
			}
			if (got.Receipts[0].Err == nil) != want.ReceiptValid {
				t.Errorf("receipt: %v, want valid: %v", got.Receipts[0].Err, want.ReceiptValid)
			}
			if want.ReceiptValid && got.Receipts[0].Leaf != scitt.LeafDigest {
				t.Errorf("leaf mode %q", got.Receipts[0].Leaf)
			}
			if want.Result == "VALID" {
				must(t, got.Err())
				return
			}
			if failures[want.Failure] == nil {
				t.Fatalf("failure code %q is not known", want.Failure)
			}
			wantError(t, got.Err(), failures[want.Failure], "")
		})
	}
}

// withReceipt puts a receipt into a statement's unprotected header.
func withReceipt(t *testing.T, statement, receipt []byte) []byte {
	t.Helper()
	s, err := scitt.DecodeStatement(statement)
	must(t, err)
	data := scitt.AttachReceipts(s, receipt)
	if bytes.Equal(data, statement) {
		t.Fatal("no receipt was attached")
	}
	return data
}
