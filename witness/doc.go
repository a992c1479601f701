// Package witness decides whom to believe: which logs vouch for a statement, and
// whether they are enough. It is pure: no network, no disk, no clock.
//
// Its rooms see more: package audit replays the admission of every entry.
package witness
