//go:build !linux

package testwait

// InMemory leaves the temporary directories of tests where they are.
func InMemory() {}
