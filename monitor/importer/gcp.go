package importer

import (
	"encoding/base64"
	"io"
	"iter"
	"maps"
	"regexp"
	"strings"

	"github.com/conmotion/conmotion/monitor/identity"
)

// readGCP converts what Cloud Asset Inventory gives (google/cloud/asset/v1/assets.proto): the lines of an export
// (Asset), the messages of a feed and the answers of BatchGetAssetsHistory (TemporalAsset), also inside Pub/Sub's
// envelope; one or many, one after the other or in an array. Members may be in camelCase or snake_case, since exports to
// Cloud Storage have had both.
//
// The action of a TemporalAsset is delete where it is deleted, create where priorAssetState is DOES_NOT_EXIST or DELETED
// ("prior_asset is a deletion"), else modify; that of an Asset is modify. The time is updateTime; of a deletion it is
// the window's startTime.
//
// resources[0].uid is the asset's name. Each kind of content (resource, iamPolicy, orgPolicy, ...) is a configuration of
// its own; resources[0].data has one member, its name, with its value, which is null when it is deleted. Only an item
// with the content resource, or with none, speaks of the asset's existence: a deleted IAM policy is no deleted asset. A
// deletion says what it deletes by priorAsset, where its asset has no content left.
func readGCP(r io.Reader, o Options) iter.Seq2[Item, error] {
	return convert(r, o, gcpLayout, gcpItem)
}

var gcpFormat = Format{
	Name: "gcp-cai", Short: "Register Cloud Asset Inventory's assets", Read: readGCP,
	Long: `Exports, feeds and histories of Google Cloud Asset Inventory become inventory and
configuration records, with their deletions. Exports of before 2020 have no time
of each asset: --time gives that of the export.`,
	Tool: "gcloud asset export --content-type=resource --project=PROJECT --output-path=gs://BUCKET/FILE",
}

var gcpLayout = layout{containers: []string{"assets"}, more: []string{"nextPageToken"}, read: "readTime"}

// gcpContents are the members of an Asset that are its content, with their other spelling.
var gcpContents = [][2]string{
	{"resource", "resource"}, {"iamPolicy", "iam_policy"}, {"orgPolicy", "org_policy"}, {"accessPolicy", "access_policy"},
	{"accessLevel", "access_level"}, {"servicePerimeter", "service_perimeter"}, {"osInventory", "os_inventory"},
	{"relatedAssets", "related_assets"}, {"relatedAsset", "related_asset"},
}

var gcpZone = regexp.MustCompile(`^([a-z]+-[a-z]+\d+)-[a-z]$`)

// member returns the first of the members that there is.
func member(o object, names ...string) any {
	for _, n := range names {
		if v := o[n]; v != nil {
			return v
		}
	}
	return nil
}

// pubsub returns the message inside Pub/Sub's envelope {"message":{"data":"base64"}}, or m itself.
func pubsub(m object) object {
	message, _ := m["message"].(object)
	data, _ := message["data"].(string)
	raw, err := base64.StdEncoding.DecodeString(data)
	if err != nil || len(raw) == 0 {
		return m
	}
	if inner, ok := embedded(string(raw)).(object); ok {
		return inner
	}
	return m
}

