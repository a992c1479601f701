package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/conmotion/conmotion/internal/jsonx"
	"github.com/conmotion/conmotion/scitt"
)

// The ids of the checks that are not rules of the document.
const (
	CheckType        = "type"         // typ names a kind that only the service or an administrator registers
	CheckSize        = "size"         // limits.max_entry_bytes
	CheckAlgorithm   = "algorithm"    // limits.algorithms
	CheckIssuer      = "issuer"       // issuers
	CheckKey         = "key"          // trust_anchors: the key or certificate
	CheckSignature   = "signature"    // the issuer's signature, and its form: signature
	CheckSubject     = "subject"      // issuers[].subjects
	CheckContentType = "content_type" // issuers[].content_types
	CheckChain       = "chain"
	CheckArtifact    = "artifact"
	CheckOCSF        = "ocsf"
	CheckPayload     = "payload"  // of a policy statement: the document
	CheckPrevious    = "previous" // of a policy statement: the policy it replaces
)

var builtin = []string{CheckType, CheckSize, CheckAlgorithm, CheckIssuer, CheckKey, CheckSignature, CheckSubject,
	CheckContentType, CheckChain, CheckArtifact, CheckOCSF, CheckPayload, CheckPrevious}

// Admit judges a statement: its signature with the key that the policy
// resolves, and then everything else. It is a pure function of the statement,
// the policy and the facts: it reads no clock and no network.
//
// It gives nil when the statement is admitted, a *Refusal with every failing
// check when it is not, and an error that wraps ErrFacts when it cannot tell.
// While the signature has not been verified nothing that costs more than it is
// looked at: a stranger's statement is refused for the stranger alone.
//
// A statement whose typ is that of policies or keys is refused: AdmitPolicy
// and scitt.KeysInForce.Next judge those.
func (p *Policy) Admit(s *scitt.Statement, facts Facts) error {
	e := evaluation{p: p, s: s, facts: facts}
	if err := e.run(); err != nil {
		return err
	}
	return e.refusal()
}

// Explain is Admit that says what every check found. Its error wraps ErrFacts.
func (p *Policy) Explain(s *scitt.Statement, facts Facts) (*Report, error) {
	e := evaluation{p: p, s: s, facts: facts, verbose: true}
	if err := e.run(); err != nil {
		return nil, err
	}
	return &e.report, nil
}

func (e *evaluation) run() error {
	g, known := e.identify()
	if known {
		e.signature(g)
	}
	if !e.report.Signed {
		return nil
	}
	return e.content()
}

// identify is what comes before the signature: it looks at the headers alone.
func (e *evaluation) identify() (g *grant, known bool) {
	switch e.s.Type {
	case scitt.TypePolicy, scitt.TypeKeys:
		e.fail(CheckType, nil, "leave out typ (16), or register it as an administrator of the policy",
			"a statement of type %s is judged as such and not as an ordinary one", e.s.Type)
		return nil, false
	case scitt.TypeHandover:
		if !e.mayHandOver() {
			return nil, false
		}
	}
	if g, known = e.p.grantFor(e.s.Issuer); known {
		e.pass(CheckIssuer)
	} else {
		e.fail(CheckIssuer, nil, "sign as an issuer that the policy lists, or ask an administrator to add this one",
			"the policy does not list the issuer %s", quote(e.s.Issuer))
	}
	e.limits()
	if known {
		e.grant(g)
	}
	return g, known
}

// content is what comes behind the signature.
func (e *evaluation) content() error {
	e.chain()
	e.artifactStored()
	e.checkOCSF()
	for _, r := range e.p.rules {
		e.rule(r)
	}
	return e.factsErr
}

func (e *evaluation) limits() {
	if size := len(e.s.Entry()); size > e.p.maxEntry {
		e.fail(CheckSize, nil, "sign the SHA-256 of the content as an RFC 9995 hash envelope",
			"the entry has %d bytes and the policy allows %d", size, e.p.maxEntry)
	} else {
		e.pass(CheckSize)
	}
	e.algorithm()
}

func (e *evaluation) algorithm() {
	if alg := scitt.AlgorithmName(e.s.Algorithm); !slices.Contains(e.p.algorithms, alg) {
		allowed := strings.Join(e.p.algorithms, ", ")
		e.fail(CheckAlgorithm, scitt.ErrAlgorithm, "sign with one of "+allowed, "the policy does not allow %s, only %s", alg, allowed)
	} else {
		e.pass(CheckAlgorithm)
	}
}

// grant holds the statement to what its issuer may sign.
func (e *evaluation) grant(g *grant) {
	if e.handover != nil {
		return // it speaks of the chain, whatever its issuer may speak of there
	}
	switch {
	case g.subjects == nil:
	case matchAny(g.subjects, e.s.Subject):
		e.pass(CheckSubject)
	default:
		e.fail(CheckSubject, nil, "use a subject that fits one of "+list(g.subjects),
			"the issuer may not speak of the subject %s", quote(e.s.Subject))
	}
	switch {
	case g.contentTypes == nil:
	case matchAny(g.contentTypes, baseType(e.s.ContentType)):
		e.pass(CheckContentType)
	default:
		e.fail(CheckContentType, nil, "use one of the content types "+list(g.contentTypes),
			"the issuer may not sign content of type %s", quote(e.s.ContentType))
	}
}

