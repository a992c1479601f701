package vectors

import (
	"crypto"
	"fmt"

	"github.com/conmotion/conmotion/scitt"
)

// handover is a chain of three statements: its first one, that by which its issuer gives
// it, and that by which the new issuer takes it.
func handover() (out []*statementVector, err error) {
	from, err := newKey("ES256", "issuer")
	if err != nil {
		return nil, err
	}
	to, err := newKey("EdDSA", "issuer-2")
	if err != nil {
		return nil, err
	}
	h := scitt.Handover{Chain: "assets"}
	if h.From, err = issuerOf(from); err != nil {
		return nil, err
	}
	if h.To, err = issuerOf(to); err != nil {
		return nil, err
	}
	if h.Key, err = scitt.Thumbprint(to.Public()); err != nil {
		return nil, err
	}
	payload, err := h.Marshal()
	if err != nil {
		return nil, err
	}
	link := scitt.ChainLink{Name: h.Chain}
	for i, name := range []string{"first of a chain", "its issuer gives it", "the new issuer takes it"} {
		o := scitt.SignOptions{Subject: h.Chain + "/handover", IssuedAt: at, Chain: &link, Type: scitt.TypeHandover, ContentType: scitt.MediaTypeHandover}
		key, content := from, payload
		switch i {
		case 0:
			o.Subject, o.Type, o.ContentType, content = "urn:example:asset-17", "", "", []byte("0")
		case 2:
			key = to
		}
		data, err := scitt.SignStatement(key, o, content)
		if err != nil {
			return nil, fmt.Errorf("vectors: %s: %w", name, err)
		}
		s, err := scitt.ParseStatement(data)
		if err != nil {
			return nil, fmt.Errorf("vectors: %s: %w", name, err)
		}
		v, err := newStatement(name, key, s)
		if err != nil {
			return nil, fmt.Errorf("vectors: %s: %w", name, err)
		}
		id := s.ID()
		out, link = append(out, v), scitt.ChainLink{Name: h.Chain, Seq: link.Seq + 1, Prev: id[:]}
	}
	return out, nil
}

// issuerOf is the issuer of what a key signs.
func issuerOf(key crypto.Signer) (string, error) {
	data, err := scitt.SignStatement(key, scitt.SignOptions{Subject: "issuer"}, nil)
	if err != nil {
		return "", fmt.Errorf("vectors: %w", err)
	}
	s, err := scitt.ParseStatement(data)
	if err != nil {
		return "", fmt.Errorf("vectors: %w", err)
	}
	return s.Issuer, nil
}
