package mirror

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/tiles"
)

func exampleManifest() *manifest {
	return &manifest{
		Artifacts:  []manifestArtifact{{sha256.Sum256([]byte("b")), 1}, {sha256.Sum256([]byte("a")), 1}},
		Missing:    []reader.Digest{sha256.Sum256([]byte("c"))},
		Checkpoint: manifestCheckpoint{"log.example", sha256.Sum256([]byte("root")), 300},
		Files: []manifestFile{
			{"tile/entries/001.p/44", sha256.Sum256([]byte("x")), 44}, {"checkpoint", sha256.Sum256([]byte("y")), 7},
			{".well-known/scitt-keys", sha256.Sum256([]byte("z")), 9},
		},
		VKeys: []string{"log.example+0a1b2c3d+AY"},
	}
}

func TestManifest(t *testing.T) {
	data, err := exampleManifest().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	m, err := parseManifest(data)
	if err != nil {
		t.Fatal(err)
	}
	if m.Files[0].Path != ".well-known/scitt-keys" || len(m.Artifacts) != 2 || bytes.Compare(m.Artifacts[0].SHA256[:], m.Artifacts[1].SHA256[:]) > 0 {
		t.Errorf("%+v", m)
	}
	text := string(data)
	for name, changed := range map[string]string{
		"empty":           "",
		"another format":  strings.Replace(text, "conmotion-export/1", "conmotion-export/2", 1),
		"an unknown name": strings.Replace(text, `{"artifacts"`, `{"a":1,"artifacts"`, 1),
		"space":           strings.Replace(text, ",", ", ", 1),
		"no line feed":    strings.TrimSuffix(text, "\n"),
		"up":              strings.Replace(text, "tile/entries/001.p/44", "tile/../../../etc/passwd", 1),
		"elsewhere":       strings.Replace(text, `"checkpoint","sha256"`, `"private-key.pem","sha256"`, 1),
		"absolute":        strings.Replace(text, `"checkpoint","sha256"`, `"/checkpoint","sha256"`, 1),
		"upper case":      strings.Replace(text, m.Missing[0].String(), strings.ToUpper(m.Missing[0].String()), 1),
		"negative":        strings.Replace(text, `"size":44`, `"size":-1`, 1),
		"twice":           strings.Replace(text, ".well-known/scitt-keys", "checkpoint", 1),
	} {
		if changed == text {
			t.Errorf("%s: nothing is changed", name)
		}
		if _, err := parseManifest([]byte(changed)); !errors.Is(err, errManifest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzParseManifest: what is understood is written again as it was, and leads
// to no file outside of the export.
func FuzzParseManifest(f *testing.F) {
	data, err := exampleManifest().Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"artifacts":[],"artifacts_left_out":true,"artifacts_missing":[],"checkpoint":{"origin":"","root":"` + strings.Repeat("0", 64) +
		`","size":0},"files":[{"path":"tile/x","sha256":"` + strings.Repeat("1", 64) + `","size":0}],"format":"conmotion-export/1","vkeys":[]}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseManifest(data)
		if err != nil {
			if !errors.Is(err, errManifest) {
				t.Fatal(err)
			}
			return
		}
		again, err := m.Marshal()
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%q becomes %q, %v", data, again, err)
		}
		for _, file := range m.Files {
			if !filepath.IsLocal(filepath.FromSlash(file.Path)) {
				t.Fatalf("%q leads out of the export", file.Path)
			}
		}
	})
}

// TestParts: the files of a log of any size are those that its tiles are said
// to have, and those of a longer one are these and the new ones.
func TestParts(t *testing.T) {
	for _, size := range []uint64{0, 1, 255, 256, 257, 65535, 65536, 65537, 256 * 300} {
		all := map[string]bool{}
		for _, p := range parts(0, size) {
			all[p.path()] = true
			if _, _, _, ok := tiles.ParseTilePath(p.path()); !ok {
				t.Errorf("%s is not a file of a log", p.path())
			}
		}
		want := 0
		for level, n := 0, size; n > 0; level, n = level+1, n/tiles.Width {
			count := int((n + tiles.Width - 1) / tiles.Width)
			if want += count; level == 0 {
				want += count // bundles
			}
		}
		if len(all) != want {
			t.Errorf("size %d: %d files, want %d", size, len(all), want)
		}
		e := &export{}
		for _, from := range []uint64{0, 1, 100, 256, 300, 65536} {
			if from > size {
				continue
			}
			fresh := map[string]bool{}
			for _, p := range parts(from, size) {
				fresh[p.path()] = true
			}
			e.cp = checkpointOf(size)
			covered := e.covered()
			for _, p := range parts(0, from) {
				if all[p.path()] != covered(p.path()) {
					t.Errorf("%d to %d: %s is covered: %t", from, size, p.path(), covered(p.path()))
				}
				delete(all, p.path())
				fresh[p.path()] = fresh[p.path()] && all[p.path()]
			}
			for path := range all {
				if !fresh[path] {
					t.Errorf("%d to %d: %s is not fetched", from, size, path)
				}
			}
			all = map[string]bool{}
			for _, p := range parts(0, size) {
				all[p.path()] = true
			}
		}
	}
}

// TestManifestGolden: the form is permanent. Package monitor's tests hold the
// file to its schema.
func TestManifestGolden(t *testing.T) {
	want, err := os.ReadFile("testdata/manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := exampleManifest().Marshal(); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
}

func checkpointOf(size uint64) *scitt.Checkpoint {
	return &scitt.Checkpoint{Origin: "log.example", Size: size}
}
