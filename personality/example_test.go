package personality_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"go.opentelemetry.io/otel/metric/noop"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/teststorage"
	"github.com/conmotion/conmotion/personality"
	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/index"
	"github.com/conmotion/conmotion/storage/posix"
)

// open is a Registration Policy for statements by any did:jwk, which cannot be replaced.
type open struct{ *policy.Policy }

func (p open) Admit(_ context.Context, s *scitt.Statement, _ personality.Heads) error {
	return p.Policy.Admit(s, policy.NoFacts{})
}

func (p open) VerifySignature(s *scitt.Statement) error { return p.Policy.VerifySignature(s, nil) }

func (open) Replace(*scitt.Statement, scitt.EntryID) (personality.Policy, error) {
	return nil, errors.New("this policy stays")
}

func (p open) Document() []byte { return p.Canonical() }

// A Transparency Service over a log on disk.
func ExampleService() {
	ctx := context.Background()
	root, err := os.MkdirTemp("", "service")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(root)
	dir, err := storage.OpenDir(root)
	if err != nil {
		log.Fatal(err)
	}
	defer dir.Close()
	entries, err := index.Open(ctx, dir.Private("index.db"), nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer entries.Close()
	t := testlog.Example{}
	keys := testlog.NewKeys(t)
	options := teststorage.Options(keys)
	options.Antispam = entries
	l, err := storage.Open(ctx, posix.New(dir, options.Logger), options)
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close(ctx)

	// A log begins with the service's keys and its policy.
	p := open{policy.Default()}
	for _, entry := range keys.Begin(t, string(p.Document())) {
		if _, err := l.Append(ctx, entry); err != nil {
			log.Fatal(err)
		}
	}
	view, err := l.Await(ctx, 1)
	if err != nil {
		log.Fatal(err)
	}
	founding, err := view.Entry(ctx, 1)
	if err != nil {
		log.Fatal(err)
	}
	id, ok := scitt.EntryIDOf(founding)
	if !ok {
		log.Fatal("entry 1 is not a statement")
	}
	metrics, err := personality.NewMetrics(noop.Meter{})
	if err != nil {
		log.Fatal(err)
	}
	service, err := personality.New(personality.Config{
		Issuer: testlog.Issuer, Origin: testlog.Origin, Keys: personality.Keys{Receipt: keys.KeySet(t), VKeys: keys.VKeys},
		Policy: personality.InForce{Policy: p, Index: 1, ID: id},
		Wait:   10 * time.Second, Log: l, Index: entries, Files: http.Dir(dir.Public()), Metrics: metrics, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewServer(service.Handler())
	defer server.Close()

	c, err := client.New(server.URL, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	statement := testlog.Statement(t, testlog.Key(t, "ES256"), "host-17", []byte("running"))
	registration, err := c.Register(ctx, statement)
	if err != nil {
		log.Fatal(err)
	}
	receipt, err := scitt.ParseReceipt(registration.Receipt)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("entry", receipt.Proofs[0].Index, receipt.Verify(keys.Receipt.Public(), registeredEntry(statement)))
	// Output: entry 2 <nil>
}

func registeredEntry(statement []byte) []byte {
	s, err := scitt.ParseStatement(statement)
	if err != nil {
		log.Fatal(err)
	}
	return s.Entry()
}
