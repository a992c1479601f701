package importer

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/conmotion/conmotion/policy/ocsf"
)

// maxRepairs bounds the rounds of check and repair; each deals with as many errors as a report of package ocsf lists.
const maxRepairs = 16

var ocsfVersion = regexp.MustCompile(`^1\.\d+\.\d+(-.+)?$`)

// Repair puts right what is wrong with an OCSF event of another writer that says all that is asked of it: a version of
// 1.x that is not 1.5.0, times in seconds, microseconds or nanoseconds, and an event_code that is the source's own. The
// originals are in unmapped.original under their JSON paths, and did says for people what was done, as Item.Repairs does. An
// event with any other fault, or with none, is returned as it is.
func Repair(event []byte) (repaired []byte, did []string) {
	v, err := decode(event)
	m, ok := v.(object)
	if err != nil || !ok {
		return event, nil
	}
	f := newRepairer(m)
	f.only = []string{ocsf.CodeTimestampUnit}
	f.version()
	if meta, ok := m["metadata"].(object); ok {
		if code, ok := meta["event_code"].(string); ok && !strings.HasPrefix(code, Inventory+".") && !strings.HasPrefix(code, Configuration+".") {
			f.aside("$.metadata.event_code", code, repairedCode)
			delete(meta, "event_code")
		}
	}
	out, reason := f.run()
	if reason != "" || len(f.original) == 0 {
		return event, nil
	}
	return out, f.repairs()
}

// The kinds of repairs, for people.
const (
	repairedVersion  = "another version of OCSF 1.x became 1.5.0"
	repairedTime     = "times in seconds, microseconds or nanoseconds became milliseconds"
	repairedCode     = "an event_code of the source's own gave way to the record's"
	repairedID       = "a metadata.uid that is not text gave way to one of the import"
	repairedTypeUID  = "type_uid became that of class_uid and activity_id"
	repairedOther    = "attributes that OCSF 1.5.0 does not know, or not with this value, were taken out"
	repairedUnmapped = "what was in the way in unmapped was set aside"
)

// repairer puts right what the checker finds.
type repairer struct {
	event, original object
	did             map[string]bool // the kinds of repairs
	kept            bool            // original is in the event
	only            []string        // codes of the errors that are put right; all that can be when empty
}

func newRepairer(event object) repairer {
	return repairer{event: event, original: object{}, did: map[string]bool{}}
}

// aside keeps what was at a path, and notes the kind of repair that is made there.
func (f *repairer) aside(path string, old any, kind string) {
	if _, ok := f.original[path]; !ok {
		f.original[path] = old
	}
	f.did[kind] = true
}

// repairs are the kinds of repairs that were made.
func (f *repairer) repairs() []string { return slices.Sorted(maps.Keys(f.did)) }

// run repairs the event until it is valid, and returns it written, or why it cannot be.
func (f *repairer) run() (event []byte, reason string) {
	for i, repaired := 0, true; i < maxRepairs && repaired; i++ {
		f.keep()
		event := encode(f.event)
		rep, err := ocsf.Default().Errors(event)
		if err != nil {
			return nil, err.Error()
		}
		if rep.OK() {
			return event, ""
		}
		reason, repaired = "not valid: "+rep.Errors[0].String(), false
		for _, e := range rep.Errors {
			if f.repair(e) {
				repaired = true
			}
		}
	}
	return nil, reason
}

// keep puts the original values into the event, where unmapped is free of form.
func (f *repairer) keep() {
	if f.kept || len(f.original) == 0 {
		return
	}
	f.kept = true
	unmapped, ok := f.event["unmapped"].(object)
	if !ok {
		if v := f.event["unmapped"]; v != nil {
			f.aside("$.unmapped", v, repairedUnmapped)
		}
		unmapped = object{}
		f.event["unmapped"] = unmapped
	}
	if v, ok := unmapped["original"]; ok {
		f.aside("$.unmapped.original", v, repairedUnmapped)
	}
	unmapped["original"] = f.original
}

