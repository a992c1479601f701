package testlog

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
	"github.com/conmotion/conmotion/tiles"
)

// Files are the files of a log in memory, as a [tiles.Source] and over HTTP.
// Its operator checks nothing and publishes what the test wants. It is safe
// for concurrent use.
type Files struct {
	mu    sync.Mutex
	files map[string][]byte
	serve func(w http.ResponseWriter, r *http.Request) (done bool)
}

// Publish makes the files those of a log with these entries, signed with these
// keys. Files that such a log has not stay, as on a real server.
func (f *Files) Publish(t testing.TB, k *Keys, entries [][]byte) {
	t.Helper()
	files := map[string][]byte{}
	root := WriteTree(entries, func(path string, data []byte) { files[path] = data })
	files[tiles.CheckpointPath] = k.Checkpoint(t, uint64(len(entries)), root)
	files[tiles.KeysPath] = Must(k.KeySet(t).Marshal())(t)
	c := scitt.Configuration{Issuer: Issuer, Origin: k.Note.Name(), CheckpointKeys: k.VKeys, Keys: k.statements(entries), Policy: policyOf(entries)}
	files[tiles.ConfigurationPath] = Must(c.Marshal())(t)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.files == nil {
		f.files = map[string][]byte{}
	}
	maps.Copy(f.files, files)
}

// policyOf is the last policy among the entries.
func policyOf(entries [][]byte) (p scitt.ConfigurationPolicy) {
	p.Document = json.RawMessage("{}")
	for i, e := range entries {
		if s, err := scitt.DecodeStatement(e); err == nil && s.Type == scitt.TypePolicy {
			p = scitt.ConfigurationPolicy{EntryID: s.ID().String(), Index: uint64(i), Document: s.Payload}
		}
	}
	return p
}

// Checkpoint signs a checkpoint.
func (k *Keys) Checkpoint(t testing.TB, size uint64, root []byte) []byte {
	t.Helper()
	body := fmt.Sprintf("%s\n%d\n%s\n", k.Note.Name(), size, base64.StdEncoding.EncodeToString(root))
	return Must(note.Sign(&note.Note{Text: body}, k.Note, k.Tree))(t)
}

// Begin are the first entries of a log: its keys, and a policy by the service.
func (k *Keys) Begin(t testing.TB, policy string) [][]byte {
	t.Helper()
	return [][]byte{
		k.Announce(t, k.Service, k.Announced),
		Must(scitt.SignStatement(k.Service, scitt.SignOptions{
			Issuer: Issuer, Type: scitt.TypePolicy, Subject: scitt.PolicySubject(k.Note.Name()), ContentType: "application/json",
		}, []byte(policy)))(t),
	}
}

// Announce signs a keys statement of the log.
func (k *Keys) Announce(t testing.TB, by crypto.Signer, keys *scitt.Keys) []byte {
	t.Helper()
	return Must(scitt.SignStatement(by, scitt.SignOptions{
		Issuer: Issuer, Type: scitt.TypeKeys, Subject: scitt.KeysSubject(k.Note.Name()), ContentType: scitt.MediaTypeKeys,
	}, Must(keys.Marshal())(t)))(t)
}

// Rotate replaces the note key and the receipt key. It returns the new keys, and
// the entries with the statement that announces them, signed by the service key. The
// statement must replace the one in force, whose entry is before.
func (k *Keys) Rotate(t testing.TB, entries [][]byte, before []byte) (*Keys, [][]byte) {
	t.Helper()
	next, announced := *k, *k.Announced
	next.Announced = &announced
	announced.Previous, announced.RecoveryKey = ID(before), nil
	next.renew(t, k.Note.Name())
	statement := k.Announce(t, k.Service, next.Announced)
	entries = append(slices.Clone(entries), statement)
	root := WriteTree(entries, func(string, []byte) {})
	next.Handovers = maps.Clone(k.Handovers)
	if next.Handovers == nil {
		next.Handovers = map[string]string{}
	}
	next.Handovers[string(statement)] = string(k.Checkpoint(t, uint64(len(entries)), root))
	return &next, entries
}

