// Package parts starts what a log in a cloud is made of, on free ports of this
// machine: a MariaDB server and an S3 server. Tests that need what is not
// installed are skipped, and say what to install.
package parts

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/go-sql-driver/mysql"
)

// ErrMissing says which program is not installed, and how to install it.
var ErrMissing = errors.New("not installed")

// Parts are the running servers.
type Parts struct {
	// Endpoint is the S3 server; AccessKey and SecretKey are its root's.
	Endpoint, AccessKey, SecretKey string
	// MySQL is HOST:PORT of the database server, and Password that of User.
	MySQL, User, Password string

	dir, socket string

	mu         sync.Mutex
	stop       []func()
	killMySQL  func()
	startAgain func(context.Context) error // MySQL
}

// Region is that of all buckets.
const Region = "us-east-1"

// Start starts both servers with nothing in them. Stop ends them and removes what
// they stored.
func Start(ctx context.Context) (p *Parts, err error) {
	gateway, err := find("versitygw", "go install github.com/versity/versitygw/cmd/versitygw@v1.8.0")
	if err != nil {
		return nil, err
	}
	server, err := find("mariadbd", "apt-get install mariadb-server")
	if err != nil {
		return nil, err
	}
	install, err := find("mariadb-install-db", "apt-get install mariadb-server")
	if err != nil {
		return nil, err
	}
	p = &Parts{AccessKey: "conmotion", SecretKey: rand.Text(), User: "conmotion", Password: rand.Text()}
	if p.dir, err = os.MkdirTemp("", "cloud"); err != nil {
		return nil, err
	}
	var group sync.WaitGroup
	var s3err, sqlerr error
	group.Go(func() { s3err = p.startS3(ctx, gateway) })
	group.Go(func() { sqlerr = p.startMySQL(ctx, install, server) })
	group.Wait()
	if err := errors.Join(s3err, sqlerr); err != nil {
		p.Stop()
		return nil, err
	}
	return p, nil
}

