package importer

import "testing"

func TestCycloneDX(t *testing.T) {
	o := Options{Flags: map[string]string{"system": "shop"}}
	bill := func(metadata, components string) string {
		return `{"bomFormat":"CycloneDX","specVersion":"1.6","serialNumber":"urn:uuid:1","version":1,` + metadata + `"components":[` + components + `],"dependencies":[]}`
	}
	const dated = `"metadata":{"timestamp":"2026-03-01T08:00:00Z","component":{"type":"application","name":"shop"}},`
	const library = `{"bom-ref":"r","type":"library","group":"org.a","name":"a","version":"1.2","purl":"pkg:maven/org.a/a@1.2","licenses":[{"license":{"id":"MIT"}}]`
	const a = "inventory modify shop/pkg:maven/org.a/a@1.2, configuration modify shop/pkg:maven/org.a/a@1.2#component"
	const b = "inventory modify shop/x/b@2, configuration modify shop/x/b@2#component"
	testCases(t, map[string]sourceCase{
		"a component":           {readCycloneDX, bill(dated, library+"}"), o, a, "resources.0.data.component.licenses.0.license.id", "MIT"},
		"its time":              {readCycloneDX, bill(dated, library+"}"), o, a, "time", "1772352000000"},
		"its version":           {readCycloneDX, bill(dated, library+"}"), o, a, "resources.0.version", "1.2"},
		"one in another":        {readCycloneDX, bill(dated, library+`,"components":[{"type":"file","group":"x","name":"b","version":"2"},1]}`), o, a + ", " + b + ", problem: a component that is not an object", "", nil},
		"a bill without a time": {readCycloneDX, bill("", library+"}"), o, `problem: "shop/pkg:maven/org.a/a@1.2" has no time of its own; --time gives one`, "", nil},
		"without a name":        {readCycloneDX, bill(dated, `{"type":"library"}`), o, "problem: not a component of CycloneDX: no name or no type", "", nil},
	})
}

func FuzzCycloneDX(f *testing.F) {
	good := object{"type": "library", "name": "a", "version": "1", "purl": "pkg:a/b@1"}
	fuzz(f, func(r reader, o Options) seq {
		o.Flags, o.Time = map[string]string{"system": "s"}, epoch
		return readCycloneDX(r, o)
	}, good, [][]byte{mustJSON(object{"metadata": object{"timestamp": stamp(1)}, "components": list{good, object{"components": list{good}}}})}, "components")
}
