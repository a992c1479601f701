// Package witness decides whom to believe: which logs vouch for a statement, and
// which witnesses cosigned a checkpoint, and whether they are enough. It is pure: no
// network, no disk, no clock.
//
// A [Quorum] counts logs, each with a Receipt of its own for one statement. A
// [Policy] counts witnesses, which cosigned one checkpoint of one log. They answer
// two questions: is the statement in several logs, and is everybody shown the same
// log. A reader may ask for both.
//
// Its rooms see more: package ask asks witnesses for cosignatures, and package audit
// replays the admission of every entry.
package witness
