// Package search is the architecture's Adjacent Service for Search: an index
// over the entries of any log, by what their headers and payloads say.
//
// It stays out of the trust path. The index is made from the log and from
// nothing else (and from artifacts, where statements sign only a hash), so
// when its file is missing or damaged it is built anew and answers as before.
// While it reads the log it recomputes the Merkle tree, and it answers only up
// to a published checkpoint whose root it has found itself; each answer names
// that checkpoint. [Verify] checks an answer against the log.
//
// # Queries
//
// A query is a set of conditions on one entry, all of which must hold. As URL
// parameters:
//
//	entry=HEX             the entry id
//	iss=TEXT sub=TEXT     the CWT claims, exactly
//	kid=HEX|BASE64URL     the key id
//	typ=TEXT              the header parameter typ (16)
//	content_type=TEXT     of the payload, or of the preimage of a hash envelope
//	policy=HEX            the Registration Policy in force: the entry id of the last policy before the entry
//	artifact=HEX          the digest that a hash envelope signs; "sha256:" may stand before it
//	chain=NAME[:SEQ]      the chain, or one record of it
//	class_uid=NUMBER      of an OCSF event
//	event_code=TEXT       metadata.event_code of an OCSF event
//	asset=TEXT            of an OCSF event: an asset that it is about, by its uid or its uid_alt there
//	from=TIME to=TIME     event time (the payload's time): from is included, to is not
//	index_from=N index_to=N   places in the log: index_from is included, index_to is not
//	f.PATH=[OP]VALUE      a field of the payload
//	q=WORDS               words of the payload's text or of the subject, all of them, in any order and case
//	order=ORDER           asc (the default) or desc by index; time-asc or time-desc by event time
//	limit=N               of entries in one answer, 1 to 1000; 50 by default
//	after=CURSOR          continues after an earlier answer, which gave this as next
//
// TIME is RFC 3339, or milliseconds since 1970. Only f.PATH may be repeated.
// Entries without an event time stand in its order where the oldest do.
//
// PATH names the members of objects, joined by dots; arrays are looked
// through, so that f.resources.uid=x asks whether any resource has the uid x.
// Members of a CBOR map that are not named by text have the decimal number or
// the text form of their key. Where a JSON object has a member twice, each counts.
// A path has at most 512 bytes; of values below a longer one only the words are found.
//
// OP is one of
//
//	=         equal; also when there is no OP, so that a VALUE which begins with an operator is written f.a==>x
//	> >= < <= larger or smaller: VALUE is a number or an RFC 3339 time
//
// A VALUE is equal to a string with the same characters, to a number of the
// same value (3, 3.0 and 3e0 are the same), to the booleans true and false and
// to null by those words, and to a CBOR byte string by its unpadded base64url
// (RFC 8949 section 6.1). Numbers are compared as IEEE 754 doubles, except that
// integers beyond 2^53 are equal only to themselves. A time is compared with
// strings that are RFC 3339 times, and with numbers as milliseconds since 1970
// (OCSF's timestamp_t). Two conditions on one path may be met by two elements
// of an array.
//
// A word is a longest run of letters, digits and combining marks, without regard to
// case; a character of a script that does not separate words (Han, Hiragana,
// Katakana, Thai) is a word of its own.
//
// Payloads are read when they are JSON or CBOR by their media type, inline or
// from artifact storage; of text/* the words are read. Nothing else of a
// payload is: such entries are found by their headers, and their content
// member says why. Artifacts are asked for when the entry is indexed; one that
// is stored later is found after the index was built anew.
//
// # The index
//
// SQLite keeps three things. FTS5 has the words of each entry, and every other
// term as a keyed hash (64 bits of SHA-256, with a key that each database draws
// for itself) of a kind, a path and a value: term.go. A chance that two terms
// among 10^8 meet in one query is 10^-11, and nobody who does not know the key can
// make them meet. Numbers stand in blocks by their path, for comparisons and the
// order of event times: number.go. Rows hold what an answer shows of each entry,
// with a table of what many have in common: store.go. Counts by issuer and so on
// are an ordinary table. How the log is followed, and what becomes of a damaged
// file, is in package storage/internal/projection.
package search
