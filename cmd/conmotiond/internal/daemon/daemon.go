// Package daemon puts a Transparency Service together on a directory: keys,
// log, index, policy, metrics and HTTP handler.
package daemon

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/conmotion/conmotion/personality"
	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/policy/ocsf"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/index"
	"github.com/conmotion/conmotion/tiles"
)

// Config says what to run. A zero number means the default of package storage.
type Config struct {
	// Dir has the keys, the index and the search index, and the log and the
	// artifacts unless Storage and Artifacts say otherwise.
	Dir string
	// Storage is the bucket of the log: see [aws.ParseBucket]. Database is the one
	// that goes with it: see [aws.ParseDatabase]. Its password is in a file or in
	// the environment: see [DatabasePassword].
	Storage, Database, DatabasePasswordFile string
	// Lease is how long another instance waits for a writer that does not renew
	// its lease on a database.
	Lease time.Duration
	// Artifacts is the bucket of artifacts, which nobody else may read.
	Artifacts string
	// Issuer and Origin are fixed when the log is made; when empty they are
	// those of the log, or DefaultIssuer and what follows from it.
	Issuer, Origin, DefaultIssuer string
	Policy                        string // file of the first Registration Policy
	OCSFSchema                    string // file of a compiled OCSF schema, in place of the built-in one
	// FirstStatement starts a new log without a policy: its first statement
	// is its policy, and is accepted unchecked.
	FirstStatement bool

	// Search has the service answer GET /search from an index of its own log.
	Search bool

	ArtifactMaxSize, ArtifactQuota   int64  // bytes; 0 for no limit
	ArtifactWriters, ArtifactReaders string // files of token hashes; "" for everybody

	BatchMaxAge, CheckpointInterval, Wait time.Duration
	BatchMaxSize, Pushback                uint
	Rate                                  float64
	Burst                                 int
	Queue                                 time.Duration // see personality.Config
	BodyMemory                            int64         // bytes; see personality.Config

	Logger *slog.Logger
}

// closeTimeout is how long closing waits for the log to publish what it holds.
const closeTimeout = time.Minute

// Daemon is a running service.
type Daemon struct {
	*personality.Service
	Readiness *Readiness
	Search    *SearchHealth // nil without Config.Search
	// New says that the log was made just now.
	New bool

	dir       *storage.Dir
	place     *place
	index     *index.Index
	log       *storage.Log
	artifacts artifactStore
	temporary string // directory with a copy of the index; "" for none
	search    *searching
	founder   personality.Founder
	options   []policy.Option
}

