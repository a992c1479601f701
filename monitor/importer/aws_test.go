package importer

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
)

// with returns a changed copy; a nil value is null, a missing one is what delete gives.
func with(o object, changes object) object {
	o = maps.Clone(o)
	maps.Copy(o, changes)
	return o
}

func without(o object, names ...string) object {
	o = maps.Clone(o)
	for _, n := range names {
		delete(o, n)
	}
	return o
}

func one(t *testing.T, c converter, o any) result {
	t.Helper()
	return run(t, c, bytes.NewReader(mustJSON(o)), Options{})
}

func TestAWSStatuses(t *testing.T) {
	for status, want := range map[string]string{
		"ResourceDiscovered":         "inventory.create configuration.create",
		"OK":                         "inventory.modify configuration.modify",
		"ResourceDeleted":            "configuration.delete inventory.delete",
		"ResourceNotRecorded":        "inventory.modify",
		"ResourceDeletedNotRecorded": "inventory.delete",
	} {
		for i := range 3 {
			ci := awsSample(i, status)
			r := one(t, readAWS, ci)
			if r.short() != want || len(r.problems) > 0 || r.err != nil {
				t.Errorf("%s of %s: %s, %v, %v", status, ci["resourceType"], r.short(), r.problems, r.err)
			}
			for _, item := range r.items {
				if item.AssetUID != ci["ARN"] || item.Time.Format("2006-01-02T15:04:05.000Z") != ci["configurationItemCaptureTime"] {
					t.Errorf("%s: %s at %s", ci["resourceType"], item.AssetUID, item.Time)
				}
			}
		}
	}
}

// TestAWSItem: where each part of an item goes.
func TestAWSItem(t *testing.T) {
	instance, bucket, role := awsSample(0, "OK"), awsSample(1, "OK"), awsSample(2, "OK")
	id := instance["resourceId"].(string)
	vpc := get(instance, "configuration.vpcId")
	for _, tt := range []struct {
		name string
		in   object
		item int // 0 is the inventory event, 1 the configuration's
		path string
		want any
	}{
		{"class", instance, 0, "class_uid", "5023"},
		{"class of a configuration", instance, 1, "class_uid", "5023"},
		{"account", instance, 0, "cloud.account.uid", "340287110954"},
		{"partition", instance, 0, "cloud.cloud_partition", "aws"},
		{"partition of an ARN", with(instance, object{"ARN": "arn:aws-cn:ec2:x"}), 0, "resources.0.cloud_partition", "aws-cn"},
		{"zone", instance, 0, "resources.0.zone", "eu-central-1b"},
		{"zone, misspelt", with(without(instance, "availabilityZone"), object{"availibilityZone": "eu-central-1a"}), 0, "cloud.zone", "eu-central-1a"},
		{"no zone", bucket, 0, "cloud.zone", nil},
		{"no zone, kept", bucket, 1, "unmapped.availabilityZone", "Regional"},
		{"region", role, 0, "region", "global"},
		{"name", role, 0, "resources.0.name", "deploy-2"},
		{"name, from the id", instance, 0, "resources.0.name", id},
		{"id", instance, 0, "resources.0.uid_alt", id},
		{"type", role, 0, "resources.0.type", "AWS::IAM::Role"},
		{"created", instance, 0, "resources.0.created_time", "1772348400123"},
		{"created, no time", with(instance, object{"resourceCreationTime": "then"}), 1, "unmapped.resourceCreationTime", "then"},
		{"tags", instance, 0, "resources.0.tags.0.name", "env"},
		{"tags of another form", with(instance, object{"tags": list{"env"}}), 1, "unmapped.tags", list{"env"}},
		{"tags are the inventory's", instance, 1, "resources.0.tags", nil},
		{"original time", instance, 0, "metadata.original_time", "2026-03-01T08:00:00.123Z"},
		{"time with an offset", with(instance, object{"configurationItemCaptureTime": "2026-03-01T09:00:00.123+0100"}), 0, "time", "1772352000123"},
		{"time in seconds", with(instance, object{"configurationItemCaptureTime": 1772352000.123}), 0, "time", "1772352000123"},
		{"state id", instance, 1, "unmapped.configurationStateId", "1772352000123"},
		{"what is unknown", with(instance, object{"recordingFrequency": "DAILY"}), 1, "unmapped.recordingFrequency", "DAILY"},
		{"status", instance, 0, "status_code", "OK"},
		{"configuration", instance, 1, "resources.0.data.configuration.vpcId", vpc},
		{"null inside a configuration", instance, 1, "resources.0.data.configuration", nil},
		{"configuration is no inventory", instance, 0, "resources.0.data", nil},
		{"configuration in a string", with(instance, object{"configuration": ` {"vpcId":"vpc-1","n":12345678901234567890}`}), 1, "resources.0.data.configuration.vpcId", "vpc-1"},
		{"configuration is a text", with(instance, object{"configuration": "{a"}), 1, "resources.0.data.configuration", "{a"},
		{"supplement in a string", bucket, 1, "resources.0.data.supplementaryConfiguration.BucketVersioningConfiguration.status", "Enabled"},
		{"supplement is a text", bucket, 1, "resources.0.data.supplementaryConfiguration.AccessControlList", "private"},
		{"relationship", instance, 1, "resources.0.resource_relationship.edges.0.target", vpc},
		{"relationship's name", instance, 1, "resources.0.resource_relationship.edges.0.name", "Is contained in Vpc"},
		{"relationship's type", instance, 1, "resources.0.resource_relationship.nodes.1.type", "AWS::EC2::VPC"},
		{"relationship by name", with(instance, object{"relationships": list{object{"resourceName": "p", "name": "n"}}}), 1, "resources.0.resource_relationship.nodes.1.uid", "p"},
		{"relationship of another form", with(instance, object{"relationships": list{object{"x": "y"}}}), 1, "unmapped.relationships.0.x", "y"},
		{"no ARN", without(instance, "ARN"), 0, "resources.0.uid", "arn:aws:ec2:eu-central-1:340287110954:instance/" + id},
		{"no ARN and no rule", with(without(instance, "ARN"), object{"resourceType": "AWS::X::Y"}), 0, "resources.0.uid", "aws/340287110954/eu-central-1/AWS::X::Y/" + id},
		{"names of the API", with(without(instance, "ARN", "awsAccountId", "configurationItemVersion"), object{"arn": "arn:aws:x", "accountId": "1", "version": "1.3"}), 0, "cloud.account.uid", "1"},
	} {
		r := one(t, readAWS, tt.in)
		if r.short() != "inventory.modify configuration.modify" {
			t.Errorf("%s: %s, %v, %v", tt.name, r.short(), r.problems, r.err)
			continue
		}
		e, err := decode(r.items[tt.item].Event)
		if err != nil {
			t.Fatal(err)
		}
		got := get(e, tt.path)
		if tt.name == "null inside a configuration" {
			if v, ok := got.(object)["kernelId"]; v != nil || !ok {
				t.Errorf("null is not kept: %v", got)
			}
			continue
		}
		if n, ok := got.(fmt.Stringer); ok {
			got = n.String()
		}
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %s is %v, want %v", tt.name, tt.path, got, tt.want)
		}
	}
}

