// Package conmotion is a SCITT Transparency Service whose log is a set of
// static files. The README is the way in.
package conmotion
