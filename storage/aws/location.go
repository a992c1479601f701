package aws

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/conmotion/conmotion/internal/loopback"
	"github.com/conmotion/conmotion/storage/internal/cloud"
)

// Bucket says which bucket, and where it is.
type Bucket struct {
	Name string
	// Region and Endpoint are those of the SDK's configuration where they are empty.
	Region, Endpoint string
	// PathStyle has the bucket's name in the path of a URL and not in its host.
	PathStyle bool
}

// ParseBucket reads s3://BUCKET?region=R&endpoint=URL&path_style=true. Whatever is
// after the question mark can be left away.
func ParseBucket(location string) (b Bucket, err error) {
	u, err := url.Parse(location)
	if err != nil {
		return b, errors.New("a bucket is s3://BUCKET?region=&endpoint=&path_style=")
	}
	switch {
	case u.Scheme != "s3" || u.Host == "" || u.Port() != "":
		return b, fmt.Errorf("%s is not s3://BUCKET", cloud.Shown(location))
	case u.User != nil:
		return b, errors.New("s3://: the credentials are not part of the URL; they come from the SDK's usual places, such as AWS_ACCESS_KEY_ID or the role of the machine")
	case strings.Trim(u.Path, "/") != "":
		return b, fmt.Errorf("s3://%s%s: each log has a bucket of its own, without a prefix", u.Host, u.Path)
	}
	b.Name = u.Host
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return b, fmt.Errorf("s3://%s: %w", u.Host, err)
	}
	for name, values := range query {
		switch value := values[len(values)-1]; name {
		case "region":
			b.Region = value
		case "endpoint":
			e, err := url.Parse(value)
			if err != nil || e.Host == "" || e.Scheme != "http" && e.Scheme != "https" || e.User != nil {
				return b, fmt.Errorf("s3://%s: endpoint is not a URL such as https://s3.example", u.Host)
			}
			b.Endpoint = value
		case "path_style":
			if b.PathStyle, err = strconv.ParseBool(value); err != nil {
				return b, fmt.Errorf("s3://%s: path_style is true or false, not %q", u.Host, value)
			}
		default:
			return b, fmt.Errorf("s3://%s: there is no parameter %q; there are region, endpoint and path_style", u.Host, name)
		}
	}
	return b, nil
}

// String names the bucket.
func (b Bucket) String() string { return "s3://" + b.Name }

const (
	dialTimeout = 5 * time.Second
	lockWait    = 5 // seconds
)

// ParseDatabase reads mysql://USER@HOST:PORT/DATABASE?tls=MODE. The mode is true,
// skip-verify, preferred or false; without it, it is true unless the host is this
// machine. The password is not part of the URL, which others can see in the list
// of processes.
func ParseDatabase(location, password string) (*mysql.Config, error) {
	u, err := url.Parse(location)
	if err != nil { // the error would repeat what may hold a password
		return nil, errors.New("a database is mysql://USER@HOST:PORT/DATABASE")
	}
	if _, ok := u.User.Password(); ok {
		return nil, errors.New("mysql://: the password is not part of the URL; it comes from CONMOTION_DATABASE_PASSWORD or --database-password-file")
	}
	name := strings.TrimPrefix(u.Path, "/")
	if u.Scheme != "mysql" || u.Hostname() == "" || name == "" || strings.Contains(name, "/") || u.User.Username() == "" {
		return nil, fmt.Errorf("%s is not mysql://USER@HOST:PORT/DATABASE", cloud.Shown(location))
	}
	c := mysql.NewConfig()
	c.User, c.Passwd, c.DBName = u.User.Username(), password, name
	c.Net, c.Addr = "tcp", u.Host
	if u.Port() == "" {
		c.Addr = net.JoinHostPort(u.Hostname(), "3306")
	}
	c.TLSConfig = "true"
	if loopback.Host(u.Host) {
		c.TLSConfig = "false"
	}
	for parameter, values := range u.Query() {
		value := values[len(values)-1]
		if parameter != "tls" {
			return nil, fmt.Errorf("%s: there is no parameter %q; there is tls", cloud.Shown(location), parameter)
		}
		switch value {
		case "true", "false", "skip-verify", "preferred":
			c.TLSConfig = value
		default:
			return nil, fmt.Errorf("%s: tls is true, skip-verify, preferred or false, not %q", cloud.Shown(location), value)
		}
	}
	c.Timeout, c.ReadTimeout, c.WriteTimeout = dialTimeout, cloud.IOTimeout, cloud.IOTimeout
	c.Params = map[string]string{"innodb_lock_wait_timeout": strconv.Itoa(lockWait)}
	return c, nil
}
