package scitt

import "bytes"

// MediaTypeHandover is the content type of a handover.
const MediaTypeHandover = "application/vnd.conmotion.handover+cbor"

// Handover is the payload of the two statements by which a chain goes on under another
// issuer: docs/formats.md, section Handover of a chain. The old issuer gives the chain
// with its last statement in it, and the new one takes it with its first.
type Handover struct {
	Chain string `cbor:"chain"` // its name
	From  string `cbor:"from"`  // iss of the old issuer
	To    string `cbor:"to"`    // iss of the new one
	Key   []byte `cbor:"key"`   // COSE Key Thumbprint (RFC 9679) of the key that takes the chain
}

// Marshal encodes the handover. It fails where ParseHandover would.
func (h *Handover) Marshal() ([]byte, error) {
	switch {
	case h.Chain == "" || h.From == "" || h.To == "" || len(h.Key) != len(EntryID{}):
		return nil, malformed("a handover has chain, from, to, and key with 32 bytes")
	case h.From == h.To:
		return nil, malformed("a handover is from one issuer to another; the keys of an issuer whose name stays are those that the Registration Policy has for it")
	}
	return encode(h), nil
}

// ParseHandover reads the payload of a handover. It refuses every encoding but the
// deterministic one (RFC 8949 section 4.2.1). Errors wrap ErrMalformed.
func ParseHandover(data []byte) (*Handover, error) {
	h := &Handover{}
	if err := decMode.Unmarshal(data, h); err != nil {
		return nil, malformed("not a handover: %w", err)
	}
	again, err := h.Marshal()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, data) {
		return nil, malformed("the handover is not in deterministic CBOR with the members of docs/formats.md and no others")
	}
	return h, nil
}

// Handover is what a statement of type TypeHandover says. Errors wrap ErrMalformed: it
// is no handover, or one that does not fit its own header.
func (s *Statement) Handover() (*Handover, error) {
	if s.Type != TypeHandover || s.ContentType != MediaTypeHandover || s.Envelope != nil {
		return nil, malformed("a handover has the type %s, and its payload the content type %s", TypeHandover, MediaTypeHandover)
	}
	h, err := ParseHandover(s.Payload)
	switch {
	case err != nil:
		return nil, err
	case s.Chain == nil || s.Chain.Name != h.Chain:
		return nil, malformed("the handover of the chain %q is not part of that chain", h.Chain)
	case s.Issuer != h.From && s.Issuer != h.To:
		return nil, malformed("a handover is signed by the issuer that gives the chain, or by the one that takes it")
	}
	return h, nil
}

// GivenChain is the payload of a statement by which its issuer gives its chain away; ""
// for every other statement. Nothing of this issuer comes after it in the chain.
func (s *Statement) GivenChain() string {
	if s.Type != TypeHandover {
		return ""
	}
	if h, err := s.Handover(); err != nil || s.Issuer != h.From {
		return ""
	}
	return string(s.Payload)
}

// Other is the issuer that a handover names beside this one.
func (h *Handover) Other(issuer string) string {
	if issuer == h.From {
		return h.To
	}
	return h.From
}
