package cosigner

import (
	"errors"
	"net/http"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness"
)

// signSubtree cosigns a part of a checkpoint that the witness cosigned before, and
// returns the signature lines. It changes nothing.
func (w *Witness) signSubtree(r *witness.SignSubtree) (lines []byte, err error) {
	cp, _, err := parse(r.Checkpoint)
	if err != nil {
		return nil, err
	}
	// draft-ietf-plants-merkle-tree-certs-03 section 4.1: "start is a multiple of
	// BIT_CEIL(end - start)", the smallest power of two that is not smaller.
	if r.Start >= r.End || r.End > cp.Size || !isSubtree(r.Start, r.End) {
		return nil, refuse(http.StatusBadRequest, "[%d, %d) is not a subtree of a tree of size %d", r.Start, r.End, cp.Size)
	}
	if _, err := w.known(cp.Origin); err != nil {
		return nil, err
	}
	// C2SP tlog-witness: "The witness MUST verify that the checkpoint includes a
	// valid cosignature from one of its own keys. If the witness can't verify the
	// checkpoint, it MUST respond with a "403 Forbidden"".
	if !w.ours(r.Checkpoint) {
		return nil, refuse(http.StatusForbidden, "the checkpoint has no valid cosignature by this witness")
	}
	if w.Halted() != "" {
		return nil, refuse(http.StatusServiceUnavailable, "this witness signs nothing any more")
	}
	if err := proof.VerifySubtreeConsistency(rfc6962.DefaultHasher, r.Start, r.End, cp.Size, r.Proof, r.Hash, cp.Root); err != nil {
		return nil, refuse(http.StatusUnprocessableEntity, "the subtree is not shown to be a part of the checkpoint: %w", err)
	}
	for _, c := range w.cosigners {
		sig, err := c.CosignSubtree(scitt.Subtree{Origin: cp.Origin, Start: r.Start, End: r.End, Hash: r.Hash})
		switch {
		case errors.Is(err, scitt.ErrAlgorithm): // Ed25519 does not sign subtrees
		case err != nil:
			w.logger.Error("a subtree could not be signed", "key", c.Name(), "err", err)
			return nil, refuse(http.StatusInternalServerError, "the subtree could not be signed")
		default:
			lines = appendLines(lines, []note.Signature{sig})
		}
	}
	if lines == nil {
		return nil, refuse(http.StatusNotFound, "no key of this witness signs subtrees")
	}
	return lines, nil
}

// isSubtree reports whether start is a multiple of the smallest power of two that
// is at least end - start.
func isSubtree(start, end uint64) bool {
	size := uint64(1)
	for size != 0 && size < end-start {
		size <<= 1
	}
	return size != 0 && start%size == 0 || start == 0
}