// Compromise replaces the receipt key, which others may have from the first entry
// on. It returns the new keys, and the entries with the statement that announces
// them, which replaces the one before.
func (k *Keys) Compromise(t testing.TB, entries [][]byte, before []byte) (*Keys, [][]byte) {
	t.Helper()
	next, announced := *k, *k.Announced
	next.Announced, next.Receipt = &announced, Key(t, "ES256")
	announced.Previous, announced.RecoveryKey, announced.Receipt = ID(before), nil, KeySet(t, next.Receipt)
	announced.Compromised = append(slices.Clone(announced.Compromised), scitt.CompromisedKey{Thumbprint: KeySet(t, k.Receipt)[0].ID})
	next.VKeys = Must(announced.VKeys())(t)
	next.Verifiers = Must(scitt.NewCheckpointVerifiers(next.VKeys))(t)
	next.NewTree(t)
	return &next, append(slices.Clone(entries), k.Announce(t, k.Service, &announced))
}

// statements are the keys statements among the entries.
func (k *Keys) statements(entries [][]byte) (list []scitt.ConfigurationKeys) {
	for i, e := range entries {
		if st, err := scitt.ParseStatement(e); err == nil && st.Type == scitt.TypeKeys {
			list = append(list, scitt.ConfigurationKeys{EntryID: st.ID().String(), Index: uint64(i), Handover: k.Handovers[string(e)]})
		}
	}
	return list
}

// DIDJWK is the issuer of a key.
func DIDJWK(t testing.TB, key crypto.Signer) string {
	t.Helper()
	return Must(did.NewJWK(key.Public()))(t)
}

// Get implements [tiles.Source].
func (f *Files) Get(ctx context.Context, path string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if data, ok := f.files[path]; ok {
		return data, ctx.Err()
	}
	return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
}

// Put replaces a file; nil removes it.
func (f *Files) Put(path string, data []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.files == nil {
		f.files = map[string][]byte{}
	}
	if f.files[path] = data; data == nil {
		delete(f.files, path)
	}
}

// Clear removes all files.
func (f *Files) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.files)
}

// Serve has a function answer requests first; it reports whether it did. Nil
// takes it away.
func (f *Files) Serve(serve func(w http.ResponseWriter, r *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.serve = serve
}

// ServeHTTP implements [http.Handler].
func (f *Files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	serve := f.serve
	f.mu.Unlock()
	if serve != nil && serve(w, r) {
		return
	}
	data, err := f.Get(r.Context(), strings.TrimPrefix(r.URL.Path, "/"))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write(data)
}

// WriteTo writes the files into a directory.
func (f *Files) WriteTo(t testing.TB, dir string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for path, data := range f.files {
		path = filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// WriteTree writes bundles and tiles, and gives the root.
func WriteTree(entries [][]byte, write func(path string, data []byte)) []byte {
	var level [][]byte
	for i, e := range entries {
		level = append(level, scitt.LeafHash(e))
		if n := i % tiles.Width; n == tiles.Width-1 || i == len(entries)-1 {
			var bundle []byte
			for _, e := range entries[i-n : i+1] {
				bundle = append(binary.BigEndian.AppendUint16(bundle, uint16(len(e))), e...)
			}
			write(tiles.BundlePath(uint64(i/tiles.Width), n+1), bundle)
		}
	}
	root := merkle(level)
	for l := 0; len(level) > 0; l++ {
		var above [][]byte
		for i := 0; i < len(level); i += tiles.Width {
			tile := level[i:min(i+tiles.Width, len(level))]
			write(tiles.TilePath(l, uint64(i/tiles.Width), len(tile)), bytes.Join(tile, nil))
			if len(tile) == tiles.Width {
				above = append(above, merkle(tile))
			}
		}
		level = above
	}
	return root
}

// merkle is the Merkle tree hash of RFC 9162 section 2.1.1.
func merkle(leaves [][]byte) []byte {
	switch len(leaves) {
	case 0:
		sum := sha256.Sum256(nil)
		return sum[:]
	case 1:
		return leaves[0]
	}
	k := 1
	for 2*k < len(leaves) {
		k *= 2
	}
	sum := sha256.Sum256(bytes.Join([][]byte{{1}, merkle(leaves[:k]), merkle(leaves[k:])}, nil))
	return sum[:]
}
