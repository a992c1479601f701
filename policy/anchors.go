package policy

import (
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
	id    string
	names []scitt.Key // the key under each kid by which a statement may name it
	pos   int
}

// sharesKid reports whether a kid names both keys.
func (k *trustKey) sharesKid(other *trustKey) bool {
	return slices.ContainsFunc(k.names, func(a scitt.Key) bool {
		return slices.ContainsFunc(other.names, func(b scitt.Key) bool { return bytesEqual(a.ID, b.ID) })
	})
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
	k, err := did.ParseJWK([]byte(n.json))
	return scitt.Key(k), err
}

func coseKey(s string) (scitt.Key, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return scitt.Key{}, errors.New("expected a COSE_Key in unpadded base64url")
	}
	return scitt.ParseKey(raw)
}

func (p *Policy) addKey(d *decoder, n *node, path, id string, key scitt.Key) {
	thumbprint, err := scitt.Thumbprint(key.Public)
	if err != nil {
		d.errorf(n.pos, path, "%v", err)
		return
	}
	k := &trustKey{id: id, pos: n.pos, names: []scitt.Key{{ID: thumbprint, Public: key.Public, Algorithm: key.Algorithm}}}
	if key.ID != nil && !bytesEqual(key.ID, thumbprint) {
		k.names = append(k.names, key)
	}
	for _, other := range p.keys {
		if bytesEqual(other.names[0].ID, thumbprint) {
			d.errorf(n.pos, path, "it is the same key as %s", quote(other.id))
			return
		}
	}
	p.keys = append(p.keys, k)
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
	case did.CheckKey(certs[0]) != nil:
		d.errorf(n.pos, path, "%v", did.CheckKey(certs[0]))
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
	if _, err := did.ParseChain(chain); err != nil {
		d.errorf(n.pos, path, "%v", err)
		return
	}
	if p.known == nil {
		p.known = map[[sha256.Size]byte][][]byte{}
	}
	p.known[sha256.Sum256(chain[0])] = chain
}
