package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/conmotion/conmotion/internal/jsonx"
	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

const (
	// formatEvidence names the format of [Evidence].
	formatEvidence = "conmotion-evidence/1"
	// evidenceEntries bounds what the entries of evidence have in bytes, with their
	// proofs. Where all entries before the accused one are more, only those are taken
	// that the accusation rests on.
	evidenceEntries = 4 << 20
	// maxEvidence bounds a document in bytes.
	maxEvidence = 16 << 20
)

// ErrEvidence is wrapped when something does not show that a log holds what it should not.
var ErrEvidence = errors.New("not evidence against a log")

func noEvidence(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrEvidence, fmt.Errorf(format, args...))
}

// Evidence says that an entry stands in a log which its Registration Policy does not
// admit: docs/schemas/evidence.schema.json. See [Evidence.Verify] for what it proves.
type Evidence struct {
	Check      string          `json:"check"`      // that the entry fails, as in [Violation]
	Checkpoint string          `json:"checkpoint"` // as the log signed it
	Entries    []EvidenceEntry `json:"entries"`    // in the order of the log; the last one is accused
	Format     string          `json:"format"`
	Message    string          `json:"message"` // what the author found
	VKeys      []string        `json:"vkeys"`   // of the log, as the author knows them
}

// EvidenceEntry is an entry, and the proof that it is under the checkpoint.
type EvidenceEntry struct {
	Data  []byte   `json:"data"`
	Index uint64   `json:"index"`
	Proof [][]byte `json:"proof"` // 32-byte hashes, the leaf's sibling first
}

