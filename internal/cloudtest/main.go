// Command cloudtest starts an S3 server and a MariaDB server on free ports of this
// machine, and a service whose log is in a bucket there, to play with. Everything
// ends, and is removed, with Ctrl-C.
//
// It needs mariadbd and versitygw; it says how to install what is missing.
package main

import (
	"context"
	"fmt"
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
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "cloudtest:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	p, err := parts.Start(ctx)
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
	service := exec.CommandContext(ctx, program, "--dir", filepath.Join(dir, "data"), "--storage", public.Location, "--artifacts", artifacts.Location, "--database", database)
	service.Stdout, service.Stderr = os.Stdout, os.Stderr
	service.Env = os.Environ()
	for name, value := range p.Environment() {
		service.Env = append(service.Env, name+"="+value)
	}
	service.Cancel = func() error { return service.Process.Signal(syscall.SIGTERM) } // it drains
	service.WaitDelay = time.Minute
	if err := service.Run(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("conmotiond: %w", err)
	}
	return nil
}
