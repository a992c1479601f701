package parts

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/go-sql-driver/mysql"
)

// AWS is an S3 server and a MariaDB server. It implements Cloud.
type AWS struct {
	servers
	// Endpoint is the S3 server; AccessKey and SecretKey are its root's.
	Endpoint, AccessKey, SecretKey string
	// MySQL is HOST:PORT of the database server, and Password that of User.
	MySQL, User, Password string

	socket     string
	killMySQL  func()
	startAgain func(context.Context) error // MySQL
}

// Region is that of all buckets.
const Region = "us-east-1"

// StartAWS starts both servers with nothing in them.
func StartAWS(ctx context.Context) (p *AWS, err error) {
	gateway, err := find("versitygw", "go install github.com/versity/versitygw/cmd/versitygw@v1.8.0")
	if err != nil {
		return nil, err
	}
	p = &AWS{AccessKey: "conmotion", SecretKey: rand.Text(), User: "conmotion", Password: rand.Text()}
	return p, p.start(func() error { return p.startS3(ctx, gateway) }, func() error { return p.startMySQL(ctx) })
}

// RestartMySQL kills the database server and starts it again on its data.
func (p *AWS) RestartMySQL(ctx context.Context) error {
	p.killMySQL()
	return p.startAgain(ctx)
}

func (p *AWS) startS3(ctx context.Context, gateway string) error {
	addr, err := p.address()
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
	}, []string{"ROOT_ACCESS_KEY=" + p.AccessKey, "ROOT_SECRET_KEY=" + p.SecretKey}, gateway, append(args, root)...)
	return err
}

func (p *AWS) startMySQL(ctx context.Context, more ...string) error {
	server, err := find("mariadbd", "apt-get install mariadb-server")
	if err != nil {
		return err
	}
	install, err := find("mariadb-install-db", "apt-get install mariadb-server")
	if err != nil {
		return err
	}
	if p.MySQL, err = p.address(); err != nil {
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
	args = append(args, "--socket="+p.socket, "--skip-log-bin", "--max-connections=500", "--max-user-connections=400", // which can be changed only where there is one
		"--innodb-flush-method=nosync") // what it wrote outlives its process, which is all that ends here
	p.startAgain = func(ctx context.Context) (err error) {
		host, port, _ := strings.Cut(p.MySQL, ":")
		p.killMySQL, err = p.run(ctx, func() error {
			return p.Root(ctx, `CREATE USER IF NOT EXISTS '`+p.User+`'@'%' IDENTIFIED BY '`+p.Password+`'`)
		}, nil, server, append(append(args, "--bind-address="+host, "--port="+port), more...)...)
		return err
	}
	return p.startAgain(ctx)
}

// Root has the database server do something as its root.
func (p *AWS) Root(ctx context.Context, statements ...string) error {
	db, err := p.root()
	if err != nil {
		return err
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

func (p *AWS) root() (*sql.DB, error) {
	c := mysql.NewConfig()
	c.User, c.Net, c.Addr = "root", "unix", p.socket
	c.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// NewDatabase implements Cloud.
func (p *AWS) NewDatabase(ctx context.Context) (string, error) {
	name := "log_" + strings.ToLower(rand.Text()[:8])
	err := p.Root(ctx, "CREATE DATABASE "+name, "GRANT ALL ON "+name+".* TO '"+p.User+"'@'%'")
	return "mysql://" + p.User + "@" + p.MySQL + "/" + name, err
}

// Tables implements Cloud.
func (p *AWS) Tables(ctx context.Context, database string) (n int, err error) {
	db, err := p.root()
	if err != nil {
		return 0, err
	}
	defer db.Close()
	err = db.QueryRowContext(ctx, `SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = ?`, path.Base(database)).Scan(&n)
	return n, err
}

// NewBucket implements Cloud.
func (p *AWS) NewBucket(ctx context.Context, public bool) (Bucket, error) {
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
		Objects: func(ctx context.Context) (map[string]string, error) {
			all := map[string]string{}
			pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &name})
			for pages.HasMorePages() {
				page, err := pages.NextPage(ctx)
				if err != nil {
					return nil, err
				}
				for _, o := range page.Contents {
					all[*o.Key] = *o.ETag
				}
			}
			return all, nil
		},
		Write: func(ctx context.Context, key string, data []byte) error {
			_, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: &name, Key: &key, Body: bytes.NewReader(data)})
			return err
		},
	}, err
}

// Environment implements Cloud.
func (p *AWS) Environment() map[string]string {
	return map[string]string{
		"AWS_ACCESS_KEY_ID": p.AccessKey, "AWS_SECRET_ACCESS_KEY": p.SecretKey, "AWS_EC2_METADATA_DISABLED": "true",
		"CONMOTION_DATABASE_PASSWORD": p.Password,
	}
}

// Servers implements Cloud.
func (p *AWS) Servers() (database, bucket string) {
	return p.MySQL, strings.TrimPrefix(p.Endpoint, "http://")
}
