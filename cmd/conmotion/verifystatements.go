package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/conmotion/conmotion/internal/parallel"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
	"github.com/conmotion/conmotion/tiles"
)

// others counts the files that are not listed, artifacts apart.
func (v *dirVerification) others(listed map[string]bool) (count int, example string, err error) {
	err = filepath.WalkDir(v.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(v.dir, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if d.IsDir() {
			if name == "sha256" {
				return fs.SkipDir // artifacts are held to their names
			}
			return nil
		}
		if !listed[name] && name != exporting {
			if count++; count == 1 {
				example = name
			}
		}
		return nil
	})
	return count, example, err
}

// signers knows the issuers of statements in an export.
type signers struct {
	self    func(*scitt.Statement) error
	service scitt.KeySet // of the log's own statements
	given   map[string]crypto.PublicKey
	roots   *x509.CertPool
}

// errNotChecked says that there is no key to check a signature with.
var errNotChecked = errors.New("no key")

func (v *dirVerification) signers(ctx context.Context) (*signers, error) {
	s := &signers{self: monitor.SelfCertified(), given: map[string]crypto.PublicKey{}}
	if data, err := v.log.Files.Source.Get(ctx, tiles.KeysPath); err == nil {
		// That it cannot be read was told with the keys.
		if set, err := scitt.ParseKeySet(data); err == nil {
			s.service = set
		}
	}
	if v.issuerKey != "" {
		i := strings.LastIndex(v.issuerKey, "=")
		if i < 1 {
			return nil, usage(fmt.Errorf("--issuer-key %q is not ISSUER=FILE", v.issuerKey))
		}
		data, err := readFileFlag("issuer-key", v.issuerKey[i+1:])
		if err != nil {
			return nil, err
		}
		if s.given[v.issuerKey[:i]], err = scitt.ParsePublicKey(data); err != nil {
			return nil, usage(fmt.Errorf("--issuer-key: %w", err))
		}
	}
	if v.rootCAs != "" {
		data, err := readFileFlag("roots", v.rootCAs)
		if err != nil {
			return nil, err
		}
		if s.roots = x509.NewCertPool(); !s.roots.AppendCertsFromPEM(data) {
			return nil, usage(fmt.Errorf("--roots %s: no certificate in the PEM file", v.rootCAs))
		}
	}
	return s, nil
}

// verify holds a statement to its issuer's signature. The error wraps
// errNotChecked when his key is not known.
func (s *signers) verify(st *scitt.Statement, origin string) error {
	if key, ok := s.given[st.Issuer]; ok {
		return st.VerifySignature(key)
	}
	switch {
	case did.Method(st.Issuer) == did.MethodJWK:
		return s.self(st)
	case st.X5Chain != nil && s.roots != nil:
		leaf, err := scitt.VerifyX5Chain(st, s.roots)
		if err != nil {
			return err
		}
		return st.VerifySignature(leaf.PublicKey)
	case strings.HasPrefix(st.Subject, origin+"/") && st.KeyID != nil:
		// The service's own: its keys and policies.
		if key, err := s.service.Find(st.KeyID); err == nil {
			return st.VerifySignature(key.Public)
		}
	}
	return fmt.Errorf("%w of %s", errNotChecked, st.Issuer)
}

// signed is what there is to know of the signatures in one bundle.
type signed struct {
	good     uint64
	problems []string
	unknown  map[string]uint64 // statements by issuers whose key is not known
	digests  []party.Digest
}

// statements verifies the signature of every statement, and gives the digests
// that they sign in place of content.
func (v *dirVerification) statements(ctx context.Context, view *tiles.View) ([]party.Digest, error) {
	keys, err := v.signers(ctx)
	if err != nil {
		return nil, err
	}
	cp := view.Checkpoint
	read := func(ctx context.Context, n uint64) (*signed, error) {
		out := &signed{unknown: map[string]uint64{}}
		for e, err := range view.Entries(ctx, n*tiles.Width, min(cp.Size, (n+1)*tiles.Width)) {
			if err != nil {
				return nil, err
			}
			out.add(keys, cp.Origin, e)
		}
		return out, nil
	}
	var digests []party.Digest
	unknown := map[string]uint64{}
	for n, r := range parallel.Ordered(ctx, 0, (cp.Size+tiles.Width-1)/tiles.Width, readers, read) {
		if r.Err != nil {
			return nil, r.Err
		}
		v.report.Statements += r.Value.good
		digests = append(digests, r.Value.digests...)
		for issuer, count := range r.Value.unknown {
			unknown[issuer] += count
		}
		for _, problem := range r.Value.problems {
			v.failed("signatures", "%s", problem)
		}
		v.progress.show(func() string {
			return fmt.Sprintf("verified the signatures of %d of %d statements", min(cp.Size, (n+1)*tiles.Width), cp.Size)
		})
	}
	v.summary("signatures", "%d statements are what their issuers signed", v.report.Statements)
	issuers := slices.Sorted(maps.Keys(unknown))
	for _, issuer := range issuers[:min(len(issuers), mostProblems)] {
		v.found("signatures", resultNotChecked, "%d statements of %s: give --issuer-key, or --roots for x5chain", unknown[issuer], issuer)
	}
	return digests, nil
}

func (s *signed) add(keys *signers, origin string, e tiles.Entry) {
	st, err := scitt.DecodeStatement(e.Data)
	if err == nil {
		err = keys.verify(st, origin)
	}
	switch {
	case err == nil:
		s.good++
	case errors.Is(err, errNotChecked):
		s.unknown[st.Issuer]++
	default:
		s.problems = append(s.problems, fmt.Sprintf("entry %d: %v", e.Index, err))
	}
	if d, ok := party.EnvelopeDigest(e.Data); ok {
		s.digests = append(s.digests, d)
	}
}
