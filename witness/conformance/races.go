package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness"
)

// racers is how many requests are made at once.
const racers = 100

// race makes requests at once and returns the answers in their order.
func (s *session) race(ctx context.Context, requests []*witness.AddCheckpoint) ([]*answer, error) {
	answers, errs := make([]*answer, len(requests)), make([]error, len(requests))
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i, r := range requests {
		wg.Go(func() {
			body := r.Marshal()
			<-start
			answers[i], errs[i] = s.post(ctx, "add-checkpoint", body)
		})
	}
	close(start)
	wg.Wait()
	return answers, errors.Join(errs...)
}

// refusedInRace are what a request that lost may be told: that it came too late, or
// that the witness has too much to do.
var refusedInRace = []int{http.StatusConflict, http.StatusUnprocessableEntity, http.StatusTooManyRequests, http.StatusServiceUnavailable}

// raceOfHistories asks for two histories at once. One may be cosigned, as often as
// it was asked for.
func raceOfHistories(ctx context.Context, s *session) error {
	if _, err := s.cosign(ctx, s.log.Growing(0, 0, fork-1)); err != nil {
		return err
	}
	var requests []*witness.AddCheckpoint
	for i := range racers {
		requests = append(requests, s.log.Growing(i%2, fork-1, fork+10))
	}
	answers, err := s.race(ctx, requests)
	if err != nil {
		return err
	}
	var cosigned [2]int
	for i, a := range answers {
		if a.status == http.StatusOK {
			if _, err := s.lines(requests[i].Checkpoint, a.body); err != nil {
				return err
			}
			cosigned[i%2]++
		} else if err := a.want("a request that lost", refusedInRace...); err != nil {
			return err
		}
	}
	if cosigned[0] > 0 && cosigned[1] > 0 {
		return fmt.Errorf("BOTH HISTORIES WERE COSIGNED: %d and %d times", cosigned[0], cosigned[1])
	}
	if cosigned[0]+cosigned[1] == 0 {
		return errors.New("neither history was cosigned")
	}
	winner := 0
	if cosigned[1] > 0 {
		winner = 1
	}
	if err := s.want(ctx, "the other history", s.log.Growing(1-winner, fork+10, fork+12).Marshal(), http.StatusUnprocessableEntity); err != nil {
		return err
	}
	_, err = s.cosign(ctx, s.log.Growing(winner, fork+10, fork+12))
	return err
}

// raceOfSizes asks for many sizes after the same old one. Only one can be cosigned.
func raceOfSizes(ctx context.Context, s *session) error {
	if _, err := s.cosign(ctx, s.log.Growing(0, 0, 7)); err != nil {
		return err
	}
	var requests []*witness.AddCheckpoint
	for i := range uint64(racers) {
		requests = append(requests, s.log.Growing(0, 7, 8+i))
	}
	answers, err := s.race(ctx, requests)
	if err != nil {
		return err
	}
	var sizes []uint64
	for i, a := range answers {
		if a.status == http.StatusOK {
			sizes = append(sizes, 8+uint64(i))
		} else if err := a.want("a request that lost", refusedInRace...); err != nil {
			return err
		}
	}
	if len(sizes) != 1 {
		return fmt.Errorf("after size 7 the sizes %d were cosigned, and it can be only one", sizes)
	}
	a, err := s.post(ctx, "add-checkpoint", s.log.Growing(0, 7, Leaves).Marshal())
	if err != nil {
		return err
	}
	return a.conflict("a request after the race", sizes[0])
}

// restart is what must be kept when the witness ends, as far as it shows outside.
func restart(ctx context.Context, s *session) error {
	if s.Restart == nil {
		return skip("no command that restarts the witness was given")
	}
	var last []note.Signature
	for i, size := range []uint64{3, fork + 3} {
		var err error
		if last, err = s.cosign(ctx, s.log.Growing(0, []uint64{0, 3}[i], size)); err != nil {
			return err
		}
	}
	before, err := s.latest(ctx)
	if err != nil {
		return err
	}
	if err := s.Restart(ctx); err != nil {
		return fmt.Errorf("%w: restart: %w", errAsk, err)
	}
	a, err := s.post(ctx, "add-checkpoint", s.log.Growing(0, 0, 5).Marshal())
	if err != nil {
		return err
	}
	errs := []error{
		a.conflict("old 0 after the restart", fork+3),
		s.want(ctx, "the other history at the same size", s.log.Growing(1, fork+3, fork+3).Marshal(), http.StatusUnprocessableEntity),
		s.want(ctx, "the other history", s.log.Growing(1, fork+3, fork+4).Marshal(), http.StatusUnprocessableEntity),
	}
	if before.status == http.StatusOK {
		if a, err = s.latest(ctx); err != nil {
			return err
		}
		errs = append(errs, a.want("the checkpoint after the restart", http.StatusOK), s.served(a.body, fork+3, last))
	}
	if err := join(errs); err != nil {
		return err
	}
	_, err = s.cosign(ctx, s.log.Growing(0, fork+3, fork+9))
	return err
}

