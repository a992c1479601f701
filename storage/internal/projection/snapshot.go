package projection

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"

	"github.com/conmotion/conmotion/internal/durable"
)

// Snapshot copies the database as it is now into a new file, while others go on. A
// crash leaves a part of the file.
func (p *DB) Snapshot(ctx context.Context, path string) error {
	err := p.Use(ctx, func(db *sql.DB) error {
		_, err := db.ExecContext(ctx, "VACUUM INTO ?", path)
		return err
	})
	if err != nil {
		return err
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath())
	if err == nil {
		_, err = db.ExecContext(ctx, "PRAGMA journal_mode = WAL") // which the copy has not
		err = errors.Join(err, db.Close())
	}
	return err
}

// Adopt moves a database with this SHA-256, which nobody uses, to where there is
// none, when check finds it good. What is left beside that place of one that was there is
// removed: SQLite would take an old write-ahead log for that of any database. A crash leaves
// it in the one place or the other, perhaps without its sum.
func Adopt(ctx context.Context, from, to string, sum []byte, check func(path string) error) error {
	if err := durable.WriteFile(from+sumSuffix, sum, 0o600); err != nil {
		return err
	}
	if err := check(from); err != nil {
		return err
	}
	if err := Remove(to); err != nil {
		return err
	}
	for _, suffix := range []string{sumSuffix, ""} {
		if err := os.Rename(from+suffix, to+suffix); err != nil {
			return err
		}
	}
	return durable.SyncDir(filepath.Dir(to))
}
