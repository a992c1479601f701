package gcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"strings"
	"sync/atomic"
	"time"

	"cloud.google.com/go/spanner"
	admin "cloud.google.com/go/spanner/admin/database/apiv1"
	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
	"google.golang.org/grpc/codes"

	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/internal/cloud"
)

// database is the log's database. It implements [cloud.Database].
type database struct {
	Database
	client *spanner.Client
	batch  atomic.Uint64 // see Batch
}

func openDatabase(ctx context.Context, d Database) (*database, error) {
	client, err := connect(ctx, d)
	return &database{Database: d, client: client}, err
}

// connect makes a client, which sends figures to nobody and writes no log.
func connect(ctx context.Context, d Database, options ...option.ClientOption) (*spanner.Client, error) {
	client, err := spanner.NewClientWithConfig(ctx, string(d), spanner.ClientConfig{DisableNativeMetrics: true, Logger: log.New(io.Discard, "", 0)}, options...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d, err)
	}
	return client, nil
}

// Close implements [cloud.Database].
func (db *database) Close() error {
	db.client.Close()
	return nil
}

// table has one row, of the log and its writer. Fenced is written by each
// transaction that sequences entries, so that it fails when the row of its term is
// gone.
const (
	table  = "conmotion_writer"
	schema = `CREATE TABLE IF NOT EXISTS ` + table + ` (
	term INT64 NOT NULL,
	origin STRING(MAX) NOT NULL,
	bucket STRING(MAX) NOT NULL,
	expires TIMESTAMP NOT NULL,
	holder STRING(MAX) NOT NULL,
	published BYTES(MAX),
	moved STRING(MAX),
	fenced INT64,
) PRIMARY KEY (term)`

	// formatTable has one row. It is not part of the other one, which releases before it made.
	formatTable  = "conmotion_format"
	formatSchema = `CREATE TABLE IF NOT EXISTS ` + formatTable + ` (id INT64 NOT NULL, format INT64 NOT NULL) PRIMARY KEY (id)`
)

// Failed implements [cloud.Database].
func (db *database) Failed(what string, err error) error {
	if err == nil {
		return nil
	}
	code := spanner.ErrCode(err)
	if strings.Contains(err.Error(), "code = PermissionDenied") { // of an error of Tessera's there is the text only
		code = codes.PermissionDenied
	}
	var advice string
	switch code {
	case codes.NotFound:
		if strings.Contains(err.Error(), "Instance not found") || strings.Contains(err.Error(), "Database not found") {
			advice = "; make the instance and the database, or correct their names"
		}
	case codes.PermissionDenied:
		advice = "; the credentials need roles/spanner.databaseUser on the database"
	case codes.DeadlineExceeded, codes.Unavailable:
		// also where quotas are used up: the SDK tries until the time is over
		advice = "; is there a way from here to " + Server() + ", and is the instance within its quotas?"
	}
	if advice != "" {
		err = fmt.Errorf("%w%s", err, advice)
	}
	return fmt.Errorf("%s in %s: %w", what, db, err)
}

// one reads the row that a statement gives. There is none when it is nil.
func one(ctx context.Context, tx interface {
	Query(context.Context, spanner.Statement) *spanner.RowIterator
}, statement string) (*spanner.Row, error) {
	rows := tx.Query(ctx, spanner.NewStatement(statement))
	defer rows.Stop()
	row, err := rows.Next()
	if errors.Is(err, iterator.Done) {
		return nil, nil
	}
	return row, err
}

