package importer

import (
	"encoding/json"
	"io"
	"iter"
	"maps"
	"strings"

	"github.com/conmotion/conmotion/monitor/identity"
)

// readAWS converts AWS Config's configuration items: the files that it delivers (configuration snapshots and
// histories, gzipped or not), its notifications and events (the message alone, or inside SNS, EventBridge, SQS or a
// rule's invocation), answers of GetResourceConfigHistory and BatchGetResourceConfig, and bare items; one or many, one
// after the other or in an array.
//
// The action follows configurationItemStatus (AWS Config API Reference, ConfigurationItem): ResourceDiscovered "was
// newly discovered" and ResourceNotRecorded "was discovered, but its configuration was not recorded" are create, OK
// "has been updated" is modify, ResourceDeleted and ResourceDeletedNotRecorded are delete. The NotRecorded ones give no
// configuration event, and ResourceNotRecorded says that the asset is there, not that it is new.
//
// resources[0].uid is the ARN, or the identity that package identity makes; uid_alt is the resourceId.
// resources[0].data of a configuration has the item's configuration and supplementaryConfiguration, decoded where they
// are JSON in a string; relationships become resource_relationship. The same item from a file, a notification and an
// event is the same; the API's has other names, and so other identifiers. A notification that was too large for its item
// gives the inventory event, and a Problem for the configuration that it lacks.
func readAWS(r io.Reader, o Options) iter.Seq2[Item, error] {
	return convert(r, o, awsLayout, awsItems)
}

var awsFormat = Format{
	Name: "aws-config", Short: "Register AWS Config's configuration items", Read: readAWS,
	Long: `Configuration snapshots, history files and messages of AWS Config become
inventory and configuration records: ResourceDiscovered creates, OK modifies,
ResourceDeleted deletes. AWS::Config::ResourceCompliance items are findings about
the asset that they judge.`,
	Tool: `aws configservice deliver-config-snapshot --delivery-channel-name CHANNEL
  aws s3 cp --recursive s3://BUCKET/AWSLogs/ACCOUNT/Config/REGION/YEAR/MONTH/DAY/ConfigSnapshot/ DIRECTORY
  aws configservice get-resource-config-history --resource-type TYPE --resource-id ID`,
}

var awsLayout = layout{
	containers: []string{"configurationItems", "baseConfigurationItems", "BaseConfigurationItems", "Results", "Records", "Messages"},
	more:       []string{"nextToken", "NextToken", "unprocessedResourceKeys", "UnprocessedResourceIdentifiers"},
}

// awsItems finds the configuration items in a top-level value or an element of configurationItems.
func awsItems(m object, o Options) []draft {
	for range 5 { // an item in an event in a notification in a queue's message is four deep
		for _, name := range []string{"configurationItem", "ConfigurationItem", "configurationItemSummary"} {
			if ci, ok := m[name].(object); ok {
				return awsItem(ci, name == "configurationItemSummary", o)
			}
		}
		if cis, ok := m["configurationItems"].(list); ok {
			var out []draft
			for _, v := range cis {
				if ci, ok := v.(object); ok {
					out = append(out, awsItem(ci, false, o)...)
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
			return awsItem(m, false, o)
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

func awsItem(m object, summary bool, o Options) []draft {
	ci := compact(maps.Clone(m))
	status := take(ci, "configurationItemStatus")
	action, recorded, activity := "", true, 1
	if status == "" && o.text {
		status = "OK" // a result of SelectResourceConfig is the state that there is, and has the members that were asked for
	}
	switch status {
	case "ResourceDiscovered":
		action = actionCreate
	case "OK":
		action = actionModify
	case "ResourceDeleted":
		action = actionDelete
	case "ResourceNotRecorded":
		// Each region of the account says so of a global resource, some seconds after the one that records it.
		action, recorded, activity = actionModify, false, 2
	case "ResourceDeletedNotRecorded":
		action, recorded = actionDelete, false
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
	if !ok && ci["configurationItemCaptureTime"] == nil && !o.Time.IsZero() {
		captured, ok = o.Time.UnixMilli(), true
	}
	if !ok {
		return problemf("configuration item of %s %.128q: no configurationItemCaptureTime that is a time; --time gives one", kind, id)
	}
	if o.Collected && status == "OK" {
		activity = 2
	}
	a := asset{
		format:   "aws-config",
		own:      "configuration",
		source:   digest(m),
		time:     captured,
		original: take(ci, "configurationItemCaptureTime"),
		code:     status,
		activity: activity,
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
		name, _ := ci["resourceName"].(string)
		a.resource["uid"] = identity.Of(identity.Source{Provider: "aws", Account: account, Region: region, Type: kind, UID: id, Name: name})
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
	if kind == compliance {
		return a.compliance(ci)
	}
	if tags, ok := pairs(ci["tags"]); ok {
		delete(ci, "tags")
		if len(tags) > 0 {
			a.resource["tags"] = tags
		}
	}

	var configs []config
	data := awsData(ci)
	if recorded && (action == actionDelete || len(data) > 0) {
		if action == actionDelete && len(data) == 0 {
			data = object{"configuration": nil}
		}
		configs = []config{{name: "configuration", data: data, extend: a.relationships(ci)}}
	} else {
		maps.Copy(ci, data)
	}
	out := a.events(action, true, configs, ci)
	if summary && recorded && action != actionDelete {
		out = append(out, problemf("the configuration of %s is too large for this message, which only says where it is", a.uid())...)
	}
	return out
}

// compliance is the type of the items that say whether an asset complies with the rules: findings about it.
const compliance = "AWS::Config::ResourceCompliance"

// compliance makes a Compliance Finding (2003) about the asset that an item of that type names as TYPE/ID. OCSF 1.5.0
// requires cloud and compliance.
func (a *asset) compliance(ci object) []draft {
	kind, id, ok := strings.Cut(a.resource["uid_alt"].(string), "/")
	if !ok {
		return problemf("%s %.128q is not TYPE/ID", compliance, kind)
	}
	configuration, _ := awsData(ci)["configuration"].(object)
	verdict, _ := configuration["complianceType"].(string)
	status := map[string]int{"COMPLIANT": 1, "NON_COMPLIANT": 3}[verdict]
	resource := maps.Clone(a.resource)
	account, _ := a.cloud["account"].(object)
	of, _ := account["uid"].(string)
	region, _ := resource["region"].(string)
	resource["uid"], resource["uid_alt"], resource["name"], resource["type"] = identity.Of(identity.Source{
		Provider: "aws", Account: of, Region: region, Type: kind, UID: id}), id, id, kind
	d := a.event(Finding, actionCreate, "", resource, ci)
	v, err := decode(d.event)
	if err != nil {
		return problemf("%v", err)
	}
	event := v.(object)
	delete(event["metadata"].(object), "event_code")
	delete(event, "region")
	maps.Copy(event, object{
		"activity_id": 1, "activity_name": "Create", "category_uid": 2, "category_name": "Findings", "class_uid": 2003,
		"class_name": "Compliance Finding", "type_uid": 200301, "type_name": "Compliance Finding: Create",
		"message":      compliance + " of " + id + ": " + verdict,
		"status":       "New",
		"compliance":   object{"control": "AWS Config rules", "standards": list{"AWS Config"}, "status": verdict, "status_id": status},
		"finding_info": object{"uid": identify("aws-config compliance", a.source), "title": "Compliance with AWS Config rules"},
	})
	if status == 0 {
		event["compliance"].(object)["status_id"] = 99
	}
	d.event, d.asset = encode(event), resource["uid"].(string)
	return []draft{d}
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