// NewEvidence collects the evidence of a violation about an entry: all entries up to it
// or, where that is too much, the accused one and those at the indexes that it rests on.
func NewEvidence(ctx context.Context, view *tiles.View, vkeys []string, v Violation, restsOn []uint64) (*Evidence, error) {
	if v.Index == nil {
		return nil, noEvidence("%s is about files and no entry", v.Check)
	}
	e := &Evidence{Format: formatEvidence, Check: v.Check, Message: v.Message, Checkpoint: string(view.Checkpoint.Raw), VKeys: vkeys}
	size := 0
	for entry, err := range view.Entries(ctx, 0, *v.Index+1) {
		if err != nil {
			return nil, err
		}
		if err := e.add(ctx, view, entry); err != nil {
			return nil, err
		}
		added := e.Entries[len(e.Entries)-1]
		if size += len(added.Data) + len(added.Proof)*leafSize; size > evidenceEntries {
			break
		}
	}
	if uint64(len(e.Entries)) == *v.Index+1 && size <= evidenceEntries {
		return e, nil
	}
	e.Entries = nil
	restsOn = append(slices.Clone(restsOn), *v.Index)
	slices.Sort(restsOn)
	for _, index := range slices.Compact(restsOn) {
		data, err := view.Entry(ctx, index)
		if err != nil {
			return nil, err
		}
		if err := e.add(ctx, view, tiles.Entry{Index: index, Data: data}); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func (e *Evidence) add(ctx context.Context, view *tiles.View, entry tiles.Entry) error {
	p, err := view.Inclusion(ctx, entry.Index, scitt.LeafHash(entry.Data))
	if err != nil {
		return err
	}
	e.Entries = append(e.Entries, EvidenceEntry{entry.Data, entry.Index, some(p.Path)})
	return nil
}

func some[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// Marshal writes the document, JSON in JCS form (RFC 8785).
func (e *Evidence) Marshal() ([]byte, error) {
	data, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	if data, err = jsonx.Canonical(data); err != nil {
		return nil, noEvidence("%w", err)
	}
	if len(data) > maxEvidence {
		return nil, noEvidence("the document has more than %d bytes", maxEvidence)
	}
	return data, nil
}

// IsEvidence reports whether a file says that it is evidence.
func IsEvidence(data []byte) bool {
	var d struct{ Format string }
	return len(data) <= maxEvidence && json.Unmarshal(data, &d) == nil && d.Format == formatEvidence
}

// ParseEvidence reads what Marshal writes and nothing else. It verifies nothing: see
// Verify. Errors wrap ErrEvidence.
func ParseEvidence(data []byte) (*Evidence, error) {
	if len(data) > maxEvidence {
		return nil, noEvidence("the document has more than %d bytes", maxEvidence)
	}
	e := &Evidence{}
	if err := json.Unmarshal(data, e); err != nil {
		return nil, noEvidence("%w", err)
	}
	if e.Format != formatEvidence {
		return nil, noEvidence("the format is %.40q, and this is %s", e.Format, formatEvidence)
	}
	if again, err := e.Marshal(); err != nil || !bytes.Equal(again, data) {
		return nil, noEvidence("it has unknown members, or is not in JCS form")
	}
	if len(e.Entries) == 0 {
		return nil, noEvidence("it has no entry")
	}
	for i := range e.Entries[1:] {
		if e.Entries[i].Index >= e.Entries[i+1].Index {
			return nil, noEvidence("its entries are not in the order of the log")
		}
	}
	return e, nil
}

// Accused is the entry that should not be in the log.
func (e *Evidence) Accused() EvidenceEntry { return e.Entries[len(e.Entries)-1] }

// Judged is what evidence comes to.
type Judged struct {
	Checkpoint *scitt.Checkpoint
	EntryID    string // "" where the bytes have none
	Message    string // what was found about the entry now
	// Gaps are the entries before the accused one that the evidence leaves out, and that
	// could change the verdict: another policy, key or link of a chain may be there. It is
	// proven when there are none. Otherwise the log decides: see [Evidence.InLog].
	Gaps []Gap
}

// Gap are entries from From up to, and not including, To.
type Gap struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// Verify recomputes what the evidence says: the log's signature on the checkpoint, the
// inclusion of each entry, which keys and policies were in force, and that the accused
// entry fails the check. Nothing that its author says is believed. Errors wrap
// ErrEvidence when it shows nothing, and are a *[SchemaError] when a policy cannot be read.
func (e *Evidence) Verify(ctx context.Context, cv scitt.CheckpointVerifiers, o Options) (*Judged, error) {
	cp, err := cv.Open([]byte(e.Checkpoint))
	if err != nil {
		return nil, noEvidence("%w", err)
	}
	r := &sequence{register: register{origin: cp.Origin, options: o.Policy, schema: o.Schema}, ids: map[scitt.EntryID][]EvidenceEntry{}, heads: heads{}, expected: heads{}}
	var last *item
	for i, entry := range e.Entries {
		p := &scitt.InclusionProof{Size: cp.Size, Index: entry.Index, Path: entry.Proof}
		root, err := p.Root(scitt.LeafHash(entry.Data))
		if err != nil || !bytes.Equal(root, cp.Root) {
			return nil, noEvidence("entry %d is not shown to be in the log", entry.Index)
		}
		if last, err = r.add(ctx, entry, i == len(e.Entries)-1); err != nil {
			return nil, err
		}
	}
	n := slices.IndexFunc(last.found, func(f finding) bool { return f.check == e.Check })
	if n < 0 {
		return nil, noEvidence("entry %d does not fail the check %s", last.index, e.Check)
	}
	out := &Judged{Checkpoint: cp, Message: last.found[n].message}
	if last.id != (scitt.EntryID{}) {
		out.EntryID = last.id.String()
	}
	if e.Check != CheckStatement && e.Check != CheckEncoding && !(e.Check == CheckDuplicate && r.same) {
		next := uint64(0)
		for _, entry := range e.Entries {
			if entry.Index > next {
				out.Gaps = append(out.Gaps, Gap{next, entry.Index})
			}
			next = entry.Index + 1
		}
	}
	return out, nil
}

// mostTold is how many violations of a log InLog looks through.
const mostTold = 10_000

// InLog reports whether an audit of the log up to the checkpoint of the evidence, which
// was verified, finds what the evidence says: for where it leaves entries out. An error
// means that this cannot be told. List, Report and Save of the options are its own.
func (e *Evidence) InLog(ctx context.Context, log *tiles.Log, cp *scitt.Checkpoint, o Options) (found bool, err error) {
	index := e.Accused().Index
	o.List, o.Save = mostTold, nil
	o.Report = func(v Violation) { found = found || v.Index != nil && *v.Index == index && v.Check == e.Check }
	auditor, err := New(log, nil, o)
	if err != nil {
		return false, err
	}
	if err := auditor.RunAt(ctx, cp); err != nil {
		return false, err
	}
	s := auditor.Summary()
	for _, check := range []string{CheckRoot, CheckTile, CheckBundle, CheckConsistency} {
		if s.Checks[check] > 0 {
			return false, fmt.Errorf("its files are not what the checkpoint commits to: %s", check)
		}
	}
	if !found && s.Violations > mostTold {
		return false, fmt.Errorf("there are %d violations, and only the first %d are looked through", s.Violations, mostTold)
	}
	return found, nil
}

// sequence judges entries one after the other, by the rules of a replay.
type sequence struct {
	register        register
	ids             map[scitt.EntryID][]EvidenceEntry
	heads, expected heads
	same            bool // the last duplicate is the same bytes
}

// add takes the next entry into account. When it is the last one, it is judged.
func (r *sequence) add(ctx context.Context, entry EvidenceEntry, last bool) (*item, error) {
	it := &item{index: entry.Index}
	if it.parse(entry.Data); len(it.found) == 0 {
		r.count(it, entry)
	}
	if len(it.found) == 0 {
		if err := r.register.add(it); err != nil {
			return nil, err
		}
	}
	if len(it.found) > 0 {
		return it, nil
	}
	it.before = r.expected.of(it.st)
	r.expected.add(it.st, it.index)
	if !last && it.st.Chain == nil {
		return it, nil // nothing after it depends on whether it was admitted
	}
	err := it.judge(ctx, nil)
	if err == nil && r.heads.judgeAgain(it) {
		err = it.judge(ctx, nil)
	}
	if len(it.found) == 0 {
		r.heads.add(it.st, it.index)
	}
	return it, err
}

// count finds duplicates as a replay does.
func (r *sequence) count(it *item, entry EvidenceEntry) {
	for _, first := range r.ids[it.id] {
		verify := r.register.verify(it.st)
		r.same = bytes.Equal(first.Data, entry.Data)
		other, err := scitt.DecodeStatement(first.Data)
		switch {
		case errors.Is(verify, scitt.ErrSignature):
			it.fail(policy.CheckSignature, "%v", verify)
			return
		case r.same, err == nil && verify == nil && r.register.verify(other) == nil:
			it.fail(CheckDuplicate, "entry %d has the same content", first.Index)
			return
		}
	}
	r.ids[it.id] = append(r.ids[it.id], entry)
}