// Open opens everything, and makes what is missing. It returns when the
// service knows everything that was stored before.
func Open(ctx context.Context, c Config, t *Telemetry) (d *Daemon, err error) {
	dir, err := storage.OpenDir(c.Dir)
	if err != nil {
		return nil, err
	}
	d = &Daemon{dir: dir, Readiness: &Readiness{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	if _, err := os.Stat(dir.Private(foreignHome)); err == nil {
		return d, fmt.Errorf("the directory %s is of a search over somebody else's log; use another --dir", c.Dir)
	}
	if d.place, err = openPlace(ctx, &c, dir); err != nil {
		return d, err
	}
	id, err := loadIdentity(ctx, dir, d.place, &c)
	if err != nil {
		return d, err
	}
	k, err := loadKeys(ctx, dir, d.place, id)
	if err != nil {
		return d, err
	}
	for _, path := range sharedKeys(dir) {
		c.Logger.Warn("others on this machine may read a private key; chmod 600 it", "file", path)
	}
	verifiers, err := scitt.NewCheckpointVerifiers(k.vkeys)
	if err != nil {
		return d, err
	}
	signer, err := scitt.NewTreeSigner(k.receipt, id.Issuer, id.Origin, time.Now, t.service.Signed)
	if err != nil {
		return d, err
	}
	receiptKey, err := scitt.NewKey(k.receipt.Public())
	if err != nil {
		return d, err
	}
	keys := scitt.KeySet{receiptKey}
	if err := d.openLog(ctx, &c, keys, storage.Options{
		Signer: k.note, Tree: signer, Verifiers: verifiers,
		BatchMaxAge: c.BatchMaxAge, BatchMaxSize: c.BatchMaxSize,
		CheckpointInterval: c.CheckpointInterval, Pushback: c.Pushback,
		Logger: c.Logger,
	}); err != nil {
		return d, err
	}
	adjacent, err := d.openAdjacent(ctx, &c, t, id.Issuer)
	if err != nil {
		return d, err
	}
	c.FirstStatement = id.FirstStatement
	d.founder = personality.Founder{Issuer: id.Issuer, Origin: id.Origin, Key: k.service, Now: time.Now}
	if d.options, err = schemaOption(c.OCSFSchema); err != nil {
		return d, err
	}
	announced, err := d.founder.Announce(ctx, d.log, func() (*scitt.Keys, error) { return k.announced(dir) })
	if err != nil {
		return d, err
	}
	if err := k.check(dir, announced); err != nil {
		return d, err
	}
	inForce, err := d.bootstrap(ctx, &c, &sources{d.index, d.artifacts, scitt.PolicySubject(id.Origin), announced, d.options})
	if err != nil {
		return d, err
	}
	published := func() (uint64, time.Time) { return d.log.PublishedSize(), d.log.PublishedAt() }
	if err := t.service.Observe(t.Meter, published, d.index.Next); err != nil {
		return d, err
	}
	d.Service, err = personality.New(personality.Config{
		Issuer: id.Issuer, Origin: id.Origin, Keys: announced.Receipt, VKeys: k.vkeys, Policy: *inForce,
		KeysStatements: []scitt.ConfigurationKeys{{EntryID: announced.ID.String()}},
		Wait:           c.Wait, RatePerSecond: c.Rate, Burst: c.Burst, Queue: c.Queue, BodyMemory: c.BodyMemory,
		Hidden: []string{c.Dir, dirOf(c.Dir), d.temporary},
		Log:    d.log, Index: d.index, Files: d.place.files,
		Metrics: t.service, Logger: c.Logger,
		Changed: func(c *scitt.Configuration) error { return d.writeConfiguration(context.WithoutCancel(ctx), c) }, Adjacent: adjacent,
	})
	if err != nil {
		return d, err
	}
	d.Readiness.watch(d.log, d.index)
	if err := d.writeWellKnown(ctx); d.log.ReadOnly() == nil {
		return d, err
	} else if err != nil {
		c.Logger.Warn("the files of keys and configuration are not up to date", "err", err)
	}
	return d, nil
}

// openLog opens the index and the log, and waits until both know everything
// that was stored before.
func (d *Daemon) openLog(ctx context.Context, c *Config, service scitt.KeySet, o storage.Options) (err error) {
	verify, err := verifyEntry(service)
	if err != nil {
		return err
	}
	file := d.dir.Private("index.db")
	if d.dir.ReadOnly() != nil {
		if d.temporary, err = copyIndex(file); err != nil {
			return fmt.Errorf("%w: and no copy of the index can be made: %w", d.dir.ReadOnly(), err)
		}
		file = filepath.Join(d.temporary, filepath.Base(file))
	}
	if d.index, err = index.Open(ctx, file, verify, c.Logger); err != nil {
		return err
	}
	o.Antispam = d.index
	if d.log, err = storage.Open(ctx, d.place, o); err != nil {
		return err
	}
	if err := d.log.ReadOnly(); err != nil {
		c.Logger.Error("the log can be read, and nothing can be registered", "why", err)
	}
	size, err := d.log.IntegratedSize(ctx)
	if err != nil || size == 0 {
		return err
	}
	for {
		patience, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := d.index.Await(patience, size)
		cancel()
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return fmt.Errorf("catch up with the log: %w", err)
		}
		if err := d.index.Err(); errors.Is(err, fs.ErrNotExist) || errors.Is(err, tiles.ErrCorrupt) {
			return fmt.Errorf("the index has read %d of %d entries, and the log's files are damaged: put them back from a mirror or a backup: %w", d.index.Next(), size, err)
		}
		// It may take long, and it may be in vain until the disk is in order.
		c.Logger.Warn("not serving yet: the index reads the log", "read", d.index.Next(), "of", size, "err", d.index.Err())
	}
	if _, err := d.log.Await(ctx, size-1); err != nil {
		return fmt.Errorf("publish what was stored: %w", err)
	}
	return nil
}

// dirOf is the full path of a directory, or "".
func dirOf(dir string) string {
	full, err := filepath.Abs(dir)
	if err != nil {
		return ""
	}
	return full
}

// copyIndex copies the index into a temporary directory, for a log that can only be
// read. A crash leaves the directory there.
func copyIndex(file string) (dir string, err error) {
	if dir, err = os.MkdirTemp("", "conmotion-index-*"); err != nil {
		return "", err
	}
	for _, suffix := range []string{"", "-wal"} {
		if err == nil {
			err = copyFile(filepath.Join(dir, filepath.Base(file)+suffix), file+suffix)
		}
	}
	return dir, err
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it is built anew from the log
	}
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// bootstrap finds the Registration Policy in the log, or registers the first.
func (d *Daemon) bootstrap(ctx context.Context, c *Config, from *sources) (*personality.InForce, error) {
	first, err := firstPolicy(c.Policy, from.options...)
	if err != nil {
		return nil, err
	}
	document := first.Canonical()
	if c.FirstStatement {
		document = nil
	}
	logged, err := d.founder.Bootstrap(ctx, d.log, d.index.Policies, document)
	if err != nil {
		return nil, err
	}
	d.New = logged.New
	if logged.Statement == nil {
		return &personality.InForce{Policy: awaiting{from}}, nil
	}
	p, err := policy.FromStatement(logged.Statement, from.options...)
	if err != nil {
		return nil, fmt.Errorf("policy in force: entry %d: %w", logged.Index, err)
	}
	if c.Policy != "" && p.Hash() != first.Hash() {
		c.Logger.Warn("--policy is not the policy in force, which stands in the log and is not changed by a restart; see conmotion policy set", "file", c.Policy, "entry", logged.Index)
	}
	return &personality.InForce{Policy: admission{from, p}, Index: logged.Index, ID: logged.Statement.ID()}, nil
}

// schemaOption has policies check events with a schema from a file.
func schemaOption(path string) ([]policy.Option, error) {
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--ocsf-schema: %w", err)
	}
	schema, err := ocsf.Load(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("--ocsf-schema %s: %w", path, err)
	}
	return []policy.Option{policy.WithSchema(schema, sha256.Sum256(data))}, nil
}

