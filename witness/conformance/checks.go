package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness"
)

// LogsNeeded is how many logs a run takes.
var LogsNeeded = len(checks)

// checks are in the order in which they are made: those that might break a witness
// come last.
var checks = []struct {
	name  string
	level Level
	rule  string
	run   func(context.Context, *session) error
}{
	{"cosign", Must, `If all the checks above pass, the witness MUST [...] respond with a "200 Success" [...] a sequence of one or more note signature lines [...] The timestamp MUST NOT be zero`, good},
	{"cosign-again", Must, "If the old size matches the checkpoint size, the witness MUST check that the root hashes are also identical", again},
	{"time", should, "timestamp is the time at which the cosignature was generated (tlog-cosignature)", onTime},
	{"ml-dsa", should, "Witnesses SHOULD use ML-DSA-44 cosignatures", mldsa},
	{"unknown-log", Must, `If the checkpoint origin is unknown, the witness MUST respond with a "404 Not Found"`, unknownLog},
	{"unsigned", Must, `The witness MUST respond with a "403 Forbidden" [...] if either no signature from a trusted key for the origin is present`, unsigned},
	{"bad-signature", Must, "or a signature line's key name and ID match a trusted key but the signature itself fails to verify", badSignature},
	{"unknown-signatures", Must, "it MUST ignore signatures from unknown keys", unknownSignatures},
	{"sixteen-signatures", Must, "Verifiers [...] MUST accept at least up to 16 signatures. Remember that post-quantum signatures can be up to nearly 5kB in size (signed-note)", sixteen},
	{"extension-lines", Must, "Extension lines MAY be included in the checkpoint by the log, and if present MUST be included in the cosigned message (tlog-cosignature, Ed25519)", extension},
	{"old-too-large", Must, `The old size MUST be equal to or lower than the checkpoint size. Otherwise, the witness MUST respond with a "400 Bad Request"`, oldTooLarge},
	{"malformed", Must, "encoded as an ASCII decimal with no leading zeroes; each consistency proof line MUST encode a single hash in base64", malformed},
	{"too-long-proof", Must, "The client MUST NOT send more than 63 consistency proof lines", tooLongProof},
	{"conflict", Must, `If it doesn't match, the witness MUST respond with a "409 Conflict" [...] the tree size of the latest cosigned checkpoint in decimal, followed by a newline [...] Content-Type of text/x.tlog.size`, conflicts},
	{"bad-proof", Must, `if a Merkle Consistency Proof doesn't verify, the witness MUST respond with a "422 Unprocessable Entity"`, badProof},
	{"proof-from-zero", Must, "If the proof is not empty when the old size is zero [...] 422", proofFromZero},
	{"another-root", Must, "If they don't match, the witness MUST respond with a \"422 Unprocessable Entity\"", anotherRoot},
	{"empty-tree", Must, "A checkpoint of size zero MUST have the root hash of the empty tree [...] Otherwise [...] 422", emptyTree},
	{"method", Must, "The request MUST be an HTTP POST", method},
	{"never-cosigned", Must, `If the witness has never cosigned a checkpoint for that log, it MUST respond with a "404 Not Found"`, neverCosigned},
	{"monitoring", should, "A witness SHOULD serve a recent checkpoint for each log it cosigned [...] and it MUST include the cosignature(s) from the witness's key(s) [...] and the cosignature from the log key(s)", monitoring},
	{"forged-own-line", Must, "it MUST ignore signatures from unknown keys: a forged line with the witness's own name stops nothing, and is not served", forged},
	{"subtree", optional, "The response body MUST be a sequence of one or more note signature lines for the subtree [...] the timestamp MUST be zero", subtree},
	{"subtree-refusals", optional, "400 for a range that is not a subtree, 404 for an unknown origin, 403 without the witness's own cosignature, 422 for a bad proof", subtreeRefusals},
	{"race-of-histories", Must, "checking the old size against the latest checkpoint and persisting the new checkpoint must be performed atomically", raceOfHistories},
	{"race-of-sizes", Must, "otherwise [...] A cosignature for N is returned [...], rolling back K leaves", raceOfSizes},
	{"restart", Must, "The witness MUST persist the new checkpoint before responding", restart},
}

func good(ctx context.Context, s *session) error {
	if _, err := s.cosign(ctx, s.log.Growing(0, 0, 3)); err != nil {
		return err
	}
	_, err := s.cosign(ctx, s.log.Growing(0, 3, 13))
	return err
}

