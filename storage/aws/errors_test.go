package aws_test

import (
	"context"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/aws"
	"github.com/conmotion/conmotion/storage/internal/cloud"
	"github.com/conmotion/conmotion/storage/internal/drivertest"
)

// TestErrors: an error says which bucket, object or database it is about, and what to do
// where something can be done, and no secret.
func TestErrors(t *testing.T) {
	p := tests.AWS(t)
	b := testlog.Must(p.NewBucket(t.Context(), true))(t)
	location := testlog.Must(p.NewDatabase(t.Context()))(t)
	denies := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`))
	}))
	defer denies.Close()
	nobody := httptest.NewServer(http.NotFoundHandler())
	nobody.Close()
	_, name, _ := strings.Cut(location[len("mysql://"):], "/")
	bucket, database := testlog.Must(aws.ParseBucket(b.Location))(t), testlog.Must(aws.ParseDatabase(location, p.Password))(t)
	for what, c := range map[string]struct {
		bucket   func(*aws.Bucket)
		database func(*mysql.Config)
		do       func(context.Context, *cloud.Driver) error
		is       error
		says     []string
	}{
		"no bucket":      {bucket: func(b *aws.Bucket) { b.Name = "nowhere" }, says: []string{"s3://nowhere/tile/", "NoSuchBucket", "make the bucket"}},
		"another region": {bucket: func(b *aws.Bucket) { b.Region = "eu-west-1" }, says: []string{"s3://" + b.Name + "/tile/", "us-east-1", "?region="}},
		"403":            {bucket: func(b *aws.Bucket) { b.Endpoint = denies.URL }, do: drivertest.ReadTile, says: []string{"s3://" + b.Name + "/tile/0/000", "AccessDenied", "s3:GetObject"}},
		"no S3":          {bucket: func(b *aws.Bucket) { b.Endpoint = nobody.URL }, do: drivertest.ReadTile, says: []string{"s3://" + b.Name + "/tile/0/000", "refused"}},
		"no object":      {do: drivertest.ReadTile, is: fs.ErrNotExist, says: []string{"s3://" + b.Name + "/tile/0/000"}},
		"a condition": {do: func(ctx context.Context, d *cloud.Driver) error {
			_, err := d.Bucket.Put(ctx, "a/b", nil, cloud.Condition{Match: `"1"`})
			return err
		}, says: []string{"s3://" + b.Name + "/a/b"}},
		"no database":    {database: func(c *mysql.Config) { c.DBName = "nowhere" }, says: []string{"mysql://" + p.MySQL + "/nowhere", "make the database"}},
		"no such user":   {database: func(c *mysql.Config) { c.User = "nobody" }, says: []string{location[:8] + p.MySQL, "Access denied", "CONMOTION_DATABASE_PASSWORD"}},
		"wrong password": {database: func(c *mysql.Config) { c.Passwd = "wrong-secret" }, says: []string{p.MySQL + "/" + name, "Access denied", "CONMOTION_DATABASE_PASSWORD"}},
		"no server":      {database: func(c *mysql.Config) { c.Addr = nobody.Listener.Addr().String() }, says: []string{"mysql://" + nobody.Listener.Addr().String() + "/" + name, "refused"}},
		"no table":       {do: func(ctx context.Context, d *cloud.Driver) error { _, err := d.Database.Term(ctx); return err }, says: []string{p.MySQL + "/" + name, "conmotion_writer"}},
	} {
		bucket, config := bucket, database.Clone()
		if c.bucket != nil {
			c.bucket(&bucket)
		}
		if c.database != nil {
			c.database(config)
		}
		d := testlog.Must(aws.New(t.Context(), aws.Config{Bucket: bucket, Database: config, Writer: storage.WriterOptions{Logger: slog.New(slog.DiscardHandler)}}))(t)
		if c.do == nil {
			c.do = drivertest.OpenLog
		}
		err := c.do(t.Context(), d)
		drivertest.Says(t, what, err, c.is, c.says)
		for _, secret := range []string{p.Password, p.SecretKey, "wrong-secret"} {
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %v says a secret", what, err)
			}
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}
