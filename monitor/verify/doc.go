// Package verify is a Relying Party at work: it holds a Transparent Statement (RFC
// 9943) to what the party trusts, which are keys of issuers, logs, a number of logs
// that have to vouch, and witnesses. It says what was checked, what was not and why,
// and what follows from that: verified, not verified, or no verdict.
//
// The checks themselves are those of packages scitt, tiles and witness. Details of
// findings are sentences for people, and name the options of the command conmotion
// verify where more could be given.
package verify
