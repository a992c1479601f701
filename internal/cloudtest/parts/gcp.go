package parts

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"strings"

	"cloud.google.com/go/spanner"
	database "cloud.google.com/go/spanner/admin/database/apiv1"
	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	instance "cloud.google.com/go/spanner/admin/instance/apiv1"
	"cloud.google.com/go/spanner/admin/instance/apiv1/instancepb"
	"cloud.google.com/go/storage"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// GCP is a GCS server and the emulator of Spanner. It implements Cloud.
type GCP struct {
	servers
	// Endpoint is the GCS server, and Spanner HOST:PORT of the emulator.
	Endpoint, Spanner string

	client *storage.Client
}

const (
	project      = "projects/conmotion"
	testInstance = project + "/instances/test"
)

// StartGCP starts both servers with nothing in them.
func StartGCP(ctx context.Context) (p *GCP, err error) {
	fake, err := find("fake-gcs-server", "go install github.com/fsouza/fake-gcs-server@v1.56.1")
	if err != nil {
		return nil, err
	}
	emulator, err := find("emulator_main", "apt-get install google-cloud-cli-spanner-emulator, from Google's repository")
	if err != nil {
		return nil, err
	}
	p = &GCP{}
	return p, p.start(func() error { return p.startGCS(ctx, fake) }, func() error { return p.startSpanner(ctx, emulator) })
}

func (p *GCP) startGCS(ctx context.Context, fake string) error {
	addr, err := p.address()
	if err != nil {
		return err
	}
	p.Endpoint = "http://" + addr
	host, port, _ := strings.Cut(addr, ":")
	if _, err := p.run(ctx, func() error {
		answer, err := http.Get(p.Endpoint + "/storage/v1/b")
		if err == nil {
			err = answer.Body.Close()
		}
		return err
	}, nil, fake, "-scheme", "http", "-host", host, "-port", port, "-backend", "memory", "-public-host", addr, "-log-level", "error"); err != nil {
		return err
	}
	p.client, err = storage.NewClient(ctx, option.WithEndpoint(p.Endpoint+"/storage/v1/"), option.WithoutAuthentication(), storage.WithJSONReads())
	return err
}

func (p *GCP) startSpanner(ctx context.Context, emulator string) (err error) {
	if p.Spanner, err = p.address(); err != nil {
		return err
	}
	if _, err := p.run(ctx, func() error {
		c, err := net.Dial("tcp", p.Spanner)
		if err == nil {
			err = c.Close()
		}
		return err
	}, nil, emulator, "--host_port", p.Spanner); err != nil {
		return err
	}
	admin, err := instance.NewInstanceAdminClient(ctx, p.spannerOptions()...)
	if err != nil {
		return err
	}
	defer admin.Close()
	made, err := admin.CreateInstance(ctx, &instancepb.CreateInstanceRequest{Parent: project, InstanceId: "test",
		Instance: &instancepb.Instance{Config: project + "/instanceConfigs/emulator-config", DisplayName: "test", NodeCount: 1}})
	if err == nil {
		_, err = made.Wait(ctx)
	}
	return err
}

func (p *GCP) spannerOptions() []option.ClientOption {
	return []option.ClientOption{option.WithEndpoint(p.Spanner), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials()))}
}

// NewDatabase implements Cloud.
func (p *GCP) NewDatabase(ctx context.Context) (string, error) {
	name := "log_" + strings.ToLower(rand.Text()[:8])
	admin, err := database.NewDatabaseAdminClient(ctx, p.spannerOptions()...)
	if err != nil {
		return "", err
	}
	defer admin.Close()
	made, err := admin.CreateDatabase(ctx, &databasepb.CreateDatabaseRequest{Parent: testInstance, CreateStatement: "CREATE DATABASE `" + name + "`"})
	if err == nil {
		_, err = made.Wait(ctx)
	}
	return "spanner://" + testInstance + "/databases/" + name, err
}

// Tables implements Cloud.
func (p *GCP) Tables(ctx context.Context, name string) (n int, err error) {
	client, err := spanner.NewClientWithConfig(ctx, strings.TrimPrefix(name, "spanner://"), spanner.ClientConfig{DisableNativeMetrics: true}, p.spannerOptions()...)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	err = client.Single().Query(ctx, spanner.NewStatement(`SELECT 1 FROM information_schema.tables WHERE table_schema = ''`)).
		Do(func(*spanner.Row) error { n++; return nil })
	return n, err
}

// NewBucket implements Cloud. The server shows every bucket to everybody.
func (p *GCP) NewBucket(ctx context.Context, _ bool) (Bucket, error) {
	name := "log-" + strings.ToLower(rand.Text()[:8])
	b := p.client.Bucket(name)
	return Bucket{Location: "gs://" + name, URL: p.Endpoint + "/" + name, Name: name,
		Objects: func(ctx context.Context) (map[string]string, error) {
			all := map[string]string{}
			for objects := b.Objects(ctx, nil); ; {
				o, err := objects.Next()
				if err == iterator.Done {
					return all, nil
				}
				if err != nil {
					return nil, err
				}
				all[o.Name] = fmt.Sprint(o.Generation)
			}
		},
		Write: func(ctx context.Context, key string, data []byte) error {
			w := b.Object(key).NewWriter(ctx)
			_, err := w.Write(data)
			if cerr := w.Close(); err == nil {
				err = cerr
			}
			return err
		},
	}, b.Create(ctx, "conmotion", nil)
}

// Environment implements Cloud. Multiplexed sessions are more than the emulator can.
func (p *GCP) Environment() map[string]string {
	return map[string]string{
		"STORAGE_EMULATOR_HOST": p.Endpoint, "SPANNER_EMULATOR_HOST": p.Spanner,
		"GOOGLE_CLOUD_SPANNER_MULTIPLEXED_SESSIONS": "false", "GOOGLE_CLOUD_SPANNER_MULTIPLEXED_SESSIONS_FOR_RW": "false",
		"GOOGLE_CLOUD_SPANNER_MULTIPLEXED_SESSIONS_PARTITIONED_OPS": "false",
	}
}

// Servers implements Cloud.
func (p *GCP) Servers() (database, bucket string) {
	return p.Spanner, strings.TrimPrefix(p.Endpoint, "http://")
}
