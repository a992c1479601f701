package aws_test

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/storage/aws"
)

// TestDatabaseDeadlocks: a transaction that the database ends to resolve a deadlock
// leaves nothing, and the log goes on.
func TestDatabaseDeadlocks(t *testing.T) {
	s := newService(t).open()
	db := sql.OpenDB(testlog.Must(mysql.NewConnector(s.config().Database))(t))
	defer db.Close()
	found := func() (n int) {
		var name string
		if err := db.QueryRowContext(t.Context(), `SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'`).Scan(&name, &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := found()
	stored := s.under(func() {
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
	s.holds(stored)
}

// TestTooManyConnections: a database that takes no more connections stops the log,
// which loses nothing, and goes on when there is room again.
func TestTooManyConnections(t *testing.T) {
	s := newService(t).open()
	root := func(statements ...string) {
		t.Helper()
		if err := s.parts.Root(t.Context(), statements...); err != nil {
			t.Fatal(err)
		}
	}
	stored := s.under(func() {
		for i := range 2 {
			for s.try(fmt.Sprint("before ", i)) != nil { // until there is room
			}
			root(`ALTER USER '`+s.parts.User+`' WITH MAX_USER_CONNECTIONS 1`, `KILL USER '`+s.parts.User+`'`)
			for refused := false; !refused; {
				_, err := s.driver.Writer(t.Context())
				refused = err != nil && strings.Contains(err.Error(), "max_user_connections")
			}
			_ = s.try("refused") // or stored with the one connection that there is
			root(`ALTER USER '` + s.parts.User + `' WITH MAX_USER_CONNECTIONS 0`)
		}
	})
	s.holds(stored)
}

// TestNoDDL: a user who may not make tables, or no trigger, is told so, and the lease
// is not kept.
func TestNoDDL(t *testing.T) {
	for want, rights := range map[string]string{"make the table of the writer": "SELECT, INSERT, UPDATE, DELETE", "make the trigger": "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, DROP"} {
		s := newService(t)
		name := s.config().Database.DBName
		if err := s.parts.Root(t.Context(), `CREATE USER '`+name+`'@'%' IDENTIFIED BY '`+s.parts.Password+`'`, `GRANT `+rights+` ON `+name+`.* TO '`+name+`'@'%'`); err != nil {
			t.Fatal(err)
		}
		mine := s.database
		s.database = strings.Replace(mine, s.parts.User+"@", name+"@", 1)
		if err := s.tryOpen(); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "mysql://") || !strings.Contains(err.Error(), "denied") {
			t.Errorf("%s: %v", rights, err)
		}
		s.log, s.database = nil, mine
		d := testlog.Must(aws.New(t.Context(), s.config()))(t)
		if w, err := d.Writer(t.Context()); err != nil || w.Held {
			t.Errorf("%s: afterwards the writer is %+v, %v", rights, w, err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}
