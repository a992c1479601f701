package mirror

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact/reader"
)

// manifestPath is where an export has its manifest.
const manifestPath = reader.ManifestPath

// manifestFormat names the format of a manifest.
const manifestFormat = "conmotion-export/1"

// errManifest is wrapped when bytes are no manifest of an export.
var errManifest = errors.New("not a manifest of an export")

// manifest says what an export consists of: docs/schemas/export.schema.json.
type manifest struct {
	// Artifacts are the content of hash envelopes, by digest; each is the file
	// at [reader.Digest.Path].
	Artifacts []manifestArtifact `json:"artifacts"`
	// LeftOut says that the export was made without artifacts, or some time was.
	LeftOut bool `json:"artifacts_left_out"`
	// Missing are digests that statements sign and whose artifact was not found, or
	// not right.
	Missing    []reader.Digest    `json:"artifacts_missing"`
	Checkpoint manifestCheckpoint `json:"checkpoint"`
	Files      []manifestFile     `json:"files"` // all others, by path
	Format     string             `json:"format"`
	VKeys      []string           `json:"vkeys"` // that the exporter trusted, sorted
}

// manifestCheckpoint is the state of the log that was exported.
type manifestCheckpoint struct {
	Origin string        `json:"origin"`
	Root   reader.Digest `json:"root"`
	Size   uint64        `json:"size"`
}

// manifestFile is one file.
type manifestFile struct {
	Path   string        `json:"path"` // from the export's directory, with slashes
	SHA256 reader.Digest `json:"sha256"`
	Size   int64         `json:"size"` // bytes
}

// manifestArtifact is one artifact.
type manifestArtifact struct {
	SHA256 reader.Digest `json:"sha256"`
	Size   int64         `json:"size"`
}

// Marshal encodes the manifest, in its one spelling: members in order, without
// space, and a line feed at the end.
func (m *manifest) Marshal() ([]byte, error) {
	m.Format = manifestFormat
	m.sort()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(m)
	return b.Bytes(), err
}

func (m *manifest) sort() {
	slices.SortFunc(m.Files, func(a, b manifestFile) int { return strings.Compare(a.Path, b.Path) })
	slices.SortFunc(m.Artifacts, func(a, b manifestArtifact) int { return compare(a.SHA256, b.SHA256) })
	slices.SortFunc(m.Missing, compare)
	slices.Sort(m.VKeys)
	m.Artifacts, m.Missing, m.Files, m.VKeys = some(m.Artifacts), some(m.Missing), some(m.Files), some(m.VKeys)
}

func compare(a, b reader.Digest) int { return bytes.Compare(a[:], b[:]) }

// artifact returns what a sorted manifest says about an artifact.
func (m *manifest) artifact(d reader.Digest) (a manifestArtifact, ok bool) {
	n, ok := slices.BinarySearchFunc(m.Artifacts, d, func(a manifestArtifact, d reader.Digest) int { return compare(a.SHA256, d) })
	if ok {
		a = m.Artifacts[n]
	}
	return a, ok
}

// some makes the empty list of what would be null.
func some[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// parseManifest reads a manifest. Every path is one of an export's, stands
// once, and leads nowhere else. Errors wrap errManifest.
func parseManifest(data []byte) (*manifest, error) {
	var m manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", errManifest, err)
	}
	if m.Format != manifestFormat {
		return nil, fmt.Errorf("%w: the format is %.40q, and this is %s", errManifest, m.Format, manifestFormat)
	}
	again, err := m.Marshal()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errManifest, err)
	}
	if !bytes.Equal(again, data) {
		return nil, fmt.Errorf("%w: it has unknown members, or another order or spelling than this program writes", errManifest)
	}
	for i, f := range m.Files {
		if !exportPath(f.Path) || f.Size < 0 || i > 0 && m.Files[i-1].Path == f.Path {
			return nil, fmt.Errorf("%w: %.200q is not a file of an export, or stands there twice", errManifest, f.Path)
		}
	}
	for i, a := range m.Artifacts {
		if a.Size < 0 || i > 0 && m.Artifacts[i-1].SHA256 == a.SHA256 {
			return nil, fmt.Errorf("%w: artifact %s", errManifest, a.SHA256)
		}
	}
	return &m, nil
}

// exportPath reports whether an export may have a file there.
func exportPath(p string) bool {
	if p == "checkpoint" || p == ".well-known/scitt-keys" || p == ".well-known/transparency-configuration" {
		return true
	}
	return strings.HasPrefix(p, "tile/") && p == path.Clean(p) && !strings.ContainsAny(p, "\\:\x00")
}

// Is reports whether the manifest is of this checkpoint.
func (m *manifest) Is(cp *scitt.Checkpoint) bool {
	return m.Checkpoint.Origin == cp.Origin && m.Checkpoint.Size == cp.Size && bytes.Equal(m.Checkpoint.Root[:], cp.Root)
}
