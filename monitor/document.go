package monitor

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"hash"
	"io"
	"maps"
	"slices"

	"github.com/conmotion/conmotion/internal/jsonx"
	"github.com/conmotion/conmotion/internal/parallel"
	"github.com/conmotion/conmotion/scitt"
)

// formatReplay names the format of a replay, and of a saved one. Another number is due whenever something else is saved.
const formatReplay = "conmotion-replay/1"

type refDocument struct {
	EntryID string `json:"entry_id"`
	Index   uint64 `json:"index"`
	Issued  int64  `json:"issued"`
	Time    int64  `json:"time"`
}

func (r Ref) document() refDocument { return refDocument{r.ID.String(), r.Index, r.Issued, r.Time} }

func (d refDocument) ref() (Ref, error) {
	id, err := scitt.ParseEntryID(d.EntryID)
	return Ref{d.Index, id, d.Time, d.Issued}, err
}

type assetDocument struct {
	Account        string      `json:"account,omitempty"`
	Configurations []string    `json:"configurations"`
	Created        refDocument `json:"created"`
	Issuer         int         `json:"issuer"`
	Last           refDocument `json:"last"`
	Region         string      `json:"region,omitempty"`
	Seen           int64       `json:"seen,omitempty"` // start of its issuer's newest scan that saw it
	SHA256         string      `json:"sha256"`         // of what the last record says of it
	Tags           []string    `json:"tags,omitempty"`
	Type           string      `json:"type,omitempty"`
	UID            string      `json:"uid"`
}

type configDocument struct {
	Account string      `json:"account,omitempty"`
	Assets  []string    `json:"assets"`
	Created refDocument `json:"created"`
	Issuer  int         `json:"issuer"`
	Last    refDocument `json:"last"`
	Region  string      `json:"region,omitempty"`
	SHA256  string      `json:"sha256"`
	Tags    []string    `json:"tags,omitempty"`
	Type    string      `json:"type,omitempty"`
	UID     string      `json:"uid"`
}

// nameDocument is another name of an asset.
type nameDocument struct {
	Asset  string `json:"asset"`
	Index  uint64 `json:"index"` // of the newest record that says so
	Issuer int    `json:"issuer"`
	Name   string `json:"name"`
}

// scanDone is an issuer's newest scan.
type scanDone struct {
	EntryID string `json:"entry_id"`
	Issuer  int    `json:"issuer"`
	What    string `json:"what"` // scope, times and whether it was complete
}

type chainDocument struct {
	Given  []byte      `json:"given,omitempty"` // the handover with which the chain ends
	Head   refDocument `json:"head"`
	Issuer int         `json:"issuer"`
	Name   string      `json:"name"`
	Seq    uint64      `json:"seq"`
}

type graveDocument struct {
	Entry     refDocument `json:"entry"`
	Inferred  bool        `json:"inferred"` // from a scan
	UID       string      `json:"uid"`
	What      Kind        `json:"what"`
	WithAsset bool        `json:"with_asset"`
}

// checkpointDocument pins a log.
type checkpointDocument struct {
	Origin string `json:"origin"`
	Root   string `json:"root"` // lowercase hex
	Size   uint64 `json:"size"`
}

func newCheckpointDocument(c *scitt.Checkpoint) checkpointDocument {
	return checkpointDocument{c.Origin, hex.EncodeToString(c.Root), c.Size}
}

func (d checkpointDocument) checkpoint() (*scitt.Checkpoint, error) {
	root, err := hex.DecodeString(d.Root)
	if err != nil || len(root) != 32 || hex.EncodeToString(root) != d.Root {
		return nil, malformed("the root %.80q is not 64 lowercase hexadecimal characters", d.Root)
	}
	if d.Origin == "" || d.Size > jsonx.MaxInteger {
		return nil, malformed("the checkpoint has no origin, or a size beyond 2^53-1")
	}
	return &scitt.Checkpoint{Origin: d.Origin, Size: d.Size, Root: root}, nil
}

