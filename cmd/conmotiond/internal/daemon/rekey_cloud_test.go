package daemon_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/cmd/conmotiond/internal/daemon"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/scitt"
)

// TestRotateReplica: a replica follows the keys that the writer shows, and takes over with
// them; one that does not have them follows, and leaves the log to others.
func TestRotateReplica(t *testing.T) {
	t.Parallel()
	place, bucket, _ := inBucket(t, cloud.AWS(t))
	keys := []string{filepath.Join(t.TempDir(), "keys"), filepath.Join(t.TempDir(), "keys")}
	if err := daemon.MakeKeys(t.Context(), daemon.Config{Keys: keys[0], Issuer: "http://transparency.example"}, filepath.Join(t.TempDir(), "recovery.pem"), daemon.Elsewhere{}); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(keys[1], os.DirFS(keys[0])); err != nil {
		t.Fatal(err)
	}
	instance := func(i int) *service {
		s := newService(t, func(c *daemon.Config) {
			place(c)
			c.Artifacts, c.Search, c.Keys, c.Lease, c.DefaultIssuer = "", false, keys[i], time.Second, "http://transparency.example"
		})
		s.url = bucket.URL
		return s
	}
	writer, replica := instance(0), instance(1)
	receipts := map[string][]byte{}
	register := func(s *service) {
		st := testlog.Statement(t, testlog.Key(t, "ES256"), "asset", nil)
		receipts[string(st)] = s.register(st)
	}
	register(writer)
	fresh := map[string][]byte{}
	for file, algorithm := range map[string]string{"checkpoint-key-2.pem": "EdDSA", "receipt-key-2.pem": "ES256"} {
		fresh[file] = testlog.Must(scitt.MarshalPrivateKey(testlog.Key(t, algorithm)))(t)
		write(t, filepath.Join(keys[0], file), fresh[file])
	}
	write(t, filepath.Join(keys[1], "receipt-key-2.pem"), fresh["receipt-key-2.pem"])
	writer.rotate(daemon.KeyChange{Rotate: "receipt", To: filepath.Join(keys[0], "receipt-key-2.pem")})
	writer.rotate(daemon.KeyChange{Rotate: "note", To: filepath.Join(keys[0], "checkpoint-key-2.pem")})
	register(writer)
	shown := writer.configuration()
	if len(shown.Keys) != 3 || shown.Keys[2].Handover == "" {
		t.Fatalf("%+v", shown)
	}
	testwait.Until(t, func() bool {
		c := replica.configuration()
		return slices.Equal(c.CheckpointKeys, shown.CheckpointKeys) && slices.Equal(c.Keys, shown.Keys)
	}, "the replica shows the keys")
	testwait.Until(t, func() bool { return replica.size() == writer.size() }, "the replica follows the log")
	// One with another service key could not take over, and does not start.
	c := replica.config
	c.Dir, c.Keys = testwait.Dir(t), filepath.Join(t.TempDir(), "keys")
	if err := os.CopyFS(c.Keys, os.DirFS(keys[0])); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(c.Keys, "service-key.pem"), testlog.Must(scitt.MarshalPrivateKey(testlog.Key(t, "ES256")))(t))
	if d, err := daemon.Open(t.Context(), c, testlog.Must(daemon.NewTelemetry())(t)); err == nil || !strings.Contains(err.Error(), "the service key") {
		t.Errorf("%v", errors.Join(err, d.Close()))
	}
	// Without the new note key it does not take over, and does not start.
	writer.stop()
	if _, problem := replica.manage(daemon.KeyChange{Rotate: "receipt"}); problem == nil {
		t.Error("a replica changes keys")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	select {
	case <-ctx.Done():
	case <-replica.Lost():
		t.Error(replica.LostWhy())
	}
	if !strings.HasPrefix(replica.Role(), "replica") {
		t.Errorf("it is %s", replica.Role())
	}
	c = replica.config
	c.Dir = testwait.Dir(t)
	if d, err := daemon.Open(t.Context(), c, testlog.Must(daemon.NewTelemetry())(t)); err == nil || !strings.Contains(err.Error(), "it is not by this log's keys in") {
		t.Errorf("%v", errors.Join(err, d.Close()))
	}
	write(t, filepath.Join(keys[1], "checkpoint-key-2.pem"), fresh["checkpoint-key-2.pem"])
	st := testlog.Statement(t, testlog.Key(t, "ES256"), "asset", nil)
	testwait.Until(t, func() bool {
		a := replica.do(http.MethodPost, "/entries", st, "Content-Type", "application/cose")
		receipts[string(st)] = a.body
		return a.StatusCode == http.StatusCreated
	}, "it takes over")
	replica.checker().Check(t, receipts)
}
