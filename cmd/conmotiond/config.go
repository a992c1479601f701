package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/conmotion/conmotion/cmd/conmotiond/internal/daemon"
	"github.com/conmotion/conmotion/cmd/internal/kms"
	"github.com/conmotion/conmotion/cmd/internal/serving"
	"github.com/conmotion/conmotion/cmd/internal/version"
	"github.com/conmotion/conmotion/internal/printable"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/witness/ask"
)

// config is what flags and the configuration file say.
type config struct {
	daemon.Config
	server      serving.Options
	bootstrap   string
	witnessMode string
	searchOf    searchOf

	manageSocket, manageListen           string
	manageCert, manageKey, manageClients string
	stdout                               io.Writer
}

const long = `conmotiond runs a SCITT Transparency Service (RFC 9943, SCRAPI).

It checks Signed Statements against the Registration Policy, which is itself in
the log, sequences them with Tessera, and answers with Receipts (RFC 9942).
Without flags it serves a working log from ./conmotion-data on
http://127.0.0.1:8080, and makes what is missing: keys, the log, a first policy
that admits every statement whose issuer is a did:jwk.

With --search-of it is no Transparency Service, and has no keys and no policy:
it answers GET /search over the log of somebody else, from that log's static
files.

The directory has two parts. Everything in public/ may be shown by any file
server or mirrored with curl or rsync; nobody else may read private/. The first start
makes the service's keys there. Move one of them, private/recovery-key.pem, off
the machine: with it, and only with it, a stolen service key can be replaced.

Every flag can be in the file that --config names, under the same name:

    listen: 0.0.0.0:8080
    issuer: https://transparency.example
    dir: /var/lib/conmotion
    rate: 50`

const example = `  # a working log on http://127.0.0.1:8080
  conmotiond

  # in public, behind TLS, with metrics on another port
  conmotiond --listen :443 --issuer https://transparency.example \
      --tls-cert cert.pem --tls-key key.pem --dir /var/lib/conmotion \
      --admin-listen 127.0.0.1:9090 --rate 50 --burst 100

  # the log in a bucket with a database, and artifacts in another bucket
  CONMOTION_DATABASE_PASSWORD=... conmotiond --issuer https://transparency.example \
      --storage s3://my-log?region=eu-central-1 --artifacts s3://my-artifacts?region=eu-central-1 \
      --database mysql://conmotion@db.example/conmotion

  # no log of its own: a search over somebody else's
  conmotiond --search-of https://transparency.example --listen 127.0.0.1:8081`

