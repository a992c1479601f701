// Package interop holds a verifier that shares no code with this module, and
// the test that it agrees with package scitt. The test needs Node.js and the
// build tag interop; see README.md.
package interop
