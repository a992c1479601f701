//go:build !linux

package main

// prepareDisk has nothing to do: tests with disks of their own are for Linux.
func prepareDisk(string) error { return nil }
