//go:build !race

package main

// underRace reports whether the tests run with the race detector.
const underRace = false