func command(stdout, stderr io.Writer) *cobra.Command {
	c := &config{stdout: stdout}
	cmd := &cobra.Command{
		Use: "conmotiond", Short: "Run a SCITT Transparency Service", Long: long, Example: example,
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.complete(cmd.Context(), cmd.Flags(), stderr); err != nil {
				return err
			}
			ctx, stop := c.server.Until(cmd.Context(), cmd.InOrStdin())
			defer stop()
			if c.searchOf.location != "" {
				return serveSearchOf(ctx, c)
			}
			return serve(ctx, c)
		},
	}
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	cmd.CompletionOptions.HiddenDefaultCmd = true
	version.Add(cmd)
	cmd.AddCommand(keysCommand(stdout))
	cmd.AddCommand(keyCommand(stdout))
	cmd.AddCommand(migrateCommand(stdout, stderr))
	f := cmd.Flags()
	c.server.AddFlags(f, "127.0.0.1:8080")
	f.StringVar(&c.Dir, "dir", "conmotion-data", "directory of the keys, the index, and the log and its artifacts unless these are in buckets")
	f.StringVar(&c.Keys, "keys", "", "directory of the service's keys, which conmotiond keys made, for instances that share them; it may be read-only (default: they are in --dir)")
	f.StringVar(&c.Storage, "storage", "", "bucket of the log, gs://BUCKET, or s3://BUCKET?region=R&endpoint=URL&path_style=true, of which nothing but the name is needed on AWS; credentials are the SDK's (default: the log is in --dir)")
	f.StringVar(&c.Database, "database", "", "database that goes with --storage: with s3:// mysql://USER@HOST:PORT/NAME?tls=true, whose password is in CONMOTION_DATABASE_PASSWORD; with gs:// spanner://projects/P/instances/I/databases/D")
	f.StringVar(&c.DatabasePasswordFile, "database-password-file", "", "file with the password of --database (default: CONMOTION_DATABASE_PASSWORD)")
	f.DurationVar(&c.Lease, "writer-lease", storage.DefaultLease, "how long a replica waits for a writer that does not renew its lease on --database; then it takes over, within about two seconds more")
	f.StringVar(&c.Advertise, "advertise", "", "URL under which the other instances of a log on --database reach this one, to hand on what only its writer can answer (default: from --listen; where that is every address, the one that leads to the database)")
	f.StringVar(&c.Artifacts, "artifacts", "", "bucket of artifacts, like --storage; nobody else may read it (default: they are in --dir)")
	f.StringVar(&c.Snapshots, "snapshots", "", "bucket of snapshots of the index, like --storage, with which an instance that has no index begins; nobody else may read or write it (default: none; the index is read from the log)")
	f.Uint64Var(&c.SnapshotEntries, "snapshot-entries", 1_000_000, "entries, and at least a tenth, that the log grows by before the writer saves the next snapshot")
	c.addName(f)
	f.StringVar(&c.Policy, "policy", "", "file with the first Registration Policy; a log that has one keeps it (default: any did:jwk issuer)")
	f.StringVar(&c.OCSFSchema, "ocsf-schema", "", "file with a compiled OCSF schema of any version, for policies that name its SHA-256 (default: the built-in 1.5.0)")
	f.StringVar(&c.bootstrap, "bootstrap", "policy", "where a new log has its first policy from: policy (--policy or the default), or first-statement (the first statement that is sent, unchecked)")
	f.BoolVar(&c.Search, "search", true, "answer GET /search from an index of the log, which gives way while many registrations wait; --search=false for none")
	f.Int64Var(&c.ArtifactMaxSize, "artifact-max-size", 5<<30, "largest artifact in bytes; 0 for no limit")
	f.Int64Var(&c.ArtifactQuota, "artifact-quota", 10<<30, "bytes that all artifacts together may take, 507 beyond; 0 for no limit")
	f.StringVar(&c.ArtifactWriters, "artifact-write-tokens", "", "file with the hashes of the tokens that may store artifacts (default: everybody may)")
	f.StringVar(&c.ArtifactReaders.Tokens, "artifact-read-tokens", "", "file with the hashes of the tokens that may read artifacts, and search in them (default: nobody may or, where --issuer is a loopback address, this machine)")
	f.BoolVar(&c.ArtifactReaders.Public, "artifacts-public", false, "let everybody read artifacts, and search in them")
	f.DurationVar(&c.BatchMaxAge, "batch-max-age", storage.DefaultBatchMaxAge, "longest time that an entry waits for others to be stored with")
	f.UintVar(&c.BatchMaxSize, "batch-max-size", storage.DefaultBatchMaxSize, "most entries that are stored together")
	f.DurationVar(&c.CheckpointInterval, "checkpoint-interval", storage.DefaultCheckpointInterval, "shortest time between two checkpoints; at least 100ms, and 1s with --storage (default with --witness-policy: 1s)")
	f.StringVar(&c.WitnessPolicy, "witness-policy", "", "file with the witnesses that cosign each checkpoint, and their quorum (C2SP tlog-policy, each witness with its URL; docs/witness.md) (default: none)")
	f.StringVar(&c.witnessMode, "witness-mode", "closed", "closed: nothing is published, and no Receipt is given, without the quorum of witnesses; open: it is, with an alarm, and they are asked on")
	f.DurationVar(&c.WitnessTimeout, "witness-timeout", ask.DefaultTimeout, "longest time that a witness has to answer, and that a checkpoint waits for the quorum")
	f.UintVar(&c.Pushback, "pushback", storage.DefaultPushback, "most entries that wait to be stored; beyond it the answer is 503")
	f.DurationVar(&c.Wait, "wait", 10*time.Second, "longest time that a registration waits for its Receipt; then the answer is 202")
	f.Float64Var(&c.Rate, "rate", 10000, "requests per second of one client address, static files aside; 0 for no limit")
	f.IntVar(&c.Burst, "burst", 10000, "requests that a client address may send at once")
	f.DurationVar(&c.Queue, "queue", 100*time.Millisecond, "longest time that a statement may be expected to wait before it is checked and stored; beyond it the answer is 503, before the body is read; 0 for no limit")
	f.StringVar(&c.manageSocket, "manage-socket", "", "Unix socket for conmotion policy set, for root and this user; off for none (default: private/manage.sock in --dir)")
	f.StringVar(&c.manageListen, "manage-listen", "", "address of the same over TLS, for clients with a certificate (default: off)")
	f.StringVar(&c.manageCert, "manage-tls-cert", "", "PEM file with the certificate chain of --manage-listen")
	f.StringVar(&c.manageKey, "manage-tls-key", "", "PEM file with its key")
	f.StringVar(&c.manageClients, "manage-client-ca", "", "PEM file with the authorities of the clients' certificates")
	c.searchOf.addFlags(f)
	return cmd
}

