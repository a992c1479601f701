// Package daemon puts a Transparency Service together on a directory: keys,
// log, index, policy, metrics and HTTP handler.
package daemon

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/conmotion/conmotion/internal/plain"
	"github.com/conmotion/conmotion/personality"
	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/policy/ocsf"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/artifact"
	"github.com/conmotion/conmotion/storage/index"
	"github.com/conmotion/conmotion/tiles"
)

// Config says what to run. A zero number means the default of package storage.
type Config struct {
	// Dir has the index and the search index, and the keys, the log and the
	// artifacts unless Keys, Storage and Artifacts say otherwise.
	Dir, Keys string
	// Storage is the bucket of the log: see [aws.ParseBucket]. Database is the one
	// that goes with it: see [aws.ParseDatabase]. Its password is in a file or in
	// the environment: see [DatabasePassword].
	Storage, Database, DatabasePasswordFile string
	// Lease is how long another instance waits for a writer that does not renew
	// its lease on a database.
	Lease time.Duration
	// Advertise is the URL under which other instances reach this one; when it is
	// empty it follows from DefaultIssuer.
	Advertise string
	// Artifacts is the bucket of artifacts, which nobody else may read.
	Artifacts string
	// Snapshots is the bucket of snapshots of the index, which nobody else may read;
	// "" for none. SnapshotEntries is how many entries the log grows by, at least,
	// before the next one.
	Snapshots       string
	SnapshotEntries uint64
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

	ArtifactMaxSize, ArtifactQuota int64  // bytes; 0 for no limit
	ArtifactWriters                string // file of token hashes; "" for everybody
	ArtifactReaders                Readers

	// WitnessPolicy is a file (C2SP tlog-policy) with the witnesses that cosign each
	// checkpoint, for at most WitnessTimeout, before it is public; "" for none. With
	// Unwitnessed it is public without their quorum too.
	WitnessPolicy  string
	WitnessTimeout time.Duration
	Unwitnessed    bool
	// Early, when not nil, is called with what serves the log's tiles before there is a
	// service: a witness that judges them cosigns no sooner, and the service waits for it.
	Early func(tiles http.Handler)

	// CheckpointInterval is longer by default with witnesses: see witnessedInterval.
	BatchMaxAge, CheckpointInterval, Wait time.Duration
	BatchMaxSize, Pushback                uint
	Rate                                  float64
	Burst                                 int
	Queue                                 time.Duration // see personality.Config
	BodyMemory                            int64         // bytes; see personality.Config

	// KeyOpeners open the service's keys that are not in files: see [keyDir].
	KeyOpeners KeyOpeners

	Logger *slog.Logger
}

// closeTimeout is how long closing waits for the log to publish what it holds.
const closeTimeout = time.Minute

// Daemon is a running service.
type Daemon struct {
	*personality.Service
	Readiness *readiness
	Search    *SearchHealth // nil without Config.Search
	// New says that the log was made just now.
	New bool

	dir       *storage.Dir
	keys      keyDir
	place     *place
	index     *index.Index
	log       *storage.Log
	artifacts artifact.Storage
	temporary string // directory with a copy of the index; "" for none
	search    *searching
	founder   personality.Founder
	options   []policy.Option
	inForce   func(context.Context) (*personality.InForce, error) // by the log
	logger    *slog.Logger
	writing   sync.Mutex // of the configuration

	// The log's keys: see rekey.go.
	keyed      atomic.Pointer[keyState]
	sharedKeys bool         // instances share their directory
	witnessed  bool         // there are witnesses, which know the note key
	rekeying   sync.Mutex   // guards what is below, and changes of keys
	signs      storage.Keys // what the log signs with
	vkeys      []string     // its verifier keys, as a keys statement has them

	// The role: see role.go.
	lease     time.Duration
	elsewhere *elsewhere
	writer    atomic.Pointer[storage.Writer]
	running   context.Context // ended by stop
	stop      context.CancelFunc
	kept      sync.WaitGroup
	endOnce   sync.Once
	lost      chan struct{}
	why       error
}

