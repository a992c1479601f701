// Command cloudtest starts the servers of a cloud on this machine, and a log in them: see usage.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/conmotion/conmotion/internal/cloudtest/parts"
	"github.com/conmotion/conmotion/internal/testport"
)

const usage = `cloudtest starts an S3 server and a MariaDB server on free ports of this machine, two
instances of a service whose log is in a bucket there, and a proxy before them, to play
with: end the writer, and see the other one take over. Everything ends, and is removed,
with Ctrl-C, or when both instances have ended.

  go run ./internal/cloudtest           # the two instances
  go run ./internal/cloudtest --rate 0  # the same with more flags of conmotiond
  go run ./internal/cloudtest gcp       # the same with a GCS server and the emulator of Spanner
  go run ./internal/cloudtest faults    # tests of all that can go wrong with a writer, some minutes

It needs mariadbd and versitygw, or fake-gcs-server and the emulator, and says how to
install what is missing; faults uses all of them that are installed.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	args := os.Args[1:]
	var err error
	switch first := append(args, "")[0]; first {
	case "help", "-h", "--help":
		fmt.Print(usage)
	case "faults":
		err = faults(ctx)
	case "gcp":
		err = run(ctx, func() (parts.Cloud, error) { return parts.StartGCP(ctx) }, args[1:])
	default:
		err = run(ctx, func() (parts.Cloud, error) { return parts.StartAWS(ctx) }, args)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cloudtest:", err)
		os.Exit(1)
	}
}

// faults runs the tests that need real servers, all of them.
func faults(ctx context.Context) error {
	tests := exec.CommandContext(ctx, "go", "test", "-count=1", "-v", "-timeout=1h", "-run=TestReplica|TestTakeOver|TestWriterFaults|TestBetweenSteps|TestEvents|Bucket|Database|TestTooManyConnections|TestNoDDL|TestDriver|TestMigrate", "./cmd/conmotiond/...", "./storage/aws", "./storage/gcp")
	tests.Env = append(os.Environ(), "CONMOTION_FAULTS=all")
	tests.Stdout, tests.Stderr = os.Stdout, os.Stderr
	return tests.Run()
}

// run starts servers and instances with these flags beside their own, and waits for the end.
func run(ctx context.Context, start func() (parts.Cloud, error), args []string) error {
	p, err := start()
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
	for name, value := range p.Environment() {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	issuer := "http://" + l.Addr().String()
	keys := exec.CommandContext(ctx, program, "keys", "--issuer", issuer, filepath.Join(dir, "keys"))
	keys.Stdout, keys.Stderr = os.Stdout, os.Stderr
	if err := keys.Run(); err != nil {
		return fmt.Errorf("make the keys: %w", err)
	}
	flags := append([]string{"--keys", filepath.Join(dir, "keys"), "--trusted-proxies", "127.0.0.1",
		"--storage", public.Location, "--artifacts", artifacts.Location, "--database", database}, args...)
	var addresses []string
	ended := make(chan error, 2)
	for i := range 2 {
		address, release, err := testport.Take()
		if err != nil {
			return err
		}
		defer release()
		service := exec.CommandContext(ctx, program, append([]string{"--dir", filepath.Join(dir, fmt.Sprint(i)), "--listen", address}, flags...)...)
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
		addresses = append(addresses, address)
		fmt.Printf("instance %d is process %d, http://%s\n", i, service.Process.Pid, address)
	}
	go func() { _ = http.Serve(l, balancer(addresses)) }() // until this program ends
	fmt.Printf("the log's files are at %s, and the service at %s\nanother instance:\n ", public.URL, issuer)
	for name, value := range p.Environment() {
		fmt.Printf(" %s=%s", name, value) // of these servers only
	}
	fmt.Printf(" conmotiond --dir DIR --listen 127.0.0.1:8081 '%s'\n\n", strings.Join(flags, "' '"))
	var errs []error
	for range 2 {
		errs = append(errs, <-ended)
	}
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(errs...)
}

// balancer hands requests to the instances in turns, and to another one where one has ended.
func balancer(addresses []string) http.Handler {
	var turn atomic.Uint64
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: "instance"})
			r.SetXForwarded()
		},
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, _ string) (c net.Conn, err error) {
			for range addresses {
				var d net.Dialer
				if c, err = d.DialContext(ctx, network, addresses[turn.Add(1)%uint64(len(addresses))]); err == nil {
					break
				}
			}
			return c, err
		}},
	}
}
