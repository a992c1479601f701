package importer

import (
	"cmp"
	"encoding/json"
	"io"
	"iter"
	"strings"

	"github.com/conmotion/conmotion/monitor/identity"
)

// readOCSF converts OCSF 1.x events of any source: JSON lines, an array, rows of Security Lake's tables, answers of
// GetFindingsV2 of Security Hub and its events. What policy/ocsf calls an error is put right as of Prowler's findings:
// the original of each change is in unmapped.original under its JSON path. An event_code that is none of a record's goes
// there too.
//
// An event that says in metadata.event_code what it records is that. Of others a Device or Cloud Resources Inventory Info
// (5001, 5023) says that its assets are there: inventory.modify; a 5023 whose resources have data gives
// configuration.modify too. A Device Config State Change (5019) is configuration.modify. Entity Management (3004) is
// inventory.create, inventory.delete or inventory.modify after its activity_id, and Read (2) is a Problem: nothing
// happened. A Compliance or Detection Finding (2003, 2004) is a finding.
func readOCSF(r io.Reader, o Options) iter.Seq2[Item, error] {
	return convert(r, o, ocsfLayout, ocsfItem)
}

var ocsfFormat = Format{
	Name: "ocsf", Short: "Register OCSF events of any source", Read: readOCSF, Findings: true,
	Long: `OCSF 1.x events of the classes 5001, 5019, 5023 and 3004 become inventory and
configuration records, findings (2003, 2004) statements about finding/UID. JSON
and Apache Parquet are read, such as the tables of Security Lake. With --inventory
the resources that findings name become inventory records too.`,
	Tool: `aws securityhub get-findings-v2
  aws s3 cp --recursive s3://aws-security-data-lake-REGION-ID/aws/SH_FINDINGS/2.0/ DIRECTORY`,
}

var ocsfLayout = layout{containers: []string{"Findings", "findings", "events"}, more: []string{"NextToken", "nextToken"}}

// recordClasses say what events are where metadata.event_code does not.
var recordClasses = map[json.Number]string{"5001": Inventory, "5023": Inventory, "5019": Configuration, "3004": Inventory}

func ocsfItem(m object, o Options) []draft {
	if detail, ok := m["detail"].(object); ok { // of EventBridge
		found, ok := detail["findings"].(list)
		if !ok {
			return problemf("an event of EventBridge without findings in detail")
		}
		var out []draft
		for _, v := range found {
			if f, ok := v.(object); ok {
				out = append(out, ocsfItem(f, o)...)
			} else {
				out = append(out, problemf("a finding that is not an object")...)
			}
		}
		return out
	}
	class, _ := m["class_uid"].(json.Number)
	if class == "2003" || class == "2004" {
		return finding(m, o, "ocsf")
	}
	kind, ok := recordClasses[class]
	if !ok {
		return problemf("class_uid %.20q is none of 2003, 2004, 3004, 5001, 5019 and 5023", class)
	}
	id := digest(m)
	action := actionModify
	if activity, _ := m["activity_id"].(json.Number); class == "3004" {
		switch activity {
		case "1":
			action = actionCreate
		case "4":
			action = actionDelete
		case "2":
			return problemf("activity_id 2 of Entity Management is Read: nothing happened")
		}
	}
	f := newRepairer(m)
	spellIntegers(m)
	said := f.record(kind, action, identify("ocsf "+kind, id))
	event, reason := f.run()
	if reason != "" {
		return problemf("%s", reason)
	}
	ms, _ := m["time"].(json.Number).Int64() // the event is valid
	out := draft{event: event, checked: true, time: ms, kind: kind, action: action, asset: about(m), repairs: f.repairs()}
	if said != "" {
		out.kind, out.action, _ = strings.Cut(strings.Clone(said), ".") // and not the item that it stands in
		return []draft{out}
	}
	if class != "5023" || !described(m) {
		return []draft{out}
	}
	meta := m["metadata"].(object)
	meta["event_code"], meta["uid"] = Configuration+"."+actionModify, identify("ocsf "+Configuration, id)
	data := out
	data.event, data.kind, data.checked, data.repairs = encode(m), Configuration, false, nil // one event of the source
	return []draft{out, data}
}

// about is the uid of what an event is about first.
func about(m object) string {
	for _, name := range []string{"device", "entity"} {
		if o, ok := m[name].(object); ok {
			return text(o, "uid")
		}
	}
	resources, _ := m["resources"].(list)
	if len(resources) == 0 {
		return ""
	}
	first, _ := resources[0].(object)
	return text(first, "uid")
}

// record sets what a record has in metadata, and returns the event_code that was there if it is one of a record.
func (f *repairer) record(kind, action, id string) (said string) {
	meta := f.metadata(id)
	if meta == nil {
		return ""
	}
	code := text(meta, "event_code")
	if strings.HasPrefix(code, Inventory+".") || strings.HasPrefix(code, Configuration+".") {
		return code
	}
	if old := meta["event_code"]; old != nil {
		f.aside("$.metadata.event_code", old, repairedCode)
	}
	meta["event_code"] = kind + "." + action
	return ""
}

// metadata puts the version right, and gives the event an identifier if it has none.
func (f *repairer) metadata(id string) object {
	f.version()
	meta, ok := f.event["metadata"].(object)
	if ok && text(meta, "uid") == "" {
		if old := meta["uid"]; old != nil && old != "" {
			f.aside("$.metadata.uid", old, repairedID)
		}
		meta["uid"] = id
	}
	return meta
}

// described reports whether all resources of an event have data.
func described(m object) bool {
	resources, _ := m["resources"].(list)
	for _, v := range resources {
		if r, _ := v.(object); r["data"] == nil {
			return false
		}
	}
	return len(resources) > 0
}

// finding is a finding of any source, and with Options.Inventory the resources that it names.
func finding(m object, o Options, format string) []draft {
	id := identify(format+" "+Finding, digest(m))
	f := newRepairer(m)
	f.older()
	spellIntegers(m)
	f.metadata(id)
	event, reason := f.run()
	if reason != "" {
		return problemf("%s", reason)
	}

	resources, _ := m["resources"].(list)
	ms, _ := m["time"].(json.Number).Int64() // the finding is valid
	d := draft{event: event, checked: true, time: ms, kind: Finding, action: "other", repairs: f.repairs()}
	activity, _ := m["activity_id"].(json.Number)
	if name, ok := map[json.Number]string{"1": actionCreate, "2": "update", "3": "close"}[activity]; ok {
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
			out = append(out, observation(format, m, r, uid, ms))
		}
	}
	return out
}

// identified is the identity of a finding's resource. Of Kubernetes Prowler says the cluster in unmapped only.
func identified(f, r object) string {
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

// observation is the inventory event of a resource. It leaves out what differs from check to check, the finding's text
// and the resource's data and group, so that it is the same for every check of one scan.
func observation(format string, f, r object, uid string, ms int64) draft {
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
		format: format, activity: 2, product: product, cloud: cloud, time: ms, resource: resource,
		source: digest(list{ms, product, cloud, resource}),
	}
	a.tenant, _ = meta["tenant_uid"].(string)
	return a.event(Inventory, actionModify, "", resource, nil)
}
