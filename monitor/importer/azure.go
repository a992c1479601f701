package importer

import (
	"io"
	"iter"
	"maps"
	"strings"

	"github.com/conmotion/conmotion/monitor/identity"
)

// readAzure converts rows of Azure Resource Graph (its tables resources, resourcecontainers and others of this form, and
// resourcechanges) and answers of az resource list: the object of az graph query or of the REST API with its rows in
// data, an array of rows, or one after the other.
//
// resources[0].uid is the resource id in lower case. A row of a table says how a resource is: modify, with activity_id 2.
// What it has beside names, place and tags is the configuration, if properties is there, which az resource list leaves
// out. The time is changedTime, which az resource list has, else Options.Time: a row of Resource Graph has none.
//
// A row of resourcechanges says what happened, at changeAttributes.timestamp: changeType Create, Update and Delete are
// create, modify and delete of the inventory. It has the properties that changed and not the whole configuration, so they
// are in unmapped.changes, and no configuration event comes of it but that of a deletion.
func readAzure(r io.Reader, o Options) iter.Seq2[Item, error] {
	return convert(r, o, azureLayout, azureItem)
}

var azureFormat = Format{
	Name: "azure", Short: "Register resources and changes of Azure Resource Graph", Read: readAzure,
	Long: `Rows of Azure Resource Graph and of az resource list become inventory and
configuration records, rows of resourcechanges inventory records of what happened.
Resource Graph gives no time of a resource: --time says when the query ran. It
answers in pages of up to 1000 rows: give all of them in one run.`,
	Tool: `az graph query -q "Resources | order by id asc" --first 1000 -o json > page1.json
  az graph query -q "Resources | order by id asc" --first 1000 --skip-token TOKEN -o json > page2.json
  az graph query -q resourcechanges --first 1000 -o json
  az resource list -o json`,
}

var azureLayout = layout{
	containers: []string{"data"},
	more:       []string{"skip_token", "$skipToken", "skipToken", "SkipToken", "resultTruncated"},
	total:      []string{"total_records", "totalRecords"},
}

// azurePlaces are what a row says beside the configuration of the resource.
var azurePlaces = []string{"id", "ResourceId", "name", "type", "location", "subscriptionId", "resourceGroup", "tenantId", "tags",
	"createdTime", "changedTime", "provisioningState"}

func azureItem(m object, o Options) []draft {
	m = compact(maps.Clone(m))
	source := digest(m)
	properties, whole := m["properties"].(object)
	change, isChange := properties["changeAttributes"].(object)
	id, kind := m["id"], m["type"]
	if isChange {
		id, kind = properties["targetResourceId"], properties["targetResourceType"]
	}
	uid, _ := id.(string)
	typ, _ := kind.(string)
	if uid == "" || typ == "" {
		return problemf("not a resource of Azure: no id or no type; project them in the query")
	}
	uid = identity.Canonical(uid)
	if !strings.HasPrefix(uid, "/subscriptions/") && !strings.HasPrefix(uid, "/providers/") && !strings.HasPrefix(uid, "/tenants/") {
		return problemf("%.256q is not a resource id", uid)
	}
	a := asset{
		format: "azure", own: "resource", source: source, activity: 2,
		product:  object{"name": "Azure Resource Graph", "vendor_name": "Microsoft"},
		cloud:    object{"provider": "azure"},
		resource: object{"uid": uid, "type": typ, "name": lastSegment(uid)},
		tenant:   text(m, "tenantId"),
	}
	if !isChange {
		set(a.resource, "name", text(m, "name"))
	}
	if location := text(m, "location"); !isChange {
		set(a.resource, "region", location)
		set(a.cloud, "region", location)
	}
	if part := strings.Split(uid, "/"); len(part) > 2 && part[1] == "subscriptions" {
		a.cloud["account"] = object{"uid": part[2], "type": "Azure Subscription", "type_id": 13}
	}
	if isChange {
		return a.change(properties, change, o)
	}
	if reason := a.at(o, m["changedTime"]); reason != "" {
		return problemf("%s", reason)
	}
	if t, ok := millis(m["createdTime"]); ok {
		a.resource["created_time"] = t
	}
	if tags, ok := pairs(m["tags"]); ok && len(tags) > 0 {
		a.resource["tags"] = tags
	}
	if _, group, ok := strings.Cut(uid, "/resourcegroups/"); ok {
		group, _, _ = strings.Cut(group, "/")
		a.resource["group"] = object{"name": group}
	}
	for _, name := range azurePlaces {
		delete(m, name)
	}
	if !whole {
		return a.events(actionModify, true, nil, m)
	}
	return a.events(actionModify, true, []config{{name: a.own, data: object{a.own: m}}}, nil)
}

// change is what a row of resourcechanges says.
func (a *asset) change(properties, attributes object, o Options) []draft {
	a.activity, a.code = 1, text(properties, "changeType")
	a.product = object{"name": "Azure Resource Graph", "vendor_name": "Microsoft", "feature": object{"name": "resourcechanges"}}
	action, ok := map[string]string{"Create": actionCreate, "Update": actionModify, "Delete": actionDelete}[a.code]
	if !ok {
		return problemf("unknown changeType %.64q", a.code)
	}
	if reason := a.at(o, attributes["timestamp"]); reason != "" {
		return problemf("%s", reason)
	}
	unmapped := maps.Clone(properties)
	for _, name := range []string{"targetResourceId", "targetResourceType", "changeType"} {
		delete(unmapped, name)
	}
	if action == actionDelete {
		return a.events(action, true, []config{{name: a.own, data: object{a.own: nil}}}, unmapped)
	}
	return a.events(action, true, nil, unmapped)
}
