// Package scitt is the language of a SCITT Transparency Service: it turns the
// bytes of Signed Statements, Receipts, Transparent Statements, checkpoints
// and problem details into meaning and back, and verifies them.
//
// It does no I/O, starts no goroutine and imports no log engine and no cloud
// SDK, so that a Relying Party can build a verifier from this package alone.
//
// # Signed Statement
//
// A Signed Statement (RFC 9943 section 6.1) is a tagged COSE_Sign1:
//
//	Signed_Statement = #6.18([
//	    protected   : bstr .cbor {
//	        1  => int,                    ; alg: see [Algorithms]
//	        15 => {1 => tstr, 2 => tstr}, ; CWT Claims with iss and sub
//	        (4 => bstr // 34 => [int, bstr] // 33 => bstr / [2*bstr]), ; kid, x5t or x5chain
//	        * label => any },
//	    unprotected : {* label => any},
//	    payload     : bstr,
//	    signature   : bstr ])
//
// # Entry
//
// What the log stores, the Entry, is the statement with an empty unprotected
// header (RFC 9943 section 6.3) in one fixed encoding: tag 18, an array of
// four, definite and shortest lengths, the bytes of the protected header as
// they were received. Its leaf hash is SHA-256(0x00 || entry) (RFC 9162
// section 2.1.1). Its [EntryID] is the
// SHA-256 of what the issuer signed, the Sig_structure (RFC 9052 section 4.4).
//
// # Receipt
//
// A Receipt (RFC 9942 section 4) is a tagged COSE_Sign1 whose detached payload is the
// root of the Merkle tree:
//
//	Receipt = #6.18([
//	    protected   : bstr .cbor {
//	        1 => int, 4 => bstr, 395 => 1,
//	        15 => {1 => iss, 2 => origin of the log, 6 => time of signing} },
//	    unprotected : {396 => {-1 => [+ bstr .cbor
//	                      [tree_size: uint, leaf_index: uint, [+ bstr]]]}},
//	    payload     : nil,
//	    signature   : bstr ])
//
// Nothing in it but the proof depends on the statement. A service therefore
// signs once for each checkpoint; that signature, a Receipt without its
// unprotected header, is a [TreeSignature] and travels in the checkpoint as
// one more signature line, so that anybody can assemble the Receipt of any
// entry from static files.
package scitt
