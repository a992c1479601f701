// Package kms is what opens keys in programs that may link the SDKs of clouds.
package kms

import (
	"github.com/conmotion/conmotion/keys"
	"github.com/conmotion/conmotion/keys/awskms"
	"github.com/conmotion/conmotion/keys/gcpkms"
	"github.com/conmotion/conmotion/keys/helper"
)

// Openers opens keys in AWS KMS and Google Cloud KMS in this process, and those of
// PKCS #11 in another one.
func Openers() map[string]keys.Opener {
	return map[string]keys.Opener{"awskms": awskms.Open, "gcpkms": gcpkms.Opener(), "pkcs11": helper.Open}
}