// write runs a transaction, again when it was ended to let another one pass. The SDK
// does so itself, but not where the answer is that there is no such transaction, as the
// emulator's may be.
func write(ctx context.Context, client *spanner.Client, do func(context.Context, *spanner.ReadWriteTransaction) error) error {
	const attempts = 20
	var err error
	for range attempts {
		_, err = client.ReadWriteTransaction(ctx, do)
		if spanner.ErrCode(err) != codes.NotFound || !strings.Contains(err.Error(), "Transaction not found") || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// State implements [cloud.Database].
func (db *database) State(ctx context.Context) (s cloud.State, err error) {
	ctx, cancel := context.WithTimeout(ctx, cloud.IOTimeout) // the SDK goes on for ever where nobody answers
	defer cancel()
	tx := db.client.ReadOnlyTransaction()
	defer tx.Close()
	has := func(name string) bool {
		var row *spanner.Row
		if err == nil {
			row, err = one(ctx, tx, `SELECT 1 FROM information_schema.tables WHERE table_schema = '' AND table_name = '`+name+`'`)
		}
		return row != nil
	}
	if has(table) {
		var row *spanner.Row
		if row, err = one(ctx, tx, `SELECT origin, bucket, published, COALESCE(moved, '') FROM `+table); row != nil {
			s.Bound = true
			err = row.Columns(&s.Origin, &s.Bucket, &s.Published, &s.Moved)
		}
	}
	s.Format = 1
	if has(formatTable) {
		var row *spanner.Row
		if row, err = one(ctx, tx, `SELECT format FROM `+formatTable+` WHERE id = 0`); row != nil {
			var format int64
			err = row.Columns(&format)
			s.Format = uint64(format)
		}
	}
	if has("SeqCoord") && has("IntCoord") {
		var row *spanner.Row
		if row, err = one(ctx, tx, `SELECT q.next, i.seq, i.rootHash FROM SeqCoord q, IntCoord i WHERE q.id = 0 AND i.id = 0`); row != nil {
			var next, size int64
			s.Engine = true
			err = row.Columns(&next, &size, &s.Root)
			s.Next, s.Size = uint64(next), uint64(size)
		}
	}
	return s, db.Failed("read the state of the log", err)
}

// Writer implements [cloud.Database]. Each replica asks ten times in a lease, so it is one
// request where the table is there.
func (db *database) Writer(ctx context.Context) (w storage.Writer, err error) {
	var term int64
	row, err := one(ctx, db.client.Single(), `SELECT holder, term, expires > CURRENT_TIMESTAMP() FROM `+table)
	if err != nil {
		if s, serr := db.State(ctx); serr == nil && !s.Bound {
			return w, nil
		}
	}
	if row != nil {
		err = row.Columns(&w.Address, &term, &w.Held)
		w.Term = uint64(term)
	}
	return w, db.Failed("look for the writer", err)
}

// Bind implements [cloud.Database].
func (db *database) Bind(ctx context.Context, origin, bucket string) error {
	s, err := db.State(ctx)
	if err != nil || s.Bound {
		return err
	}
	a, err := admin.NewDatabaseAdminClient(ctx)
	if err != nil {
		return db.Failed("make the table of the writer", err)
	}
	defer a.Close()
	err = inTurn(ctx, func() error {
		op, err := a.UpdateDatabaseDdl(ctx, &databasepb.UpdateDatabaseDdlRequest{Database: string(db.Database), Statements: []string{schema, formatSchema}})
		if err == nil {
			err = op.Wait(ctx)
		}
		return err
	})
	if err == nil {
		err = write(ctx, db.client, func(ctx context.Context, tx *spanner.ReadWriteTransaction) error {
			row, err := one(ctx, tx, `SELECT term FROM `+table)
			if err != nil || row != nil {
				return err
			}
			return tx.BufferWrite([]*spanner.Mutation{
				spanner.InsertOrUpdate(formatTable, []string{"id", "format"}, []any{0, cloud.Format}),
				spanner.InsertMap(table, map[string]any{"term": 0, "origin": origin, "bucket": bucket, "expires": time.Unix(0, 0), "holder": ""}),
			})
		})
	}
	return db.Failed("make the table of the writer", err)
}

// Take implements [cloud.Database]: it replaces the row. A transaction of an older
// term that was not committed before fails, since its row is gone.
func (db *database) Take(ctx context.Context, address string, lease time.Duration) (term uint64, err error) {
	var held bool
	var other string
	err = write(ctx, db.client, func(ctx context.Context, tx *spanner.ReadWriteTransaction) error {
		row, err := one(ctx, tx, `SELECT term, expires > CURRENT_TIMESTAMP(), holder, origin, bucket, published, moved FROM `+table)
		if err != nil {
			return err
		}
		if row == nil {
			return errors.New("the row of the writer is gone")
		}
		var last int64
		var origin, bucket string
		var published []byte
		var moved spanner.NullString // it may have been moved since the caller looked
		if err := row.Columns(&last, &held, &other, &origin, &bucket, &published, &moved); err != nil || held {
			return err
		}
		term = uint64(last) + 1
		if _, err := tx.Update(ctx, spanner.NewStatement(`DELETE FROM `+table+` WHERE TRUE`)); err != nil {
			return err
		}
		_, err = tx.Update(ctx, spanner.Statement{
			SQL:    `INSERT INTO ` + table + ` (term, origin, bucket, published, moved, holder, expires) VALUES (@term, @origin, @bucket, @published, @moved, @holder, ` + inLease + `)`,
			Params: map[string]any{"term": last + 1, "origin": origin, "bucket": bucket, "published": published, "moved": moved, "holder": address, "lease": lease.Microseconds()},
		})
		return err
	})
	if err == nil && held {
		err = fmt.Errorf("%w: %s is the writer", storage.ErrLocked, other)
	}
	return term, db.Failed("become the writer", err)
}

const inLease = `TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL @lease MICROSECOND)`

// set changes the row of a term, and reports whether it is there.
func (db *database) set(ctx context.Context, term uint64, assignment string, params map[string]any) (there bool, err error) {
	params["term"] = int64(term)
	err = write(ctx, db.client, func(ctx context.Context, tx *spanner.ReadWriteTransaction) error {
		n, err := tx.Update(ctx, spanner.Statement{SQL: `UPDATE ` + table + ` SET ` + assignment + ` WHERE term = @term`, Params: params})
		there = n > 0
		return err
	})
	return there, err
}

// Renew implements [cloud.Database].
func (db *database) Renew(ctx context.Context, term uint64, lease time.Duration) (bool, error) {
	return db.set(ctx, term, `expires = `+inLease, map[string]any{"lease": lease.Microseconds()})
}

// Release implements [cloud.Database].
func (db *database) Release(ctx context.Context, term uint64) error {
	_, err := db.set(ctx, term, `expires = TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 1 SECOND)`, map[string]any{})
	return db.Failed("give the lease back", err)
}

// Term implements [cloud.Database].
func (db *database) Term(ctx context.Context) (uint64, error) {
	var term int64
	row, err := one(ctx, db.client.Single(), `SELECT term FROM `+table)
	if err == nil && row == nil {
		err = errors.New("the row of the writer is gone")
	}
	if err == nil {
		err = row.Columns(&term)
	}
	return uint64(term), db.Failed("read the writer's term", err)
}

// Published implements [cloud.Database].
func (db *database) Published(ctx context.Context, term uint64, note []byte) error {
	_, err := db.set(ctx, term, `published = @note`, map[string]any{"note": note})
	return db.Failed("note what is public", err)
}

// Moved implements [cloud.Database].
func (db *database) Moved(ctx context.Context, term uint64, to string) error {
	there, err := db.set(ctx, term, `moved = @to`, map[string]any{"to": to})
	if err == nil && !there {
		err = storage.ErrLocked
	}
	return db.Failed("note where the log is", err)
}

// SignAgain implements [cloud.Database].
func (db *database) SignAgain(ctx context.Context) error {
	_, err := db.client.Apply(ctx, []*spanner.Mutation{spanner.Update("PubCoord", []string{"id", "publishedAt"}, []any{0, time.Unix(0, 0)})})
	if spanner.ErrCode(err) == codes.NotFound { // a new log
		return nil
	}
	return db.Failed("have the checkpoint signed again", err)
}

// Resume implements [cloud.Database]. Tessera's driver would panic at a log that ends
// before what is integrated.
func (db *database) Resume(ctx context.Context, term, size uint64) error {
	err := write(ctx, db.client, func(ctx context.Context, tx *spanner.ReadWriteTransaction) error {
		row, err := one(ctx, tx, `SELECT next FROM SeqCoord WHERE id = 0`)
		if err != nil {
			return err
		}
		var next int64
		if row != nil {
			err = row.Columns(&next)
		}
		if err != nil || next != 0 {
			return err
		}
		return tx.BufferWrite([]*spanner.Mutation{
			spanner.Update(table, []string{"term", "fenced"}, []any{int64(term), int64(size)}),
			spanner.Update("GCCoord", []string{"id", "fromSize"}, []any{0, int64(size)}),
			spanner.Update("SeqCoord", []string{"id", "next"}, []any{0, int64(size)}),
		})
	})
	return db.Failed("have the log go on", err)
}