// TestAWSEnvelopes: the transports of an item, and what has none.
func TestAWSEnvelopes(t *testing.T) {
	ci := awsSample(0, "OK")
	note := awsNotification(ci)
	text := string(mustJSON(note))
	both := "inventory.modify configuration.modify"
	summary := with(without(ci, "configuration", "relationships", "tags", "supplementaryConfiguration"), object{"changeType": "UPDATE"})
	oversized := object{
		"configurationItemSummary": summary, "s3DeliverySummary": object{"s3BucketLocation": "b/k.json.gz"},
		"messageType": "OversizedConfigurationItemChangeNotification", "recordVersion": "1.0",
	}
	for _, tt := range []struct {
		name   string
		in     any
		want   string
		reason string // of the only problem
	}{
		{"message", note, both, ""},
		{"SNS", object{"Type": "Notification", "Message": text}, both, ""},
		{"SNS with an object", object{"Type": "Notification", "Message": note}, both, ""},
		{"old form", object{"Message": object{"messageType": "ConfigurationItemChangeNotification", "configurationItems": list{ci, ci}}}, both + " " + both, ""},
		{"EventBridge", object{"detail-type": "Config Configuration Item Change", "detail": note}, both, ""},
		{"rule", object{"invokingEvent": text, "ruleParameters": "{}"}, both, ""},
		{"SNS in SQS in Lambda", object{"Records": list{object{"body": string(mustJSON(object{"Message": text}))}}}, both, ""},
		{"SNS in Lambda", object{"Records": list{object{"Sns": object{"Message": text}}}}, both, ""},
		{"SQS", object{"Messages": list{object{"Body": text}, object{"Body": text}}}, both + " " + both, ""},
		{"history", object{"fileVersion": "1.0", "configurationItems": list{ci}, "nextToken": nil}, both, ""},
		{"batch", object{"baseConfigurationItems": list{ci}, "unprocessedResourceKeys": list{}}, both, ""},
		{"nothing recorded yet", with(ci, object{"configuration": nil}), "inventory.modify", ""},
		{"oversized", oversized, "inventory.modify", "is too large for this message"},
		{"oversized, in SNS", object{"Message": string(mustJSON(oversized))}, "inventory.modify", "is too large for this message"},
		{"oversized, deleted", with(oversized, object{"configurationItemSummary": with(summary, object{"configurationItemStatus": "ResourceDeleted"})}),
			"configuration.delete inventory.delete", ""},

		{"empty snapshot", object{"fileVersion": "1.0", "configurationItems": list{}}, "", ""},
		{"empty message", object{"Message": object{"configurationItems": list{}}}, "", "empty list"},
		{"no item in a list", object{"Message": object{"configurationItems": list{1, ci}}}, both, "a configuration item that is not an object"},
		{"delivery", object{"Message": `{"messageType":"ConfigurationSnapshotDeliveryCompleted"}`}, "", `message of type "ConfigurationSnapshotDeliveryCompleted" has no`},
		{"no item", object{"configurationItem": nil, "messageType": "ScheduledNotification"}, "", `message of type "ScheduledNotification"`},
		{"something else", object{"a": 1}, "", "neither"},
		{"an array in a container", list{list{}}, "", "not a JSON object"},
		{"no status", without(ci, "configurationItemStatus"), "", "without configurationItemStatus"},
		{"status", with(ci, object{"configurationItemStatus": "Gone"}), "", `unknown configurationItemStatus "Gone"`},
		{"no type", without(ci, "resourceType"), "", "without resourceType or resourceId"},
		{"no id", with(ci, object{"resourceId": ""}), "", "without resourceType or resourceId"},
		{"no time", without(ci, "configurationItemCaptureTime"), "", "no configurationItemCaptureTime"},
		{"no time", with(ci, object{"configurationItemCaptureTime": "1971-01-01T00:00:00Z"}), "", "no configurationItemCaptureTime"},
		{"endless envelopes", object{"Message": object{"Message": object{"Message": object{"Message": object{"Message": object{"Message": ci}}}}}}, "", "neither"},
	} {
		r := one(t, readAWS, tt.in)
		problem := ""
		if len(r.problems) > 0 {
			problem = r.problems[0].Reason
		}
		if r.short() != tt.want || r.err != nil || len(r.problems) > 1 || (problem == "") != (tt.reason == "") || !strings.Contains(problem, tt.reason) {
			t.Errorf("%s: %q, %v, %v", tt.name, r.short(), r.problems, r.err)
		}
	}
}

