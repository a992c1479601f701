package main

import (
	"crypto"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // of the index that lies

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testpki"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/storage/search"
	"github.com/conmotion/conmotion/tiles"
)

func digestPath(content []byte) string { return reader.Digest(sha256.Sum256(content)).Path() }

// world are three honest parties, each with a log, and what they show: the
// provider's records with one's content in an artifact storage beside its log;
// the auditor's observations of the same, with an endorsement and a measurement;
// and the customer's record with an acknowledgement.
type world struct {
	provider, auditor, customer *actor
	second                      *actor // a log that has the same statements as the provider's
	truth                       shown
	witnesses                   []*scitt.Cosigner
	pq                          crypto.Signer // the key of ML-DSA-44 of the provider's log
}

// actor is a party: its log and its issuer's key.
type actor struct {
	keys      *testlog.Keys
	entries   [][]byte
	key       crypto.Signer
	issuer    string
	artifacts [][]byte // stored beside the log
	head      map[string]*scitt.ChainLink
}

// eventTime is when all events happened, and signedAt when they were signed.
var (
	eventTime = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	signedAt  = eventTime.Add(10 * time.Second)
)

const interval = "--from 2026-01-01T11:00:00Z --to 2026-01-01T13:00:00Z"

func newActor(t *testing.T, name, policy string) *actor {
	a := &actor{keys: testlog.NewKeysOf(t, name+".example"), key: testlog.FixedKey(t, name), head: map[string]*scitt.ChainLink{}}
	a.issuer = testlog.DIDJWK(t, a.key)
	a.entries = a.keys.Begin(t, strings.ReplaceAll(policy, "ISSUER", a.issuer))
	return a
}

// says is the actor as somebody who shows these entries in their place.
func (a *actor) says(entries ...[]byte) *actor {
	b := *a
	b.entries = entries
	return &b
}

// and is the actor who shows more entries.
func (a *actor) and(more ...[]byte) *actor {
	return a.says(append(slices.Clone(a.entries), more...)...)
}

// with is the actor who shows another entry in the place of one.
func (a *actor) with(i int, entry []byte) *actor {
	b := a.says(slices.Clone(a.entries)...)
	b.entries[i] = entry
	return b
}

// files are those of the actor's log.
func (a *actor) files(t *testing.T) *testlog.Files {
	t.Helper()
	f := &testlog.Files{}
	f.Publish(t, a.keys, a.entries)
	for _, content := range a.artifacts {
		f.Put(digestPath(content), content)
	}
	return f
}

// dir is a directory with the files of the actor's log, changed before.
func (a *actor) dir(t *testing.T, change ...func(f *testlog.Files)) string {
	t.Helper()
	f, dir := a.files(t), t.TempDir()
	for _, c := range change {
		c(f)
	}
	f.WriteTo(t, dir)
	return dir
}

// root is that of the actor's entries.
func (a *actor) root() []byte { return testlog.WriteTree(a.entries, func(string, []byte) {}) }

// transparent is the Transparent Statement of an entry, by the actor's word.
func (a *actor) transparent(t *testing.T, index int) []byte {
	t.Helper()
	s := testlog.Must(scitt.DecodeStatement(a.entries[index]))(t)
	return scitt.AttachReceipts(s, a.receipt(t, index))
}

// receipt is one of an entry in the actor's tree.
func (a *actor) receipt(t *testing.T, index int) []byte {
	t.Helper()
	v := testlog.Must(tiles.NewTree(a.files(t)).At(t.Context(), testlog.Must(a.keys.Verifiers.Open(a.keys.Checkpoint(t, uint64(len(a.entries)), a.root())))(t)))(t)
	return testlog.Must(v.Receipt(t.Context(), uint64(index), scitt.LeafHash(a.entries[index])))(t)
}

// ref names an entry of the actor's log.
func (a *actor) ref(index int) monitor.EntryRef {
	return monitor.EntryRef{EntryID: testlog.ID(a.entries[index]).String(), Index: uint64(index), Origin: a.keys.Note.Name()}
}

// eventAbout is one of OCSF about a resource.
func eventAbout(kind monitor.Kind, action, uid string) []byte {
	return fmt.Appendf(nil, `{"activity_id":1,"category_uid":5,"class_uid":5023,"metadata":{"event_code":"%s.%s","product":{"name":"p","vendor_name":"v"},"version":"1.5.0"},`+
		`"resources":[{"data":{"open":false},"uid":"%s"}],"severity_id":1,"time":%d,"type_uid":502301}`, kind, action, uid, eventTime.UnixMilli())
}

