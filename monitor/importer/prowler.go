package importer

import (
	"encoding/json"
	"io"
	"iter"
	"regexp"
	"strconv"
	"strings"

	"github.com/conmotion/conmotion/policy/ocsf"
)

// Prowler converts Prowler's OCSF output, Detection Findings (2004) and Compliance Findings (2003) in an array or as
// JSON lines, of OCSF 1.x. A finding passes through as it is, with metadata.version 1.5.0, with metadata.uid where it
// has none, and with what policy/ocsf calls an error put right: a time in seconds becomes milliseconds, type_uid is
// computed, and an attribute that OCSF 1.5.0 does not know, or does not allow this value, is taken out. The original
// value of each change is in unmapped.original under its JSON path. What cannot be put right that way, such as a
// required attribute that is missing, is a Problem.
//
// With Options.Inventory each resource of a finding gives an inventory event too: Prowler saw it at the finding's time.
func Prowler(r io.Reader, o Options) iter.Seq2[Item, error] {
	return convert(r, o, nil, func(m object) []draft { return finding(m, o.Inventory) })
}

// maxRepairs bounds the rounds of check and repair; each deals with up to ocsf.MaxFindings errors.
const maxRepairs = 16

var ocsfVersion = regexp.MustCompile(`^1\.\d+\.\d+(-.+)?$`)

func finding(m object, inventory bool) []draft {
	class, _ := m["class_uid"].(json.Number)
	if class != "2004" && class != "2003" {
		return problemf("class_uid %.20q is no Detection Finding (2004) or Compliance Finding (2003)", class)
	}
	id := identify("prowler "+Finding, digest(m))
	f := repairer{event: m, original: object{}}
	if meta, ok := m["metadata"].(object); ok {
		if old := meta["uid"]; old == nil || old == "" {
			meta["uid"] = id
		} else if _, ok := old.(string); !ok {
			f.original["$.metadata.uid"] = old
			meta["uid"] = id
		}
		if v, ok := meta["version"].(string); ok && v != "1.5.0" && ocsfVersion.MatchString(v) {
			f.original["$.metadata.version"] = v
			meta["version"] = "1.5.0"
		}
	}
	event, reason := f.run()
	if reason != "" {
		return problemf("%s", reason)
	}

	resources, _ := m["resources"].(list)
	ms, _ := m["time"].(json.Number).Int64() // the finding is valid
	d := draft{event: event, checked: true, time: ms, kind: Finding, action: "other"}
	activity, _ := m["activity_id"].(json.Number)
	if name, ok := map[json.Number]string{"1": Create, "2": "update", "3": "close"}[activity]; ok {
		d.action = name
	}
	out := []draft{d}
	for i, v := range resources {
		r, _ := v.(object)
		uid, _ := r["uid"].(string)
		if uid == "" {
			uid, _ = r["name"].(string)
		}
		if i == 0 {
			out[0].asset = uid
		}
		if inventory {
			out = append(out, observation(m, r, uid, ms))
		}
	}
	return out
}

// observation is the inventory event of a resource. It leaves out what differs from check to check, the finding's text
// and the resource's data and group, so that it is the same for every check of one scan.
func observation(f, r object, uid string, ms int64) draft {
	if uid == "" {
		return draft{problem: "a resource without uid and name"}
	}
	resource := object{"uid": uid}
	for _, n := range []string{"name", "type", "region", "zone", "cloud_partition", "namespace", "labels", "tags", "uid_alt", "owner", "hostname", "ip"} {
		if v := r[n]; v != nil {
			resource[n] = v
		}
	}
	meta, _ := f["metadata"].(object)
	product, _ := meta["product"].(object)
	cloud, _ := f["cloud"].(object)
	a := asset{
		format: "prowler", activity: 2, product: product, cloud: cloud, time: ms, resource: resource,
		source: digest(list{ms, product, cloud, resource}),
	}
	a.tenant, _ = meta["tenant_uid"].(string)
	return a.event(Inventory, Modify, "", resource, nil)
}

// repairer puts right what the checker finds.
type repairer struct {
	event, original object
	kept            bool // original is in the event
}

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
			f.original["$.unmapped"] = v
		}
		unmapped = object{}
		f.event["unmapped"] = unmapped
	}
	if v, ok := unmapped["original"]; ok {
		f.original["$.unmapped.original"] = v
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
	old := parent[key]
	switch e.Code {
	case ocsf.CodeTimestampUnit:
		n, _ := old.(json.Number)
		v, err := n.Int64()
		if err != nil {
			return false
		}
		parent[key] = scale(v)
	case ocsf.CodeTypeUID:
		class, _ := f.event["class_uid"].(json.Number)
		activity, _ := f.event["activity_id"].(json.Number)
		c, err1 := class.Int64()
		a, err2 := activity.Int64()
		if err1 != nil || err2 != nil || a < 0 || a > 99 {
			return false
		}
		parent[key] = json.Number(strconv.FormatInt(100*c+a, 10))
		if name, ok := f.event["type_name"]; ok { // the caption of the number that was wrong
			f.original["$.type_name"] = name
			delete(f.event, "type_name")
		}
	case ocsf.CodeUnknown, ocsf.CodeProfileMissing, ocsf.CodeWrongType, ocsf.CodeRange, ocsf.CodeMaxLen,
		ocsf.CodeNotInValues, ocsf.CodeEnumUnknown, ocsf.CodeArrayEnumUnknown, ocsf.CodeArraySibling,
		ocsf.CodeArraySiblingAbsent, ocsf.CodeObservable:
		delete(parent, key)
	default:
		return false
	}
	if _, ok := f.original[path]; !ok {
		f.original[path] = old
	}
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