// TestBrokenItems: a broken item costs nobody else's, and is reported where it stands.
func TestBrokenItems(t *testing.T) {
	good := string(mustJSON(awsSample(0, "OK")))
	deep := strings.Replace(good, `"ebsOptimized":true`, `"ebsOptimized":`+strings.Repeat("[", 61)+strings.Repeat("]", 61), 1)
	for name, bad := range map[string]string{
		"duplicate":     `{"resourceId":"a",` + good[1:],
		"UTF-8":         strings.Replace(good, "x86_64", "x\xff", 1),
		"surrogate":     strings.Replace(good, "x86_64", `\ud800`, 1),
		"deep":          deep,
		"large":         strings.Replace(good, `"x86_64"`, "["+strings.Repeat("1,", 1<<17)+"1]", 1),
		"no object":     `"x"`,
		"created later": strings.Replace(good, "2026-03-01T08:00:00.123Z", "99999-03-01T08:00:00.123Z", 1),
	} {
		in := `{"configurationItems":[` + good + ",\n" + bad + ",\n" + good + `]}`
		r := run(t, readAWS, strings.NewReader(in), Options{maxItem: 1 << 16})
		want := "line 2, byte " + fmt.Sprint(strings.Index(in, "\n")+1)
		if r.err != nil || len(r.problems) == 0 || r.problems[0].Position.String() != want || len(r.items) < 4 {
			t.Errorf("%s: %d items, %v, %v", name, len(r.items), r.problems, r.err)
		}
	}
	// Where an array goes on is unknown behind what is not JSON, or too large a string.
	for name, bad := range map[string]string{
		"not JSON":     strings.Replace(good, "true", "yes", 1),
		"large string": strings.Replace(good, "x86_64", strings.Repeat("x", 1<<19), 1),
	} {
		in := `{"configurationItems":[` + good + ",\n" + bad + ",\n" + good + `]}`
		r := run(t, readAWS, strings.NewReader(in), Options{maxItem: 1 << 16})
		want := "line 2, byte " + fmt.Sprint(strings.Index(in, "\n")+1)
		if !errors.Is(r.err, ErrInput) || !strings.Contains(r.err.Error(), want) || len(r.problems) > 0 || len(r.items) != 2 {
			t.Errorf("%s: %d items, %v, %v", name, len(r.items), r.problems, r.err)
		}
	}
}