// record signs one as the actor's, of a type, with the link that is given or else the next of the actor's chain.
func (a *actor) record(t *testing.T, kind monitor.Kind, action, uid string, change func(*scitt.SignOptions)) []byte {
	t.Helper()
	name := string(kind)
	next := a.head[name]
	if next == nil {
		next = &scitt.ChainLink{Name: name}
	}
	o := scitt.SignOptions{IssuedAt: signedAt, Type: scitt.TypeRecord, Subject: name + "/" + uid, ContentType: "application/json", Chain: next}
	if change != nil {
		change(&o)
	}
	payload := testlog.Must(monitor.Canonical(eventAbout(kind, action, uid)))(t)
	return testlog.Must(scitt.SignStatement(a.key, o, payload))(t)
}

// add appends an entry to the actor's log, and moves the chain's head on.
func (a *actor) add(t *testing.T, entry []byte) {
	t.Helper()
	a.entries = append(a.entries, testlog.Must(scitt.DecodeStatement(entry))(t).Entry())
	if s := testlog.Must(scitt.DecodeStatement(entry))(t); s.Chain != nil {
		id := testlog.ID(entry)
		a.head[s.Chain.Name] = &scitt.ChainLink{Name: s.Chain.Name, Seq: s.Chain.Seq + 1, Prev: id[:]}
	}
}

// monitored is what the monitor is told to watch.
const monitored = `state: {tmp}/state
logs:
  - name: provider
    location: {tmp}/p
    artifacts: {tmp}/p
    from: start
    max_age: 1d
    admission: {}
  - name: auditor
    location: {tmp}/a
    from: start
    measurements:
      - name: coverage
        by: ["{auditor-issuer}"]
        over: 10
        recompute: true
`

const (
	providerPolicy = `{"version":1,"trust_anchors":{"self_certifying":["did:jwk"]},"issuers":[{"issuer":"ISSUER","subjects":["inventory/*","configuration/*"],"content_types":["application/json"]}],` +
		`"limits":{"max_entry_bytes":4096},"signature":"low-s","chain":"required","artifact":"required","ocsf":{"mode":"enforce"},"rules":[{"id":"signed","expr":"iat > 1700000000","message":"iat is missing"}]}`
)

// Entries of the provider's log.
const (
	webEntry  = 2 // create of the asset web
	dbEntry   = 3 // and of db
	diskEntry = 4 // and of disk, with the content in the artifact storage
	openEntry = 5 // create of the configuration of web
)

func newWorld(t *testing.T) *world {
	w := &world{newActor(t, "provider", providerPolicy), newActor(t, "auditor", openPolicy), newActor(t, "customer", openPolicy), newActor(t, "second", openPolicy), shown{}, nil, nil}
	p, a, c := w.provider, w.auditor, w.customer
	hashed := func(o *scitt.SignOptions) { o.Hash = true }
	p.add(t, p.record(t, monitor.Inventory, "create", "web", nil))
	p.add(t, p.record(t, monitor.Inventory, "create", "db", nil))
	p.add(t, p.record(t, monitor.Inventory, "create", "disk", hashed))
	p.add(t, p.record(t, monitor.Configuration, "create", "web", nil))
	p.artifacts = [][]byte{testlog.Must(monitor.Canonical(eventAbout(monitor.Inventory, "create", "disk")))(t)}
	w.show("provider", p.dir(t))
	w.show("provider-vkeys", p.vkeys())
	w.write(t, "provider.keys", testlog.Must(p.keys.KeySet(t).Marshal())(t))
	w.write(t, "transparent", p.transparent(t, webEntry))
	w.write(t, "receipt", p.receipt(t, webEntry))
	w.showWitnessed(t)
	w.showHidden(t)
	w.showPostQuantum(t)
	w.write(t, "disk", p.transparent(t, diskEntry))
	w.write(t, "statement", p.entries[webEntry])
	observed := func(o *scitt.SignOptions) { o.Type, o.Chain = scitt.TypeObservation, nil }
	for _, uid := range []string{"web", "db", "disk"} {
		a.add(t, a.record(t, monitor.Inventory, "create", uid, observed))
	}
	a.add(t, a.record(t, monitor.Configuration, "create", "web", observed))
	a.add(t, w.endorsement(t, nil))
	w.show("observed", a.dir(t))
	w.write(t, "payload", w.measure(t, interval, w.truth))
	a.add(t, w.measurement(t, read(t, w.truth["payload"])))
	w.write(t, "measurement", a.entries[len(a.entries)-1])
	w.show("auditor", a.dir(t))
	w.show("auditor-issuer", a.issuer)
	w.show("auditor-vkeys", a.vkeys())
	c.add(t, c.record(t, monitor.Inventory, "create", "vm", nil))
	c.add(t, w.acknowledgement(t, nil))
	w.show("customer", c.dir(t))
	// What is true later: each log grew by an entry.
	later := *p
	later.head = maps.Clone(p.head)
	later.add(t, later.record(t, monitor.Inventory, "create", "new", nil))
	w.show("later", later.dir(t))
	w.second.entries = append(w.second.entries, p.entries[webEntry:]...)
	w.show("mirror", w.second.dir(t))
	web := testlog.Must(scitt.DecodeStatement(p.entries[webEntry]))(t)
	w.write(t, "both", scitt.AttachReceipts(web, p.receipt(t, webEntry), w.second.receipt(t, webEntry)))
	// What the provider's key signed beside it, and the proof of that.
	fork := p.with(dbEntry, w.other(t))
	view := testlog.Must(tiles.NewLog(fork.and(w.other(t)).files(t), p.keys.Verifiers).Latest(t.Context()))(t)
	proof := testlog.Must(view.Equivocation(t.Context(), testlog.Must(p.keys.Verifiers.Open(read(t, w.truth["provider"], tiles.CheckpointPath)))(t)))(t)
	proof.VKey = scitt.NoteVKey(p.keys.VKeys)
	w.write(t, "proof", testlog.Must(proof.Marshal())(t))
	w.write(t, "provider.pem", testlog.Must(scitt.MarshalPrivateKey(p.key))(t))
	w.write(t, "customer.pem", testlog.Must(scitt.MarshalPrivateKey(c.key))(t))
	w.write(t, "new", w.other(t))
	w.write(t, "event.json", eventAbout(monitor.Inventory, "create", "another"))
	w.show("max-age", time.Since(eventTime.Add(45*time.Minute)).Round(time.Minute).String())
	w.show("export", filepath.Join(t.TempDir(), "export"))
	w.show("db", filepath.Join(t.TempDir(), "db"))
	w.show("provider-issuer", p.issuer)
	for _, line := range []string{"export --log {provider} --out {export}", "conmotion-index update {provider} --db {db}"} {
		if got := w.look(t, line, w.truth); got.code != cli.ExitGood {
			t.Fatalf("%+v", got)
		}
	}
	maps.Copy(w.truth, certified(func(*testpki.PKI, *scitt.SignOptions) {})(t, w))
	w.show("search", w.searches(t, func(*search.Answer) {}))
	w.show("service", p.register(t, func(_ *actor, _ int, receipt []byte) []byte { return receipt }))
	w.show("before", w.truth["provider"])
	return w
}