func firstPolicy(path string, options ...policy.Option) (*policy.Policy, error) {
	if path == "" {
		return policy.Default(), nil
	}
	document, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--policy: %w", err)
	}
	p, err := policy.Parse(document, options...)
	if err != nil {
		return nil, fmt.Errorf("--policy %s: %w", path, err)
	}
	return p, nil
}

// writeWellKnown puts the two well-known resources beside the tiles, so that
// a plain file server is enough for every Relying Party.
func (d *Daemon) writeWellKnown(ctx context.Context) error {
	set, err := d.Keys.Marshal()
	if err != nil {
		return err
	}
	if err := d.place.Put(ctx, tiles.KeysPath, set); err != nil {
		return err
	}
	return d.writeConfiguration(ctx, d.Configuration())
}

func (d *Daemon) writeConfiguration(ctx context.Context, c *scitt.Configuration) error {
	data, err := c.Marshal()
	if err != nil {
		return err
	}
	return d.place.Put(ctx, tiles.ConfigurationPath, data)
}

// RecoveryKey is the file of the recovery key that the first start makes.
func (d *Daemon) RecoveryKey() string { return d.dir.Private(recoveryKeyFile) }

// Place is where the log's public files lie, for people: a directory that any file
// server may show, or the URL of a bucket.
func (d *Daemon) Place() string { return d.place.name }

// Lost is closed when another instance is the log's writer, or should be; LostWhy says
// how it came. This one has to be opened again.
func (d *Daemon) Lost() <-chan struct{} { return d.place.lost }

// LostWhy says why the log was lost.
func (d *Daemon) LostWhy(ctx context.Context) error { return d.place.Ready(ctx) }

// PublicDir is the directory that any file server may show, of a log in one.
func (d *Daemon) PublicDir() string { return d.dir.Public() }

// ArtifactBytes is how much the stored artifacts take.
func (d *Daemon) ArtifactBytes() int64 { return d.artifacts.Used() }

// Close drains the log and lets go of the directory. Requests must have ended.
func (d *Daemon) Close() error {
	d.Readiness.Stop()
	var errs []error
	if d.search != nil {
		errs = append(errs, d.search.close())
	}
	if d.log != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		errs = append(errs, d.log.Close(ctx))
	}
	if d.index != nil {
		errs = append(errs, d.index.Close())
	}
	if d.temporary != "" {
		errs = append(errs, os.RemoveAll(d.temporary))
	}
	if d.place != nil {
		errs = append(errs, d.place.close())
	}
	if d.artifacts != nil {
		errs = append(errs, d.artifacts.Close())
	}
	return errors.Join(append(errs, d.dir.Close())...)
}