func again(ctx context.Context, s *session) error {
	for _, old := range []uint64{0, 5} {
		if _, err := s.cosign(ctx, s.log.Growing(0, old, 5)); err != nil {
			return err
		}
	}
	return s.want(ctx, "a proof for the same size", (&witness.AddCheckpoint{Old: 5, Proof: [][]byte{make([]byte, 32)}, Checkpoint: s.log.checkpoint(0, 5)}).Marshal(), http.StatusUnprocessableEntity)
}

func onTime(ctx context.Context, s *session) error {
	sigs, err := s.cosign(ctx, s.log.Growing(0, 0, 1))
	if err != nil {
		return err
	}
	for _, sig := range sigs {
		if at, err := scitt.CosignatureTime(sig); err != nil || time.Since(at).Abs() > near {
			return fmt.Errorf("a cosignature of %v, %w", at, err)
		}
	}
	return nil
}

func mldsa(ctx context.Context, s *session) error {
	sigs, err := s.cosign(ctx, s.log.Growing(0, 0, 1))
	if err != nil {
		return err
	}
	for _, sig := range sigs {
		for _, key := range s.Keys {
			if key.KeyHash() == sig.Hash && len(key.PublicKey()) > 32 {
				return nil
			}
		}
	}
	return errors.New("no line is by an ML-DSA-44 key that was given")
}

func unknownLog(ctx context.Context, s *session) error {
	other, err := NewLog(s.log.Origin+"/unknown", []byte("unknown"))
	if err != nil {
		return err
	}
	return s.want(ctx, "a log that nobody knows", other.Growing(0, 0, 1).Marshal(), http.StatusNotFound)
}

func unsigned(ctx context.Context, s *session) error {
	other, err := s.log.stranger()
	if err != nil {
		return err
	}
	return s.want(ctx, "a checkpoint that only another key signed", other.Growing(0, 0, 1).Marshal(), http.StatusForbidden)
}

func badSignature(ctx context.Context, s *session) error {
	r := s.log.Growing(0, 0, 1)
	r.Checkpoint = append(bytes.Clone(r.Checkpoint[:bytes.LastIndex(r.Checkpoint, []byte("\n\n"))+2]), strange(s.log.Origin, s.log.signer.KeyHash(), 64)...)
	return s.want(ctx, "a signature that does not verify", r.Marshal(), http.StatusForbidden)
}

func unknownSignatures(ctx context.Context, s *session) error {
	r := s.log.Growing(0, 0, 1)
	r.Checkpoint = append(r.Checkpoint, strange("somebody.example", 7, 64)+strange(s.log.Origin, 7, 64)...)
	_, err := s.cosign(ctx, r)
	return err
}

func sixteen(ctx context.Context, s *session) error {
	r := s.log.Growing(0, 0, 1)
	for i := range 15 {
		r.Checkpoint = append(r.Checkpoint, strange(fmt.Sprintf("s%d.example", i), uint32(i), 4900)...)
	}
	_, err := s.cosign(ctx, r)
	return err
}

// extension looks at Ed25519 lines only: ML-DSA says nothing of extension lines.
func extension(ctx context.Context, s *session) error {
	ed := *s
	ed.Keys = slices.DeleteFunc(slices.Clone(s.Keys), func(key *scitt.CosignatureVerifier) bool { return len(key.PublicKey()) != 32 })
	if len(ed.Keys) == 0 {
		return skip("no Ed25519 key of the witness was given")
	}
	text := body(s.log.Origin, 1, s.log.histories[0].root(1), "an extension line\n")
	_, err := ed.cosign(ctx, &witness.AddCheckpoint{Checkpoint: s.log.sign(text)})
	return err
}

func oldTooLarge(ctx context.Context, s *session) error {
	if _, err := s.cosign(ctx, s.log.Growing(0, 0, 5)); err != nil {
		return err
	}
	return s.want(ctx, "old 5 and a checkpoint of size 3", (&witness.AddCheckpoint{Old: 5, Checkpoint: s.log.checkpoint(0, 3)}).Marshal(), http.StatusBadRequest)
}

