package keeper

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness"
)

// infoMediaType is of the answers 409 and 202 to add-entries (C2SP tlog-mirror).
const infoMediaType = "text/x.tlog.mirror-info"

// errUpload is wrapped when bytes are not an upload of entries.
var errUpload = errors.New("not an upload of entries")

func badUpload(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errUpload, fmt.Errorf(format, args...))
}

// upload is the beginning of the body of add-entries. The entries [start, end) follow
// in packages.
//
// C2SP tlog-mirror: "2 bytes, encoding a big-endian uint16: log_origin_size",
// log_origin, "8 bytes, encoding a big-endian uint64: upload_start", upload_end, "2
// bytes, encoding a big-endian uint16: ticket_size", and the ticket.
type upload struct {
	origin     string
	start, end uint64
	ticket     []byte
}

// readUpload reads what append writes. Errors wrap errUpload.
func readUpload(r *bufio.Reader) (u upload, err error) {
	origin, err := readSized(r)
	if err != nil {
		return u, err
	}
	var bounds [16]byte
	if _, err := io.ReadFull(r, bounds[:]); err != nil {
		return u, badUpload("it ends before its range: %w", err)
	}
	u = upload{origin: string(origin), start: binary.BigEndian.Uint64(bounds[:8]), end: binary.BigEndian.Uint64(bounds[8:])}
	if u.ticket, err = readSized(r); err != nil {
		return u, err
	}
	// "upload_start MUST be less or equal to upload_end."
	if u.start > u.end {
		return u, badUpload("its range begins at %d and ends at %d", u.start, u.end)
	}
	return u, nil
}

func (u upload) append(b []byte) []byte {
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(u.origin))), u.origin...)
	b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, u.start), u.end)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(u.ticket))), u.ticket...)
}

func readSized(r *bufio.Reader) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, badUpload("it ends before a length: %w", err)
	}
	data := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, badUpload("it ends within %d bytes: %w", len(data), err)
	}
	return data, nil
}

// span is a package's range of indexes in a bundle that begins at first.
type span struct{ first, start, end uint64 }

// next is the package of an upload that begins at an index.
//
// C2SP tlog-mirror: "start = max(upload_start, rounded_start + i * 256)", "end =
// min(upload_end, rounded_start + (i + 1) * 256)".
func (u upload) next(start uint64) span {
	first := start / tiles.Width * tiles.Width
	return span{first, start, min(u.end, first+tiles.Width)}
}

// parcel is an entry package: entries, and the proof that they are under the
// checkpoint of the upload.
type parcel struct {
	entries [][]byte
	proof   [][]byte
}

// readParcel reads a package of n entries, at most 256. Errors wrap errUpload.
//
// C2SP tlog-mirror: "The log entries in [start, end), each with a big-endian uint16
// length prefix", "1 byte, encoding an 8-bit unsigned integer, num_hashes, which MUST
// be at most 63", "num_hashes subtree consistency proof hash values".
func readParcel(r *bufio.Reader, n int) (p parcel, err error) {
	for range n {
		entry, err := readSized(r)
		if err != nil {
			return p, err
		}
		p.entries = append(p.entries, entry)
	}
	hashes, err := r.ReadByte()
	if err != nil {
		return p, badUpload("it ends before a proof: %w", err)
	}
	if hashes > witness.MaxProof {
		return p, badUpload("a proof has %d hashes, and at most %d are allowed", hashes, witness.MaxProof)
	}
	for range hashes {
		hash := make([]byte, sha256.Size)
		if _, err := io.ReadFull(r, hash); err != nil {
			return p, badUpload("it ends within a proof: %w", err)
		}
		p.proof = append(p.proof, hash)
	}
	return p, nil
}

func (p parcel) append(b []byte) []byte {
	b = appendBundle(b, p.entries)
	b = append(b, byte(len(p.proof)))
	for _, hash := range p.proof {
		b = append(b, hash...)
	}
	return b
}

// appendBundle writes entries as a bundle has them, and a package too.
func appendBundle(b []byte, entries [][]byte) []byte {
	for _, e := range entries {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(e))), e...)
	}
	return b
}

// tickets are checkpoints that were pending once, which a client brings back.
//
// C2SP tlog-mirror: "The mirror MUST authenticate any information it derives from a
// ticket."
type tickets struct{ secret []byte }

// make gives the ticket of a checkpoint with the log's signatures.
func (t tickets) make(signed []byte) []byte {
	m := hmac.New(sha256.New, t.secret)
	m.Write(signed)
	return append(m.Sum(nil), signed...)
}

// open returns the checkpoint of a ticket that make gave; nil of any other.
func (t tickets) open(ticket []byte) []byte {
	if len(ticket) < sha256.Size || !hmac.Equal(ticket, t.make(ticket[sha256.Size:])) {
		return nil
	}
	return ticket[sha256.Size:]
}

// info is what a client needs to go on.
//
// C2SP tlog-mirror: "The tree size of a valid pending checkpoint, in decimal", "The
// next entry, in decimal", "An opaque, possibly zero length, ticket value, encoded in
// base64".
type info struct {
	size, next uint64
	ticket     []byte
}

func (i info) marshal() []byte {
	return fmt.Appendf(nil, "%d\n%d\n%s\n", i.size, i.next, base64.StdEncoding.EncodeToString(i.ticket))
}
