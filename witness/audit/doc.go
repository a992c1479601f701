// Package audit replays a whole log from its static files and says which of
// its entries a Transparency Service should never have admitted.
//
// RFC 9943 section 5.1.1 has the Registration Policy in the log, so that an
// auditor can reproduce every admission. An entry is judged by the last policy
// before it; what else an admission depends on, the heads of chains and the
// service's keys, comes from the entries before it too. Nothing is believed
// but the signature of the checkpoint.
//
// A pass is a pipeline. Bundles are read and taken apart in parallel; then, in
// the order of the log, policies and keys come into force and duplicates are
// found; then signatures and rules are checked in parallel, each entry under
// its own policy; then, in order again, chains go on and violations are told.
//
// An entry counts as admitted when nothing is wrong with it. Only such a policy
// comes into force, and a chain may go on from its last admitted entry as well
// as from one behind it that was refused: what a dishonest operator slipped in
// is reported once, and does not make what follows look wrong.
//
// [Policies] replays the keys and policies only, by the same rules: what judged
// which entry, who signed it, and what should not be there.
package audit