// show gives something a name.
func (w *world) show(name, value string) { w.truth[name] = value }

// write is show of a file.
func (w *world) write(t *testing.T, name string, data []byte) { w.show(name, write(t, name, data)) }

// write writes a file and returns its path.
func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (a *actor) vkeys() string { return "--vkey " + strings.Join(a.keys.VKeys, " --vkey ") }

// endorsement is the auditor's, of the provider's record of web.
func (w *world) endorsement(t *testing.T, change func(e *monitor.Endorsement)) []byte {
	t.Helper()
	e := &monitor.Endorsement{Entry: w.provider.ref(webEntry), Home: "auditor.example", Verdict: monitor.Endorse, Scope: []string{"existence"},
		From: eventTime, Until: eventTime.AddDate(100, 0, 0)}
	if change != nil {
		change(e)
	}
	return testlog.Must(testlog.SignAs(w.auditor.key, e, scitt.SignOptions{IssuedAt: signedAt}))(t)
}

// measure is the document of a measurement over what the auditor observed.
func (w *world) measure(t *testing.T, interval string, files shown) []byte {
	t.Helper()
	got := w.look(t, "measure inventory --dry-run "+interval+" --reported {provider} --observed {observed}", files)
	if got.code != cli.ExitGood {
		t.Fatalf("%+v", got)
	}
	return []byte(got.stdout)
}

// measurement is the auditor's, of a document.
func (w *world) measurement(t *testing.T, payload []byte) []byte {
	t.Helper()
	return testlog.Must(scitt.SignStatement(w.auditor.key, scitt.SignOptions{
		IssuedAt: signedAt, Type: scitt.TypeMeasurement, Subject: "measurement/inventory/provider.example", ContentType: "application/json",
	}, payload))(t)
}

// acknowledgement is the customer's: its asset vm is an instance of web.
func (w *world) acknowledgement(t *testing.T, change func(a *monitor.Acknowledgement)) []byte {
	t.Helper()
	a := &monitor.Acknowledgement{Asset: "vm", Entry: w.provider.ref(webEntry), Home: "customer.example", Upstream: []string{"web"},
		Transparent: w.provider.transparent(t, webEntry)}
	if change != nil {
		change(a)
	}
	return testlog.Must(testlog.SignAs(w.customer.key, a, scitt.SignOptions{IssuedAt: signedAt}))(t)
}
