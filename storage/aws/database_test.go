package aws_test

import (
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/internal/drivertest"
)

// TestDatabaseDeadlocks: a transaction that the database ends to resolve a deadlock
// leaves nothing, and the log goes on.
func TestDatabaseDeadlocks(t *testing.T) {
	p, _, database := newPlace(t)
	s := drivertest.NewService(t, p).Open()
	db := sql.OpenDB(testlog.Must(mysql.NewConnector(database))(t))
	defer db.Close()
	found := func() (n int) {
		var name string
		if err := db.QueryRowContext(t.Context(), `SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'`).Scan(&name, &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := found()
	stored := s.Under(func() {
		for found() < before+5 && t.Context().Err() == nil {
			// The trigger reads the writer's row when Tessera has locked SeqCoord. The
			// larger transaction survives.
			tx := testlog.Must(db.BeginTx(t.Context(), nil))(t)
			_, err := tx.ExecContext(t.Context(), `UPDATE conmotion_writer SET holder = CONCAT(holder, 'x') WHERE id = 0`)
			if err == nil {
				_, err = tx.ExecContext(t.Context(), `SELECT SLEEP(0.05)`)
			}
			if err == nil {
				_, err = tx.ExecContext(t.Context(), `SELECT next FROM SeqCoord WHERE id = 0 FOR UPDATE`)
			}
			if e, ok := errors.AsType[*mysql.MySQLError](err); err != nil && (!ok || e.Number != 1213) {
				t.Fatal(err)
			}
			_ = tx.Rollback() // it may be ended
		}
	})
	s.Holds(stored)
}

// TestTooManyConnections: a database that takes no more connections stops the log,
// which loses nothing, and goes on when there is room again.
func TestTooManyConnections(t *testing.T) {
	p, _, database := newPlace(t)
	s := drivertest.NewService(t, p)
	s.Lease = time.Minute // which is renewed when there is room again
	s.Open()
	user := database.User
	root := func(statements ...string) {
		t.Helper()
		if err := tests.AWS(t).Root(t.Context(), statements...); err != nil {
			t.Fatal(err)
		}
	}
	stored := s.Under(func() {
		for i := range 2 {
			for s.Try(fmt.Sprint("before ", i)) != nil { // until there is room
			}
			root(`ALTER USER '`+user+`' WITH MAX_USER_CONNECTIONS 1`, `KILL USER '`+user+`'`)
			for refused := false; !refused; {
				_, err := s.Driver.Writer(t.Context())
				refused = err != nil && strings.Contains(err.Error(), "max_user_connections")
			}
			_ = s.Try("refused") // or stored with the one connection that there is
			root(`ALTER USER '` + user + `' WITH MAX_USER_CONNECTIONS 0`)
		}
	})
	s.Holds(stored)
}

// TestNoDDL: a user who may not make tables, or no trigger, is told so, and the lease
// is not kept.
func TestNoDDL(t *testing.T) {
	for want, rights := range map[string]string{"make the table of the writer": "SELECT, INSERT, UPDATE, DELETE", "make the trigger": "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, DROP"} {
		p, _, database := newPlace(t)
		s := drivertest.NewService(t, p)
		name, user := database.DBName, database.User
		if err := tests.AWS(t).Root(t.Context(), `CREATE USER '`+name+`'@'%' IDENTIFIED BY '`+database.Passwd+`'`, `GRANT `+rights+` ON `+name+`.* TO '`+name+`'@'%'`); err != nil {
			t.Fatal(err)
		}
		database.User = name
		if err := s.TryOpen(); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "mysql://") || !strings.Contains(err.Error(), "denied") {
			t.Errorf("%s: %v", rights, err)
		}
		database.User = user
		d := testlog.Must(p.Connect(t.Context(), p.Endpoint, storage.WriterOptions{Logger: slog.New(slog.DiscardHandler)}))(t)
		if w, err := d.Writer(t.Context()); err != nil || w.Held {
			t.Errorf("%s: afterwards the writer is %+v, %v", rights, w, err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}
