package importer

import (
	"cmp"
	"encoding/json"
	"io"
	"iter"
	"maps"
	"strconv"

	"github.com/conmotion/conmotion/monitor/identity"
)

// Prowler converts Prowler's OCSF output, Detection Findings (2004) and Compliance Findings (2003) in an array or as
// JSON lines, of OCSF 1.x. A finding passes through as it is, with metadata.version 1.5.0, with metadata.uid where it
// has none, and with what policy/ocsf calls an error put right: a time in seconds becomes milliseconds, type_uid is
// computed, and an attribute that OCSF 1.5.0 does not know, or does not allow this value, is taken out. The original
// value of each change is in unmapped.original under its JSON path. What cannot be put right that way, such as a
// required attribute that is missing, is a Problem.
//
// With Options.Inventory each resource of a finding gives an inventory event too: Prowler saw it at the finding's time.
func Prowler(r io.Reader, o Options) iter.Seq2[Item, error] { return convert(r, o, layout{}, finding) }

var prowlerFormat = Format{
	Name: "prowler", Short: "Register Prowler's findings", Read: Prowler, Findings: true,
	Long: `Prowler's OCSF findings are registered as statements about finding/UID, in no
chain, unless the policy requires one. With --inventory the resources that they
name become inventory records too.`,
	Tool: "prowler PROVIDER --output-formats json-ocsf",
}

func finding(m object, o Options) []draft {
	class, _ := m["class_uid"].(json.Number)
	if class != "2004" && class != "2003" {
		return problemf("class_uid %.20q is no Detection Finding (2004) or Compliance Finding (2003)", class)
	}
	id := identify("prowler "+Finding, digest(m))
	f := repairer{event: m, original: object{}}
	f.older()
	spellIntegers(m)
	if meta, ok := m["metadata"].(object); ok {
		if old := meta["uid"]; old == nil || old == "" {
			meta["uid"] = id
		} else if _, ok := old.(string); !ok {
			f.original["$.metadata.uid"] = old
			meta["uid"] = id
		}
	}
	f.version()
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
		uid := identified(m, r)
		if i == 0 {
			out[0].asset = uid
		}
		if o.Inventory {
			out = append(out, observation(m, r, uid, ms))
		}
	}
	return out
}

// identified is the identity of a finding's resource. Of Kubernetes Prowler says the cluster in unmapped only.
func identified(f, r object) string {
	text := func(o object, name string) string { s, _ := o[name].(string); return s }
	cloud, _ := f["cloud"].(object)
	account, _ := cloud["account"].(object)
	unmapped, _ := f["unmapped"].(object)
	s := identity.Source{
		Provider: cmp.Or(text(cloud, "provider"), text(unmapped, "provider")), Account: cmp.Or(text(account, "uid"), text(unmapped, "provider_uid")),
		Region: cmp.Or(text(r, "region"), text(cloud, "region")), Namespace: text(r, "namespace"), Type: text(r, "type"),
		UID: cmp.Or(text(r, "uid"), text(r, "name")), Name: text(r, "name"),
	}
	return identity.Of(s)
}

// older gives events of Prowler's that lack what OCSF requires the attributes that they have elsewhere: before 4.5 the
// time is event_time, without an offset and meant in UTC; compliance findings of 5.x have the cloud in unmapped.
func (f *repairer) older() {
	if t, ok := f.event["event_time"].(string); ok && f.event["time"] == nil {
		at, offset := millis(t)
		if !offset {
			at, offset = millis(t + "Z")
		}
		if offset {
			f.event["time"] = json.Number(strconv.FormatInt(at, 10))
		}
	}
	unmapped, _ := f.event["unmapped"].(object)
	if cloud, ok := unmapped["cloud"].(object); ok && f.event["cloud"] == nil {
		f.event["cloud"] = maps.Clone(cloud)
	}
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
	if own, _ := r["uid"].(string); own != "" && own != uid {
		resource["uid_alt"] = own
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
