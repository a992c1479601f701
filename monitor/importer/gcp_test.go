package importer

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestGCPItems(t *testing.T) {
	vm, iam := gcpSample(0), gcpSample(3)
	bare := without(vm, "resource")
	window := object{"startTime": "2026-03-01T09:00:00Z", "endTime": "2026-03-01T10:00:00Z"}
	feed := func(more object) object { return with(object{"asset": vm, "window": window}, more) }
	push := func(s string) object {
		return object{"message": object{"data": base64.StdEncoding.EncodeToString([]byte(s)), "messageId": "1"}, "subscription": "s"}
	}
	const both = "inventory.modify configuration.modify"
	for _, tt := range []struct {
		name string
		in   any
		want string
		path string // in the last event
		is   any
	}{
		{"export", vm, both, "time", "1772352000123"},
		{"export's activity", vm, both, "activity_id", "2"},
		{"export, snake_case", object{"name": vm["name"], "asset_type": vm["assetType"], "update_time": vm["updateTime"], "iam_policy": iam["iamPolicy"]},
			"configuration.modify", "resources.0.data.iamPolicy.etag", "CAE="},
		{"policy", iam, "configuration.modify", "unmapped.configuration_uid", iam["name"].(string) + "#iamPolicy"},
		{"no content", bare, "inventory.modify", "unmapped.ancestors.0", "projects/482093571604"},
		{"two contents", with(vm, object{"orgPolicy": list{object{"constraint": "c"}}}), both + " configuration.modify", "resources.0.data.orgPolicy.0.constraint", "c"},
		{"location", vm, both, "region", "europe-west3"},
		{"zone", vm, both, "resources.0.zone", "europe-west3-a"},
		{"location, a region", with(vm, object{"resource": object{"location": "us"}}), both, "cloud.region", "us"},
		{"project", vm, both, "cloud.project_uid", "482093571604"},
		{"folder", vm, both, "cloud.org.ou_uid", "71829304"},
		{"no organization", with(vm, object{"ancestors": list{"projects/1", "folders/2", 3}}), both, "cloud.org", nil},
		{"created", vm, both, "resources.0.created_time", "1772190855926"},
		{"what is unknown", with(vm, object{"effectiveTags": list{"t"}}), both, "unmapped.effectiveTags.0", "t"},

		{"feed, created", feed(object{"priorAssetState": "DOES_NOT_EXIST"}), "inventory.create configuration.create", "activity_id", "1"},
		{"feed, created again", feed(object{"priorAssetState": "DELETED"}), "inventory.create configuration.create", "status_code", "DELETED"},
		{"feed, changed", feed(object{"priorAssetState": "PRESENT", "priorAsset": vm}), both, "unmapped.priorAsset.name", vm["name"]},
		{"feed, unknown", feed(object{"priorAssetState": "INVALID"}), both, "time", "1772352000123"},
		{"history", feed(nil), both, "unmapped.window.endTime", "2026-03-01T10:00:00Z"},
		{"history, not deleted", feed(object{"deleted": false}), both, "unmapped.deleted", false},
		{"history, no updateTime", with(feed(nil), object{"asset": without(vm, "updateTime")}), both, "time", "1772355600000"},
		{"deleted", feed(object{"deleted": true}), "configuration.delete inventory.delete", "time", "1772355600000"},
		{"deleted, when", feed(object{"deleted": true, "window": nil}), "configuration.delete inventory.delete", "time", "1772352000123"},
		{"deleted, nothing known", feed(object{"deleted": true, "asset": bare}), "inventory.delete", "unmapped.updateTime", vm["updateTime"]},
		{"deleted, known before", feed(object{"deleted": true, "asset": bare, "priorAsset": vm}), "configuration.delete inventory.delete", "region", "europe-west3"},
		{"deleted, empty", feed(object{"deleted": true, "asset": with(vm, object{"resource": object{}})}), "configuration.delete inventory.delete", "resources.0.data", nil},
		{"deleted policy", feed(object{"deleted": true, "asset": without(iam, "iamPolicy"), "priorAsset": iam}), "configuration.delete", "unmapped.configuration_uid", iam["name"].(string) + "#iamPolicy"},
		{"deleted, only the asset before", object{"deleted": true, "priorAsset": vm, "window": window}, "configuration.delete inventory.delete", "resources.0.uid", vm["name"]},

		{"answer", object{"readTime": "2026-03-01T08:00:00Z", "assets": list{vm, feed(nil)}}, both + " " + both, "activity_id", "1"},
		{"Pub/Sub", push(string(mustJSON(feed(nil)))), both, "activity_id", "1"},
		{"Pub/Sub, pulled", list{object{"ackId": "1", "message": push(string(mustJSON(vm)))["message"]}}, both, "activity_id", "2"},
		{"Pub/Sub, a greeting", push("You have successfully configured real time feed"), "", "", "not an asset"},

		{"something else", object{"a": 1}, "", "", "not an asset"},
		{"no name", without(vm, "name"), "", "", "not an asset"},
		{"no type", with(feed(nil), object{"asset": without(vm, "assetType")}), "", "", "not an asset"},
		{"no time", without(vm, "updateTime"), "", "", "no updateTime"},
		{"bad time", with(vm, object{"updateTime": "now"}), "", "", "no updateTime"},
	} {
		r := one(t, readGCP, tt.in)
		if tt.want == "" {
			if len(r.problems) != 1 || !strings.Contains(r.problems[0].Reason, tt.is.(string)) || len(r.items) > 0 || r.err != nil {
				t.Errorf("%s: %s, %v, %v", tt.name, r.short(), r.problems, r.err)
			}
			continue
		}
		if r.short() != tt.want || len(r.problems) > 0 || r.err != nil {
			t.Errorf("%s: %s, %v, %v", tt.name, r.short(), r.problems, r.err)
			continue
		}
		e, err := decode(r.items[len(r.items)-1].Event)
		if err != nil {
			t.Fatal(err)
		}
		got := get(e, tt.path)
		if n, ok := got.(fmt.Stringer); ok {
			got = n.String()
		}
		if !reflect.DeepEqual(got, tt.is) {
			t.Errorf("%s: %s is %v, want %v", tt.name, tt.path, got, tt.is)
		}
	}
}

// TestDeletedContent: what a deletion still has of the asset is kept beside the event.
func TestDeletedContent(t *testing.T) {
	vm := gcpSample(0)
	r := one(t, readGCP, object{"asset": vm, "deleted": true})
	e, err := decode(r.items[0].Event)
	if err != nil {
		t.Fatal(err)
	}
	if get(e, "unmapped.resource.discoveryName") != "Instance" || get(e, "resources.0.data.resource") != nil {
		t.Errorf("%s", r.items[0].Event)
	}
}