// addName adds the flags that say who the service is.
func (c *config) addName(f *pflag.FlagSet) {
	f.StringVar(&c.Issuer, "issuer", "", "URL of this service, which Receipts name; fixed when the log is made (default: from --listen, where that is one address)")
	f.StringVar(&c.Origin, "origin", "", "name of the log, the first line of its checkpoints; fixed when the log is made (default: the issuer without its scheme)")
}

// complete reads the configuration file and checks what only makes sense together.
func (c *config) complete(ctx context.Context, flags *pflag.FlagSet, stderr io.Writer) error {
	if err := c.server.Complete(ctx, flags, stderr); err != nil {
		return err
	}
	c.Logger, c.KeyOpeners = c.server.Logger, kms.Openers()
	if err := c.searchOf.complete(c, flags); err != nil {
		return err
	}
	if c.ArtifactReaders.Public && c.ArtifactReaders.Tokens != "" {
		return errors.New("--artifacts-public and --artifact-read-tokens exclude each other")
	}
	switch c.bootstrap {
	case "policy":
	case "first-statement":
		if c.Policy != "" {
			return errors.New("--policy and --bootstrap first-statement exclude each other")
		}
		c.FirstStatement = true
	default:
		return fmt.Errorf("--bootstrap is policy or first-statement, not %q", c.bootstrap)
	}
	switch {
	case c.witnessMode != "closed" && c.witnessMode != "open":
		return fmt.Errorf("--witness-mode is closed or open, not %q", c.witnessMode)
	case c.WitnessPolicy == "" && (flags.Changed("witness-mode") || flags.Changed("witness-timeout")):
		return errors.New("--witness-mode and --witness-timeout go with --witness-policy")
	case c.WitnessTimeout < 100*time.Millisecond:
		return errors.New("--witness-timeout is at least 100ms")
	case c.WitnessPolicy != "" && !flags.Changed("checkpoint-interval"):
		c.CheckpointInterval = 0 // what is the default there
	}
	c.Unwitnessed = c.witnessMode == "open"
	if c.manageListen != "" && (c.manageCert == "" || c.manageKey == "" || c.manageClients == "") {
		return errors.New("--manage-listen needs --manage-tls-cert, --manage-tls-key and --manage-client-ca")
	}
	if c.BatchMaxSize == 0 || c.Pushback == 0 || c.BatchMaxAge <= 0 {
		return errors.New("--batch-max-age, --batch-max-size and --pushback must be more than 0")
	}
	if c.Lease < time.Second {
		return errors.New("--writer-lease is at least 1s")
	}
	if c.Wait < 0 || c.Rate < 0 || c.Queue < 0 || c.Burst < 1 {
		return errors.New("--wait, --rate and --queue cannot be negative, and --burst is at least 1")
	}
	if c.Advertise != "" {
		if _, err := checkURL("advertise", c.Advertise); err != nil {
			return err
		}
	}
	return c.checkName()
}

// checkURL checks a URL of a service that a flag gives.
func checkURL(flag, text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https") || printable.Line(text) != text {
		return nil, fmt.Errorf("--%s %q is not a URL such as https://transparency.example", flag, text)
	}
	if _, port, ok := strings.Cut(u.Host[strings.LastIndex(u.Host, "]")+1:], ":"); ok {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port || n == 0 {
			return nil, fmt.Errorf("--%s %q: its port is a number from 1 to 65535", flag, text)
		}
	}
	return u, nil
}

// checkName checks what addName added.
func (c *config) checkName() error {
	if c.Issuer != "" {
		u, err := checkURL("issuer", c.Issuer)
		if err != nil {
			return err
		}
		if u.User != nil || strings.ContainsAny(c.Issuer, "?#") {
			return errors.New("--issuer is in every Receipt, and its URL has neither a user name or password, a query nor a fragment")
		}
		// What clients ask for is behind it, and they clean what is not clean.
		c.Issuer = strings.TrimRight(c.Issuer, "/")
		clean := url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimRight(path.Clean("/"+u.Path), "/")}
		if clean.String() != c.Issuer {
			return fmt.Errorf("--issuer %q is not written as others will write it, %s", c.Issuer, &clean)
		}
		if err := scitt.CheckOrigin(cmp.Or(c.Origin, daemon.OriginOf(u))); err != nil && c.Origin == "" {
			return fmt.Errorf("--issuer: a log cannot be named so; --origin gives it another name: %w", err)
		}
	}
	if c.Origin != "" {
		if err := scitt.CheckOrigin(c.Origin); err != nil {
			return fmt.Errorf("--origin: %w", err)
		}
	}
	return nil
}
