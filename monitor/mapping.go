package monitor

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/conmotion/conmotion/internal/jsonx"
	"github.com/conmotion/conmotion/monitor/identity"
)

// rawEvent is an event that has been checked: what OCSF has an attribute for
// is null or of the right type.
type rawEvent struct {
	*jsonx.Tree
	bare bool // nothing is read but what it is about
}

// rawEntity is what identifies an asset and describes it: nodes of the event.
type rawEntity struct {
	described
	self, data int32 // data is 0 where it has none
}

// described is an asset as an event has it.
type described struct {
	uid    string // its identity
	traits Traits
	others []string          // its other identities: see identity.Aliases
	digest [sha256.Size]byte // of an inventory record: SHA-256 of all that it says of the asset
}

// entity reads a node with the attributes of OCSF's resource_details.
func (r rawEvent) entity(n int32) rawEntity {
	e := rawEntity{self: n, data: r.Member(n, "data")}
	source := identity.Source{
		Provider: r.text(r.Find("cloud", "provider")), Account: r.text(r.Find("cloud", "account", "uid")), Region: r.text(r.Member(n, "region")),
		Namespace: r.text(r.Member(n, "namespace")), Type: r.text(r.Member(n, "type")), UID: r.text(r.Member(n, "uid")), Name: r.text(r.Member(n, "name")),
	}
	source.Account = cmp.Or(source.Account, r.text(r.Find("cloud", "project_uid")))
	source.Region = cmp.Or(source.Region, r.text(r.Find("cloud", "region")))
	if e.uid = identity.Of(source); r.bare {
		return e
	}
	if alt := r.text(r.Member(n, "uid_alt")); alt != "" || e.uid != source.UID {
		e.others = identity.Aliases(source, alt)
	}
	e.traits = Traits{Account: source.Account, Region: source.Region, Type: source.Type, Tags: r.tags(n)}
	return e
}

// tags are the labels and the tags of a resource in order, a tag as "name:value".
func (r rawEvent) tags(n int32) (tags []string) {
	for _, list := range []int32{r.Member(n, "labels"), r.Member(n, "tags")} {
		if list == 0 || r.Kind(list) != jsonx.Array {
			continue
		}
		for m := r.First(list); m != 0; m = r.Next(m) {
			tag := r.text(m)
			if r.Kind(m) == jsonx.Object {
				tag = r.text(r.Member(m, "name")) + ":" + r.text(r.Member(m, "value"))
			}
			tags = append(tags, tag)
		}
	}
	slices.Sort(tags)
	return slices.Compact(tags)
}

// device is that of the event; ok is false where it has none.
func (r rawEvent) device() (e rawEntity, ok bool) {
	n := r.Find("device")
	if n == 0 || r.Kind(n) == jsonx.Null {
		return e, false
	}
	return r.entity(n), true
}

func (r rawEvent) text(n int32) string {
	if n == 0 || r.Kind(n) != jsonx.String {
		return ""
	}
	return strings.Clone(r.Text(n))
}

// integer is an integer_t; ok is false where there is none.
func (r rawEvent) integer(n int32) (v int64, ok bool) {
	if n == 0 || r.Kind(n) != jsonx.Number {
		return 0, false
	}
	v, err := strconv.ParseInt(r.Text(n), 10, 64)
	return v, err == nil
}

// settings is unmapped.conmotion.configuration: what OCSF has no place for.
type settings struct {
	uid     string
	content []byte
	assets  []string
}

// correction reports whether unmapped.conmotion.correction says that the record comes late.
func (r rawEvent) correction() (bool, error) {
	switch n := r.Find("unmapped", "conmotion", "correction"); {
	case n == 0:
		return false, nil
	case r.JSON(n) != "true":
		return false, badEvent("unmapped.conmotion.correction is true, or not there")
	}
	return true, nil
}

func (r rawEvent) settings() (s settings, err error) {
	if r.Find("unmapped") == 0 {
		return s, nil
	}
	for _, path := range [][]string{{"unmapped", "conmotion"}, {"unmapped", "conmotion", "configuration"}} {
		if n := r.Find(path...); n != 0 && r.Kind(n) != jsonx.Null && r.Kind(n) != jsonx.Object {
			return s, badEvent("%s: expected an object, found %s", strings.Join(path, "."), r.Kind(n))
		}
	}
	n := r.Find("unmapped", "conmotion", "configuration")
	if n == 0 {
		return s, nil
	}
	for m := r.First(n); m != 0; m = r.Next(m) {
		switch r.Name(m) {
		case "uid":
			if err = json.Unmarshal([]byte(r.JSON(m)), &s.uid); err == nil && s.uid == "" {
				err = badEvent("it is empty")
			}
		case "assets":
			err = json.Unmarshal([]byte(r.JSON(m)), &s.assets)
			for i, uid := range s.assets {
				s.assets[i] = identity.Canonical(uid)
			}
		case "content":
			s.content, err = r.canonical(m)
		default:
			err = badEvent("no such member")
		}
		if err != nil {
			return s, badEvent("unmapped.conmotion.configuration.%s: %w", r.Name(m), err)
		}
	}
	return s, nil
}

