package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"

	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

const leafSize = sha256.Size

// bundle is an entry bundle on its way through the stages.
type bundle struct {
	items []item      // the entries that are not done yet
	files []Violation // what is wrong with the files
	// missing are tiles that are not there.
	missing []string
	// broken is why the bundle cannot be read: the audit ends before it.
	broken error
}

// item is one entry.
type item struct {
	index uint64
	id    scitt.EntryID
	leaf  []byte           // what the tree holds
	st    *scitt.Statement // nil when it is none
	found []finding
	// refusal is where a policy found it.
	refusal *policy.Refusal

	issuer     string         // hash
	takes      bool           // its id: no entry before has its content
	registered *Registered    // what came into force with it
	under      *policy.Policy // judges it; nil when nothing has to
	before     before         // judges it too
	unjudged   bool           // without its artifact, which is not there, or
	unread     error          // why it was out of reach
	err        error          // what kept it from being judged
}

// finding is a violation without its entry.
type finding struct{ check, message string }

func (it *item) fail(check, format string, args ...any) {
	it.found = append(it.found, finding{check, fmt.Sprintf(format, args...)})
}

// refused takes over what a policy found, and reports whether it found anything.
func (it *item) refused(err error) bool {
	r := policy.AsRefusal(err)
	if r == nil {
		return false
	}
	for _, f := range r.Failed {
		it.found = append(it.found, finding{f.Check, f.Message})
	}
	it.refusal = r
	return true
}

// bundleReader reads the bundles of one pass, many at once.
type bundleReader struct {
	src  tiles.Source
	view *tiles.View // nil when the tiles are damaged at the edge of the tree
	from uint64
	size uint64
}

func (r *bundleReader) read(ctx context.Context, n uint64) (*bundle, error) {
	entries, err := tiles.ReadBundle(ctx, r.src, n, r.size)
	switch {
	case err == nil:
	case damaged(err):
		return &bundle{broken: err}, nil
	default:
		return nil, err
	}
	items := make([]item, len(entries))
	for i, e := range entries {
		it := &items[i]
		it.index, it.leaf = n*tiles.Width+uint64(i), scitt.LeafHash(e)
		if it.index >= r.from {
			it.parse(e)
		}
	}
	b := &bundle{items: items}
	if err := r.compare(ctx, n, b); err != nil {
		return nil, err
	}
	b.items = items[max(r.from, n*tiles.Width)-n*tiles.Width:]
	return b, nil
}

// parse holds the bytes to the form of an entry.
func (it *item) parse(entry []byte) {
	st, err := scitt.ParseStatement(entry)
	switch {
	case err != nil:
		it.id, _ = scitt.EntryIDOf(entry)
		it.fail(CheckStatement, "%v", err)
	case !bytes.Equal(st.Entry(), entry):
		it.fail(CheckEncoding, "a Signed Statement, but not in the encoding of an entry (empty unprotected header, shortest lengths)")
	default:
		sum := sha256.Sum256([]byte(st.Issuer))
		it.st, it.id, it.issuer = st, st.ID(), hex.EncodeToString(sum[:8])
	}
}

// compare compares the entries with the tile above them. Where they differ,
// the one is wrong that does not lead to the root.
func (r *bundleReader) compare(ctx context.Context, n uint64, b *bundle) error {
	wrong := func(format string, args ...any) {
		b.files = append(b.files, Violation{Check: CheckTile, Message: fmt.Sprintf(format, args...)})
	}
	path := tiles.TilePath(0, n, len(b.items))
	tile, err := tiles.ReadTile(ctx, r.src, 0, n, len(b.items))
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist):
		b.missing = append(b.missing, path)
		return nil
	case damaged(err):
		wrong("%s: %v", path, err)
		return nil
	default:
		return err
	}
	differs := false
	for i := range b.items {
		it := &b.items[i]
		committed := tile[i*leafSize:][:leafSize]
		if bytes.Equal(it.leaf, committed) {
			continue
		}
		if r.view != nil {
			if _, err := r.view.Inclusion(ctx, it.index, committed); err == nil {
				it.st, it.leaf, it.found = nil, bytes.Clone(committed), nil
				it.fail(CheckBundle, "the bundle holds other bytes than those that the checkpoint commits to")
				continue
			}
		}
		differs = true
	}
	if differs {
		wrong("%s is not what the entries lead to", path)
	}
	return nil
}
