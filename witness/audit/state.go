package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/internal/firsts"
	"github.com/conmotion/conmotion/scitt"
)

const stateVersion = 2 // 1 had other entry ids

// State is where an audit is: enough to go on without judging anything twice.
// The tree is not in it: it is rebuilt from the tiles, 32 bytes an entry. Entry
// ids are, with about 9 bytes an entry: to have them from the log again, all of it
// would have to be read.
type State struct {
	Version    int    `json:"version"`
	Origin     string `json:"origin"`
	Checkpoint string `json:"checkpoint"` // as published: the log as it was last seen
	Size       uint64 `json:"size"`       // of the checkpoint
	Next       uint64 `json:"next"`       // the first entry that is not done
	Closed     bool   `json:"closed"`     // all entries are done and the root was checked
	Since      uint64 `json:"since"`

	// Doubt is the newest smaller checkpoint of which it could not be checked that it
	// is an older state of the log.
	Doubt string `json:"doubt,omitempty"`

	Keys     []Registered `json:"keys"`     // statements of the service's keys, in order
	Policies []Registered `json:"policies"` // that came into force, in order
	Heads    []chainHead  `json:"heads"`    // of chains, admitted
	Refused  []chainHead  `json:"refused"`  // behind those, and not admitted
	Issuers  []string     `json:"issuers"`  // hashes of the first maxIssuers issuers

	Once []byte `json:"once"` // the ids that entries took: see package firsts

	Unjudged   uint64            `json:"unjudged"` // entries that artifacts are missing for
	Unread     []unread          `json:"unread,omitempty"`
	Counts     map[string]uint64 `json:"counts"` // violations by check
	Violations []Violation       `json:"violations"`
}

// maxIssuers is up to how many issuers are counted.
const maxIssuers = 10_000

// Registered is a policy, or a statement of keys, that came into force behind
// its entry.
type Registered struct {
	Index     uint64    `json:"index"`
	EntryID   string    `json:"entry_id"`
	Bootstrap Bootstrap `json:"bootstrap,omitempty"` // of the first policy
}

// Bootstrap says how a log got its first policy.
type Bootstrap string

// The bootstraps that a log shows.
const (
	BootstrapService   Bootstrap = "service"         // the service signed it
	BootstrapStatement Bootstrap = "first-statement" // the first statement, accepted unchecked
)

// chainHead is the head of one chain.
type chainHead struct {
	Issuer  string `json:"issuer"`
	Name    string `json:"name"`
	Index   uint64 `json:"index"`
	Seq     uint64 `json:"seq"`
	EntryID string `json:"entry_id"`
	Given   []byte `json:"given,omitempty"` // the handover with which the chain ends
}

// ReadState reads the file that [State.Write] wrote; nil when there is none yet.
func ReadState(path string) (*State, error) {
	data, err := durable.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s, err := ParseState(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// ParseState reads what State.Write wrote.
func ParseState(data []byte) (*State, error) {
	s := &State{}
	data, err := durable.Unseal(data)
	if err != nil {
		return nil, fmt.Errorf("not the state of an audit: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(s); err != nil {
		return nil, fmt.Errorf("not the state of an audit: %w", err)
	}
	if s.Version != stateVersion {
		return nil, fmt.Errorf("the state of an audit has version %d, and this program reads %d: begin the audit anew without it", s.Version, stateVersion)
	}
	if s.Next > s.Size || s.Closed && s.Next != s.Size || s.Origin == "" || (s.Checkpoint == "" && s.Size > 0) {
		return nil, errors.New("not the state of an audit: its sizes do not fit together")
	}
	if _, err := firsts.Load(s.Once, s.Next); err != nil {
		return nil, fmt.Errorf("not the state of an audit: %w", err)
	}
	if s.Counts == nil {
		s.Counts = map[string]uint64{}
	}
	for _, list := range [][]Registered{s.Keys, s.Policies} {
		for _, r := range list {
			if r.Index >= s.Next {
				return nil, fmt.Errorf("not the state of an audit: it is at %d and knows entry %d", s.Next, r.Index)
			}
		}
	}
	for _, u := range s.Unread {
		if _, err := headsOf(u.Heads); err != nil || u.Index >= s.Next {
			return nil, fmt.Errorf("not the state of an audit: entry %d is not one that can be judged again", u.Index)
		}
	}
	for _, list := range [][]chainHead{s.Heads, s.Refused} {
		if _, err := headsOf(list); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Write replaces the file in one step. A crash leaves the old state or the
// new one, never a part, and perhaps a temporary file beside it whose name
// begins with a dot.
func (s *State) Write(path string) error {
	data, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if err := durable.WriteFile(path, durable.Seal(data), 0o600); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return nil
}

// checkpoint is the log as it was last seen; nil when it never was.
func (s *State) checkpoint(v scitt.CheckpointVerifiers) (*scitt.Checkpoint, error) {
	if s.Checkpoint == "" {
		return nil, nil
	}
	cp, err := v.Open([]byte(s.Checkpoint))
	if err != nil {
		return nil, fmt.Errorf("the state's own checkpoint: %w", err)
	}
	return cp, nil
}

// closed reports whether the audit is done with a log of this size and root.
func (s *State) closed(old, cp *scitt.Checkpoint) bool {
	return s.Closed && s.Doubt == "" && old.Size == cp.Size && bytes.Equal(old.Root, cp.Root)
}

// issuer counts an issuer, by its hash and up to a bound.
func (s *State) issuer(hash string) {
	if i, found := slices.BinarySearch(s.Issuers, hash); !found && len(s.Issuers) < maxIssuers {
		s.Issuers = slices.Insert(s.Issuers, i, hash)
	}
}