func (r rawEvent) canonical(n int32) ([]byte, error) {
	if r.bare {
		return nil, nil
	}
	out, err := r.Canonical(n)
	if err != nil {
		return nil, malformed("%w", err)
	}
	return out, nil
}

// read maps the event by its class.
func (e *Event) read(raw rawEvent, s settings, activity int64) error {
	if s.assets != nil && (e.Class != classEntity || e.Kind != Configuration) {
		return badEvent("unmapped.conmotion.configuration.assets is for class %d: other classes name their assets themselves", classEntity)
	}
	switch {
	case e.Class == classCloudInventory:
		return e.resources(raw, s)
	case e.Class == classDeviceInventory && e.Kind == Inventory:
		device, ok := raw.device()
		if !ok {
			return badEvent("there is no device")
		}
		return e.inventory(raw, []rawEntity{device})
	case e.Class == classConfigChange && e.Kind == Configuration:
		return e.configChange(raw, s)
	case e.Class == classEntity:
		return e.entity(raw, s, activity)
	}
	return badEvent("class %d has no %s records", e.Class, e.Kind)
}

// resources maps class 5023.
func (e *Event) resources(raw rawEvent, s settings) error {
	var resources []rawEntity
	if n := raw.Find("resources"); n != 0 {
		for r := raw.First(n); r != 0; r = raw.Next(r) {
			resources = append(resources, raw.entity(r))
		}
	}
	if len(resources) == 0 {
		return badEvent("there are no resources")
	}
	if e.Kind == Inventory {
		return e.inventory(raw, resources)
	}
	var assets []string
	for _, r := range resources {
		assets, e.about = append(assets, r.uid), append(e.about, r.described)
	}
	contents := make([][]byte, len(resources))
	for i, resource := range resources {
		if e.Action == Delete {
			continue
		}
		if s.content != nil {
			contents[i] = s.content
			continue
		}
		var err error
		if contents[i], err = raw.canonical(cmp.Or(resource.data, resource.self)); err != nil {
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

// inventory says that the event is about the existence of assets.
func (e *Event) inventory(raw rawEvent, resources []rawEntity) error {
	for _, r := range resources {
		content, err := raw.canonical(r.self)
		if err != nil {
			return badEvent("%w", err)
		}
		r.digest = sha256.Sum256(content)
		e.Assets, e.about = append(e.Assets, r.uid), append(e.about, r.described)
	}
	return nil
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
func (e *Event) configChange(raw rawEvent, s settings) error {
	device, ok := raw.device()
	if !ok {
		return badEvent("there is no device")
	}
	e.about = []described{device.described}
	if s.uid == "" {
		s.uid = device.uid
	}
	if s.content == nil {
		states := map[string]any{}
		for _, name := range []string{"state_id", "security_level_id"} {
			if v, ok := raw.integer(raw.Find(name)); ok {
				states[name] = v
			}
		}
		if n := raw.Find("security_states"); n != 0 && raw.Kind(n) == jsonx.Array {
			ids := []int64{}
			for state := raw.First(n); state != 0; state = raw.Next(state) {
				id, _ := raw.integer(raw.Member(state, "state_id"))
				ids = append(ids, id)
			}
			slices.Sort(ids)
			states["security_states"] = slices.Compact(ids)
		}
		var err error
		if s.content, err = marshal(states); err != nil {
			return badEvent("%w", err)
		}
	}
	return e.shared(s.uid, []string{device.uid}, s.content)
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
func (e *Event) entity(raw rawEvent, s settings, activity int64) error {
	action, err := activityAction(activity)
	if err != nil {
		return err
	}
	if action != "" && action != e.Action {
		return badEvent("metadata.event_code says %s and activity_id %d says %s", e.Action, activity, action)
	}
	before, after := raw.entity(raw.Find("entity")), rawEntity{}
	if n := raw.Find("entity_result"); n != 0 {
		after = raw.entity(n)
	}
	if e.Kind == Inventory {
		return e.inventory(raw, []rawEntity{before})
	}
	e.about = []described{before.described}
	if s.uid == "" {
		s.uid = before.uid
	}
	if n := cmp.Or(after.data, after.self, before.data, before.self); s.content == nil {
		if s.content, err = raw.canonical(n); err != nil {
			return badEvent("entity: %w", err)
		}
	}
	return e.shared(s.uid, s.assets, s.content)
}
