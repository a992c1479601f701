package party

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness"
)

// Options say how logs are opened. The zero value trusts the keys beside a
// log's files and remembers nothing.
type Options struct {
	Home Home
	// VKeys are verifier keys that are trusted, of this log or of several: those
	// count that have its origin as their name. They replace those that Home
	// remembers. Without them the remembered ones count, or else those that the
	// location shows now, on first use.
	VKeys []string
	// Among, when not nil, are other logs that are read together with this one.
	Among *Among
	// Origin, unless it is "", is that of the log that is meant. Nothing is taken
	// on first use of another one.
	Origin string
	// SomeVKeys opens a log that none of VKeys is of as if there were none.
	SomeVKeys bool
	// FirstKeys are taken on first use where the location shows no keys.
	FirstKeys []string
	// Witnesses are policies that demand a quorum of witnesses of each log that is
	// opened. Home remembers the one for a log, and demands it from then on.
	Witnesses []*witness.Policy
	// MaxAge, unless it is 0, is the most time since the quorum of witnesses saw the
	// checkpoint as the newest.
	MaxAge time.Duration
	// Newest refuses a location that shows fewer entries than were seen, even
	// when both are one history.
	Newest bool
	// Examine opens a log too whose checkpoint or keys statements are wrong, or
	// whose tiles are missing or wrong: see Log.Damage.
	Examine bool
	// Artifacts is the URL of a service with artifact storage, or a directory
	// of one. "" looks where the log is.
	Artifacts string
	// Token is for reading artifacts from a service; "" is the one that Home has for it.
	Token string
	// Limits bound the reading of one artifact.
	Limits reader.Limits
	// IssuerKeys verify the statements of issuers that are no did:jwk or did:key.
	IssuerKeys map[string]scitt.Key
	// Client is how URLs are asked.
	Client client.Options
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

// Log is a log at its newest checkpoint, which has been verified, and compared
// with what was seen of the log before.
type Log struct {
	Location   string // URL or directory
	Files      *tiles.Log
	Checkpoint *scitt.Checkpoint
	View       *tiles.View // at Checkpoint
	// Cosigned is the checkpoint with its quorum of witnesses; nil where none is demanded.
	Cosigned *witness.Cosigned
	VKeys    []string // that are trusted
	// FirstUse reports that VKeys are the log's own word, of now or of its first use.
	FirstUse bool
	// Configuration is what the log says about itself; nil when it shows
	// none. Nothing of it is verified but the keys that are in VKeys.
	Configuration *scitt.Configuration
	Artifacts     *reader.Reader // nil when there are none
	// Previous is the newest checkpoint that Home remembered of this log; nil
	// when it remembered none. The log extends it, or is an older state of it.
	Previous *scitt.Checkpoint
	// Damage is, with Options.Examine, why the checkpoint does not verify, the
	// tiles do not lead to it, or do not show that the log extends Previous, or its
	// keys statements are not valid or not those of the trusted keys. Then
	// View may be nil, and Checkpoint if it does not verify; nothing is remembered.
	Damage error

	policy  string // of witnesses, as it is remembered
	address string // of Location, as it is remembered
	// rotated is the refusal of VKeys that are shown in place of remembered ones,
	// unless the log announces them; nil when they are the remembered ones. See
	// followKeys.
	rotated   error
	announced *scitt.ConfigurationKeys // the last keys statement; nil when the log lists none
	// compromised are the thumbprints of keys that others may have, by that statement.
	compromised [][]byte
	verify      func(*scitt.Statement) error
	keys        map[string]scitt.Key
	client      client.Options
}

// Open opens the log at a URL or in a directory. Its newest checkpoint must be
// signed by the trusted keys, and be of one history with the newest that Home
// remembers of the log, from wherever: else the error is a [HistoryError]. It must
// have the quorum of witnesses that is demanded. Errors wrap [witness.ErrQuorum],
// [witness.ErrStale], ErrKeysChanged, [tiles.ErrOtherLog], ErrVKeys, ErrDamaged, the errors of
// package tiles, or those of reading files.
func Open(ctx context.Context, location string, o Options) (*Log, error) {
	src, err := tiles.Open(location, o.Client)
	if err != nil {
		return nil, err
	}
	if dir, ok := src.(tiles.Dir); ok {
		// What is remembered must not depend on the working directory.
		if location, err = filepath.Abs(string(dir)); err != nil {
			return nil, err
		}
	}
	l := &Log{Location: location, address: addressOf(location), keys: o.IssuerKeys, client: o.Client, verify: scitt.SelfCertifying(nil, nil).Verifier(o.IssuerKeys)}
	var unread error // a service without a log may have something else there
	if l.Configuration, unread = configuration(ctx, src); unread != nil && !errors.Is(unread, scitt.ErrMalformed) {
		return nil, fmt.Errorf("%s: %w", location, unread)
	}
	raw, err := src.Get(ctx, tiles.CheckpointPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the log at %s: %w: %w%s", location, ErrNoLog, err, hint(location))
	}
	if err != nil {
		return nil, fmt.Errorf("the log at %s: checkpoint: %w", location, err)
	}
	if unread != nil {
		return nil, fmt.Errorf("%s: %w", location, unread)
	}
	if o.Origin != "" && scitt.ClaimedOrigin(raw) != o.Origin {
		return nil, fmt.Errorf("the log at %s: %w: its checkpoint is of %.80q, and %q is meant", location, tiles.ErrOtherLog, scitt.ClaimedOrigin(raw), o.Origin)
	}
	here, named, err := o.Home.recall(l.address, scitt.ClaimedOrigin(raw))
	if err != nil {
		return nil, err
	}
	if err := l.chooseKeys(scitt.ClaimedOrigin(raw), here, named, o); err != nil {
		return nil, err
	}
	verifiers, err := scitt.NewCheckpointVerifiers(l.VKeys)
	if err != nil {
		if len(o.VKeys) > 0 {
			err = fmt.Errorf("%w: %w", ErrVKeys, err)
		}
		return nil, fmt.Errorf("keys of the log at %s: %w", location, err)
	}
	l.Files = tiles.NewLog(src, verifiers)
	switch l.Checkpoint, err = l.open(raw); {
	case err != nil && l.rotated != nil:
		return nil, fmt.Errorf("%w: %w", l.rotated, err)
	case o.Examine && errors.Is(err, scitt.ErrCheckpoint):
		l.Damage = err
		l.firstUse(here, named, o)
		return l, nil
	case err != nil:
		return nil, fmt.Errorf("the log at %s: %w", location, err)
	}
	if here != nil && here.Origin != l.Checkpoint.Origin {
		return nil, fmt.Errorf("%w: %s was %q on %s and is %q; if that is meant, remove %s", tiles.ErrOtherLog, location,
			here.Origin, here.Since.Format(time.DateOnly), l.Checkpoint.Origin, o.Home.logFile(here.Origin))
	}
	if err := l.witnessed(o); err != nil {
		return nil, err
	}
	if err := o.Among.add(l); err != nil {
		return nil, err
	}
	if err := l.settle(ctx, named, o); err != nil {
		return nil, err
	}
	l.firstUse(here, named, o)
	if l.Artifacts, err = o.OpenArtifacts(location); err != nil {
		return nil, err
	}
	return l, nil
}

// addressOf is how a URL, or the absolute path of a directory, is remembered.
func addressOf(location string) string { return strings.TrimRight(location, "/") }

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

// ErrNoLog is wrapped when there is no checkpoint at a location.
var ErrNoLog = errors.New("no checkpoint")

// errNoKeys is wrapped when nothing says which keys a log has.
var errNoKeys = errors.New("no keys")

// ErrVKeys is wrapped when Options.VKeys are not the verifier keys of a log.
var ErrVKeys = errors.New("the keys that were given")

// chooseKeys decides which keys are trusted: of a log that says to be origin, when
// here was at its address before and named is what is remembered of that origin.
func (l *Log) chooseKeys(origin string, here, named *KnownLog, o Options) error {
	if l.VKeys = slices.DeleteFunc(slices.Clone(o.VKeys), func(v string) bool { return !strings.HasPrefix(v, origin+"+") }); len(l.VKeys) > 0 {
		return nil
	}
	if len(o.VKeys) > 0 && !o.SomeVKeys {
		l.VKeys = o.VKeys // which open says
		return nil
	}
	var shown []string
	if l.Configuration != nil {
		shown = l.Configuration.CheckpointKeys
	}
	k := here
	if k == nil {
		k = named
	}
	changed := func() error {
		who := l.Location
		if here == nil {
			who = fmt.Sprintf("%s is of %q, which at %s", l.Location, k.Origin, k.Addresses[0])
		}
		return fmt.Errorf("%w: %s showed others on %s. If its operator confirms the change, remove %s, or give the keys that you trust",
			ErrKeysChanged, who, k.Since.Format(time.DateOnly), o.Home.logFile(k.Origin))
	}
	switch {
	case k == nil && len(shown)+len(o.FirstKeys) == 0:
		return fmt.Errorf("%w for the log at %s: it has no %s; give its verifier keys", errNoKeys, l.Location, tiles.ConfigurationPath)
	case k == nil:
		if l.VKeys, l.FirstUse = shown, true; len(shown) == 0 {
			l.VKeys = o.FirstKeys
		}
	case len(shown) == 0 || sameKeys(shown, k.VKeys):
		l.VKeys, l.FirstUse = k.VKeys, k.FirstUse
	case k.Origin == origin && k.Keys != nil && len(l.Configuration.Keys) > 0:
		l.VKeys, l.FirstUse, l.rotated = shown, k.FirstUse, changed() // followKeys decides
	case !k.FirstUse && !slices.ContainsFunc(k.VKeys, func(v string) bool { return !slices.Contains(shown, v) }):
		// A copy of the checkpoint could stand beside any other key.
		o.notice("notice: the log at %s shows more keys than were given for it; the others do not count. To take them, give all, or remove %s", l.Location, o.Home.logFile(k.Origin))
		l.VKeys = k.VKeys
	default:
		return changed()
	}
	return nil
}

// firstUse says whose word the keys are, when the log was not known.
func (l *Log) firstUse(here, named *KnownLog, o Options) {
	switch {
	case here != nil || named != nil || !l.FirstUse:
	case o.Home != "" && l.Damage == nil:
		o.notice("notice: the log at %s is new here; its keys are taken on first use and remembered in %s", l.Location, o.Home)
	default:
		o.notice("notice: the keys are read from the same place as the log; whoever can change one can change both")
	}
}

// hint helps whoever named the service's directory and not the public one in it.
func hint(location string) string {
	public := filepath.Join(location, "public")
	if _, err := os.Stat(filepath.Join(public, tiles.CheckpointPath)); err == nil {
		return fmt.Sprintf(" (did you mean %s?)", public)
	}
	return ""
}

// Monitor is the log as package monitor reads it.
func (l *Log) Monitor() monitor.Log { return l.monitor(l.View) }

// Origin is the log's name in its checkpoints.
func (l *Log) Origin() string { return l.View.Checkpoint.Origin }

// VerifyStatement holds a statement to its issuer's signature.
func (l *Log) VerifyStatement(s *scitt.Statement) error { return l.verify(s) }

// At is the same log at another of its checkpoints, which the newest one must
// extend: root and size are all that need to be known of it.
func (l *Log) At(ctx context.Context, cp *scitt.Checkpoint) (monitor.Log, error) {
	if cp.Origin != l.View.Checkpoint.Origin {
		return monitor.Log{}, fmt.Errorf("%w: %s has %q, and %q is needed", tiles.ErrOtherLog, l.Location, l.View.Checkpoint.Origin, cp.Origin)
	}
	if err := l.View.Consistency(ctx, cp); err != nil {
		return monitor.Log{}, err
	}
	view, err := l.Files.At(ctx, cp)
	if err != nil {
		return monitor.Log{}, err
	}
	return l.monitor(view), nil
}

// verifier verifies Transparent Statements of this log by an issuer, at a time.
func (l *Log) verifier(ctx context.Context, issuer string, at time.Time) (*scitt.Verifier, error) {
	keys, err := l.ReceiptKeys(ctx)
	if err != nil {
		return nil, err
	}
	return verifierAt(keys, l.keys, issuer, at), nil
}

func verifierAt(logs scitt.KeySet, issuers map[string]scitt.Key, issuer string, at time.Time) *scitt.Verifier {
	v := &scitt.Verifier{LogKeys: logs, Leaf: []scitt.LeafMode{scitt.LeafEntry}, At: at}
	if key, ok := issuers[issuer]; ok {
		v.IssuerKey = &key
	}
	return v
}

// Service is the URL of the Transparency Service whose log it is: what the log
// says of itself, or its own URL where it says nothing; "" when there is none. It
// is where Receipts may be found, and nothing to trust.
func (l *Log) Service() string {
	location := l.Location
	if l.Configuration != nil {
		location = l.Configuration.Issuer
	}
	if u, err := url.Parse(location); err != nil || !IsURL(location) || u.User != nil {
		return ""
	}
	return strings.TrimRight(location, "/")
}

// IsURL reports whether a location is a URL and no directory.
func IsURL(location string) bool {
	u, err := url.Parse(location)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// SamePlace reports whether two locations of logs are one: the same URL, or the same directory.
func SamePlace(a, b string) bool {
	if addressOf(a) == addressOf(b) || IsURL(a) || IsURL(b) {
		return addressOf(a) == addressOf(b)
	}
	absA, errA := filepath.Abs(a)
	absB, errB := filepath.Abs(b)
	return errA == nil && errB == nil && absA == absB
}
