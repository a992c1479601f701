package daemon

import "testing"

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(`{"version":1,"origin":"log.example","size":2,"slot":"a","sha256":"00","parts":["00"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseManifest(data, "log.example")
		if err == nil && (m.Origin != "log.example" || m.Slot != "a" && m.Slot != "b" || len(m.Parts) > mostParts) {
			t.Errorf("%+v", m)
		}
	})
}
