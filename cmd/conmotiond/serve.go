package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"k8s.io/klog/v2"

	"github.com/conmotion/conmotion/personality"
	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/index"
	"github.com/conmotion/conmotion/tiles"
)

const (
	shutdownTimeout = time.Minute
	bodyTimeout     = 30 * time.Second
)

// serve runs the service until the context ends, and then drains it.
func serve(ctx context.Context, c *config) (err error) {
	klog.SetSlogLogger(c.logger) // Tessera's way to log
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	defer listener.Close()
	t, err := newTelemetry()
	if err != nil {
		return err
	}
	ready := &readiness{}
	stopAdmin, err := serveAdmin(ctx, c, t, ready)
	if err != nil {
		return err
	}
	defer stopAdmin()

	svc, err := open(ctx, c, listener.Addr(), t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, svc.close()) }()
	ready.watch(svc.log, svc.index)
	svc.welcome(c)

	server := &http.Server{
		Handler:           svc.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       bodyTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	failed := make(chan error, 1)
	go func() {
		if c.tlsCert != "" {
			failed <- server.ServeTLS(listener, c.tlsCert, c.tlsKey)
		} else {
			failed <- server.Serve(listener)
		}
	}()
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	c.logger.Info("draining", "timeout", shutdownTimeout)
	ready.stop()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	// New connections are refused and those that wait get their Receipts; the
	// log is closed after that.
	return server.Shutdown(drain)
}

// running is a service with what it runs on.
type running struct {
	*personality.Service
	dir   *storage.Dir
	index *index.Index
	log   *storage.Log
	first bool // the log is new
}

// open opens everything, and makes what is missing.
func open(ctx context.Context, c *config, address net.Addr, t *telemetry) (svc *running, err error) {
	dir, err := storage.OpenDir(c.dir)
	if err != nil {
		return nil, err
	}
	svc = &running{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, svc.close())
		}
	}()
	id, err := loadIdentity(dir, c, address)
	if err != nil {
		return svc, err
	}
	k, err := loadKeys(dir, id.Origin)
	if err != nil {
		return svc, err
	}
	verifiers, err := scitt.NewCheckpointVerifiers(k.vkeys)
	if err != nil {
		return svc, err
	}
	signer, err := scitt.NewTreeSigner(k.receipt, id.Issuer, id.Origin, time.Now, t.service.Signed)
	if err != nil {
		return svc, err
	}
	if err := svc.openLog(ctx, c, storage.Options{
		Signer: k.note, Tree: signer, Verifiers: verifiers,
		BatchMaxAge: c.batchMaxAge, BatchMaxSize: c.batchMaxSize,
		CheckpointInterval: c.checkpointInterval, Pushback: c.pushback,
		Logger: c.logger,
	}); err != nil {
		return svc, err
	}
	inForce, err := svc.bootstrap(ctx, c, personality.Founder{Issuer: id.Issuer, Origin: id.Origin, Key: k.receipt, Now: time.Now})
	if err != nil {
		return svc, err
	}
	receiptKey, err := scitt.NewKey(k.receipt.Public())
	if err != nil {
		return svc, err
	}
	if err := t.observe(svc.log, svc.index); err != nil {
		return svc, err
	}
	svc.Service, err = personality.New(personality.Config{
		Issuer: id.Issuer, Origin: id.Origin, Keys: scitt.KeySet{receiptKey}, VKeys: k.vkeys, Policy: *inForce,
		Wait: c.wait, RatePerSecond: c.rate, Burst: c.burst,
		Log: svc.log, Index: svc.index, Files: http.Dir(dir.Public()),
		Metrics: t.service, Logger: c.logger,
	})
	if err != nil {
		return svc, err
	}
	return svc, svc.writeWellKnown()
}

// openLog opens the index and the log, and waits until both know everything
// that was stored before.
func (r *running) openLog(ctx context.Context, c *config, o storage.Options) (err error) {
	var rebuilt bool
	r.index, rebuilt, err = index.Open(ctx, r.dir.Private("index.db"))
	if err != nil {
		return err
	}
	if rebuilt {
		c.logger.Warn("the index could not be read; building it anew from the log")
	}
	o.Antispam = r.index
	if r.log, err = storage.Open(ctx, r.dir, o); err != nil {
		return err
	}
	size, err := r.log.IntegratedSize(ctx)
	if err != nil || size == 0 {
		return err
	}
	if behind := size - min(size, r.index.Next()); behind > 100_000 {
		c.logger.Info("the index reads the log", "entries", behind)
	}
	if err := r.index.Await(ctx, size); err != nil {
		return fmt.Errorf("catch up with the log: %w", err)
	}
	if _, err := r.log.Await(ctx, size-1); err != nil {
		return fmt.Errorf("publish what was stored: %w", err)
	}
	return nil
}

// bootstrap finds the Registration Policy in the log, or registers the first.
func (r *running) bootstrap(ctx context.Context, c *config, f personality.Founder) (*personality.InForce, error) {
	first, err := firstPolicy(c.policy)
	if err != nil {
		return nil, err
	}
	logged, err := f.Bootstrap(ctx, r.log, r.index.Policies, first)
	if err != nil {
		return nil, err
	}
	r.first = logged.New
	document := logged.Statement.Payload
	if !logged.New && c.policy != "" && !bytes.Equal(document, first) {
		c.logger.Warn("--policy is not the policy in force, which stands in the log and is not changed by a restart", "file", c.policy, "entry", logged.Index)
	}
	p, err := policy.Parse(document)
	if err != nil {
		return nil, fmt.Errorf("policy in force: entry %d: %w", logged.Index, err)
	}
	return &personality.InForce{Policy: admission{p}, Document: document, Index: logged.Index, ID: logged.Statement.ID()}, nil
}

func firstPolicy(path string) ([]byte, error) {
	if path == "" {
		return policy.Default(), nil
	}
	document, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--policy: %w", err)
	}
	if _, err := policy.Parse(document); err != nil {
		return nil, fmt.Errorf("--policy %s: %w", path, err)
	}
	return document, nil
}

// writeWellKnown puts the two well-known resources beside the tiles, so that
// a plain file server is enough for every Relying Party.
func (r *running) writeWellKnown() error {
	set, err := r.Keys.Marshal()
	if err != nil {
		return err
	}
	configuration, err := r.Configuration().Marshal()
	if err != nil {
		return err
	}
	if err := r.dir.WritePublic(tiles.KeysPath, set); err != nil {
		return err
	}
	return r.dir.WritePublic(tiles.ConfigurationPath, configuration)
}

// close drains the log and lets go of the directory.
func (r *running) close() error {
	var errs []error
	if r.log != nil {
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
		defer cancel()
		errs = append(errs, r.log.Close(ctx))
	}
	if r.index != nil {
		errs = append(errs, r.index.Close())
	}
	return errors.Join(append(errs, r.dir.Close())...)
}

func (r *running) welcome(c *config) {
	what := "serves"
	if r.first {
		what = "made"
	}
	fmt.Fprintf(c.stdout, `conmotiond %s the log %s in %s
  service   %s
  public    %s   (any file server may show it)
  policy    entry %d: %s
try
  go run ./cmd/conmotion keygen --out issuer.pem
  go run ./cmd/conmotion sign --key issuer.pem --sub my-first-asset --out s.cose README.md
  go run ./cmd/conmotion submit --log %s --out transparent.cose s.cose
  go run ./cmd/conmotion verify --log %s --payload README.md transparent.cose
`, what, r.Origin, c.dir, r.Issuer, r.dir.Public(), r.InForce().Index, r.InForce().ID, r.Issuer, r.Issuer)
}
