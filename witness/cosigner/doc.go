// Package cosigner is a witness (C2SP tlog-witness): it cosigns the checkpoints of
// the logs that it knows, each only if it is consistent with all that it cosigned
// before.
//
// What makes that true is in three places: judge decides on a checkpoint and what
// is remembered, without any I/O; a [Store] replaces what is remembered by compare
// and set, durably; and [Witness.AddCheckpoint] gives a cosignature out only after
// that. A crash between the two leaves a State whose cosignature nobody has, which
// is harmless: the log is told the new size (409), and asks again.
package cosigner
