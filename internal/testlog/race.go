//go:build race

package testlog

// Race reports whether the race detector is on. A program takes ten times the
// time and the memory then.
const Race = true
