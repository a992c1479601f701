package importer

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// take removes the first of the members that is a string and returns it.
func take(o object, names ...string) string {
	for _, n := range names {
		if s, ok := o[n].(string); ok {
			delete(o, n)
			return s
		}
	}
	return ""
}

// text is a member that is a string, "" where it is something else.
func text(o object, name string) string { s, _ := o[name].(string); return s }

// set sets a member unless v is the empty string.
func set(o object, name, v string) {
	if v != "" {
		o[name] = v
	}
}

// compact removes what says nothing: null.
func compact(o object) object {
	maps.DeleteFunc(o, func(_ string, v any) bool { return v == nil })
	return o
}

// millis reads a time: RFC 3339, with or without a colon in the offset, or seconds since the Unix epoch. A time that
// policy/ocsf takes for one in the wrong unit (CodeTimestampUnit) is not read.
func millis(v any) (ms int64, ok bool) {
	switch v := v.(type) {
	case string:
		for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700"} {
			if t, err := time.Parse(layout, v); err == nil {
				ms, ok = t.UnixMilli(), true
				break
			}
		}
	case json.Number:
		if f, err := v.Float64(); err == nil && math.Abs(f) < 1e12 {
			ms, ok = int64(math.Round(f*1000)), true
		}
	}
	size := max(ms, -ms)
	return ms, ok && ms <= 253_402_300_799_999 && (size < 100_000_000 || size >= 100_000_000_000)
}

// pairs turns a map of strings into OCSF's key_value_objects, sorted; ok is false if v is something else.
func pairs(v any) (out list, ok bool) {
	m, ok := v.(object)
	for _, k := range slices.Sorted(maps.Keys(m)) {
		s, isText := m[k].(string)
		if !isText {
			return nil, false
		}
		out = append(out, object{"name": k, "value": s})
	}
	return out, ok
}

// asset is what all events of one source item share.
type asset struct {
	format   string            // the label of its identifiers begins with it
	source   [sha256.Size]byte // digest of the source item
	resource object            // OCSF's resource_details: at least uid
	cloud    object
	product  object
	tenant   string
	original string // the source's time as written
	code     string // the source's own word for what happened
	time     int64
	activity int // 1 Log, 2 Collect
	schema   string
	// own names the configuration that is the asset's own (docs/monitoring.md). Others are told apart from it, and from
	// each other, by unmapped.conmotion.configuration.uid.
	own string
}

// at sets the time of an item to the first of the times that is one, in seconds or as text, or else to Options.Time.
func (a *asset) at(o Options, times ...any) (reason string) {
	for _, t := range times {
		if ms, ok := millis(t); ok {
			a.time = ms
			a.original, _ = t.(string)
			return ""
		}
	}
	if o.Time.IsZero() {
		return fmt.Sprintf("%.256q has no time of its own; --time gives one", a.uid())
	}
	a.time = o.Time.UnixMilli()
	a.source = digest(list{a.time, hex.EncodeToString(a.source[:])}) // the same item at another time is another event
	return ""
}

func (a *asset) uid() string { return a.resource["uid"].(string) }

// event builds a 5023. config names the configuration and is empty for an inventory event; resource is resources[0].
func (a *asset) event(kind, action, config string, resource, unmapped object) draft {
	uid := a.uid()
	d := draft{kind: kind, action: action, asset: uid, time: a.time}
	label := a.format + " " + kind
	what := uid
	if config != "" {
		d.configID = uid + "#" + config
		label += " " + config
		what = config + " of " + uid
		unmapped = maps.Clone(unmapped)
		if unmapped == nil {
			unmapped = object{}
		}
		unmapped["configuration_uid"] = d.configID
		if config != a.own {
			unmapped["conmotion"] = object{"configuration": object{"uid": d.configID}}
		}
	}
	metadata := object{
		"version":    "1.5.0",
		"event_code": kind + "." + action,
		"uid":        identify(label, a.source),
		"product":    a.product,
		"profiles":   list{"cloud"},
	}
	set(metadata, "original_time", a.original)
	set(metadata, "tenant_uid", a.tenant)
	set(metadata, "log_version", a.schema)
	name := []string{"Unknown", "Log", "Collect"}[a.activity]
	event := object{
		"activity_id":   a.activity,
		"activity_name": name,
		"category_name": "Discovery",
		"category_uid":  5,
		"class_name":    "Cloud Resources Inventory Info",
		"class_uid":     5023,
		"message":       map[string]string{actionCreate: "New: ", actionModify: "", actionDelete: "Deleted: "}[action] + what,
		"metadata":      metadata,
		"resources":     list{resource},
		"severity":      "Informational",
		"severity_id":   1,
		"status":        "Success",
		"status_id":     1,
		"time":          a.time,
		"type_name":     "Cloud Resources Inventory Info: " + name,
		"type_uid":      502300 + a.activity,
	}
	set(event, "status_code", a.code)
	if len(a.cloud) > 0 {
		event["cloud"] = a.cloud
		if r, ok := a.cloud["region"].(string); ok {
			event["region"] = r
		}
	}
	if len(unmapped) > 0 {
		event["unmapped"] = unmapped
	}
	spellIntegers(event)
	d.event = encode(event)
	return d
}

// config is one configuration of an asset: data is what resources[0].data says of it, null where it is gone.
type config struct {
	name   string
	of     string // of contents: tells several of one kind apart
	data   any
	extend func(resource object) // adds to resources[0], may be nil
}

// events are the inventory event, if wanted, and one event for each configuration, in the order in which they happen.
// The source item's other members go with the last configuration, or with the inventory event if there is none.
func (a *asset) events(action string, inventory bool, configs []config, unmapped object) []draft {
	var out []draft
	for i, c := range configs {
		r := maps.Clone(a.resource)
		delete(r, "tags") // the inventory's
		r["data"] = c.data
		if c.extend != nil {
			c.extend(r)
		}
		extra := object(nil)
		if i == len(configs)-1 {
			extra = unmapped
		}
		out = append(out, a.event(Configuration, action, c.name, r, extra))
	}
	if !inventory {
		return out
	}
	if len(configs) > 0 {
		unmapped = nil
	}
	d := a.event(Inventory, action, "", a.resource, unmapped)
	if action == actionDelete {
		return append(out, d)
	}
	return slices.Insert(out, 0, d)
}

// lastSegment is what follows the last slash of a name.
func lastSegment(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }
