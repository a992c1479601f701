package importer

import (
	"cmp"
	"io"
	"iter"
	"maps"
)

// readCycloneDX converts the components of a bill of materials, CycloneDX 1.4 to 1.6 in JSON. A component in a component is
// one too.
//
// resources[0].uid is the system that the bill is of, which Options.Flags names, and the component's purl, or its cpe, or
// its group, name and version: with the version, since a system can have several. The component is the asset's own
// configuration, without those in it. A bill says how a system is: modify, with activity_id 2, at metadata.timestamp,
// which stands before the components, else Options.Time.
func readCycloneDX(r io.Reader, o Options) iter.Seq2[Item, error] {
	return convert(r, o, layout{containers: []string{"components"}, read: "metadata.timestamp"}, cyclonedxItem)
}

var cyclonedxFormat = Format{
	Name: "cyclonedx", Short: "Register the components of a CycloneDX bill of materials", Read: readCycloneDX,
	Long: `The components of a bill of materials in JSON become inventory and configuration
records. A component is an asset of one system, which --system names.`,
	Tool: `syft IMAGE -o cyclonedx-json
  trivy image --format cyclonedx IMAGE
  cdxgen -o bom.json DIRECTORY`,
	Flags: []Flag{{Name: "system", Usage: "name of the system that the bill is of, part of the identity of its components", Required: true}},
}

func cyclonedxItem(m object, o Options) []draft {
	m = compact(maps.Clone(m))
	name, kind, version := text(m, "name"), text(m, "type"), text(m, "version")
	if name == "" || kind == "" {
		return problemf("not a component of CycloneDX: no name or no type")
	}
	system := o.Flags["system"]
	inner, _ := m["components"].(list)
	delete(m, "components")
	delete(m, "bom-ref")
	long := name
	if group := text(m, "group"); group != "" {
		long = group + "/" + name
	}
	if version != "" {
		long += "@" + version
	}
	a := asset{
		format: "cyclonedx", own: "component", source: digest(list{system, m}), activity: 2,
		product:  object{"name": "CycloneDX", "vendor_name": "OWASP"},
		cloud:    object{"provider": "cyclonedx", "account": object{"uid": system}},
		resource: object{"uid": system + "/" + cmp.Or(text(m, "purl"), text(m, "cpe"), long), "type": kind, "name": name},
	}
	set(a.resource, "version", version)
	if reason := a.at(o); reason != "" {
		return problemf("%s", reason)
	}
	out := a.events(actionModify, true, []config{{name: a.own, data: object{a.own: m}}}, nil)
	for _, v := range inner {
		if c, ok := v.(object); ok {
			out = append(out, cyclonedxItem(c, o)...)
		} else {
			out = append(out, problemf("a component that is not an object")...)
		}
	}
	return out
}
