//go:build race

package main

// underRace: the race detector takes several times the memory of a program.
const underRace = true
