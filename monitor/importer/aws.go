package importer

import (
	"encoding/json"
	"io"
	"iter"
	"maps"
	"strings"
)

// AWSConfig converts AWS Config's configuration items: the files that it delivers (configuration snapshots and
// histories, gzipped or not), its notifications and events (the message alone, or inside SNS, EventBridge, SQS or a
// rule's invocation), answers of GetResourceConfigHistory and BatchGetResourceConfig, and bare items; one or many, one
// after the other or in an array.
//
// The action follows configurationItemStatus (AWS Config API Reference, ConfigurationItem): ResourceDiscovered "was
// newly discovered" and ResourceNotRecorded "was discovered, but its configuration was not recorded" are create, OK
// "has been updated" is modify, ResourceDeleted and ResourceDeletedNotRecorded are delete. The NotRecorded ones give no
// configuration event.
//
// resources[0].uid is the ARN or, where there is none, account/region/type/id; uid_alt is the resourceId.
// resources[0].data of a configuration has the item's configuration and supplementaryConfiguration, decoded where they
// are JSON in a string; relationships become resource_relationship. The same item from a file, a notification and an
// event is the same; the API's has other names, and so other identifiers. A notification that was too large for its item
// gives the inventory event, and a Problem for the configuration that it lacks.
func AWSConfig(r io.Reader, o Options) iter.Seq2[Item, error] {
	return convert(r, o, []string{"configurationItems", "baseConfigurationItems", "Records", "Messages"}, awsItems)
}

// awsItems finds the configuration items in a top-level value or an element of configurationItems.
func awsItems(m object) []draft {
	for range 5 { // an item in an event in a notification in a queue's message is four deep
		for _, name := range []string{"configurationItem", "configurationItemSummary"} {
			if ci, ok := m[name].(object); ok {
				return awsItem(ci, name == "configurationItemSummary")
			}
		}
		if cis, ok := m["configurationItems"].(list); ok {
			var out []draft
			for _, v := range cis {
				if ci, ok := v.(object); ok {
					out = append(out, awsItem(ci, false)...)
				} else {
					out = append(out, problemf("a configuration item that is not an object")...)
				}
			}
			if len(cis) == 0 {
				return problemf("a message with an empty list of configuration items")
			}
			return out
		}
		if m["configurationItemStatus"] != nil || m["resourceType"] != nil {
			return awsItem(m, false)
		}
		inner := unwrap(m)
		if inner == nil {
			break
		}
		m = inner
	}
	if t, ok := m["messageType"].(string); ok {
		return problemf("message of type %.64q has no configuration item", t)
	}
	return problemf("neither a configuration item nor a message with one")
}

// unwrap returns the message inside a transport's envelope, which has it as an object or as JSON in a string.
func unwrap(m object) object {
	for _, name := range []string{"Message", "Sns", "detail", "invokingEvent", "body", "Body"} {
		v := m[name]
		if s, ok := v.(string); ok {
			v = embedded(s)
		}
		if o, ok := v.(object); ok {
			return o
		}
	}
	return nil
}

// embedded decodes a string that holds a JSON object or array; any other string stays what it is.
func embedded(s string) any {
	if t := strings.TrimSpace(s); t == "" || t[0] != '{' && t[0] != '[' {
		return s
	}
	v, err := decode([]byte(s))
	if err != nil {
		return s
	}
	return v
}

