// Command cloudtest starts an S3 server and a MariaDB server on free ports of this
// machine, and two instances of a service whose log is in a bucket there, to play
// with: end the writer, and see the other one take over. Everything ends, and is
// removed, with Ctrl-C.
//
//	go run ./internal/cloudtest         # the two instances
//	go run ./internal/cloudtest faults  # tests of all that can go wrong with a writer, some minutes
//
// It needs mariadbd and versitygw, and says how to install what is missing; faults has
// the same done with fake-gcs-server and the emulator of Spanner where they are installed.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/conmotion/conmotion/internal/cloudtest/parts"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	what := run
	if len(os.Args) > 1 && os.Args[1] == "faults" {
		what = faults
	}
	if err := what(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "cloudtest:", err)
		os.Exit(1)
	}
}

// faults runs the tests that need real servers, all of them.
func faults(ctx context.Context) error {
	tests := exec.CommandContext(ctx, "go", "test", "-count=1", "-v", "-timeout=1h", "-run=TestReplica|TestTakeOver|TestWriterFaults|TestEvents|Bucket|Database|TestTooManyConnections|TestNoDDL|TestDriver|TestMigrate", "./cmd/conmotiond/...", "./storage/aws", "./storage/gcp")
	tests.Env = append(os.Environ(), "CONMOTION_FAULTS=all")
	tests.Stdout, tests.Stderr = os.Stdout, os.Stderr
	return tests.Run()
}

func run(ctx context.Context) error {
	p, err := parts.StartAWS(ctx)
	if err != nil {
		return err
	}
	defer p.Stop()
	public, err := p.NewBucket(ctx, true)
	if err != nil {
		return err
	}
	artifacts, err := p.NewBucket(ctx, false)
	if err != nil {
		return err
	}
	database, err := p.NewDatabase(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "conmotion-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "conmotiond")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/conmotiond")
	build.Stdout, build.Stderr = os.Stdout, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build conmotiond: %w", err)
	}
	fmt.Printf("public files: %s/checkpoint\ndatabase:     %s\n\n", public.URL, database)
	for name, value := range p.Environment() {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 2)
	for i := range 2 {
		data := filepath.Join(dir, fmt.Sprint(i))
		if i > 0 {
			if err := followable(ctx, public); err != nil {
				return err
			}
			if err := copyKeys(data, filepath.Join(dir, "0")); err != nil {
				return err
			}
		}
		service := exec.CommandContext(ctx, program, "--dir", data, "--listen", "127.0.0.1:0", "--trusted-proxies", "127.0.0.1",
			"--storage", public.Location, "--artifacts", artifacts.Location, "--database", database)
		service.Stdout, service.Stderr = os.Stdout, os.Stderr
		service.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}                        // Ctrl-C is for this program, which has it drain
		service.Cancel = func() error { return service.Process.Signal(syscall.SIGTERM) } // it drains
		service.WaitDelay = time.Minute
		if err := service.Start(); err != nil {
			return err
		}
		go func() {
			err := service.Wait()
			fmt.Printf("instance %d, process %d, ended: %v\n", i, service.Process.Pid, err)
			ended <- err
		}()
		fmt.Printf("instance %d is process %d\n", i, service.Process.Pid)
	}
	var errs []error
	for range 2 {
		errs = append(errs, <-ended)
	}
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(errs...)
}

// followable waits until the log in a bucket has its policy.
func followable(ctx context.Context, b parts.Bucket) error {
	for {
		answer, err := http.Get(b.URL + "/.well-known/transparency-configuration")
		if err != nil {
			return err
		}
		if err := answer.Body.Close(); err != nil || answer.StatusCode == http.StatusOK {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// copyKeys gives an instance what it needs of another one's.
func copyKeys(to, from string) error {
	if err := os.MkdirAll(filepath.Join(to, "private"), 0o700); err != nil {
		return err
	}
	for _, name := range []string{"service.json", "checkpoint-key.pem", "receipt-key.pem", "service-key.pem"} {
		data, err := os.ReadFile(filepath.Join(from, "private", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, "private", name), data, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
