//go:build !linux

package testwait

// inMemory leaves the temporary directories of tests where they are.
func inMemory() {}
