package importer

import (
	"cmp"
	"io"
	"iter"
	"maps"
	"strings"

	"github.com/conmotion/conmotion/monitor/identity"
)

// readTerraform converts the state of Terraform and OpenTofu, the intended side: what terraform show -json prints, and state
// files of version 4, which terraform state pull gives.
//
// A managed resource that has a name in its cloud is an asset: the arn of aws and awscc, the id of azurerm and azapi, the
// self_link of google and google-beta. What has none, such as an attachment or a password that was made up, is part of
// another resource or of no cloud, and becomes nothing, like data sources. The action is modify, with activity_id 2; the
// time is Options.Time, since a state has none.
//
// The attributes are the configuration UID#terraform, without those that sensitive_values marks. It is not the asset's own:
// what a cloud says of the asset has other names. A state file does not mark what a provider's schema calls sensitive, so
// it gives the inventory only.
func readTerraform(r io.Reader, o Options) iter.Seq2[Item, error] {
	return convert(r, o, layout{containers: []string{"resources"}}, terraformItem)
}

var terraformFormat = Format{
	Name: "terraform", Short: "Register what a state of Terraform or OpenTofu intends", Read: readTerraform,
	Long: `The managed resources of a state become inventory records, and with show -json
configuration records without what is sensitive: the intended side, to be compared
with what was observed. --time says when the state was read. show -json is one item,
of up to 16 MiB; what terraform state pull gives can be larger.`,
	Tool: `terraform show -json
  terraform state pull`,
}

func terraformItem(m object, o Options) []draft {
	if m["planned_values"] != nil {
		return problemf("a plan, not a state: terraform show -json without a file prints the state")
	}
	if instances, ok := m["instances"].(list); ok { // a resource of a state file
		var out []draft
		for _, v := range instances {
			instance, _ := v.(object)
			attributes, _ := instance["attributes"].(object)
			out = append(out, terraformResource(m, attributes, text(m, "provider"), nil, o)...)
		}
		return out
	}
	values, _ := m["values"].(object)
	root, ok := values["root_module"].(object)
	if !ok && m["format_version"] == nil {
		return problemf("not a state of Terraform: neither resources of version 4 nor values.root_module")
	}
	return terraformModule(root, o)
}

func terraformModule(m object, o Options) (out []draft) {
	resources, _ := m["resources"].(list)
	for _, v := range resources {
		r, _ := v.(object)
		attributes, _ := r["values"].(object)
		shown := unmarked(attributes, r["sensitive_values"]).(object)
		out = append(out, terraformResource(r, attributes, text(r, "provider_name"), shown, o)...)
	}
	children, _ := m["child_modules"].(list)
	for _, v := range children {
		child, _ := v.(object)
		out = append(out, terraformModule(child, o)...)
	}
	return out
}

// unmarked is a value without what marks say is sensitive.
func unmarked(v, marks any) any {
	switch v := v.(type) {
	case object:
		marked, _ := marks.(object)
		out := object{}
		for name, member := range v {
			if marked[name] != true && member != nil {
				out[name] = unmarked(member, marked[name])
			}
		}
		return out
	case list:
		marked, _ := marks.(list)
		out := list{}
		for i, element := range v {
			if i < len(marked) && marked[i] == true {
				continue
			}
			if i < len(marked) {
				element = unmarked(element, marked[i])
			}
			out = append(out, element)
		}
		return out
	}
	return v
}

// terraformResource is one instance of a resource; shown are its attributes that are not sensitive, nil where that is
// not known.
func terraformResource(r, attributes object, provider string, shown object, o Options) []draft {
	if text(r, "mode") != "managed" {
		return nil
	}
	provider = lastSegment(strings.Trim(provider, `"]`))
	a := asset{
		format: "terraform", activity: 2,
		product: object{"name": "Terraform", "vendor_name": "HashiCorp"}, cloud: object{},
	}
	uid, account, region := "", "", ""
	switch strings.TrimSuffix(provider, "-beta") {
	case "aws", "awscc":
		a.cloud["provider"] = "aws"
		if part := strings.SplitN(text(attributes, "arn"), ":", 6); len(part) == 6 && part[0] == "arn" {
			uid, region, account = text(attributes, "arn"), part[3], part[4]
		}
	case "azurerm", "azapi":
		a.cloud["provider"] = "azure"
		if id := identity.Canonical(text(attributes, "id")); strings.HasPrefix(id, "/subscriptions/") && !strings.Contains(id, "|") {
			uid, region = id, text(attributes, "location")
			account, _, _ = strings.Cut(strings.TrimPrefix(id, "/subscriptions/"), "/")
		}
	case "google":
		a.cloud["provider"] = "gcp"
		if id := identity.Canonical(text(attributes, "self_link")); strings.HasPrefix(id, "//") {
			uid, account, region = id, text(attributes, "project"), text(attributes, "region")
		}
	}
	if uid == "" {
		return nil
	}
	address := cmp.Or(text(r, "address"), strings.TrimPrefix(text(r, "module")+"."+text(r, "type")+"."+text(r, "name"), "."))
	a.source = digest(list{address, uid, shown}) // a digest of what is sensitive would let everybody try values
	a.resource = object{"uid": uid, "type": text(r, "type")}
	set(a.resource, "name", text(attributes, "name"))
	set(a.resource, "region", region)
	set(a.cloud, "region", region)
	if account != "" {
		a.cloud["account"] = object{"uid": account}
	}
	if reason := a.at(o); reason != "" {
		return problemf("%s", reason)
	}
	if tags, ok := pairs(shown["tags"]); ok && len(tags) > 0 {
		a.resource["tags"] = tags
	}
	unmapped := object{"address": address}
	if len(shown) == 0 {
		return a.events(actionModify, true, nil, unmapped)
	}
	shown = maps.Clone(shown)
	delete(shown, "tags")
	return a.events(actionModify, true, []config{{name: "terraform", data: object{"terraform": shown}}}, unmapped)
}
