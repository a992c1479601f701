//go:build !linux

package artifact

// syncAll gives nothing: each upload is made durable alone on this system.
func syncAll(string) (all, release func() error, err error) { return nil, nil, nil }