// find finds a program, also where go install puts it.
func find(name, how string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	places := []string{filepath.Join("/usr/sbin", name), filepath.Join(os.Getenv("GOBIN"), name)}
	for _, dir := range filepath.SplitList(os.Getenv("GOPATH")) {
		places = append(places, filepath.Join(dir, "bin", name))
	}
	if home, err := os.UserHomeDir(); err == nil {
		places = append(places, filepath.Join(home, "go", "bin", name))
	}
	for _, path := range places {
		if _, err := exec.LookPath(path); err == nil && filepath.IsAbs(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is %w: %s", name, ErrMissing, how)
}

// Stop ends the servers.
func (p *Parts) Stop() {
	for _, stop := range p.stop {
		stop()
	}
	_ = os.RemoveAll(p.dir) // in a temporary directory, whatever stays
}

// RestartMySQL kills the database server and starts it again on its data.
func (p *Parts) RestartMySQL(ctx context.Context) error {
	p.killMySQL()
	return p.startAgain(ctx)
}

// run starts a server and waits until ready is nil.
func (p *Parts) run(ctx context.Context, ready func() error, name string, args ...string) (kill func(), err error) {
	var output bytes.Buffer
	cmd := exec.CommandContext(context.WithoutCancel(ctx), name, args...)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+p.AccessKey, "ROOT_SECRET_KEY="+p.SecretKey)
	cmd.Stdout, cmd.Stderr = &output, &output
	endWithParent(cmd)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	var why error
	go func() {
		why = cmd.Wait()
		close(ended)
	}()
	kill = func() {
		_ = cmd.Process.Kill() // it has ended already, or it ends now
		<-ended
	}
	p.mu.Lock()
	p.stop = append(p.stop, kill)
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := ready()
		if err == nil {
			return kill, nil
		}
		select {
		case <-ended:
			return nil, fmt.Errorf("%s ended: %w: %s", filepath.Base(name), why, output.String())
		case <-ctx.Done():
			return nil, fmt.Errorf("%s: %w: %w", filepath.Base(name), ctx.Err(), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// freePort is a port that nobody listened on just now.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func (p *Parts) startS3(ctx context.Context, gateway string) error {
	addr, err := freePort()
	if err != nil {
		return err
	}
	p.Endpoint = "http://" + addr
	root, sidecar := filepath.Join(p.dir, "s3"), filepath.Join(p.dir, "attributes")
	if err := errors.Join(os.Mkdir(root, 0o700), os.Mkdir(sidecar, 0o700)); err != nil {
		return err
	}
	// In files of their own the attributes do not change together with the object: who
	// reads it just then gets the checksum of another content.
	args := []string{"--port", addr, "--region", Region, "--quiet", "posix"}
	if !hasAttributes(root) {
		args = append(args, "--sidecar", sidecar)
	}
	_, err = p.run(ctx, func() error {
		answer, err := http.Get(p.Endpoint)
		if err == nil {
			err = answer.Body.Close()
		}
		return err
	}, gateway, append(args, root)...)
	return err
}

func (p *Parts) startMySQL(ctx context.Context, install, server string) error {
	var err error
	if p.MySQL, err = freePort(); err != nil {
		return err
	}
	data := filepath.Join(p.dir, "mysql")
	p.socket = filepath.Join(p.dir, "mysql.sock")
	args := []string{"--no-defaults", "--datadir=" + data}
	if me, err := user.Current(); err == nil && me.Uid == "0" {
		args = append(args, "--user=root") // it does not run as root unless it is told to
	}
	if out, err := exec.CommandContext(ctx, install, append(args, "--auth-root-authentication-method=normal", "--skip-test-db")...).CombinedOutput(); err != nil {
		return fmt.Errorf("mariadb-install-db: %w: %s", err, out)
	}
	host, port, _ := strings.Cut(p.MySQL, ":")
	args = append(args, "--bind-address="+host, "--port="+port, "--socket="+p.socket, "--skip-log-bin", "--max-connections=500")
	p.startAgain = func(ctx context.Context) (err error) {
		p.killMySQL, err = p.run(ctx, func() error {
			return p.Root(ctx, `CREATE USER IF NOT EXISTS '`+p.User+`'@'%' IDENTIFIED BY '`+p.Password+`'`)
		}, server, args...)
		return err
	}
	return p.startAgain(ctx)
}

// Root has the database server do something as its root.
func (p *Parts) Root(ctx context.Context, statements ...string) error {
	c := mysql.NewConfig()
	c.User, c.Net, c.Addr = "root", "unix", p.socket
	c.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	for _, s := range statements {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

// NewDatabase makes a database that the user may do everything in, and gives its
// URL, without the password.
func (p *Parts) NewDatabase(ctx context.Context) (string, error) {
	name := "log_" + strings.ToLower(rand.Text()[:8])
	err := p.Root(ctx, "CREATE DATABASE "+name, "GRANT ALL ON "+name+".* TO '"+p.User+"'@'%'")
	return "mysql://" + p.User + "@" + p.MySQL + "/" + name, err
}

// NewBucket makes a bucket, of which everybody may read every object when it is
// public, and gives its location. What is read is at URL.
func (p *Parts) NewBucket(ctx context.Context, public bool) (Bucket, error) {
	name := "log-" + strings.ToLower(rand.Text()[:8])
	client := s3.New(s3.Options{
		Region: Region, BaseEndpoint: &p.Endpoint, UsePathStyle: true,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: p.AccessKey, SecretAccessKey: p.SecretKey}, nil
		}),
	})
	_, err := client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &name})
	if err == nil && public {
		policy := `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::` + name + `/*"}]}`
		_, err = client.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: &name, Policy: &policy})
	}
	return Bucket{
		Location: "s3://" + name + "?region=" + Region + "&path_style=true&endpoint=" + p.Endpoint,
		URL:      p.Endpoint + "/" + name, Name: name, Client: client,
	}, err
}

// Bucket is a bucket of the S3 server.
type Bucket struct {
	Location, URL, Name string
	Client              *s3.Client
}

// Environment is what a process needs to reach the parts.
func (p *Parts) Environment() map[string]string {
	return map[string]string{
		"AWS_ACCESS_KEY_ID": p.AccessKey, "AWS_SECRET_ACCESS_KEY": p.SecretKey, "AWS_EC2_METADATA_DISABLED": "true",
		"CONMOTION_DATABASE_PASSWORD": p.Password,
	}
}