// repair deals with one error. It returns false where it cannot, or where the attribute is gone already: an array goes
// whole with the first of its bad elements.
func (f *repairer) repair(e ocsf.Finding) bool {
	parent, key, path, ok := locate(f.event, e.Path)
	if !ok {
		return false
	}
	old, kind := parent[key], repairedOther
	if len(f.only) > 0 && !slices.Contains(f.only, e.Code) {
		return false
	}
	switch e.Code {
	case ocsf.CodeTimestampUnit:
		n, _ := old.(json.Number)
		v, err := n.Int64()
		if err != nil {
			return false
		}
		parent[key], kind = scale(v), repairedTime
	case ocsf.CodeTypeUID:
		class, _ := f.event["class_uid"].(json.Number)
		activity, _ := f.event["activity_id"].(json.Number)
		c, err1 := class.Int64()
		a, err2 := activity.Int64()
		if err1 != nil || err2 != nil || a < 0 || a > 99 {
			return false
		}
		parent[key], kind = json.Number(strconv.FormatInt(100*c+a, 10)), repairedTypeUID
		if name, ok := f.event["type_name"]; ok { // the caption of the number that was wrong
			f.aside("$.type_name", name, kind)
			delete(f.event, "type_name")
		}
	case ocsf.CodeUnknown, ocsf.CodeProfileMissing, ocsf.CodeWrongType, ocsf.CodeRange, ocsf.CodeMaxLen,
		ocsf.CodeNotInValues, ocsf.CodeEnumUnknown, ocsf.CodeArrayEnumUnknown, ocsf.CodeArraySibling,
		ocsf.CodeArraySiblingAbsent, ocsf.CodeObservable:
		delete(parent, key)
	default:
		return false
	}
	f.aside(path, old, kind)
	return true
}

// scale brings seconds, microseconds and nanoseconds to milliseconds.
func scale(v int64) json.Number {
	if max(v, -v) < 100_000_000_000 {
		v *= 1000
	} else {
		for v > 253_402_300_799_999 {
			v /= 1000
		}
	}
	return json.Number(strconv.FormatInt(v, 10))
}

// locate finds the member that a JSON path of policy/ocsf names or, where the path ends at an element of an array, the
// member that holds the array; at is that member's path.
func locate(o object, path string) (parent object, key, at string, ok bool) {
	var v any = o
	rest, ok := strings.CutPrefix(path, "$")
	for ok && rest != "" {
		switch {
		case rest[0] == '.':
			end := strings.IndexAny(rest[1:], ".[") + 1
			if end == 0 {
				end = len(rest)
			}
			key, rest = rest[1:end], rest[end:]
		case strings.HasPrefix(rest, `["`):
			quoted, err := strconv.QuotedPrefix(rest[1:])
			if err != nil || !strings.HasPrefix(rest[1+len(quoted):], "]") {
				return nil, "", "", false // a name too long to be written out
			}
			if key, err = strconv.Unquote(quoted); err != nil {
				return nil, "", "", false
			}
			rest = rest[len(quoted)+2:]
		default: // [0]
			index, after, _ := strings.Cut(rest[1:], "]")
			l, _ := v.(list)
			i, err := strconv.Atoi(index)
			if err != nil || i >= len(l) {
				return nil, "", "", false
			}
			v, rest = l[i], after
			continue
		}
		if parent, _ = v.(object); parent == nil {
			return nil, "", "", false
		}
		v, ok = parent[key]
		at = path[:len(path)-len(rest)]
	}
	return parent, key, at, ok && parent != nil
}

// version makes a later or earlier version of OCSF 1.x that of this project's schema.
func (f *repairer) version() {
	meta, _ := f.event["metadata"].(object)
	if v, ok := meta["version"].(string); ok && v != "1.5.0" && ocsfVersion.MatchString(v) {
		f.aside("$.metadata.version", v, repairedVersion)
		meta["version"] = "1.5.0"
	}
}
