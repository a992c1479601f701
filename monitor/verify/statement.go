package verify

import (
	"context"
	"errors"
	"fmt"

	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/internal/printable"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
	"github.com/conmotion/conmotion/witness"
)

// statement makes the checks of one statement. A verdict means that there is nothing
// more to look at; what else failed is in the result and among the findings.
func (r *run) statement(ctx context.Context, s Statement) (out *scitt.Verification, verdict, err error) {
	st, verdict := scitt.DecodeStatement(s.Data)
	if verdict != nil {
		r.found("form", witness.Failed, "%v", verdict)
		return nil, verdict, nil
	}
	data, receipts := s.Data, append(st.Receipts, s.Receipts...)
	if len(s.Receipts) > 0 {
		data = scitt.AttachReceipts(st, receipts...)
	}
	verifier := r.Statements
	if r.quorum != nil {
		verifier.LogKeys = nil
		if out, verdict = r.quorum.Verify(&verifier, data, receipts); errors.Is(verdict, witness.ErrContent) {
			r.found("entry id", witness.Failed, "%v", verdict)
		}
	} else {
		verifier.LogKeys = r.keys.For(receipts)
		out, verdict = verifier.Verify(data)
	}
	if verdict != nil {
		return nil, verdict, nil
	}
	r.describe(st)
	r.signature(out)
	r.time(out)
	r.issuer(out)
	r.chain(out)
	if err := r.content(ctx, out); err != nil {
		return nil, nil, err
	}
	for _, receipt := range out.Receipts {
		r.seen++
		r.receipt(r.seen, receipt)
	}
	if len(out.Receipts) == 0 {
		r.found("receipt", witness.Failed, "the statement carries none")
	}
	if n := len(st.SignedReceipts); n > 0 {
		r.found("signed receipts", witness.NotChecked, "%s in the protected header, so not of this statement, which was signed later", plural.Verb(n, "receipt", "is", "are"))
	}
	return out, nil, nil
}

func (r *run) signature(out *scitt.Verification) {
	alg := scitt.AlgorithmName(out.Statement.Algorithm)
	switch {
	case out.SignatureErr == nil:
		source := map[string]string{
			"given":   "the key in --issuer-key",
			"did:jwk": "the key in the issuer's did:jwk",
			"did:key": "the key in the issuer's did:key",
			"x5chain": "the first certificate of x5chain, which leads to a root in --roots and was valid at iat",
		}[out.KeySource]
		r.found("signature", witness.OK, "%s, with %s", alg, source)
	case out.KeySource == "":
		r.found("signature", witness.NotChecked, "%v", out.SignatureErr)
	default:
		r.found("signature", witness.Failed, "%v", out.SignatureErr)
	}
}

// time reports whether the statement is to be accepted at the time of Statements.At.
func (r *run) time(out *scitt.Verification) {
	switch {
	case out.TimeErr != nil:
		r.found("time", witness.Failed, "%v", out.TimeErr)
	case out.Statement.Validity.Bounded():
		r.found("time", witness.OK, "exp and nbf allow it")
	}
}

// issuer tells why certificates speak for the issuer that the statement names,
// which is a condition of their key's being the issuer's.
func (r *run) issuer(out *scitt.Verification) {
	issuer := out.Statement.Issuer
	switch {
	case out.KeySource != "x5chain" || out.SignatureErr != nil:
	case did.Method(issuer) == did.MethodX509:
		r.found("issuer", witness.OK, "the certificates are those that the did:x509 describes")
	default:
		r.found("issuer", witness.OK, "the certificate was issued to %s", issuer)
	}
}

// chain checks x5chain when the issuer's key is known without it. That it is
// the key of its first certificate was checked with the signature.
func (r *run) chain(out *scitt.Verification) {
	st := out.Statement
	if st.X5Chain == nil || out.KeySource == "x5chain" {
		return
	}
	if !r.Roots {
		r.found("x5chain", witness.NotChecked, "give the roots that you trust with --roots")
		return
	}
	path, err := r.Statements.Anchors.Path(st)
	if err != nil {
		r.found("x5chain", witness.Failed, "%v", err)
		return
	}
	r.found("x5chain", witness.OK, "%s, valid at iat", path.Leaf().Subject)
}

func (r *run) receipt(n int, v scitt.ReceiptVerification) {
	name := fmt.Sprintf("receipt %d", n)
	switch {
	case v.Err == nil:
		detail, leaf := PlaceOf(v.Receipt), map[scitt.LeafMode]string{scitt.LeafEntry: "statement", scitt.LeafDigest: "statement's digest"}[v.Leaf]
		if v.Receipt.Subject != "" {
			detail += " of the log " + v.Receipt.Subject
		}
		if v.Receipt.Issuer != "" {
			detail += ", by " + v.Receipt.Issuer
		}
		if v.Receipt.IssuedAt != 0 {
			detail += ", at " + printable.Time(v.Receipt.IssuedAt)
		}
		if v.Receipt.PostQuantum() {
			leaf += "; " + scitt.AlgorithmName(v.Receipt.Algorithm)
		}
		r.found(name, witness.OK, "%s (the leaf is the %s)", detail, leaf)
	case errors.Is(v.Err, scitt.ErrTime):
		r.found(name, witness.NotChecked, "%v, so it counts for nothing", v.Err)
	case errors.Is(v.Err, scitt.ErrUnknownKey) && r.quorum == nil && len(r.logs) == 0:
		r.found(name, witness.NotChecked, "no keys of a log are known; give --log, --static or --keys")
	case errors.Is(v.Err, scitt.ErrUnknownKey):
		r.found(name, witness.NotChecked, "%v", v.Err)
	default:
		r.found(name, witness.Failed, "%v", v.Err)
	}
}

// PlaceOf tells people where a Receipt has the entry.
func PlaceOf(r *scitt.Receipt) string {
	if index, size, ok := r.Place(); ok {
		return fmt.Sprintf("entry %d of %d", index, size)
	}
	return fmt.Sprintf("the transaction of a CCF ledger with the evidence %q", r.Ledger[0].Evidence)
}