// replayDocument is a replay as it is read back. State stands in saved ones.
type replayDocument struct {
	Anomalies      []Anomaly         `json:"anomalies"`
	AnomaliesMore  uint64            `json:"anomalies_more"`
	Assets         []assetDocument   `json:"assets"`
	Configurations []configDocument  `json:"configurations"`
	Counts         counts            `json:"counts"`
	Entries        uint64            `json:"entries"`
	Format         string            `json:"format"`
	Handovers      []Handover        `json:"handovers,omitempty"`
	Issuers        []string          `json:"issuers"`
	Origin         string            `json:"origin"`
	Selected       selectionDocument `json:"selected"`
	State          *stateDocument    `json:"state,omitempty"`
}

type selectionDocument struct {
	Issuers []string `json:"issuers"`
	Types   []string `json:"types"`
	Until   *int64   `json:"until,omitempty"`
}

type stateDocument struct {
	Chains     []chainDocument    `json:"chains"`
	Checkpoint checkpointDocument `json:"checkpoint"`
	Deleted    []graveDocument    `json:"deleted"`
	LastTime   int64              `json:"last_time"`
	Names      []nameDocument     `json:"names"`
	Once       []byte             `json:"once"` // the ids that records took: see Once.Save
	Scans      []scanDone         `json:"scans"`
	SHA256     []byte             `json:"sha256,omitempty"` // see seal
}

// seal ends the state of a document of which h has seen what stands before, with the SHA-256 of that and "}": a saved replay
// in which a disk flipped a bit is never taken for another one.
func seal(h hash.Hash) string {
	h.Write([]byte("}"))
	return `,"sha256":"` + base64.StdEncoding.EncodeToString(h.Sum(nil)) + `"}`
}

// isSealed reports whether a document ends as it was saved.
func isSealed(data []byte) bool {
	h := sha256.New()
	n := max(0, len(data)-len(seal(h))-len("}"))
	h.Reset()
	h.Write(data[:n])
	return string(data[n:]) == seal(h)+"}"
}

// list makes the empty array of what would be null.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// Write writes the replay as a JSON document in JCS form. It depends on the
// entries that were read and on nothing else: neither on the log's growth since,
// nor on where the replay was interrupted.
func (r *Replay) Write(w io.Writer) error { return r.write(w, nil) }

// Save writes the document with what Resume needs.
func (r *Replay) Save(w io.Writer) error {
	if r.checkpoint.Origin == "" {
		return malformed("nothing has been read")
	}
	s := &stateDocument{Chains: []chainDocument{}, Deleted: []graveDocument{}, Checkpoint: newCheckpointDocument(&r.checkpoint), LastTime: r.lastTime, Names: []nameDocument{}, Once: r.once.Save(), Scans: []scanDone{}}
	for key, list := range r.names {
		for _, c := range list {
			s.Names = append(s.Names, nameDocument{c.asset, c.index, key.issuer, key.name})
		}
	}
	slices.SortStableFunc(s.Names, func(a, b nameDocument) int { // those of one name stay in their order
		return cmp.Or(cmp.Compare(a.Issuer, b.Issuer), cmp.Compare(a.Name, b.Name))
	})
	for _, issuer := range slices.Sorted(maps.Keys(r.scans)) {
		s.Scans = append(s.Scans, scanDone{r.scans[issuer].id.String(), issuer, r.scans[issuer].what})
	}
	for key, head := range r.chains {
		s.Chains = append(s.Chains, chainDocument{[]byte(head.given), head.document(), r.numbers[key.issuer], key.name, head.seq})
	}
	slices.SortFunc(s.Chains, func(a, b chainDocument) int {
		return cmp.Or(cmp.Compare(a.Issuer, b.Issuer), cmp.Compare(a.Name, b.Name))
	})
	for _, g := range r.dead.list {
		s.Deleted = append(s.Deleted, graveDocument{g.entry.document(), g.inferred, g.uid, g.what, g.withAsset})
	}
	return r.write(w, s)
}

