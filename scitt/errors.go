package scitt

import (
	"errors"

	"github.com/conmotion/conmotion/scitt/internal/pubkey"
)

// The reasons for which bytes are refused. Every error of this package wraps
// one of them; [ProblemOf] turns it into what SCRAPI answers.
var (
	ErrMalformed      = pubkey.ErrMalformed
	ErrAlgorithm      = pubkey.ErrAlgorithm
	ErrNoKeyID        = errors.New("the statement names no key")
	ErrPayloadMissing = errors.New("the payload is missing")
	ErrTooLarge       = errors.New("the statement is too large")
	ErrSignature      = errors.New("the signature does not verify")
	ErrUnknownKey     = errors.New("no key with that identifier")
	ErrProof          = errors.New("the proof does not verify")
	ErrCheckpoint     = errors.New("the checkpoint does not verify")
	ErrTime           = errors.New("not valid at this time")
)

// ErrUnchecked is wrapped, beside ErrUnknownKey, when a reader knows too little of
// an issuer to check a signature. It says nothing about the statement.
var ErrUnchecked = errors.New("the signature could not be checked")

// ErrCompromised is wrapped, beside ErrUnknownKey and ErrUnchecked, when a Receipt is
// by a key that others may have: its thief can sign invented trees of any size. A
// fresh Receipt, a checkpoint of the log that holds the entry, or other logs that
// vouch for it can show what this one cannot.
var ErrCompromised = errors.New("the key is compromised, and what it signed proves nothing alone")

// ErrNoReceipts says that a checkpoint, which verifies, is not one from which
// Receipts can be made. It says nothing about the log: others than this project's have none.
var ErrNoReceipts = errors.New("the checkpoint carries no tree signature by a known key, so no receipt can be made from it")

// ErrRegistered says that the log holds the content with another signature of
// its issuer. A Receipt of that entry does not fit the statement.
var ErrRegistered = errors.New("the content is already registered with another signature")

// What a log may answer to a statement that is fine. Both are safe to retry.
var (
	ErrBusy        = errors.New("the log is busy")
	ErrUnavailable = errors.New("the log cannot store entries now")
)

func malformed(format string, args ...any) error {
	return pubkey.Malformed(format, args...)
}
