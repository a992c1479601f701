// Package parts starts what a log in a cloud is made of, on free ports of this
// machine: an S3 server and a MariaDB server, or a GCS server and the emulator of
// Spanner. Tests that need what is not installed are skipped, and say what to
// install.
package parts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/conmotion/conmotion/internal/testport"
)

// ErrMissing says which program is not installed, and how to install it.
var ErrMissing = errors.New("not installed")

// Cloud is the servers of one cloud.
type Cloud interface {
	// NewBucket makes a bucket. When it is public everybody may read its objects.
	NewBucket(ctx context.Context, public bool) (Bucket, error)
	// NewDatabase makes a database that one may do everything in, and gives its URL,
	// without a password.
	NewDatabase(ctx context.Context) (string, error)
	// Tables is the number of tables in a database.
	Tables(ctx context.Context, database string) (int, error)
	// Environment is what a process needs to reach them.
	Environment() map[string]string
	// Servers are HOST:PORT of the database and of the bucket's server, as flags and
	// Environment have them.
	Servers() (database, bucket string)
	// Stop ends the servers and removes what they stored.
	Stop()
}

// Bucket is a bucket of a server.
type Bucket struct {
	// Location is what --storage takes, and what is read is at URL.
	Location, URL, Name string
	// Objects are the keys of all objects, and their tags.
	Objects func(ctx context.Context) (map[string]string, error)
	// Write replaces an object.
	Write func(ctx context.Context, key string, data []byte) error
	// Client is that of S3; nil for a bucket of another cloud.
	Client *s3.Client
}

// servers are running servers, with a directory of theirs.
type servers struct {
	dir string

	mu   sync.Mutex
	stop []func()
}

// Stop ends the servers.
func (p *servers) Stop() {
	for _, stop := range p.stop {
		stop()
	}
	_ = os.RemoveAll(p.dir) // in a temporary directory, whatever stays
}

// start runs what starts servers, at the same time.
func (p *servers) start(all ...func() error) (err error) {
	if p.dir, err = os.MkdirTemp("", "cloud"); err != nil {
		return err
	}
	errs := make([]error, len(all))
	var group sync.WaitGroup
	for i, f := range all {
		group.Go(func() { errs[i] = f() })
	}
	group.Wait()
	if err = errors.Join(errs...); err != nil {
		p.Stop()
	}
	return err
}

// find finds a program, also where go install puts it.
func find(name, how string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	places := []string{filepath.Join("/usr/sbin", name), filepath.Join(os.Getenv("GOBIN"), name),
		filepath.Join("/usr/lib/google-cloud-sdk/bin/cloud_spanner_emulator", name)}
	for _, dir := range filepath.SplitList(os.Getenv("GOPATH")) {
		places = append(places, filepath.Join(dir, "bin", name))
	}
	if home, err := os.UserHomeDir(); err == nil {
		places = append(places, filepath.Join(home, "go", "bin", name))
	}
	for _, path := range places {
		if _, err := exec.LookPath(path); err == nil && filepath.IsAbs(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is %w: %s", name, ErrMissing, how)
}

// run starts a server and waits until ready is nil.
func (p *servers) run(ctx context.Context, ready func() error, env []string, name string, args ...string) (kill func(), err error) {
	var output bytes.Buffer
	cmd := exec.CommandContext(context.WithoutCancel(ctx), name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &output, &output
	endWithParent(cmd)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	var why error
	go func() {
		why = cmd.Wait()
		close(ended)
	}()
	kill = func() {
		_ = cmd.Process.Kill() // it has ended already, or it ends now
		<-ended
	}
	p.mu.Lock()
	p.stop = append(p.stop, kill)
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := ready()
		if err == nil {
			return kill, nil
		}
		select {
		case <-ended:
			return nil, fmt.Errorf("%s ended: %w: %s", filepath.Base(name), why, output.String())
		case <-ctx.Done():
			return nil, fmt.Errorf("%s: %w: %w", filepath.Base(name), ctx.Err(), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// address is HOST:PORT for a server, until all of them are stopped.
func (p *servers) address() (string, error) {
	address, release, err := testport.Take()
	if err != nil {
		return "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stop = append(p.stop, release)
	return address, nil
}
