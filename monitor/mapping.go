package monitor

import (
	"bytes"
	"encoding/json"
	"slices"
)

// rawEvent is what a record's event is read for. The event has been checked:
// member names are unique and those of OCSF, so that Go's caseless matching of
// names cannot meet another one.
type rawEvent struct {
	Resources    []json.RawMessage          `json:"resources"`
	Device       *rawEntity                 `json:"device"`
	Entity       json.RawMessage            `json:"entity"`
	EntityResult json.RawMessage            `json:"entity_result"`
	Unmapped     map[string]json.RawMessage `json:"unmapped"`

	StateID         *int64 `json:"state_id"`
	SecurityLevelID *int64 `json:"security_level_id"`
	SecurityStates  []struct {
		StateID int64 `json:"state_id"`
	} `json:"security_states"`
}

type rawEntity struct {
	UID  string          `json:"uid"`
	Data json.RawMessage `json:"data"`
}

// settings is unmapped.conmotion.configuration: what OCSF has no place for.
type settings struct {
	uid     string
	content []byte
	assets  []string
}

func (r *rawEvent) settings() (settings, error) {
	var s settings
	var ours, members map[string]json.RawMessage
	for _, level := range []struct {
		raw  json.RawMessage
		into *map[string]json.RawMessage
		name string
	}{{r.Unmapped["conmotion"], &ours, ""}, {nil, &members, "configuration"}} {
		raw := level.raw
		if level.name != "" {
			raw = ours[level.name]
		}
		if raw == nil {
			return s, nil
		}
		if err := json.Unmarshal(raw, level.into); err != nil {
			return s, badEvent("unmapped.conmotion: %w", err)
		}
	}
	for name, raw := range members {
		var err error
		switch name {
		case "uid":
			if err = json.Unmarshal(raw, &s.uid); err == nil && s.uid == "" {
				err = badEvent("it is empty")
			}
		case "assets":
			err = json.Unmarshal(raw, &s.assets)
		case "content":
			s.content, err = canonical(raw)
		default:
			err = badEvent("no such member")
		}
		if err != nil {
			return s, badEvent("unmapped.conmotion.configuration.%s: %w", name, err)
		}
	}
	return s, nil
}

// read maps the event by its class.
func (e *Event) read(raw *rawEvent, s settings, activity int64) error {
	if s.assets != nil && (e.Class != ClassEntity || e.Kind != Configuration) {
		return badEvent("unmapped.conmotion.configuration.assets is for class %d: other classes name their assets themselves", ClassEntity)
	}
	switch {
	case e.Class == ClassCloudInventory:
		return e.resources(raw, s)
	case e.Class == ClassDeviceInventory && e.Kind == Inventory:
		if raw.Device == nil {
			return badEvent("there is no device")
		}
		e.Assets = []string{raw.Device.UID}
		return nil
	case e.Class == ClassConfigChange && e.Kind == Configuration:
		return e.configChange(raw, s)
	case e.Class == ClassEntity:
		return e.entity(raw, s, activity)
	}
	return badEvent("class %d has no %s records", e.Class, e.Kind)
}

// resources maps class 5023.
func (e *Event) resources(raw *rawEvent, s settings) error {
	if len(raw.Resources) == 0 {
		return badEvent("there are no resources")
	}
	var contents [][]byte
	for _, r := range raw.Resources {
		resource, err := readEntity(r)
		if err != nil {
			return badEvent("resources: %w", err)
		}
		e.Assets = append(e.Assets, resource.UID)
		content := resource.Data
		if content == nil {
			content = r
		}
		contents = append(contents, content)
	}
	if e.Kind == Inventory {
		return nil
	}
	assets := e.Assets
	e.Assets = nil
	for i := range contents {
		if e.Action == Delete {
			contents[i] = nil
			continue
		}
		if s.content != nil {
			contents[i] = s.content
			continue
		}
		var err error
		if contents[i], err = canonical(contents[i]); err != nil {
			return badEvent("resources[%d]: %w", i, err)
		}
	}
	if s.uid == "" { // each asset has its own
		for i, uid := range assets {
			e.Configurations = append(e.Configurations, Config{UID: uid, Assets: []string{uid}, Content: contents[i]})
		}
		return nil
	}
	for _, c := range contents {
		if !bytes.Equal(c, contents[0]) {
			return badEvent("the resources have one configuration and different data: put it into unmapped.conmotion.configuration.content")
		}
	}
	return e.shared(s.uid, assets, contents[0])
}

// shared adds the one configuration of several assets.
func (e *Event) shared(uid string, assets []string, content []byte) error {
	slices.Sort(assets)
	if len(slices.Compact(slices.Clone(assets))) != len(assets) {
		return badEvent("the same asset uid stands twice in one event")
	}
	if e.Action == Delete {
		content = nil
	}
	e.Configurations = []Config{{UID: uid, Assets: assets, Content: content}}
	return nil
}

// configChange maps class 5019. Its own content is the numbers of the states:
// the captions beside them are for people.
func (e *Event) configChange(raw *rawEvent, s settings) error {
	if raw.Device == nil {
		return badEvent("there is no device")
	}
	if s.uid == "" {
		s.uid = raw.Device.UID
	}
	if s.content == nil {
		states := map[string]any{}
		if raw.StateID != nil {
			states["state_id"] = *raw.StateID
		}
		if raw.SecurityLevelID != nil {
			states["security_level_id"] = *raw.SecurityLevelID
		}
		if raw.SecurityStates != nil {
			ids := []int64{}
			for _, state := range raw.SecurityStates {
				ids = append(ids, state.StateID)
			}
			slices.Sort(ids)
			states["security_states"] = slices.Compact(ids)
		}
		var err error
		if s.content, err = marshal(states); err != nil {
			return badEvent("%w", err)
		}
	}
	return e.shared(s.uid, []string{raw.Device.UID}, s.content)
}

// Activities of class 3004 with a meaning of their own; all others modify.
const (
	activityUnknown = 0
	activityCreate  = 1
	activityRead    = 2
	activityDelete  = 4
	activityOther   = 99
)

// activityAction is the action that an activity of class 3004 says; "" when it
// leaves it open.
func activityAction(activity int64) (Action, error) {
	switch activity {
	case activityCreate:
		return Create, nil
	case activityDelete:
		return Delete, nil
	case activityRead:
		return "", badEvent("activity_id 2 (Read) changes nothing")
	case activityUnknown, activityOther:
		return "", nil
	}
	return Modify, nil
}

// entity maps class 3004. The entity is the asset, or the configuration itself.
func (e *Event) entity(raw *rawEvent, s settings, activity int64) error {
	action, err := activityAction(activity)
	if err != nil {
		return err
	}
	if action != "" && action != e.Action {
		return badEvent("metadata.event_code says %s and activity_id %d says %s", e.Action, activity, action)
	}
	var after rawEntity
	before, err := readEntity(raw.Entity)
	if err != nil {
		return badEvent("entity: %w", err)
	}
	if raw.EntityResult != nil {
		if after, err = readEntity(raw.EntityResult); err != nil {
			return badEvent("entity_result: %w", err)
		}
	}
	if e.Kind == Inventory {
		e.Assets = []string{before.UID}
		return nil
	}
	if s.uid == "" {
		s.uid = before.UID
	}
	for _, c := range [][]byte{after.Data, raw.EntityResult, before.Data, raw.Entity} {
		if s.content == nil && c != nil {
			if s.content, err = canonical(c); err != nil {
				return badEvent("entity: %w", err)
			}
		}
	}
	return e.shared(s.uid, s.assets, s.content)
}
