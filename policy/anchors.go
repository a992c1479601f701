package policy

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/conmotion/conmotion/internal/jsonx"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
)

// trustKey is a key of trust_anchors.keys.
type trustKey struct {
	id     string
	kids   [][]byte // the identifiers by which a statement may name it
	public crypto.PublicKey
	pos    int
}

func (k *trustKey) answersTo(kid []byte) bool {
	return slices.ContainsFunc(k.kids, func(id []byte) bool { return bytesEqual(id, kid) })
}

func (p *Policy) readAnchors(d *decoder, n *node, path string) {
	ids := map[string]bool{}
	// named reads an array of objects that have an id each.
	named := func(n *node, path string, f func(n *node, path, id string) fields, required ...string) {
		d.each(n, path, func(n *node, path string) {
			var id string
			if m := n.member("id"); m != nil {
				id = m.text
				if ids[id] {
					d.errorf(m.pos, path+".id", "%s is there twice", quote(id))
				}
				ids[id] = true
			}
			members := f(n, path, id)
			members["id"] = d.text(&id)
			d.object(n, path, members, append(required, "id")...)
		})
	}
	d.object(n, path, fields{
		"self_certifying": d.texts(&p.methods, func(s string) error {
			if !slices.Contains([]string{did.MethodJWK, did.MethodKey, did.MethodX509}, s) {
				return fmt.Errorf("%s is none of %s, %s, %s", quote(s), did.MethodJWK, did.MethodKey, did.MethodX509)
			}
			return nil
		}),
		"keys": func(n *node, path string) {
			named(n, path, func(n *node, path, id string) fields {
				if (n.member("jwk") == nil) == (n.member("cose_key") == nil) && n.kind == jsonx.Object {
					d.errorf(n.pos, path, "expected either jwk or cose_key")
				}
				add := func(n *node, path string, key scitt.Key, err error) {
					if err != nil {
						d.errorf(n.pos, path, "%v", err)
						return
					}
					p.addKey(d, n, path, id, key)
				}
				return fields{
					"jwk":      func(n *node, path string) { k, err := d.jwk(n); add(n, path, k, err) },
					"cose_key": func(n *node, path string) { k, err := coseKey(n.text); add(n, path, k, err) },
				}
			})
			if len(p.keys) > maxKeys {
				d.errorf(n.pos, path, "%d keys, and %d are allowed", len(p.keys), maxKeys)
			}
		},
		"x509_roots": func(n *node, path string) {
			named(n, path, func(n *node, path, id string) fields {
				return fields{"pem": func(n *node, path string) { p.addRoot(d, n, path) }}
			}, "pem")
		},
		"x509_certificates": func(n *node, path string) {
			named(n, path, func(n *node, path, id string) fields {
				return fields{"pem": func(n *node, path string) { p.addCertificates(d, n, path) }}
			}, "pem")
		},
	})
}

// jwk reads a JSON Web Key. A statement may name it by its thumbprint or by
// the text of its kid.
func (d *decoder) jwk(n *node) (scitt.Key, error) {
	if n.kind != jsonx.Object {
		return scitt.Key{}, fmt.Errorf("expected an object, found %s", article(n.kind))
	}
	public, err := did.ParseJWK([]byte(n.json))
	if err != nil {
		return scitt.Key{}, err
	}
	if kid := n.member("kid"); kid != nil && kid.kind == jsonx.String && kid.text != "" {
		return scitt.Key{ID: []byte(kid.text), Public: public}, nil
	}
	return scitt.NewKey(public)
}

func coseKey(s string) (scitt.Key, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return scitt.Key{}, errors.New("expected a COSE_Key in unpadded base64url")
	}
	return scitt.ParseKey(raw)
}

func (p *Policy) addKey(d *decoder, n *node, path, id string, key scitt.Key) {
	thumbprint, err := scitt.NewKey(key.Public)
	if err == nil {
		_, err = scitt.AlgorithmFor(key.Public)
	}
	if err != nil {
		d.errorf(n.pos, path, "%v", err)
		return
	}
	for _, kid := range [][]byte{key.ID, thumbprint.ID} {
		for _, other := range p.keys {
			if other.answersTo(kid) {
				d.errorf(n.pos, path, "the key answers to the same kid as the key %s", quote(other.id))
				return
			}
		}
	}
	p.keys = append(p.keys, &trustKey{id: id, kids: [][]byte{thumbprint.ID, key.ID}, public: key.Public, pos: n.pos})
}

// certificates reads PEM and nothing but PEM certificates.
func certificates(text string) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	rest := []byte(text)
	for len(strings.TrimSpace(string(rest))) > 0 {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil || block.Type != "CERTIFICATE" {
			return nil, errors.New("expected certificates in PEM and nothing else")
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(out)+1, err)
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, errors.New("expected a certificate in PEM")
	}
	return out, nil
}

func (p *Policy) addRoot(d *decoder, n *node, path string) {
	certs, err := certificates(n.text)
	switch {
	case err != nil:
		d.errorf(n.pos, path, "%v", err)
	case len(certs) != 1:
		d.errorf(n.pos, path, "%d certificates where one is expected", len(certs))
	case !certs[0].IsCA:
		d.errorf(n.pos, path, "the certificate of %s is not that of a CA", quote(certs[0].Subject.String()))
	default:
		p.roots = append(p.roots, certs[0])
	}
}

// addCertificates makes a chain known to which statements may refer by x5t.
func (p *Policy) addCertificates(d *decoder, n *node, path string) {
	certs, err := certificates(n.text)
	if err != nil {
		d.errorf(n.pos, path, "%v", err)
		return
	}
	var chain [][]byte
	for _, c := range certs {
		chain = append(chain, c.Raw)
	}
	if p.known == nil {
		p.known = map[[sha256.Size]byte][][]byte{}
	}
	p.known[sha256.Sum256(chain[0])] = chain
}