// write writes the members in the order of their names, the long ones element
// by element: a whole inventory is not held in memory a second time.
func (r *Replay) write(w io.Writer, s *stateDocument) error {
	h := sha256.New()
	b := bufio.NewWriter(io.MultiWriter(w, h))
	e := &encoder{w: b}
	e.text(`{"anomalies":`)
	each(e, r.anomalies, func(a Anomaly) any { return a })
	e.text(`,"anomalies_more":`)
	e.value(r.anomaliesMore)
	e.text(`,"assets":`)
	each(e, slices.Sorted(maps.Keys(r.assets)), func(uid string) any { return r.assetDocument(uid) })
	e.text(`,"configurations":`)
	each(e, slices.Sorted(maps.Keys(r.configs)), func(uid string) any { return r.configDocument(uid) })
	for _, m := range []struct {
		name string
		v    any
	}{
		{"counts", r.counts}, {"entries", r.next}, {"format", formatReplay}, {"handovers", r.handovers}, {"issuers", list(r.issuers)},
		{"origin", r.checkpoint.Origin}, {"selected", selectionDocument{list(r.filter.Issuers), r.filter.Types, r.until}},
	} {
		if m.name == "handovers" && len(r.handovers) == 0 {
			continue
		}
		e.text(`,"` + m.name + `":`)
		e.value(m.v)
	}
	if s != nil {
		e.text(`,"state":`)
		state, err := encoded(s)
		e.piece(bytes.TrimSuffix(state, []byte("}")), err)
		e.err = cmp.Or(e.err, b.Flush())
		e.text(seal(h))
	}
	e.text("}")
	if e.err != nil {
		return e.err
	}
	return b.Flush()
}

func (r *Replay) assetDocument(uid string) assetDocument {
	a := r.assets[uid]
	t := r.traits.list[a.traits]
	return assetDocument{t.Account, list(r.configsOf(uid)), a.created.document(), a.issuer, a.last.document(), t.Region, a.seen, hex.EncodeToString(a.digest[:]), t.Tags, t.Type, uid}
}

func (r *Replay) configDocument(uid string) configDocument {
	c := r.configs[uid]
	t := r.traits.list[c.traits]
	return configDocument{t.Account, list(c.assetsOf(uid)), c.created.document(), c.issuer, c.last.document(), t.Region, hex.EncodeToString(c.digest[:]), t.Tags, t.Type, uid}
}

// encoder writes JCS pieces.
type encoder struct {
	w   *bufio.Writer
	err error
}

func (e *encoder) text(s string) {
	if e.err == nil {
		_, e.err = e.w.WriteString(s)
	}
}

func (e *encoder) value(v any) { e.piece(encoded(v)) }

func (e *encoder) piece(data []byte, err error) {
	if e.err = cmp.Or(e.err, err); e.err == nil {
		_, e.err = e.w.Write(data)
	}
}

// encoded is a document of this package in JCS form.
func encoded(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	// The members of this package's documents stand in order and their numbers
	// are integers: what encoding/json does otherwise than JCS are escapes.
	if err == nil && bytes.IndexByte(data, '\\') >= 0 {
		data, err = canonical(data)
	}
	return data, err
}

// each writes an array of documents, which are made by several goroutines at a time.
func each[T any](e *encoder, items []T, document func(T) any) {
	e.text("[")
	type piece struct {
		data []byte
		err  error
	}
	pieces := parallel.Map(slices.Chunk(items, 256), parallel.CPUs(), func(some []T) (p piece) {
		for _, item := range some {
			data, err := encoded(document(item))
			if p.data == nil {
				p.data = make([]byte, 0, len(some)*(len(data)+len(data)/8)) // most are about as long
			}
			p.data, p.err = append(append(p.data, ','), data...), cmp.Or(p.err, err)
		}
		return p
	})
	comma := 1 // the first one is not written
	for p := range pieces {
		e.piece(p.data[comma:], p.err)
		comma = 0
	}
	e.text("]")
}