func (e *evaluation) signature(g *grant) {
	by, err := e.p.anchors.Signer(e.s, g.known(e.s.Issuer))
	if err != nil {
		e.fail(CheckKey, err, "sign with a key that the policy has for the issuer, and name it in the protected header", "%v", err)
		return
	}
	e.pass(CheckKey)
	if !slices.Contains(e.p.algorithms, scitt.AlgorithmName(e.s.Algorithm)) {
		return // already refused, and the algorithm may be a weak one
	}
	if e.p.form == lowS && !e.s.LowS() {
		e.fail(CheckSignature, scitt.ErrSignature, "replace s by n-s, where n is the order of the curve: the signature stays valid, and so does the entry id; conmotion sign does so",
			"s of the %s signature is high (more than n/2), and the policy asks for low s", scitt.AlgorithmName(e.s.Algorithm))
		return
	}
	if err := e.s.VerifySignature(by.Public); err != nil {
		e.fail(CheckSignature, err, "sign again with the key that the statement names", "%v", err)
		return
	}
	e.pass(CheckSignature)
	e.signer, e.path = by.Public, by.Path
	e.report.Signed = true
}

// chain holds the statement to the head of its chain.
func (e *evaluation) chain() {
	link := e.s.Chain
	if e.p.chain == modeOff || e.p.chain == modeOptional && link == nil {
		return
	}
	if link == nil {
		e.fail(CheckChain, nil, `put "chain" = [name, seq, prev] into the protected header; [name, 0, nil] begins a chain`,
			"the policy requires each statement to continue a chain of its issuer")
		return
	}
	head, err := e.chainHead()
	if err != nil || e.handover != nil && !e.handsOver(head) {
		return
	}
	if head == nil {
		if link.Seq != 0 {
			e.fail(CheckChain, nil, fmt.Sprintf("begin it with [%s, 0, nil]", quote(link.Name)),
				"gap: seq is %d and the issuer has no chain %s in this log", link.Seq, quote(link.Name))
			return
		}
		e.pass(CheckChain)
		return
	}
	next := head.Seq + 1
	reason, fix := "", fmt.Sprintf("link to the head with [%s, %d, %v]", quote(link.Name), next, head.ID)
	switch {
	case head.Given != "":
		reason, fix = "the chain was handed over, and its issuer adds nothing to it any more", "sign with the key that it was handed over to"
	case link.Seq == 0:
		reason = "restart: the chain has begun already"
	case link.Seq < next:
		reason = fmt.Sprintf("fork: seq %d is taken", link.Seq)
	case link.Seq > next:
		reason = fmt.Sprintf("gap: seq is %d where %d comes next", link.Seq, next)
	case !bytesEqual(link.Prev, head.ID[:]):
		reason = "wrong prev: it is not the entry id of the head"
	default:
		e.pass(CheckChain)
		return
	}
	if head.Pending {
		e.note(ErrPending)
		return
	}
	e.fail(CheckChain, nil, fix, "%s; the head of the chain %s is seq %d, entry %v at index %d", reason, quote(link.Name), head.Seq, head.ID, head.Index)
}

func (e *evaluation) artifactStored() {
	if e.p.artifact != modeRequired || e.s.Envelope == nil {
		return
	}
	a, err := e.storedArtifact()
	switch {
	case err != nil:
	case a == nil:
		e.fail(CheckArtifact, nil, "store the content in artifact storage first, then register its hash",
			"the content of the hash envelope is not stored (hash algorithm %d, digest %x)", e.s.Envelope.Algorithm, e.s.Payload)
	default:
		e.pass(CheckArtifact)
	}
}

// rule evaluates one rule. An expression that cannot be evaluated is a
// refusal, and so is one that costs too much.
func (e *evaluation) rule(r *rule) {
	out, details, err := r.program.Eval(e)
	if e.verbose && details != nil && details.ActualCost() != nil {
		e.report.Cost += *details.ActualCost()
	}
	switch {
	case err != nil:
		e.fail(r.id, nil, "make this true: "+r.expr, "%s (it cannot be evaluated: %s)", r.message, jsonx.Cut(err.Error(), 300))
	case out.Value() != true:
		e.fail(r.id, nil, "make this true: "+r.expr, "%s", r.message)
	default:
		e.pass(r.id)
	}
}

// refusal is nil when nothing failed.
func (e *evaluation) refusal() error {
	r := &Refusal{causes: e.causes}
	for _, f := range e.report.Findings {
		if f.Outcome == Failed {
			r.Failed = append(r.Failed, f)
		}
	}
	if len(r.Failed) == 0 {
		return nil
	}
	return r
}

func (e *evaluation) pass(check string) {
	if e.verbose {
		e.report.Findings = append(e.report.Findings, Finding{Check: check, Outcome: Passed})
	}
}

func (e *evaluation) fail(check string, cause error, fix, format string, args ...any) {
	e.report.Findings = append(e.report.Findings, Finding{check, Failed, fmt.Sprintf(format, args...), fix})
	if cause != nil {
		e.causes = append(e.causes, cause)
	}
}

// AsRefusal gives the refusal in an error, nil when it holds none.
func AsRefusal(err error) *Refusal {
	r, _ := errors.AsType[*Refusal](err)
	return r
}
