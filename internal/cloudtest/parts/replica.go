package parts

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// StartMySQL starts another database server, alone, that can have a replica and be one. Its
// user is that of this one.
func (p *AWS) StartMySQL(ctx context.Context, id int) (*AWS, error) {
	other := &AWS{User: p.User, Password: p.Password}
	return other, other.start(func() error {
		return other.startMySQL(ctx, fmt.Sprint("--server-id=", id), "--log-bin=log", "--log-slave-updates", "--log-bin-trust-function-creators=1")
	})
}

// Replicate makes the server a replica of another one, with all that was ever written there.
// What it has itself is not removed. From then on the other one acknowledges a commit when
// the replica has it.
func (p *AWS) Replicate(ctx context.Context, from *AWS) error {
	host, port, err := net.SplitHostPort(from.MySQL)
	return errors.Join(err,
		from.Root(ctx, `GRANT REPLICATION SLAVE ON *.* TO '`+p.User+`'@'%'`, `SET GLOBAL rpl_semi_sync_master_wait_point = 'AFTER_SYNC'`,
			`SET GLOBAL rpl_semi_sync_master_timeout = 600000`, `SET GLOBAL rpl_semi_sync_master_enabled = 1`),
		p.Root(ctx, `RESET MASTER`, `SET GLOBAL gtid_slave_pos = ''`, `SET GLOBAL rpl_semi_sync_slave_enabled = 1`,
			`CHANGE MASTER TO MASTER_HOST = '`+host+`', MASTER_PORT = `+port+`, MASTER_USER = '`+p.User+`', MASTER_PASSWORD = '`+p.Password+`', MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1`,
			`START SLAVE`))
}

// TakeOver kills another server. This one, its replica, does all that it received from it, and
// is started again at its address; the other one gets the address of this one.
func (p *AWS) TakeOver(ctx context.Context, from *AWS) error {
	from.killMySQL()
	if err := p.Root(ctx, `STOP SLAVE IO_THREAD`); err != nil {
		return err
	}
	db, err := p.root()
	if err != nil {
		return err
	}
	defer db.Close()
	for waits := 0; waits == 0; {
		if err := db.QueryRowContext(ctx, `SELECT COUNT(*) FROM information_schema.processlist WHERE state LIKE 'Slave has read all relay log%'`).Scan(&waits); err != nil {
			return err
		}
	}
	if err := p.Root(ctx, `STOP SLAVE`, `RESET SLAVE ALL`); err != nil {
		return err
	}
	return p.Exchange(ctx, from)
}

// Exchange kills two servers, and starts this one at the address of the other one.
func (p *AWS) Exchange(ctx context.Context, with *AWS) error {
	with.killMySQL()
	p.killMySQL()
	p.MySQL, with.MySQL = with.MySQL, p.MySQL
	return p.startAgain(ctx)
}
