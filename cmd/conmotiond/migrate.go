package main

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/conmotion/conmotion/cmd/conmotiond/internal/daemon"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/artifact"
)

const migrateLong = `migrate moves a log to a bucket, from a directory or from another bucket.

The log stays the same: its name, its keys, its entries with their indexes and
ids, its checkpoint. Every receipt that was given still verifies, and the next
entry has the next index. Only the place changes, so point the CDN, or the name
under which others read the files, at the new bucket.

Stop the service first. A bucket or a database that has something of a log already
is refused, and nothing is changed. What the service had accepted is made public
before anything is copied. Then the old place is closed for good, so that the log cannot go on in
two places: a later start there is refused, and says where the log went. Last the
entries are copied, the tree is computed from them anew, and it must have the same
root. Whatever interrupts this, run the same command again: it goes on.

The keys are in --dir, which is --from when the log is in a directory, and stay
there. Start the service as before, with --storage and --database beside --dir.

Artifacts go to the bucket of --artifacts, before the log does. Each is verified by
its SHA-256 on both sides; one that is damaged is named and left where it is, and
the exit code is 1. Without the flag they stay where they are, and the command
says how many. They can be copied afterwards, by the same command with the flag
or by any tool, since their names in a bucket are those in a directory:
  aws s3 sync DIR/private/artifacts s3://my-artifacts
  gcloud storage rsync -r DIR/private/artifacts gs://my-artifacts`

const migrateExample = `  # from one machine to S3 and MySQL
  CONMOTION_DATABASE_PASSWORD=... conmotiond migrate --from /var/lib/conmotion \
      --to s3://my-log?region=eu-central-1 --database mysql://conmotion@db.example/conmotion \
      --artifacts s3://my-artifacts?region=eu-central-1

  # from there to GCS and Spanner
  CONMOTION_DATABASE_PASSWORD=... conmotiond migrate --dir /var/lib/conmotion \
      --from s3://my-log?region=eu-central-1 --from-database mysql://conmotion@db.example/conmotion \
      --to gs://my-other-log --database spanner://projects/p/instances/i/databases/log`

// migrateCommand moves a log.
func migrateCommand(stdout, stderr io.Writer) *cobra.Command {
	var from, to daemon.Config
	var source string
	cmd := &cobra.Command{
		Use: "migrate --from DIR|BUCKET --to BUCKET --database DATABASE", Short: "Move a log to a bucket, from a directory or another bucket",
		Long: migrateLong, Example: migrateExample, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			logger := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
			klog.SetSlogLogger(slog.New(slog.DiscardHandler)) // Tessera's way to log
			slog.SetDefault(logger)                           // and that of package log, in which the client of Spanner says how it is set up
			from.Logger, to.Logger, to.Lease = logger, logger, from.Lease
			switch bucket := strings.Contains(source, "://"); {
			case bucket:
				from.Storage = source
			case cmd.Flags().Changed("dir") && from.Dir != source:
				return fmt.Errorf("--dir %s: the keys are in %s, with the log", from.Dir, source)
			default:
				from.Dir = source
			}
			began := time.Now()
			m, err := daemon.Migrate(cmd.Context(), from, to, func(what string, done, all uint64) {
				fmt.Fprintf(stderr, "%d of %d %s after %v\n", done, all, what, time.Since(began).Round(time.Second))
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(stdout, "the log %s with its %d entries is in %s\n", m.Origin, m.Size, to.Storage)
			goOn := fmt.Sprintf("conmotiond --dir %s --storage %q --database %q", from.Dir, to.Storage, to.Database)
			if artifacts := cmp.Or(to.Artifacts, from.Artifacts); artifacts != "" {
				goOn += fmt.Sprintf(" --artifacts %q", artifacts)
			}
			switch {
			case m.Stay.Artifacts > 0:
				fmt.Fprintf(stdout, "not copied, and left in %s/private/artifacts: %s; the same command with --artifacts copies what is there\n", from.Dir, count(m.Stay))
			case to.Artifacts != "":
				fmt.Fprintf(stdout, "copied to %s or found there, and verified: %s\n", to.Artifacts, count(m.Copied))
			}
			fmt.Fprintf(stdout, "go on with\n  %s\n", goOn)
			if len(m.Damaged) > 0 {
				return fmt.Errorf("%s damaged, and not copied: put the right bytes where they were or into the bucket, and run the same command again: %v", plural.Verb(len(m.Damaged), "artifact", "is", "are"), m.Damaged)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&source, "from", "", "directory of the service, or the bucket of its log, as --storage has it")
	f.StringVar(&from.Database, "from-database", "", "database that goes with a bucket in --from")
	f.StringVar(&from.DatabasePasswordFile, "from-database-password-file", "", "file with its password (default: CONMOTION_DATABASE_PASSWORD)")
	f.StringVar(&from.Dir, "dir", "conmotion-data", "directory of the service's keys, when the log is in a bucket")
	f.StringVar(&from.Keys, "keys", "", "directory of the keys, when it is not the other one: see conmotiond --help")
	f.StringVar(&to.Storage, "to", "", "empty bucket that the log goes to, as --storage has it")
	f.StringVar(&to.Database, "database", "", "empty database that goes with it")
	f.StringVar(&to.DatabasePasswordFile, "database-password-file", "", "file with its password (default: CONMOTION_DATABASE_PASSWORD)")
	f.StringVar(&to.Artifacts, "artifacts", "", "bucket that the artifacts go to, as --artifacts of the service has it (default: they stay)")
	f.StringVar(&from.Artifacts, "from-artifacts", "", "bucket of the artifacts, when they are not in the directory")
	f.DurationVar(&from.Lease, "writer-lease", storage.DefaultLease, "how long a writer, of the old log or of a move that was interrupted, may have been silent before it counts as stopped")
	for _, name := range []string{"from", "to", "database"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // only without the flag
		}
	}
	return cmd
}

// count says how many artifacts there are, and how large they are together.
func count(c artifact.Copied) string {
	return plural.Of(c.Artifacts, "artifact") + " (" + plural.Of(c.Bytes, "byte") + ")"
}
