package witness

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// MaxProof is the most hashes that a request may have.
//
// C2SP tlog-witness: "The client MUST NOT send more than 63 consistency proof lines."
const MaxProof = 63

// SizeMediaType is of the answer 409, whose body is the size that the witness
// has, in decimal, and a newline (C2SP tlog-witness).
const SizeMediaType = "text/x.tlog.size"

// ErrRequest is wrapped when bytes are not a request to a witness.
var ErrRequest = errors.New("not a request to a witness")

func badRequest(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrRequest, fmt.Errorf(format, args...))
}

// AddCheckpoint asks a witness to cosign a checkpoint (C2SP tlog-witness,
// add-checkpoint).
type AddCheckpoint struct {
	Old        uint64   // the size that the witness is thought to have
	Proof      [][]byte // consistency of Old with the checkpoint, 32 bytes each
	Checkpoint []byte   // the signed note
}

// Marshal writes the body of the request.
func (r *AddCheckpoint) Marshal() []byte {
	b := fmt.Appendf(nil, "old %d\n", r.Old)
	return appendRest(b, r.Proof, r.Checkpoint)
}

// ParseAddCheckpoint reads what Marshal writes and nothing else. Of the note it
// reads nothing. Errors wrap ErrRequest.
func ParseAddCheckpoint(body []byte) (*AddCheckpoint, error) {
	head, checkpoint, err := cutCheckpoint(body)
	if err != nil {
		return nil, err
	}
	old, ok := strings.CutPrefix(head[0], "old ")
	size, err := ParseSize(old)
	if !ok || err != nil {
		return nil, badRequest("the first line is %q, and not \"old\" with a size", head[0])
	}
	proof, err := parseHashes(head[1:])
	return &AddCheckpoint{size, proof, checkpoint}, err
}

// SignSubtree asks a witness to cosign the leaves [Start, End) of a log, under a
// checkpoint that it cosigned before (C2SP tlog-witness, sign-subtree).
type SignSubtree struct {
	Start, End uint64
	Hash       []byte   // 32 bytes
	Proof      [][]byte // consistency of the subtree with the checkpoint, 32 bytes each
	Checkpoint []byte   // the signed note with the witness's cosignature
}

// Marshal writes the body of the request.
func (r *SignSubtree) Marshal() []byte {
	b := fmt.Appendf(nil, "subtree %d %d\n%s\n", r.Start, r.End, base64.StdEncoding.EncodeToString(r.Hash))
	return appendRest(b, r.Proof, r.Checkpoint)
}

// ParseSignSubtree reads what Marshal writes and nothing else. It does not judge
// the range, and reads nothing of the note. Errors wrap ErrRequest.
func ParseSignSubtree(body []byte) (*SignSubtree, error) {
	head, checkpoint, err := cutCheckpoint(body)
	if err != nil {
		return nil, err
	}
	words := strings.Split(head[0], " ")
	if len(words) != 3 || words[0] != "subtree" || len(head) < 2 {
		return nil, badRequest("the first lines are not \"subtree\" with two indexes, and a hash")
	}
	start, err1 := ParseSize(words[1])
	end, err2 := ParseSize(words[2])
	hash, err3 := parseHashes(head[1:2])
	proof, err4 := parseHashes(head[2:])
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	return &SignSubtree{start, end, hash[0], proof, checkpoint}, nil
}

func appendRest(b []byte, proof [][]byte, checkpoint []byte) []byte {
	for _, hash := range proof {
		b = append(base64.StdEncoding.AppendEncode(b, hash), '\n')
	}
	return append(append(b, '\n'), checkpoint...)
}

// cutCheckpoint splits a request at the first empty line. The head has at least one line.
func cutCheckpoint(body []byte) (head []string, checkpoint []byte, err error) {
	before, checkpoint, ok := bytes.Cut(body, []byte("\n\n"))
	if !ok {
		return nil, nil, badRequest("there is no empty line before a checkpoint")
	}
	return strings.Split(string(before), "\n"), checkpoint, nil
}

// parseHashes reads lines with a hash each, in the one base64 encoding that it has.
func parseHashes(lines []string) (hashes [][]byte, err error) {
	if len(lines) > MaxProof {
		return nil, badRequest("the proof has %d lines, and at most %d are allowed", len(lines), MaxProof)
	}
	for _, line := range lines {
		hash, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(hash) != sha256.Size || base64.StdEncoding.EncodeToString(hash) != line {
			return nil, badRequest("%.100q is not a hash in base64", line)
		}
		hashes = append(hashes, hash)
	}
	return hashes, nil
}

// ParseSize reads the size of a tree. Errors wrap ErrRequest.
//
// C2SP tlog-witness: "encoded as an ASCII decimal with no leading zeroes (unless
// the size is zero, in which case the encoding MUST be 0)".
func ParseSize(s string) (uint64, error) {
	size, err := strconv.ParseUint(s, 10, 64)
	if err != nil || strconv.FormatUint(size, 10) != s {
		return 0, badRequest("%.100q is not a size", s)
	}
	return size, nil
}