func malformed(ctx context.Context, s *session) error {
	if _, err := s.cosign(ctx, s.log.Growing(0, 0, 1)); err != nil {
		return err
	}
	checkpoint, hash := string(s.log.checkpoint(0, 2)), strings.Repeat("A", 43)+"="
	var errs []error
	for _, head := range []string{
		"", "old\n", "old \n", "old 01\n", "old +1\n", "old -1\n", "old 1 \n", " old 1\n", "Old 1\n", "old 0x1\n", "old 1\r\n", "old 18446744073709551617\n", "size 1\n",
		"old 1\nAAAA\n", "old 1\n%%%\n", "old 1\n" + hash + " \n", "old 1\n " + hash + "\n", "old 1\n" + strings.TrimSuffix(hash, "=") + "\n",
	} {
		errs = append(errs, s.want(ctx, fmt.Sprintf("a request that begins with %q", head), []byte(head+"\n"+checkpoint), http.StatusBadRequest))
	}
	root := string(rootLine([]byte(checkpoint)))
	for what, text := range map[string]string{
		"a checkpoint without a root":                   s.log.Origin + "\n2\n",
		"a size with a leading zero":                    s.log.Origin + "\n02\n" + root + "\n",
		"a root that is not base64":                     s.log.Origin + "\n2\n%%%\n",
		"a request without a checkpoint, only a header": "",
	} {
		body := []byte("old 1\n\n")
		if text != "" {
			body = append(body, s.log.sign(text)...)
		}
		errs = append(errs, s.want(ctx, what, body, http.StatusBadRequest))
	}
	return join(errs)
}

// join is errors.Join in one line; that the witness did not answer comes first.
func join(errs []error) error {
	var all []string
	for _, err := range errs {
		if errors.Is(err, errAsk) {
			return err
		}
		if err != nil {
			all = append(all, err.Error())
		}
	}
	if all == nil {
		return nil
	}
	return errors.New(strings.Join(all, "; "))
}

func tooLongProof(ctx context.Context, s *session) error {
	if _, err := s.cosign(ctx, s.log.Growing(0, 0, 1)); err != nil {
		return err
	}
	long := make([][]byte, witness.MaxProof+1)
	for i := range long {
		long[i] = make([]byte, 32)
	}
	return s.want(ctx, "a proof of 64 lines", (&witness.AddCheckpoint{Old: 1, Proof: long, Checkpoint: s.log.checkpoint(0, 2)}).Marshal(), http.StatusBadRequest, http.StatusUnprocessableEntity)
}

func conflicts(ctx context.Context, s *session) error {
	a, err := s.post(ctx, "add-checkpoint", s.log.Growing(0, 4, 7).Marshal())
	if err != nil {
		return err
	}
	if err := a.conflict("old 4 where nothing was cosigned", 0); err != nil {
		return err
	}
	var errs []error
	if _, err := s.cosign(ctx, s.log.Growing(0, 0, 6)); err != nil {
		return err
	}
	for _, old := range []uint64{0, 5, 7} {
		a, err := s.post(ctx, "add-checkpoint", s.log.Growing(0, old, 9).Marshal())
		if err != nil {
			return err
		}
		errs = append(errs, a.conflict(fmt.Sprintf("old %d where 6 was cosigned", old), 6))
	}
	return join(errs)
}

func badProof(ctx context.Context, s *session) error {
	if _, err := s.cosign(ctx, s.log.Growing(0, 0, 5)); err != nil {
		return err
	}
	proofs := map[string][][]byte{
		"no proof":         nil,
		"another proof":    s.log.histories[0].growth(4, 11),
		"a shorter proof":  s.log.histories[0].growth(5, 11)[1:],
		"a longer proof":   append(s.log.histories[0].growth(5, 11), make([]byte, 32)),
		"a proof of zeros": {make([]byte, 32), make([]byte, 32), make([]byte, 32), make([]byte, 32), make([]byte, 32)},
	}
	var errs []error
	for what, proof := range proofs {
		errs = append(errs, s.want(ctx, what, (&witness.AddCheckpoint{Old: 5, Proof: proof, Checkpoint: s.log.checkpoint(0, 11)}).Marshal(), http.StatusUnprocessableEntity))
	}
	if err := join(errs); err != nil {
		return err
	}
	_, err := s.cosign(ctx, s.log.Growing(0, 5, 11))
	return err
}

func proofFromZero(ctx context.Context, s *session) error {
	return s.want(ctx, "a proof with old 0", (&witness.AddCheckpoint{Proof: [][]byte{make([]byte, 32)}, Checkpoint: s.log.checkpoint(0, 3)}).Marshal(), http.StatusUnprocessableEntity)
}

