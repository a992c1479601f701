package party

import (
	"bytes"
	"errors"
	"io/fs"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/scitt/did"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness"
)

// files are Transparent Statements by their numbers.
type files [][]byte

func (f *files) read(n int) ([]byte, error) {
	if n >= len(*f) {
		return nil, fs.ErrNotExist
	}
	return (*f)[n], nil
}

func (f *files) write(n int, c Copy) error {
	for len(*f) <= n {
		*f = append(*f, nil)
	}
	(*f)[n] = c.Transparent()
	return nil
}

// submit registers a statement as the next command does.
func (f *files) submit(a *author, want string, statement []byte, services ...*testService) Outcome {
	a.t.Helper()
	r := a.registrar(services...)
	outcomes, err := r.Register(a.t.Context(), []Draft{{signed: statement, file: f.read, written: f.write}})
	if got := results(outcomes); got != want || errors.Is(err, nil) != (outcomes[0].Err() == nil || outcomes[0].At[0].Result == Refused || len(services) > 1 && outcomes[0].At[1].Result == Refused) {
		a.t.Fatalf("%s, %v; want %s", got, err, want)
	}
	return outcomes[0]
}

// submitter is an author whose statements come signed.
func submitter(t testing.TB) *author {
	a := newAuthor(t)
	a.change = func(o *RegistrarOptions) { o.Key = nil }
	return a
}

// TestSigned: a statement that comes signed goes to each service, whatever the others do,
// and the same again goes on from there.
func TestSigned(t *testing.T) {
	t.Parallel()
	one, two, three := newService(t, anybody), newService(t, anybody), newService(t, `{"version": 1}`)
	a := submitter(t)
	statement := testlog.Statement(t, a.key, "asset", []byte("x"))
	var f files
	two.breaks(true)
	o := f.submit(a, "registered+failed+refused", statement, one, two, three)
	if len(f) != 1 || len(o.Copies) != 1 || len(o.Copies[0].receipts) != 1 || o.Err() == nil {
		t.Errorf("%d files, %+v", len(f), o)
	}
	two.mended()
	f.submit(a, "known+registered", statement, one, two)
	o = f.submit(a, "known+known", statement, one, two)
	if len(f) != 1 || len(o.Copies[0].receipts) != 2 || o.At[1].other {
		t.Errorf("%d files, %+v", len(f), o)
	}
	// Receipts of other logs that it brings are kept; those of the same give way.
	brought := bytes.Clone(f[0])
	f = nil
	if o = f.submit(a, "registered", brought, one); len(o.Copies[0].receipts) != 2 {
		t.Errorf("%d receipts", len(o.Copies[0].receipts))
	}
	if o = f.submit(a, "known", brought, one); len(o.Copies[0].receipts) != 2 {
		t.Errorf("%d receipts", len(o.Copies[0].receipts))
	}
	// What is there and is another one, or has fewer Receipts, counts for nothing.
	f = files{testlog.Statement(t, a.key, "asset", []byte("y"))}
	f.submit(a, "registered", statement, one)
	f = files{statement}
	f.submit(a, "registered", brought, one)
	// A service that is down keeps it from no other, unless it is the first.
	two.stop()
	f = nil
	o = f.submit(a, "registered+failed", statement, one, two)
	if len(f) != 1 {
		t.Errorf("%d files: %v", len(f), o.Err())
	}
	if _, err := a.open(two, one); err == nil {
		t.Error("it was opened")
	}
	one.contents("x")
	a.left(0)
	if outcomes, err := a.registrar(one).Register(t.Context(), []Draft{{signed: []byte("x")}}); !errors.Is(err, scitt.ErrMalformed) || len(outcomes) != 1 {
		t.Error(err)
	}
	full := errors.New("disk full")
	outcomes, err := a.registrar(one).Register(t.Context(), []Draft{{signed: statement, written: func(int, Copy) error { return full }}})
	if !errors.Is(err, full) || results(outcomes) != "failed" {
		t.Errorf("%s, %v", results(outcomes), err)
	}
}

