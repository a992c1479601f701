package party

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// Options say how logs are opened. The zero value trusts the keys beside a
// log's files and remembers nothing.
type Options struct {
	Home Home
	// VKeys are the verifier keys that are trusted. Without them those count
	// that the location showed when it was first opened, if Home remembers,
	// else those that it shows now.
	VKeys []string
	// Artifacts is the URL of a service with artifact storage, or a directory
	// of one. "" looks where the log is.
	Artifacts string
	// Token is for reading artifacts from a service.
	Token string
	// IssuerKeys verify the statements of issuers who are no did:jwk.
	IssuerKeys map[string]crypto.PublicKey
	HTTP       *http.Client
	// Notice, when not nil, is told what a person should know.
	Notice func(format string, args ...any)
	// Now is the clock; [time.Now] when nil.
	Now func() time.Time
}

func (o Options) notice(format string, args ...any) {
	if o.Notice != nil {
		o.Notice(format, args...)
	}
}

func (o Options) now() time.Time {
	if o.Now != nil {
		return o.Now()
	}
	return time.Now()
}

// Log is a log at its newest checkpoint, which has been verified, and held
// against what was seen of the log before.
type Log struct {
	Location string // URL or directory
	Files    *tiles.Log
	View     *tiles.View
	VKeys    []string // that are trusted
	// Configuration is what the log says about itself; nil when it shows
	// none. Nothing of it is verified but the keys that are in VKeys.
	Configuration *scitt.Configuration
	Artifacts     monitor.Artifacts // nil when there are none
	// Previous is the checkpoint that Home remembered of this location, which
	// the log extends; nil when it remembered none.
	Previous *scitt.Checkpoint

	verify func(*scitt.Statement) error
	keys   map[string]crypto.PublicKey
	http   *http.Client
}

// Open opens the log at a URL or in a directory. Its newest checkpoint must be
// signed by the trusted keys, and extend every one that Home remembers.
func Open(ctx context.Context, location string, o Options) (*Log, error) {
	src, err := tiles.Open(location, o.HTTP)
	if err != nil {
		return nil, err
	}
	if dir, ok := src.(tiles.Dir); ok {
		// What is remembered must not depend on the working directory.
		if location, err = filepath.Abs(string(dir)); err != nil {
			return nil, err
		}
	}
	l := &Log{Location: location, keys: o.IssuerKeys, http: o.HTTP}
	k, err := o.Home.known(location)
	if err != nil {
		return nil, err
	}
	if l.Configuration, err = configuration(ctx, src); err != nil {
		return nil, fmt.Errorf("%s: %w", location, err)
	}
	if err := l.chooseKeys(k, o); err != nil {
		return nil, err
	}
	verifiers, err := scitt.NewCheckpointVerifiers(l.VKeys)
	if err != nil {
		return nil, fmt.Errorf("keys of the log at %s: %w", location, err)
	}
	l.Files = tiles.NewLog(src, verifiers)
	cp, err := l.checkpoint(ctx)
	if err != nil {
		return nil, fmt.Errorf("the log at %s: %w", location, err)
	}
	before, err := l.remembered(k, o)
	if err != nil {
		return nil, err
	}
	l.Previous = before.here
	if err := before.contradict(cp, l, o); err != nil {
		return nil, err
	}
	if l.View, err = l.Files.At(ctx, cp); err != nil {
		return nil, fmt.Errorf("the log at %s: %w", location, err)
	}
	if err := l.compareHistory(ctx, k, before, o); err != nil {
		return nil, err
	}
	if l.Artifacts, err = openArtifacts(location, o); err != nil {
		return nil, err
	}
	l.verify = issuers(o.IssuerKeys)
	return l, nil
}

// configuration is what the log says about itself; nil when there is nothing.
func configuration(ctx context.Context, src tiles.Source) (*scitt.Configuration, error) {
	data, err := src.Get(ctx, tiles.ConfigurationPath)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c, err := scitt.ParseConfiguration(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", tiles.ConfigurationPath, err)
	}
	return c, nil
}