// offersSubtrees has a checkpoint of size 14 cosigned, and returns it with the
// cosignatures, or that sign-subtree is not there.
func (s *session) offersSubtrees(ctx context.Context) (checkpoint []byte, err error) {
	r := s.log.Growing(0, 0, 14)
	sigs, err := s.cosign(ctx, r)
	if err != nil {
		return nil, err
	}
	checkpoint = r.Checkpoint
	for _, sig := range sigs {
		checkpoint = fmt.Appendf(checkpoint, "— %s %s\n", sig.Name, sig.Base64)
	}
	a, err := s.post(ctx, "sign-subtree", s.subtree(8, 13, checkpoint).Marshal())
	if err == nil && (a.status == http.StatusNotFound || a.status == http.StatusMethodNotAllowed) {
		err = skip("the witness does not sign subtrees")
	}
	return checkpoint, err
}

// subtree asks for a subtree of the tree of size 14.
func (s *session) subtree(start, end uint64, checkpoint []byte) *witness.SignSubtree {
	t := s.log.histories[0]
	return &witness.SignSubtree{Start: start, End: end, Hash: t.subtree(start, end), Proof: t.consistency(start, end, 14), Checkpoint: checkpoint}
}

func subtree(ctx context.Context, s *session) error {
	checkpoint, err := s.offersSubtrees(ctx)
	if err != nil {
		return err
	}
	for _, of := range [][2]uint64{{8, 13}, {0, 14}, {0, 5}, {4, 8}, {6, 7}, {12, 14}} {
		r := s.subtree(of[0], of[1], checkpoint)
		a, err := s.post(ctx, "sign-subtree", r.Marshal())
		if err != nil {
			return err
		}
		if err := a.want(fmt.Sprintf("[%d, %d)", of[0], of[1]), http.StatusOK); err != nil {
			return err
		}
		if err := s.signs(a.body, scitt.Subtree{Origin: s.log.Origin, Start: of[0], End: of[1], Hash: r.Hash}); err != nil {
			return fmt.Errorf("[%d, %d): %w", of[0], of[1], err)
		}
	}
	return nil
}

// signs holds the cosignatures of a subtree to the rules.
func (s *session) signs(lines []byte, t scitt.Subtree) error {
	any := false
	for line := range strings.Lines(string(lines)) {
		name, base64, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(line, "— "), "\n"), " ")
		for _, key := range s.Keys {
			sig := note.Signature{Name: name, Hash: key.KeyHash(), Base64: base64}
			b, err := signatureOf(sig)
			if err != nil || key.Name() != name || len(key.PublicKey()) == 32 {
				continue
			}
			if at, err := scitt.CosignatureTime(sig); err != nil || !at.IsZero() {
				return fmt.Errorf("a subtree with the time %v, %w", at, err)
			}
			any = any || key.VerifySubtree(t, b)
		}
	}
	if !any {
		return fmt.Errorf("no line is by an ML-DSA-44 key that was given: %.200q", lines)
	}
	return nil
}

func subtreeRefusals(ctx context.Context, s *session) error {
	checkpoint, err := s.offersSubtrees(ctx)
	if err != nil {
		return err
	}
	other, err := NewLog(s.log.Origin+"/unknown", []byte("unknown"))
	if err != nil {
		return err
	}
	bare, strange := s.subtree(8, 13, s.log.checkpoint(0, 14)), s.subtree(8, 13, other.checkpoint(0, 14))
	wrong := s.subtree(8, 13, checkpoint)
	wrong.Hash = make([]byte, 32)
	shorter := s.subtree(8, 13, checkpoint)
	shorter.Proof = shorter.Proof[1:]
	var errs []error
	for _, c := range []struct {
		what   string
		body   []byte
		status int
	}{
		{"a range that is not a subtree", bytes.Replace(s.subtree(8, 13, checkpoint).Marshal(), []byte("subtree 8 13"), []byte("subtree 7 13"), 1), http.StatusBadRequest},
		{"an empty range", bytes.Replace(s.subtree(8, 13, checkpoint).Marshal(), []byte("subtree 8 13"), []byte("subtree 8 8"), 1), http.StatusBadRequest},
		{"a range beyond the tree", bytes.Replace(s.subtree(8, 13, checkpoint).Marshal(), []byte("subtree 8 13"), []byte("subtree 8 15"), 1), http.StatusBadRequest},
		{"a leading zero", bytes.Replace(s.subtree(8, 13, checkpoint).Marshal(), []byte("subtree 8 13"), []byte("subtree 08 13"), 1), http.StatusBadRequest},
		{"an unknown log", strange.Marshal(), http.StatusNotFound}, // which is not cosigned either, but its origin comes first
		{"a checkpoint that the witness did not cosign", bare.Marshal(), http.StatusForbidden},
		{"another hash", wrong.Marshal(), http.StatusUnprocessableEntity},
		{"a shorter proof", shorter.Marshal(), http.StatusUnprocessableEntity},
	} {
		a, err := s.post(ctx, "sign-subtree", c.body)
		if err != nil {
			return err
		}
		errs = append(errs, a.want(c.what, c.status))
	}
	return join(errs)
}