// TestSignedMany: each of several statements has its own outcome.
func TestSignedMany(t *testing.T) {
	t.Parallel()
	s := newService(t, chained)
	a := submitter(t)
	var all []Draft
	for i, subject := range []string{"inventory/a", "inventory/bad", "inventory/c"} {
		o := scitt.SignOptions{Subject: subject, Chain: &scitt.ChainLink{Name: "inventory"}}
		if i == 2 {
			id := testlog.Must(scitt.ParseStatement(all[0].signed))(t).ID()
			o.Chain.Seq, o.Chain.Prev = 1, id[:]
		}
		all = append(all, Draft{signed: testlog.Must(scitt.SignStatement(a.key, o, []byte(subject)))(t)})
	}
	r := a.registrar(s)
	a.register(r, "registered refused unreached", all...)
	r.KeepGoing = true
	a.register(r, "registered refused registered", all...)
	s.contents("inventory/a", "inventory/c")
}

// TestTwin: where a log has another signature of the content, that is what the issuer gets:
// no Receipt is ever attached to other bytes.
func TestTwin(t *testing.T) {
	t.Parallel()
	one, two := newService(t, anybody), newService(t, anybody)
	a := submitter(t)
	own := testlog.Statement(t, a.key, "asset", []byte("x"))
	twin := testlog.Twin(t, testlog.Must(scitt.ParseStatement(own))(t).Entry())
	var stranger, f files
	stranger.submit(submitter(t), "registered", twin, one)
	o := f.submit(a, "registered+registered", own, one, two)
	if len(f) != 2 || !o.At[0].other || o.At[1].other || o.At[0].Copy != 0 || o.At[1].Copy != 1 {
		t.Errorf("%d files, %+v", len(f), o.At)
	}
	verified(t, o, one, two)
	o = f.submit(a, "known+known", own, one, two)
	if len(f) != 2 || !o.At[0].other || o.At[1].other {
		t.Errorf("%d files, %+v", len(f), o.At)
	}
	// A signature that does not verify gets nothing.
	var none files
	none.submit(a, "refused", testlog.Garbage(own), one)

	// The same where it is signed here: a stranger was first in the second log.
	w := newAuthor(t)
	first := w.register(w.registrar(one), "registered", drafts("r")...)[0]
	stranger = nil
	stranger.submit(a, "registered", testlog.Twin(t, first.Copies[0].Statement.Entry()), two)
	r := w.registrar(one, two)
	o = w.register(r, "known+known", drafts("r")...)[0]
	if err := r.Read(t.Context(), &o); err != nil || len(o.Copies) != 2 || o.At[1].Copy != 1 {
		t.Errorf("%d copies, %v", len(o.Copies), err)
	}
	verified(t, o, one, two)

	// And while it is on its way.
	two.first(func() {
		two.first(nil)
		sent := testlog.Must(scitt.ParseStatement(two.sent[len(two.sent)-1]))(t)
		stranger = nil
		stranger.submit(a, "registered", testlog.Twin(t, sent.Entry()), &testService{URL: two.direct})
	})
	o = w.register(r, "registered+registered", drafts("s")...)[0]
	if len(o.Copies) != 2 {
		t.Errorf("%d copies", len(o.Copies))
	}
	verified(t, o, one, two)
}

