package monitor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/conmotion/conmotion/policy/ocsf"
)

// maxUpstream bounds how many entries of other logs an event refers to.
const maxUpstream = 64

// upstreamOf reads the entries of other logs that an event refers to
// (unmapped.conmotion.upstream), ordered by origin and index; none when it
// refers to none. A replay does not look at them. Errors wrap ErrEvent.
func upstreamOf(event []byte) ([]EntryRef, error) {
	unmapped, err := upstreamMembers(event)
	if err != nil {
		return nil, err
	}
	return unmapped.refs()
}

// WithUpstream gives the event in JCS form with references to these entries of
// other logs, beside those that it has. Errors wrap ErrEvent or ErrMalformed.
func WithUpstream(event []byte, refs []EntryRef) ([]byte, error) {
	u, err := upstreamMembers(event)
	if err != nil {
		return nil, err
	}
	all, err := u.refs()
	if err != nil {
		return nil, err
	}
	for _, r := range refs {
		if _, err := r.check(); err != nil {
			return nil, err
		}
	}
	all = append(all, refs...)
	slices.SortFunc(all, compareRefs)
	if all = slices.Compact(all); len(all) == 0 {
		return canonical(event)
	}
	if len(all) > maxUpstream {
		return nil, malformed("it refers to %d entries of other logs; %d are allowed", len(all), maxUpstream)
	}
	return u.with("upstream", all)
}

// WithCorrection gives the event in JCS form as a correction: see [Event.Correction]. Errors wrap ErrEvent or ErrMalformed.
func WithCorrection(event []byte) ([]byte, error) {
	u, err := upstreamMembers(event)
	if err != nil {
		return nil, err
	}
	return u.with("correction", true)
}

// with gives the event in JCS form with a member in unmapped.conmotion.
func (u upstreamLevels) with(name string, value any) (_ []byte, err error) {
	for _, level := range []struct {
		members map[string]json.RawMessage
		name    string
		value   any
	}{{u.ours, name, value}, {u.unmapped, "conmotion", u.ours}, {u.event, "unmapped", u.unmapped}} {
		if level.members[level.name], err = json.Marshal(level.value); err != nil {
			return nil, err
		}
	}
	return marshal(u.event)
}

// upstreamLevels are the objects of an event down to unmapped.conmotion. They
// are read as maps: Go would not tell the names of members apart by case.
type upstreamLevels struct{ event, unmapped, ours map[string]json.RawMessage }

func upstreamMembers(event []byte) (u upstreamLevels, err error) {
	// Names that stand twice would go unnoticed in a map.
	if _, err := ocsf.Parse(event); err != nil {
		return u, badEvent("%w", err)
	}
	u.unmapped, u.ours = map[string]json.RawMessage{}, map[string]json.RawMessage{}
	if err := json.Unmarshal(event, &u.event); err != nil {
		return u, badEvent("%w", err)
	}
	for _, level := range []struct {
		name   string
		from   *map[string]json.RawMessage
		member string
		into   *map[string]json.RawMessage
	}{{"unmapped", &u.event, "unmapped", &u.unmapped}, {"unmapped.conmotion", &u.unmapped, "conmotion", &u.ours}} {
		raw, ok := (*level.from)[level.member]
		if !ok {
			break
		}
		if err := json.Unmarshal(raw, level.into); err != nil || *level.into == nil {
			return u, badEvent("%s is not an object", level.name)
		}
	}
	return u, nil
}

func (u upstreamLevels) refs() ([]EntryRef, error) {
	raw, ok := u.ours["upstream"]
	if !ok {
		return nil, nil
	}
	bad := func(err error) error { return badEvent("unmapped.conmotion.upstream: %w", err) }
	var refs []EntryRef
	if err := json.Unmarshal(raw, &refs); err != nil {
		return nil, bad(err)
	}
	// Nothing but what was understood may stand there.
	if got, err := canonical(raw); err != nil {
		return nil, bad(err)
	} else if again, err := marshal(refs); err != nil || !bytes.Equal(got, again) {
		paths, _ := differences(got, again)
		return nil, bad(fmt.Errorf("not a list of entries: look at %s", paths))
	}
	for _, r := range refs {
		if _, err := r.check(); err != nil {
			return nil, bad(err)
		}
	}
	slices.SortFunc(refs, compareRefs)
	switch n := len(refs); {
	case n == 0 || n > maxUpstream:
		return nil, bad(fmt.Errorf("%d entries: 1 to %d can stand there", n, maxUpstream))
	case len(slices.Compact(slices.Clone(refs))) != n:
		return nil, bad(errors.New("the same entry stands twice"))
	}
	return refs, nil
}
