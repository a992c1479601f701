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
	"github.com/conmotion/conmotion/internal/testwait"
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

// TestTooManyConnections: a database that takes no more connections, of this user, of any
// user or at all, stops the log, which loses nothing, and goes on when there is room again. An
// instance that is started meanwhile says what to do.
func TestTooManyConnections(t *testing.T) {
	p, _, database := newPlace(t)
	s := drivertest.NewService(t, p)
	s.Lease = time.Minute // which is renewed when there is room again
	s.Open()
	user := database.User
	root := func(statement string) { // as soon as there is room for it
		t.Helper()
		var err error
		testwait.Until(t, func() bool { err = tests.AWS(t).Root(t.Context(), statement); return err == nil }, statement)
	}
	// The least that there can be at all is ten: others take them.
	others := sql.OpenDB(testlog.Must(mysql.NewConnector(database))(t))
	defer others.Close()
	stored := s.Under(func() {
		for number, c := range map[uint16]struct{ limit, none string }{
			1226: {`ALTER USER '` + user + `' WITH MAX_USER_CONNECTIONS 1`, `ALTER USER '` + user + `' WITH MAX_USER_CONNECTIONS 0`},
			1203: {`SET GLOBAL max_user_connections = 1`, `SET GLOBAL max_user_connections = 400`},
			1040: {`SET GLOBAL max_connections = 10`, `SET GLOBAL max_connections = 500`},
		} {
			for s.Try(fmt.Sprint("before ", number)) != nil { // until there is room
			}
			root(c.limit)
			root(`KILL USER '` + user + `'`)
			var held []*sql.Conn
			testwait.Until(t, func() bool {
				if c, err := others.Conn(t.Context()); err == nil {
					held = append(held, c)
				}
				d := testlog.Must(p.Connect(t.Context(), p.Endpoint, storage.WriterOptions{Logger: slog.New(slog.DiscardHandler)}))(t)
				_, err := d.Writer(t.Context())
				if err := d.Close(); err != nil {
					t.Error(err)
				}
				e, ok := errors.AsType[*mysql.MySQLError](err)
				return ok && e.Number == number && strings.Contains(err.Error(), "let there be more connections")
			}, "the error ", number)
			_ = s.Try("refused") // or stored with the connections that there are
			for _, c := range held {
				_ = c.Close() // it may be ended
			}
			root(c.none)
		}
	})
	s.Holds(stored)
}

// TestNoDDL: a user who may not make tables, or not change one, or no trigger, is told so,
// and the lease is not kept.
func TestNoDDL(t *testing.T) {
	for want, rights := range map[string]string{
		"make the table of the writer": "SELECT, INSERT, UPDATE, DELETE",
		"start Tessera's driver":       "SELECT, INSERT, UPDATE, DELETE, CREATE",
		"make the trigger":             "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, DROP",
	} {
		p, _, database := newPlace(t)
		s := drivertest.NewService(t, p)
		name, user := database.DBName, database.User
		if err := tests.AWS(t).Root(t.Context(), `CREATE USER '`+name+`'@'%' IDENTIFIED BY '`+database.Passwd+`'`, `GRANT `+rights+` ON `+name+`.* TO '`+name+`'@'%'`); err != nil {
			t.Fatal(err)
		}
		database.User = name
		drivertest.Says(t, rights, s.TryOpen(), nil, []string{want, "mysql://" + database.Addr + "/" + name, "denied", "GRANT ALL"})
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