// TestTwinOfNamed: another signature of an issuer that does not bring its key is
// verified with the one that is given, or is no verdict.
func TestTwinOfNamed(t *testing.T) {
	t.Parallel()
	key := testlog.Key(t, "ES256")
	jwk := string(testlog.Must(did.MarshalJWK(key.Public()))(t))
	s := newService(t, `{"version": 1, "trust_anchors": {"keys": [{"id": "k", "jwk": `+jwk+`}]}, "issuers": [{"issuer": "https://issuer.example", "keys": ["k"]}]}`)
	a := submitter(t)
	own := testlog.Must(scitt.SignStatement(key, scitt.SignOptions{Issuer: "https://issuer.example", Subject: "asset"}, []byte("x")))(t)
	var f files
	f.submit(a, "registered", testlog.Twin(t, testlog.Must(scitt.ParseStatement(own))(t).Entry()), s)
	for _, c := range []struct {
		key *scitt.Key
		err error
	}{{nil, ErrIssuerKey}, {&scitt.Key{Public: a.key.Public()}, scitt.ErrSignature}, {&scitt.Key{Public: key.Public()}, nil}} {
		a.change = func(o *RegistrarOptions) { o.Key, o.IssuerKey = nil, c.key }
		outcomes, err := a.registrar(s).Register(t.Context(), []Draft{{signed: own}})
		if !errors.Is(err, c.err) || c.err == nil && !outcomes[0].At[0].other {
			t.Errorf("%v, %+v", err, outcomes)
		}
	}
}

// TestKeys: a Receipt counts by the keys that are given, and by nobody else's.
func TestKeys(t *testing.T) {
	t.Parallel()
	s, other := newService(t, anybody), newService(t, anybody)
	a := submitter(t)
	statement := testlog.Statement(t, a.key, "asset", []byte("x"))
	keysOf := func(s *testService) scitt.KeySet {
		return testlog.Must(testlog.Must(client.New(s.direct, client.Options{}))(t).Keys(t.Context()))(t)
	}
	give := func(keys ...witness.Keys) {
		a.change = func(o *RegistrarOptions) { o.Key, o.Keys = nil, keys }
	}
	give(witness.Keys{Named: keysOf(s)})
	if o := a.register(a.registrar(s), "registered", Draft{signed: statement})[0]; o.At[0].Ref.Origin == "" || a.registrar(s).Log() != nil {
		t.Errorf("%+v", o)
	}
	// A key without a name is tried whatever the Receipt names.
	unnamed := scitt.Key{Public: keysOf(s)[0].Public, ID: []byte("x")}
	give(witness.Keys{Unnamed: []scitt.Key{unnamed}})
	a.register(a.registrar(s), "registered", Draft{signed: statement})
	give(witness.Keys{Named: keysOf(other)})
	if _, err := a.registrar(s).Register(t.Context(), []Draft{{signed: statement}}); !errors.Is(err, ErrReceipt) || !errors.Is(err, scitt.ErrUnknownKey) {
		t.Error(err)
	}
	if _, err := a.open(s, other); err == nil || !strings.Contains(err.Error(), "2 services, and keys of 1") {
		t.Error(err)
	}
	// Who signs takes the keys of the log that it opens.
	a.change = func(o *RegistrarOptions) { o.Keys = []witness.Keys{{Named: keysOf(other)}} }
	if _, err := a.registrar(s).Register(t.Context(), drafts("a")); !errors.Is(err, ErrReceipt) {
		t.Error(err)
	}
	a.change = nil
	a.register(a.registrar(s), "known", drafts("a")...)
}

// TestOpenRegistrar: what is no service, and one that shows no log.
func TestOpenRegistrar(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	if _, err := a.open(); err == nil {
		t.Error("a Registrar of no service")
	}
	for _, url := range []string{"log/public", "ftp://log.example", ""} {
		if _, err := a.open(&testService{URL: url}); err == nil || !strings.Contains(err.Error(), "is not the URL of a service") {
			t.Errorf("%q: %v", url, err)
		}
	}
	keys, log := testlog.NewKeys(t), &testlog.Files{}
	log.Publish(t, keys, keys.Begin(t, anybody))
	server := httptest.NewServer(log)
	defer server.Close()
	s := &testService{URL: server.URL}
	a.registrar(s)
	shown := testlog.Must(log.Get(t.Context(), tiles.KeysPath))(t)
	log.Clear()
	log.Put(tiles.KeysPath, shown)
	for who, needs := range map[*author]bool{newAuthor(t): true, submitter(t): false} {
		if _, err := who.open(s); (err == nil) == needs || needs && !errors.Is(err, ErrNoLog) {
			t.Errorf("%v", err)
		}
	}
}
