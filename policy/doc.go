// Package policy is the Registration Policy of a Transparency Service (RFC
// 9943 section 5.1.1): it reads policy documents, judges Signed Statements by
// them, and says why.
//
// A policy is a JSON document (docs/policy.md, docs/policy.schema.json) that is
// itself registered in the log. Whether a statement is admitted is a pure
// function of three things that every auditor has too: the statement, the
// policy in force at its index, and [Facts] that the log and the artifact
// storage hold. Nothing here reads a clock, a file or the network, starts a
// goroutine, or depends on the order of a Go map; the one time that counts, for
// certificates, is the statement's iat.
//
//	p, err := policy.Parse(document)
//	err = p.Admit(statement, facts) // nil, a *Refusal, or an ErrFacts
//
// Rules are CEL expressions of bounded cost. Everything that fails is reported,
// not only the first: see [Refusal].
package policy