func awsItem(m object, summary bool) []draft {
	ci := compact(maps.Clone(m))
	status := take(ci, "configurationItemStatus")
	action, recorded := "", true
	switch status {
	case "ResourceDiscovered":
		action = Create
	case "OK":
		action = Modify
	case "ResourceDeleted":
		action = Delete
	case "ResourceNotRecorded":
		action, recorded = Create, false
	case "ResourceDeletedNotRecorded":
		action, recorded = Delete, false
	case "":
		return problemf("a configuration item without configurationItemStatus")
	default:
		return problemf("unknown configurationItemStatus %.64q", status)
	}

	kind, id, arn := take(ci, "resourceType"), take(ci, "resourceId"), take(ci, "ARN", "arn")
	account, region := take(ci, "awsAccountId", "accountId"), take(ci, "awsRegion")
	if kind == "" || id == "" {
		return problemf("a configuration item without resourceType or resourceId")
	}
	captured, ok := millis(ci["configurationItemCaptureTime"])
	if !ok {
		return problemf("configuration item of %s %.128q: no configurationItemCaptureTime that is a time", kind, id)
	}
	a := asset{
		format:   "aws-config",
		source:   digest(m),
		time:     captured,
		original: take(ci, "configurationItemCaptureTime"),
		code:     status,
		activity: 1,
		tenant:   account,
		schema:   take(ci, "configurationItemVersion", "version"),
		product:  object{"name": "AWS Config", "vendor_name": "AWS"},
		cloud:    object{"provider": "aws"},
		resource: object{"uid": arn, "uid_alt": id, "type": kind, "name": id},
	}
	if n, ok := ci["configurationItemCaptureTime"].(json.Number); ok {
		delete(ci, "configurationItemCaptureTime")
		a.original = n.String()
	}
	if arn == "" {
		a.resource["uid"] = strings.Join([]string{account, region, kind, id}, "/")
	} else if p := strings.SplitN(arn, ":", 3); len(p) == 3 {
		set(a.resource, "cloud_partition", p[1])
		set(a.cloud, "cloud_partition", p[1])
	}
	set(a.resource, "name", take(ci, "resourceName"))
	set(a.resource, "region", region)
	set(a.cloud, "region", region)
	if account != "" {
		a.cloud["account"] = object{"uid": account, "type": "AWS Account", "type_id": 10}
	}
	// Some items have "Not Applicable", "Regional" or "Multiple Availability Zones" here: those stay in unmapped. One
	// of AWS's own examples misspells the name.
	for _, name := range []string{"availabilityZone", "availibilityZone"} {
		if z, ok := ci[name].(string); ok && region != "" && strings.HasPrefix(z, region) {
			delete(ci, name)
			a.resource["zone"], a.cloud["zone"] = z, z
		}
	}
	if t, ok := millis(ci["resourceCreationTime"]); ok {
		a.resource["created_time"] = t
		delete(ci, "resourceCreationTime")
	}
	if tags, ok := pairs(ci["tags"]); ok {
		delete(ci, "tags")
		if len(tags) > 0 {
			a.resource["tags"] = tags
		}
	}

	var configs []config
	data := awsData(ci)
	if recorded && (action == Delete || len(data) > 0) {
		if action == Delete && len(data) == 0 {
			data = object{"configuration": nil}
		}
		configs = []config{{name: "configuration", data: data, extend: a.relationships(ci)}}
	} else {
		maps.Copy(ci, data)
	}
	out := a.events(action, true, configs, ci)
	if summary && recorded && action != Delete {
		out = append(out, problemf("the configuration of %s is too large for this message, which only says where it is", a.uid())...)
	}
	return out
}

// awsData takes the configuration out of an item. AWS Config's files have objects, its API has JSON in strings.
func awsData(ci object) object {
	data := object{}
	switch c := ci["configuration"].(type) {
	case nil:
	case string:
		if c != "" {
			data["configuration"] = embedded(c)
		}
	default:
		data["configuration"] = c
	}
	delete(ci, "configuration")
	if s, ok := ci["supplementaryConfiguration"].(object); ok {
		delete(ci, "supplementaryConfiguration")
		decoded := make(object, len(s))
		for k, v := range s {
			if t, ok := v.(string); ok {
				v = embedded(t)
			}
			decoded[k] = v
		}
		if len(decoded) > 0 {
			data["supplementaryConfiguration"] = decoded
		}
	}
	return data
}

// relationships takes the item's relationships and returns what adds them to its resource as a graph. A list with
// anything in it that the graph cannot say stays in ci, and so in unmapped.
func (a *asset) relationships(ci object) func(object) {
	rels, ok := ci["relationships"].(list)
	if !ok {
		return nil
	}
	nodes := list{object{"uid": a.uid(), "type": a.resource["type"]}}
	edges := list{}
	for _, v := range rels {
		rel, ok := v.(object)
		if !ok {
			return nil
		}
		rel = compact(maps.Clone(rel))
		id, name, label := take(rel, "resourceId"), take(rel, "resourceName"), take(rel, "name", "relationshipName")
		node := object{"uid": id}
		set(node, "name", name)
		set(node, "type", take(rel, "resourceType"))
		if id == "" {
			node["uid"] = name
		}
		if node["uid"] == "" || label == "" || len(rel) > 0 {
			return nil
		}
		nodes = append(nodes, node)
		edges = append(edges, object{"source": a.uid(), "target": node["uid"], "name": label, "is_directed": true})
	}
	delete(ci, "relationships")
	if len(edges) == 0 {
		return nil
	}
	return func(r object) {
		r["resource_relationship"] = object{"name": "relationships", "nodes": nodes, "edges": edges}
	}
}