// Open opens everything, and makes what is missing. It returns when the
// service knows everything that was stored before.
func Open(ctx context.Context, c Config, t *Telemetry) (d *Daemon, err error) {
	dir, err := storage.OpenDir(c.Dir)
	if err != nil {
		return nil, err
	}
	d = &Daemon{dir: dir, Readiness: &readiness{}, logger: c.Logger, lease: c.Lease, lost: make(chan struct{})}
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
	if d.keys, err = keysOf(ctx, &c, dir, t.signs); err != nil {
		return d, err
	}
	id, err := loadIdentity(ctx, d.keys, d.place, &c)
	if err != nil {
		return d, err
	}
	k, err := loadKeys(ctx, d.keys, d.place, id)
	if err != nil {
		return d, err
	}
	if err := d.keys.warnShared(c.Logger); err != nil {
		return d, err
	}
	verifiers, err := scitt.NewCheckpointVerifiers(k.vkeys)
	if err != nil {
		return d, err
	}
	d.sharedKeys, d.witnessed = c.Keys != "", c.WitnessPolicy != ""
	signer, err := scitt.NewTreeSigner(k.receipt, id.Issuer, id.Origin, time.Now, nil)
	if err != nil {
		return d, err
	}
	d.signs = storage.Keys{Signer: k.note, Tree: signer, Verifiers: verifiers}
	treeVKey, err := scitt.TreeVKey(id.Origin, k.receipt.Public())
	if err != nil {
		return d, err
	}
	d.vkeys = []string{k.vkeys[0], treeVKey}
	serviceKey, err := scitt.NewKey(k.service.Public())
	if err != nil {
		return d, err
	}
	witnesses, err := d.openWitnesses(ctx, &c, k.vkeys[0], t)
	if err != nil {
		return d, err
	}
	if witnesses != nil && c.Early != nil {
		c.Early(personality.Tiles(d.place.files, d.directories(c), c.Logger))
	}
	d.elsewhere = newElsewhere(id.Issuer, c.Wait, c.Logger)
	if err := d.openLog(ctx, &c, scitt.KeySet{serviceKey}, storage.Options{
		Keys: d.signs, Witnesses: witnesses, Unwitnessed: c.Unwitnessed,
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
	if d.options, err = schemaOption(ctx, c.OCSFSchema); err != nil {
		return d, err
	}
	if err := d.announce(ctx, k); err != nil {
		return d, err
	}
	shown, err := d.openKeys(ctx)
	if err != nil {
		return d, err
	}
	from := &sources{d.index, d.artifacts, scitt.PolicySubject(id.Origin), d.keysInForce, d.options}
	d.inForce = func(ctx context.Context) (*personality.InForce, error) { return d.bootstrap(ctx, &c, from) }
	inForce, err := d.inForce(ctx)
	if err != nil {
		return d, err
	}
	var writer http.Handler
	if d.replica() {
		writer = d.elsewhere
	}
	published := func() (uint64, time.Time) { return d.log.PublishedSize(), d.log.PublishedAt() }
	if err := t.service.Observe(t.Meter, published, d.index.Next); err != nil {
		return d, err
	}
	d.Service, err = personality.New(personality.Config{
		Issuer: id.Issuer, Origin: id.Origin, Keys: *shown, Policy: *inForce,
		Wait: c.Wait, RatePerSecond: c.Rate, Burst: c.Burst, Queue: c.Queue, BodyMemory: c.BodyMemory,
		Hidden: d.directories(c),
		Log:    d.log, Index: d.index, Files: d.place.files, Writer: writer,
		Metrics: t.service, Logger: c.Logger,
		Changed: func() error { return d.writeConfiguration(context.WithoutCancel(ctx)) }, Adjacent: adjacent,
	})
	if err != nil {
		return d, err
	}
	d.Readiness.watch(d.log, d.index, t.signs.Failing)
	d.running, d.stop = context.WithCancel(context.WithoutCancel(ctx))
	if err := d.startKeys(ctx); err != nil {
		return d, err
	}
	if d.place.shared != nil {
		d.kept.Go(func() { d.keep(d.running) })
	}
	if err := t.observeRole(d); err != nil || d.log.ReadOnly() == nil || d.replica() {
		return d, err
	}
	if err := d.writeWellKnown(ctx); err != nil {
		c.Logger.Warn("the files of keys and configuration are not up to date", "err", err)
	}
	return d, nil
}

// directories are those of the service, which nobody is told.
func (d *Daemon) directories(c Config) []string {
	full, err := filepath.Abs(c.Dir)
	if err != nil {
		full = c.Dir
	}
	return []string{c.Dir, full, d.temporary}
}

// bootstrap finds the Registration Policy in the log, or registers the first.
func (d *Daemon) bootstrap(ctx context.Context, c *Config, from *sources) (*personality.InForce, error) {
	first, err := firstPolicy(ctx, c.Policy, from.options...)
	if err != nil {
		return nil, err
	}
	document := first.Canonical()
	if c.FirstStatement || d.replica() {
		document = nil
	}
	var logged *personality.LoggedPolicy
	if err := d.while(ctx, func(ctx context.Context) (err error) {
		logged, err = d.founder.Bootstrap(ctx, d.log, d.index.Policies, document)
		return err
	}); err != nil {
		return nil, err
	}
	d.New = logged.New && !d.replica()
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

// mostInput is how many bytes are read of a file that a flag names.
const mostInput = 64 << 20

// schemaOption has policies check events with a schema from a file.
func schemaOption(ctx context.Context, path string) ([]policy.Option, error) {
	if path == "" {
		return nil, nil
	}
	data, err := plain.ReadInput(ctx, path, mostInput)
	if err != nil {
		return nil, fmt.Errorf("--ocsf-schema: %w", err)
	}
	schema, err := ocsf.Load(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("--ocsf-schema %s: %w", path, err)
	}
	return []policy.Option{policy.WithSchema(schema, sha256.Sum256(data))}, nil
}

func firstPolicy(ctx context.Context, path string, options ...policy.Option) (*policy.Policy, error) {
	if path == "" {
		return policy.Default(), nil
	}
	document, err := plain.ReadInput(ctx, path, mostInput)
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
	set, err := d.ShownKeys().Receipt.Marshal()
	if err != nil {
		return err
	}
	if err := d.place.Put(ctx, tiles.KeysPath, set); err != nil {
		return err
	}
	return d.writeConfiguration(ctx)
}

// writeConfiguration writes what is shown now: policy and keys may change at once, and the one
// that writes last has both.
func (d *Daemon) writeConfiguration(ctx context.Context) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	data, err := d.Configuration().Marshal()
	if err != nil {
		return err
	}
	return d.place.Put(ctx, tiles.ConfigurationPath, data)
}

// Place is where the log's public files lie, for people: a directory that any file
// server may show, or the URL of a bucket.
func (d *Daemon) Place() string { return d.place.name }

// ArtifactBytes is how much the stored artifacts take.
func (d *Daemon) ArtifactBytes() int64 { return d.artifacts.Used() }

// Close drains the log and lets go of the directory. Requests must have ended.
func (d *Daemon) Close() error {
	d.Readiness.Stop()
	if d.stop != nil {
		d.stop()
		d.kept.Wait()
	}
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
