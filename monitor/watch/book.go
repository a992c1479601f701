package watch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/internal/printable"
)

const stateVersion = 2 // 1 had other entry ids

// lookState is where the looks at one log are. Only the log's follower
// touches it.
type lookState struct {
	Location string    `json:"location"`
	Origin   string    `json:"origin,omitempty"` // "" before the first look that succeeded
	Size     uint64    `json:"size"`             // of the newest checkpoint
	Root     []byte    `json:"root,omitempty"`
	Note     string    `json:"note,omitempty"`
	Signed   time.Time `json:"signed,omitzero"` // the newest tree, first; zero if it does not say
	Grew     time.Time `json:"grew,omitzero"`   // when a look last found new entries
	// Behind is since when the location shows an older state, and Doubt the
	// newest checkpoint of which it is not known whether it is one.
	Behind time.Time `json:"behind,omitzero"`
	Doubt  string    `json:"doubt,omitempty"`
	Reread reread    `json:"reread,omitzero"`
	// Shown is, by witness, the checkpoint that it showed and that is larger than the log.
	Shown map[string]string `json:"shown,omitempty"`

	Alerts     uint64                `json:"alerts,omitempty"` // conditions that began so far
	Rules      map[string]*ruleState `json:"rules"`
	Conditions map[string]*Alert     `json:"conditions"` // that hold: the alerts of their beginnings
	// Audited is the first entry about whose admission nothing was told yet;
	// AuditFiles are ids of what was told about files.
	Audited    uint64    `json:"audited,omitempty"`
	AuditFiles []string  `json:"audit_files,omitempty"`
	Recompute  []pending `json:"recompute,omitempty"`
	// Once is a monitor.Once of what counted for rules.
	Once []byte `json:"once,omitempty"`
}

// pending is a measurement that is to be computed again.
type pending struct {
	Rule  string `json:"rule"`
	Index uint64 `json:"index"`
	Tries int    `json:"tries,omitempty"`
}

// outgoing is an alert on its way.
type outgoing struct {
	Alert json.RawMessage `json:"alert"`
	To    []string        `json:"to"` // sinks that it has not reached
}

// book is the state file of one log. The follower adds to it and the
// deliveries take away. It is safe for concurrent use.
type book struct {
	path  string
	sinks []string

	mu      sync.Mutex
	look    json.RawMessage
	outbox  []*outgoing
	changed []chan struct{} // one for each sink; each has room for one signal
	wrote   func()          // for tests: the file was replaced
}

type bookFile struct {
	Version int             `json:"version"`
	Look    json.RawMessage `json:"look"`
	Outbox  []*outgoing     `json:"outbox"`
}

// openBook reads the file; a missing one is a new log's. Alerts for sinks that
// are no more are let go.
func openBook(path string, sinks []string) (*book, *lookState, error) {
	b := &book{path: path, sinks: sinks}
	for range sinks {
		b.changed = append(b.changed, make(chan struct{}, 1))
	}
	look := &lookState{}
	data, err := durable.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, nil, fmt.Errorf("state: %w", err)
	default:
		var f bookFile
		data, err := durable.Unseal(data)
		if err == nil {
			err = strictJSON(data, &f)
		}
		if err == nil && f.Version != stateVersion {
			return nil, nil, fmt.Errorf("state %s has version %d, and this program reads %d; remove it to watch this log anew", path, f.Version, stateVersion)
		}
		if err == nil {
			err = strictJSON(f.Look, look)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("state %s is damaged: %w; remove it to watch this log anew", path, err)
		}
		b.look = f.Look
		for _, o := range f.Outbox {
			o.To = slices.DeleteFunc(o.To, func(sink string) bool { return !slices.Contains(sinks, sink) })
			if len(o.To) > 0 {
				b.outbox = append(b.outbox, o)
			}
		}
	}
	if look.Rules == nil {
		look.Rules = map[string]*ruleState{}
	}
	if look.Conditions == nil {
		look.Conditions = map[string]*Alert{}
	}
	return b, look, nil
}

func strictJSON(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	return dec.Decode(v)
}

// commit writes where the look is, with the alerts that it came to, in one
// step. A crash before leaves a look that has not happened; after it the
// alerts are on their way. When it fails nothing is on its way.
func (b *book) commit(look *lookState, alerts []*Alert) error {
	raw, err := json.Marshal(look)
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	var added []*outgoing
	for _, a := range alerts {
		data, err := json.Marshal(a)
		if err != nil {
			return fmt.Errorf("alert: %w", err)
		}
		added = append(added, &outgoing{printable.JSON(data), slices.Clone(b.sinks)})
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(added) == 0 && bytes.Equal(raw, b.look) {
		return nil
	}
	outbox := slices.Concat(b.outbox, added)
	if err := b.write(raw, outbox); err != nil {
		return err
	}
	b.look, b.outbox = raw, outbox
	if len(added) > 0 {
		for _, c := range b.changed {
			select {
			case c <- struct{}{}:
			default:
			}
		}
	}
	return nil
}

func (b *book) write(look json.RawMessage, outbox []*outgoing) error {
	data, err := json.Marshal(bookFile{stateVersion, look, outbox})
	if err == nil {
		err = durable.WriteFile(b.path, durable.Seal(data), 0o600)
	}
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if b.wrote != nil {
		b.wrote()
	}
	return nil
}

// owed are the alerts that have not reached a sink, in order.
func (b *book) owed(sink string) []*outgoing {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []*outgoing
	for _, o := range b.outbox {
		if slices.Contains(o.To, sink) {
			out = append(out, o)
		}
	}
	return out
}

// waiting is how many alerts have not reached some sink.
func (b *book) waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.outbox)
}

// behind has alerts wait behind all others.
func (b *book) behind(alerts []*outgoing) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.outbox = append(slices.DeleteFunc(slices.Clone(b.outbox), func(o *outgoing) bool { return slices.Contains(alerts, o) }), alerts...)
	return b.write(b.look, b.outbox)
}

// delivered notes that a sink has these alerts. A crash before has them
// delivered once more. When the file cannot be written, this run knows it.
func (b *book) delivered(sink string, alerts ...*outgoing) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, o := range alerts {
		o.To = slices.DeleteFunc(o.To, func(s string) bool { return s == sink })
	}
	b.outbox = slices.DeleteFunc(slices.Clone(b.outbox), func(o *outgoing) bool { return len(o.To) == 0 })
	return b.write(b.look, b.outbox)
}