func anotherRoot(ctx context.Context, s *session) error {
	if _, err := s.cosign(ctx, s.log.Growing(0, 0, fork+5)); err != nil {
		return err
	}
	return join([]error{
		s.want(ctx, "another root at the same size", s.log.Growing(1, fork+5, fork+5).Marshal(), http.StatusUnprocessableEntity),
		s.want(ctx, "a larger tree of another history", s.log.Growing(1, fork+5, fork+9).Marshal(), http.StatusUnprocessableEntity),
	})
}

func emptyTree(ctx context.Context, s *session) error {
	wrong := s.log.sign(body(s.log.Origin, 0, make([]byte, 32), ""))
	if err := s.want(ctx, "size 0 with another root", (&witness.AddCheckpoint{Checkpoint: wrong}).Marshal(), http.StatusUnprocessableEntity); err != nil {
		return err
	}
	for _, size := range []uint64{0, 0, 4} {
		if _, err := s.cosign(ctx, s.log.Growing(0, 0, size)); err != nil {
			return fmt.Errorf("size %d after the empty tree: %w", size, err)
		}
	}
	return nil
}

func method(ctx context.Context, s *session) error {
	a, err := s.ask(ctx, http.MethodGet, s.Submission+"/add-checkpoint", s.log.Growing(0, 0, 1).Marshal())
	if err != nil {
		return err
	}
	return a.want("GET", http.StatusMethodNotAllowed, http.StatusNotFound)
}

func neverCosigned(ctx context.Context, s *session) error {
	a, err := s.latest(ctx)
	if err != nil {
		return err
	}
	return a.want("a log that was never cosigned", http.StatusNotFound)
}

// monitoring is about what is served; that nothing is served yet is allowed for an hour.
func monitoring(ctx context.Context, s *session) error {
	var want []note.Signature
	for _, r := range []*witness.AddCheckpoint{s.log.Growing(0, 0, 2), s.log.Growing(0, 2, 9)} {
		var err error
		if want, err = s.cosign(ctx, r); err != nil {
			return err
		}
	}
	a, err := s.latest(ctx)
	if err != nil {
		return err
	}
	if a.status == http.StatusNotFound {
		return errors.New("404 right after a cosignature; it may be late by an hour, or not be served at all")
	}
	if err := a.want("the checkpoint", http.StatusOK); err != nil {
		return err
	}
	return s.served(a.body, 9, want)
}

// served holds a checkpoint at the monitoring prefix to the rules.
func (s *session) served(raw []byte, size uint64, want []note.Signature) error {
	key, err := note.NewVerifier(s.log.VKey)
	if err != nil {
		return err
	}
	keys := []note.Verifier{key}
	for _, v := range s.Keys {
		keys = append(keys, v)
	}
	cp, sigs, err := scitt.OpenNote(raw, keys...)
	if err != nil {
		return err
	}
	if cp.Size != size || cp.Origin != s.log.Origin {
		return fmt.Errorf("the checkpoint of %q is of size %d, want %d", cp.Origin, cp.Size, size)
	}
	if !slices.ContainsFunc(sigs, func(sig note.Signature) bool { return sig.Hash == key.KeyHash() && sig.Name == key.Name() }) {
		return errors.New("the log's signature is missing")
	}
	for _, w := range want {
		if !slices.Contains(sigs, w) {
			return fmt.Errorf("the cosignature of %s that was returned is missing", w.Name)
		}
	}
	return nil
}

// forged sends lines with the names and key ids of the witness that are not its own.
func forged(ctx context.Context, s *session) error {
	var last []note.Signature
	for i, size := range []uint64{2, 7, 12} {
		r := s.log.Growing(0, []uint64{0, 2, 7}[i], size)
		for _, key := range s.Keys {
			r.Checkpoint = append(r.Checkpoint, strange(key.Name(), key.KeyHash(), 8+64)...)
		}
		var err error
		if last, err = s.cosign(ctx, r); err != nil {
			return fmt.Errorf("size %d with a forged line: %w", size, err)
		}
	}
	a, err := s.latest(ctx)
	if err != nil {
		return err
	}
	if a.status != http.StatusOK {
		return nil // another check says so
	}
	return s.served(a.body, 12, last)
}
