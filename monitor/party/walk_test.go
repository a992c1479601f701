package party_test

import (
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/witness"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// somebody has a log, and a key.
type somebody struct {
	t       *testing.T
	keys    *testlog.Keys
	key     crypto.Signer
	entries [][]byte
	files   testlog.Files
	dir     string
}

func newSomebody(t *testing.T, name string) *somebody {
	s := &somebody{t: t, keys: testlog.NewKeysOf(t, name+".example"), key: testlog.Key(t, "ES256"), dir: t.TempDir()}
	s.entries = s.keys.Begin(t, anyPolicy)
	s.publish()
	return s
}

const anyPolicy = `{"version": 1, "trust_anchors": {"self_certifying": ["did:jwk"]}}`

func (s *somebody) publish() {
	s.t.Helper()
	s.files.Publish(s.t, s.keys, s.entries)
	s.files.WriteTo(s.t, s.dir)
}

// adds signs something and has it in the log.
func (s *somebody) adds(what interface {
	ToSign() ([]byte, scitt.SignOptions, error)
}) *somebody {
	s.t.Helper()
	data := testlog.Must(testlog.SignAs(s.key, what, scitt.SignOptions{IssuedAt: noon}))(s.t)
	s.entries = append(s.entries, testlog.Must(scitt.DecodeStatement(data))(s.t).Entry())
	s.publish()
	return s
}

func (s *somebody) open() *party.Log {
	s.t.Helper()
	return testlog.Must(party.Open(s.t.Context(), s.dir, party.Options{}))(s.t)
}

// record is that an asset was created, which rests on other entries.
func record(t *testing.T, typ, uid string, on ...monitor.EntryRef) typed {
	t.Helper()
	event := fmt.Appendf(nil, `{"activity_id":1,"category_uid":5,"class_uid":5023,"metadata":{"event_code":"inventory.create","product":{"name":"test","vendor_name":"test"},"version":"1.5.0"},
		"resources":[{"uid":%q}],"severity_id":1,"time":%d,"type_uid":502301}`, uid, noon.UnixMilli())
	if len(on) > 0 {
		event = testlog.Must(monitor.WithUpstream(event, on))(t)
	}
	return typed{testlog.Must(monitor.NewRecord(event, monitor.Inventory, ""))(t), typ}
}

type typed struct {
	*monitor.Record
	typ string
}

func (r typed) ToSign() ([]byte, scitt.SignOptions, error) {
	payload, o, err := r.Record.ToSign()
	o.Type, o.Hash = r.typ, false
	return payload, o, err
}

// newest refers to the newest entry of a log.
func (s *somebody) newest() (monitor.EntryRef, *party.Log, *party.Entry) {
	s.t.Helper()
	l := s.open()
	e := testlog.Must(l.FindSigned(s.t.Context(), party.EntryName{Index: uint64(len(s.entries) - 1)}, nil))(s.t)
	return l.Ref(e), l, e
}

func TestFollow(t *testing.T) {
	provider, platform, customer := newSomebody(t, "provider"), newSomebody(t, "platform"), newSomebody(t, "customer")
	provider.adds(record(t, scitt.TypeRecord, "i-1"))
	below, _, _ := provider.newest()
	platform.adds(record(t, scitt.TypeRecord, "node-1", below))
	_, l, e := platform.newest()
	transparent, v, err := l.Evidence(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	customer.adds(testlog.Must(monitor.NewAcknowledgement(v, monitor.Acknowledgement{Asset: "vm-1", Home: "customer.example", Transparent: transparent},
		testlog.Must(l.ContentOf(t.Context(), e))(t)))(t))
	wrong := below
	wrong.EntryID = scitt.EntryID{1}.String()
	customer.adds(record(t, scitt.TypeRecord, "vm-2", wrong))
	for _, tc := range []struct {
		asset          string
		depth          int
		upstream       []*party.Log
		want           string // the assets on the way, and what each was verified with
		failed, unread string
	}{
		{"vm-1", 8, []*party.Log{platform.open(), provider.open()}, "vm-1 log+embedded node-1 log i-1", "", ""},
		{"vm-1", 1, []*party.Log{platform.open(), provider.open()}, "vm-1 log+embedded node-1 (not followed: it is 1 logs away)", "", ""},
		{"vm-1", 8, []*party.Log{platform.open()}, "vm-1 log+embedded node-1 !", "", "is not known here"},
		{"vm-1", 8, nil, "vm-1 !", "", "is not known here"},
		{"vm-2", 8, []*party.Log{provider.open()}, "vm-2 !", "is another one", ""},
		{"nobody", 8, nil, "nobody", "", ""},
	} {
		w, err := party.Follow(t.Context(), customer.open(), tc.asset, party.FollowOptions{Depth: tc.depth, Upstream: tc.upstream})
		if err != nil {
			t.Fatal(err)
		}
		var path func(f *party.Followed) string
		path = func(f *party.Followed) string {
			out := f.Asset
			if f.Note != "" {
				out += " (" + f.Note + ")"
			}
			for _, l := range f.Links {
				if l.Error != "" {
					out += " !"
					continue
				}
				out += " " + strings.Join(l.Verified, "+")
				for i := range l.Upstream {
					out += " " + path(&l.Upstream[i])
				}
			}
			return out
		}
		failed, unread := strings.Join(w.Failed, "; "), strings.Join(w.Unread, "; ")
		if got := path(&w.Root); got != tc.want || (failed == "") != (tc.failed == "") || !strings.Contains(failed, tc.failed) || (unread == "") != (tc.unread == "") || !strings.Contains(unread, tc.unread) {
			t.Errorf("%s: %q, failed %q, unread %q", tc.asset, got, failed, unread)
		}
	}
}

func TestConfirm(t *testing.T) {
	provider, auditor := newSomebody(t, "provider"), newSomebody(t, "auditor")
	provider.adds(record(t, scitt.TypeObservation, "i-1")) // of a type that does not count
	auditor.adds(record(t, scitt.TypeObservation, "i-1"))
	ref, reports, _ := provider.newest()
	side := func(l *party.Log, typ string) monitor.Party {
		return monitor.Party{Log: l.Monitor(), Filter: monitor.Filter{Types: []string{typ}}}
	}
	c := testlog.Must(monitor.Compare(t.Context(), side(reports, scitt.TypeRecord), side(auditor.open(), scitt.TypeObservation),
		monitor.Interval{From: noon.Add(-time.Hour), To: noon.Add(time.Hour)}))(t)
	known := map[string]any{"entry": ref.EntryID, "index": ref.Index}
	for _, tc := range []struct {
		name    string
		origin  string
		entries []any
		status  int
		search  string
		why     string // or the detail
	}{
		{"known", ref.Origin, []any{known}, 200, party.SearchKnows, "its type was not selected"},
		{"later", ref.Origin, []any{map[string]any{"entry": ref.EntryID, "index": 99}}, 200, party.SearchKnows, "it came after the checkpoint"},
		{"a lie", ref.Origin, []any{map[string]any{"entry": ref.EntryID, "index": 1}}, 200, party.SearchKnows, "the search is wrong"},
		{"unknown", ref.Origin, []any{}, 200, party.SearchUnknown, ""},
		{"another log", "other.example", []any{known}, 200, party.SearchNotThere, `the search is over the log "other.example"`},
		{"none", "", nil, 404, party.SearchNotThere, "offers no search"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if tc.status != 200 {
				w.WriteHeader(tc.status)
				_, _ = w.Write((&scitt.Problem{Title: "Not Found"}).Marshal())
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(map[string]any{"checkpoint": map[string]any{"origin": tc.origin, "size": 3}, "entries": tc.entries})
		}))
		confirmer := party.Confirmer{Comparison: c, Log: reports, Search: testlog.Must(client.New(server.URL, client.Options{Retries: -1}))(t)}
		got, err := confirmer.Confirm(t.Context(), 5, nil)
		server.Close()
		if err != nil || len(got) != 1 || got[0].UID != "i-1" || got[0].Search != tc.search {
			t.Errorf("%s: %+v, %v", tc.name, got, err)
			continue
		}
		why := got[0].Detail
		for _, e := range got[0].Entries {
			why += e.Why
		}
		if !strings.Contains(why, tc.why) || (why == "") != (tc.why == "") {
			t.Errorf("%s: %q", tc.name, why)
		}
	}
	none := party.Confirmer{Comparison: c, Log: reports, Why: "no search"}
	if got, err := none.Confirm(t.Context(), 0, nil); err != nil || len(got) != 0 {
		t.Errorf("at most none: %+v, %v", got, err)
	}
	if got, err := none.Confirm(t.Context(), 5, nil); err != nil || got[0].Detail != "no search" {
		t.Errorf("no search: %+v, %v", got, err)
	}
}

func TestGate(t *testing.T) {
	provider, auditor := newSomebody(t, "provider"), newSomebody(t, "auditor")
	provider.adds(record(t, scitt.TypeRecord, "i-1"))
	ref, _, _ := provider.newest()
	auditor.adds(&monitor.Endorsement{Entry: ref, Home: "auditor.example", Verdict: monitor.Endorse, Scope: []string{"existence"}, From: noon, Until: noon.Add(time.Hour)})
	issuer := testlog.DIDJWK(t, auditor.key)
	for _, tc := range []struct {
		asset string
		by    string
		at    time.Time
		want  string // results
	}{
		{"i-1", issuer, noon.Add(time.Minute), "ok ok ok"},
		{"i-1", issuer, noon.Add(2 * time.Hour), "ok failed ok"},
		{"i-1", testlog.DIDJWK(t, provider.key), noon.Add(time.Minute), "ok failed ok"},
		{"i-2", issuer, noon.Add(time.Minute), "failed"},
	} {
		g := &party.Gate{Requirements: monitor.Requirements{EndorsedBy: []string{tc.by}}, At: tc.at, Logs: []*party.Log{provider.open(), auditor.open()}}
		err := g.Asset(t.Context(), tc.asset, func(uint64, uint64) {})
		if err == nil && g.Entry != nil {
			err = g.Judge(t.Context())
		}
		var got []string
		for _, c := range g.Checks {
			got = append(got, c.Result)
		}
		if refused, unknown := g.Verdict(); (refused != "") != strings.Contains(tc.want, "failed") || unknown != "" {
			t.Errorf("%s by %.20s at %s: refused %q, unknown %q", tc.asset, tc.by, tc.at, refused, unknown)
		}
		if err != nil || strings.Join(got, " ") != tc.want {
			t.Errorf("%s by %.20s at %s: %+v, %v", tc.asset, tc.by, tc.at, g.Checks, err)
		}
	}
}

// TestVerdict: every reason is told, by what it is a reason for.
func TestVerdict(t *testing.T) {
	g := &party.Gate{}
	if refused, unknown := g.Verdict(); refused+unknown != "" {
		t.Errorf("nothing was found: %q, %q", refused, unknown)
	}
	for _, result := range []string{witness.OK, witness.Failed, witness.NotChecked, witness.Failed} {
		g.Checks = append(g.Checks, witness.Finding{Check: "a", Result: result, Detail: "because " + result})
	}
	if refused, unknown := g.Verdict(); refused != "a: because failed; a: because failed" || unknown != "a: because not checked" {
		t.Errorf("%q, %q", refused, unknown)
	}
}

func TestRecompute(t *testing.T) {
	provider, auditor := newSomebody(t, "provider"), newSomebody(t, "auditor")
	provider.adds(record(t, scitt.TypeRecord, "i-1"))
	auditor.adds(record(t, scitt.TypeObservation, "i-1")).adds(record(t, scitt.TypeObservation, "i-2"))
	side := func(l *party.Log, typ string) monitor.Party {
		return monitor.Party{Log: l.Monitor(), Filter: monitor.Filter{Types: []string{typ}}}
	}
	c := testlog.Must(monitor.Compare(t.Context(), side(provider.open(), scitt.TypeRecord), side(auditor.open(), scitt.TypeObservation),
		monitor.Interval{From: noon.Add(-time.Hour), To: noon.Add(time.Hour)}))(t)
	m := testlog.Must(monitor.Measure(c, monitor.MeasureOptions{What: monitor.Inventory, At: noon.Add(2 * time.Hour), Home: "auditor.example"}))(t)
	provider.adds(record(t, scitt.TypeRecord, "i-3")) // logs grow
	at := func(s *somebody) party.Pinned {
		return func(_ string, pin *scitt.Checkpoint) (monitor.Log, error) { return s.open().At(t.Context(), pin) }
	}
	r, _, err := party.Recompute(t.Context(), m.Payload, at(provider), at(auditor))
	if err != nil || !r.Same || r.Claimed != 50 || r.Computed != 50 {
		t.Errorf("%+v, %v", r, err)
	}
	lie := strings.Replace(string(m.Payload), `"impact_score":50`, `"impact_score":40`, 1)
	if r, _, err = party.Recompute(t.Context(), []byte(lie), at(provider), at(auditor)); err != nil || r.Same || len(r.Paths) == 0 {
		t.Errorf("a lie: %+v, %v", r, err)
	}
	if _, _, err = party.Recompute(t.Context(), []byte("{}"), at(provider), at(auditor)); !errors.Is(err, party.ErrNoMeasurement) {
		t.Errorf("something else: %v", err)
	}
	if _, _, err = party.Recompute(t.Context(), m.Payload, at(auditor), at(auditor)); err == nil {
		t.Error("another log passed")
	}
}

// TestReadMeasurement: a measurement is read from the statement that its issuer signed, or by itself.
func TestReadMeasurement(t *testing.T) {
	key, payload := testlog.Key(t, "ES256"), []byte(`{"a":1}`)
	signed := func(o scitt.SignOptions) []byte {
		o.Subject = "s"
		return testlog.Must(scitt.SignStatement(key, o, payload))(t)
	}
	good := signed(scitt.SignOptions{Type: scitt.TypeMeasurement})
	for name, c := range map[string]struct {
		data []byte
		is   error  // that the error wraps
		says string // the error
	}{
		"a statement":           {data: good},
		"the payload":           {data: payload},
		"another statement":     {data: signed(scitt.SignOptions{Type: scitt.TypeRecord}), is: party.ErrNoMeasurement},
		"a bad signature":       {data: testlog.Garbage(good), is: scitt.ErrSignature},
		"its hash":              {data: signed(scitt.SignOptions{Type: scitt.TypeMeasurement, Hash: true}), says: "signs the hash of the measurement"},
		"an issuer without key": {data: signed(scitt.SignOptions{Type: scitt.TypeMeasurement, Issuer: "https://auditor.example"}), is: scitt.ErrUnchecked},
	} {
		got, st, err := party.ReadMeasurement(c.data, nil)
		switch {
		case c.is != nil || c.says != "":
			if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v", name, err)
			}
		case err != nil || string(got) != string(payload) || (st == nil) != (name == "the payload"):
			t.Errorf("%s: %s, %v, %v", name, got, st, err)
		}
	}
	byName := signed(scitt.SignOptions{Type: scitt.TypeMeasurement, Issuer: "https://auditor.example"})
	if _, _, err := party.ReadMeasurement(byName, map[string]scitt.Key{"https://auditor.example": {Public: key.Public()}}); err != nil {
		t.Errorf("with its key: %v", err)
	}
}
