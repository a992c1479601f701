// Package keeper has the cosigners beside a witness whose word says more: a mirror
// keeps the log (C2SP tlog-mirror), and a judge replays every admission. Each has
// keys, a name and a state of its own: it is a [cosigner.Witness] that nobody asks but
// the keeper, when what it says is true.
package keeper