func gcpItem(m object, o Options) []draft {
	m = pubsub(m)
	prior, _ := member(m, "priorAsset", "prior_asset").(object)
	asked, _ := m["deleted"].(bool)
	current, temporal := m["asset"].(object)
	envelope, rest := object{}, m // rest is what is left of the asset
	switch {
	case temporal:
		envelope, rest = m, current
	case asked && prior != nil:
		temporal = true
		envelope, rest = m, object{"name": prior["name"], "ancestors": prior["ancestors"], "assetType": member(prior, "assetType", "asset_type")}
	}
	rest, envelope = compact(maps.Clone(rest)), compact(maps.Clone(envelope))
	delete(envelope, "asset")

	name, kind := take(rest, "name"), take(rest, "assetType", "asset_type")
	if name == "" || kind == "" {
		return problemf("not an asset of Cloud Asset Inventory: no name or no assetType")
	}
	a := asset{
		format:   "gcp-cai",
		own:      "resource",
		source:   digest(m),
		activity: 2,
		product:  object{"name": "Cloud Asset Inventory", "vendor_name": "Google Cloud"},
		cloud:    object{"provider": "gcp"},
		resource: object{"uid": identity.Canonical(name), "name": lastSegment(name), "type": kind},
	}
	action := actionModify
	updated, started := take(rest, "updateTime", "update_time"), ""
	a.original = updated
	if temporal {
		a.activity = 1
		a.code = take(envelope, "priorAssetState", "prior_asset_state")
		if window, ok := envelope["window"].(object); ok {
			started, _ = member(window, "startTime", "start_time").(string)
		}
		switch {
		case asked:
			action = actionDelete
			delete(envelope, "deleted")
		case a.code == "DOES_NOT_EXIST" || a.code == "DELETED":
			action = actionCreate
		}
		if started != "" && (action == actionDelete || updated == "") {
			a.original = started
			set(rest, "updateTime", updated)
		}
	}
	var ok bool
	if a.time, ok = millis(a.original); !ok && a.original == "" && !o.Time.IsZero() {
		a.time, ok = o.Time.UnixMilli(), true
	}
	if !ok {
		return problemf("asset %.256q: no updateTime or window.startTime that is a time; --time gives one", name)
	}
	a.place(rest)

	found := contents(rest)
	if action == actionDelete {
		if r, ok := prior["resource"].(object); ok {
			a.describe(r)
		}
		if len(found) == 0 {
			found = contents(prior)
		}
	}
	var configs []config
	inventory := len(found) == 0
	for _, c := range found {
		if r, ok := c.data.(object); ok && c.name == "resource" {
			inventory = true
			a.describe(r)
		}
		if action == actionDelete {
			c.data = nil // what the source still has of it stays in rest, and so in unmapped
		}
		configs = append(configs, config{name: c.name + c.of, data: object{c.name: c.data}})
	}
	if action != actionDelete {
		for _, c := range gcpContents {
			delete(rest, c[0])
			delete(rest, c[1])
		}
	}
	maps.Copy(rest, envelope)
	return a.events(action, inventory, configs, rest)
}

// contents are the kinds of content that an Asset has.
func contents(o object) (found []config) {
	for _, c := range gcpContents {
		if v := member(o, c[0], c[1]); v != nil {
			found = append(found, config{name: c[0], of: named(c[0], v), data: v})
		}
	}
	return found
}

// named tells contents of one kind apart of which an asset, here an organization, can have several.
func named(kind string, content any) string {
	o, _ := content.(object)
	name, _ := o["name"].(string)
	if name == "" || kind != "accessLevel" && kind != "servicePerimeter" && kind != "accessPolicy" {
		return ""
	}
	return "/" + name
}

// place reads where the asset stands in the resource hierarchy. The ancestors stay in rest too: OCSF has attributes
// only for the project, one folder and the organization.
func (a *asset) place(rest object) {
	ancestors, _ := rest["ancestors"].(list)
	org := object{}
	for _, v := range ancestors {
		s, _ := v.(string)
		kind, id, _ := strings.Cut(s, "/")
		switch {
		case id == "":
		case kind == "projects":
			a.cloud["project_uid"] = id
			a.cloud["account"] = object{"uid": id, "type": "GCP Project", "type_id": 11}
		case kind == "folders" && org["ou_uid"] == nil:
			org["ou_uid"] = id
		case kind == "organizations":
			org["uid"] = id
			a.tenant = id
		}
	}
	if org["uid"] != nil {
		a.cloud["org"] = org
	}
}

// describe reads what a Resource says of the asset beside its configuration.
func (a *asset) describe(r object) {
	if location, _ := r["location"].(string); location != "" {
		if m := gcpZone.FindStringSubmatch(location); m != nil {
			a.resource["zone"], a.cloud["zone"] = location, location
			location = m[1]
		}
		a.resource["region"], a.cloud["region"] = location, location
	}
	data, _ := r["data"].(object)
	if id, _ := data["id"].(string); id != "" {
		a.resource["uid_alt"] = id
	}
	if t, ok := millis(member(data, "creationTimestamp", "timeCreated", "createTime")); ok {
		a.resource["created_time"] = t
	}
	if labels, ok := pairs(data["labels"]); ok && len(labels) > 0 {
		a.resource["tags"] = labels
	}
}