// chooseKeys decides which keys are trusted.
func (l *Log) chooseKeys(k *known, o Options) error {
	switch {
	case len(o.VKeys) > 0:
		l.VKeys = o.VKeys
	case l.Configuration == nil && k == nil:
		return fmt.Errorf("no keys for the log at %s: it has no %s%s; give its verifier keys", l.Location, tiles.ConfigurationPath, hint(l.Location))
	case k == nil:
		l.VKeys = l.Configuration.CheckpointKeys
		if o.Home != "" {
			o.notice("notice: the log at %s is new here; its keys are taken on first use and remembered in %s", l.Location, o.Home)
		} else {
			o.notice("notice: the keys are read from the same place as the log; whoever can change one can change both")
		}
	default:
		l.VKeys = k.VKeys
		if c := l.Configuration; c != nil && !sameKeys(c.CheckpointKeys, k.VKeys) {
			return fmt.Errorf("%w: %s showed others on %s. If its operator confirms the change, remove %s, or give the keys that you trust",
				ErrKeysChanged, l.Location, k.Since.Format(time.DateOnly), o.Home.logFile(l.Location))
		}
	}
	return nil
}

// hint helps who named the service's directory and not the public one in it.
func hint(location string) string {
	public := filepath.Join(location, "public")
	if _, err := os.Stat(filepath.Join(public, tiles.CheckpointPath)); err == nil {
		return fmt.Sprintf(" (did you mean %s?)", public)
	}
	return ""
}

// issuers verifies statements by their issuers' keys.
func issuers(keys map[string]crypto.PublicKey) func(*scitt.Statement) error {
	self := monitor.SelfCertified()
	return func(s *scitt.Statement) error {
		if key, ok := keys[s.Issuer]; ok {
			return s.VerifySignature(key)
		}
		return self(s)
	}
}

// Monitor is the log as package monitor reads it.
func (l *Log) Monitor() monitor.Log { return monitor.NewLog(l.View, l.Artifacts, l.verify) }

// VerifyStatement holds a statement to its issuer's signature.
func (l *Log) VerifyStatement(s *scitt.Statement) error { return l.verify(s) }

// At is the same log at another of its checkpoints, which the newest one must
// extend: root and size are all that need to be known of it.
func (l *Log) At(ctx context.Context, cp *scitt.Checkpoint) (monitor.Log, error) {
	if cp.Origin != l.View.Checkpoint.Origin {
		return monitor.Log{}, fmt.Errorf("%w: %s has %q, and %q is needed", ErrOtherLog, l.Location, l.View.Checkpoint.Origin, cp.Origin)
	}
	if err := l.View.Consistency(ctx, cp); err != nil {
		return monitor.Log{}, err
	}
	view, err := l.Files.At(ctx, cp)
	if err != nil {
		return monitor.Log{}, err
	}
	return monitor.NewLog(view, l.Artifacts, l.verify), nil
}

// ReceiptKeys are the keys whose Receipts count as this log's: those that it
// publishes and that are among its trusted verifier keys.
func (l *Log) ReceiptKeys(ctx context.Context) (scitt.KeySet, error) {
	data, err := l.Files.Source.Get(ctx, tiles.KeysPath)
	if err != nil {
		return nil, fmt.Errorf("receipt keys: %w", err)
	}
	set, err := scitt.ParseKeySet(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", tiles.KeysPath, err)
	}
	return slices.DeleteFunc(set, func(k scitt.Key) bool {
		vkey, err := scitt.TreeVKey(l.View.Checkpoint.Origin, k.Public)
		return err != nil || !slices.Contains(l.VKeys, vkey)
	}), nil
}

// Verifier verifies Transparent Statements of this log by an issuer.
func (l *Log) Verifier(ctx context.Context, issuer string) (*scitt.Verifier, error) {
	keys, err := l.ReceiptKeys(ctx)
	if err != nil {
		return nil, err
	}
	return &scitt.Verifier{LogKeys: keys, IssuerKey: l.keys[issuer], Leaf: []scitt.LeafMode{scitt.LeafEntry}}, nil
}

// IsURL says whether a location is a URL and no directory.
func IsURL(location string) bool {
	u, err := url.Parse(location)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}
