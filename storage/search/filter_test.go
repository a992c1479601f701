package search

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

// injections are what must be text and nothing else.
var injections = []string{
	`' OR 1=1 --`, `"; DROP TABLE state; --`, `x' UNION SELECT data FROM state --`, `%' OR '1'='1`, "1); DELETE FROM row; --",
	"\x00", "a\x00b", `\`, `*`, `?1`, `:a`, `{"$gt":""}`, "NEAR(a b)", `"`, "é\u0301", "🙂", strings.Repeat("x", 4096),
}

// sample is a log with one entry of each sort, and what is in its storage.
func sample(t testing.TB) (memLog, artifacts) {
	store := artifacts{}
	hashed := store.put([]byte(`{"class_uid":5023,"time":2000,"where":"in storage"}`))
	unstored := sha256.Sum256([]byte("nobody has it"))
	large := store.put(bytes.Repeat([]byte("x"), maxArtifact+1))
	inCBOR := testlog.Must(cbor.Marshal(map[any]any{
		"class_uid": 5001, "time": int64(1_700_000_000_000), "deep": map[any]any{"list": []any{1, "two", []any{map[any]any{"x": "y"}}}},
		"bytes": []byte{0xfb, 0xff}, 7: "by number", "big": uint64(1<<64 - 1), "half": 0.5,
		"at": cbor.Tag{Number: 0, Content: "2025-06-01T12:00:00+02:00"}, "yes": true, "none": nil,
	}))(t)
	prev := bytes.Repeat([]byte{1}, 32)
	return memLog{
		statement(t, header("https://a.example", "one", map[any]any{16: scitt.TypeKeys, 3: "application/cose-key-set"}), []byte{0x80}),                                                                                                          // 0
		statement(t, header("https://a.example", "policy", map[any]any{16: scitt.TypePolicy, 3: "application/vnd.conmotion.policy+json"}), []byte(`{"version":1}`)),                                                                             // 1
		jsonStatement(t, "https://b.example", "one", `{"class_uid":5023,"activity_id":1,"time":1000,"metadata":{"event_code":"inventory.create"},"severity_id":4,"resources":[{"uid":"r1","size":10},{"uid":"r2","uid_alt":"zz9","size":20}]}`), // 2
		jsonStatement(t, "https://b.example", "two", `{"class_uid":5019,"time":3000.5,"severity_id":2,"flag":true,"nothing":null,"text":"3","metadata":{"event_code":"configuration.modify"},"when":"2025-06-01T10:00:00.5Z"}`),                 // 3
		statement(t, header("https://c.example", "cbor", map[any]any{3: "application/cbor"}), inCBOR),                                                                                                                                           // 4
		statement(t, header("https://a.example", "policy", map[any]any{16: scitt.TypePolicy, 3: "application/vnd.conmotion.policy+json"}), []byte(`{"version":2}`)),                                                                             // 5
		statement(t, header("https://c.example", "hash", map[any]any{258: -16, 259: "application/json", 260: "https://elsewhere.example"}), hashed),                                                                                             // 6
		statement(t, header("https://c.example", "hash", map[any]any{258: -16, 259: "application/json"}), unstored[:]),                                                                                                                          // 7
		statement(t, header("https://c.example", "hash", map[any]any{258: -16, 259: "application/json"}), large),                                                                                                                                // 8
		statement(t, header("https://d.example", "chain", map[any]any{3: 50, "chain": []any{"inventory", 0, nil}}), []byte(`{}`)),                                                                                                               // 9
		statement(t, header("https://d.example", "chain", map[any]any{3: "application/json; charset=utf-8", "chain": []any{"inventory", 7, prev}}), []byte(`[1,"zwei",{"a":{"b.c":"d"}}]`)),                                                     // 10
		statement(t, header("https://d.example", "plain", map[any]any{3: "text/plain"}), []byte("Der Zürcher SEE, naïve CAFÉ; 東京タワー x_y 10.0.0.1")),                                                                                             // 11
		statement(t, header("https://d.example", "other", map[any]any{3: "image/png"}), []byte("\x89PNG hidden words")),                                                                                                                         // 12
		jsonStatement(t, "https://d.example", "broken", `{"text":"unseen","class_uid":1,`),                                                                                                                                                      // 13
		[]byte("no statement at all"), // 14
		jsonStatement(t, "https://e.example", "numbers", `{"n":[0,-0.0,1e2,100,9007199254740993,-5,1e999],"s":"9007199254740993","time":-1}`),               // 15
		jsonStatement(t, "https://e.example", "Ünïcode 主题", `{"名":"値","esc\u0061ped":"\ud83d\ude42 \"quoted\"","":"empty","a.b":"dotted","dup":1,"dup":2}`), // 16
	}, store
}

func TestFilters(t *testing.T) {
	l, store := sample(t)
	x := indexed(t, l, Options{Artifacts: store})
	id := func(n int) string { return idOf(l[n]).String() }
	hashed := sha256.Sum256([]byte(`{"class_uid":5023,"time":2000,"where":"in storage"}`))
	all := func(from, to uint64) (list []uint64) {
		for ; from < to; from++ {
			list = append(list, from)
		}
		return list
	}
	for _, c := range []struct {
		query string
		want  []uint64
	}{
		{"", all(0, 17)},
		{"entry=" + id(3), []uint64{3}},
		{"entry=" + id(14), nil}, // it has no id
		{"entry=" + strings.Repeat("0", 64), nil},
		{"iss=https://b.example", []uint64{2, 3}},
		{"iss=https://B.example", nil},
		{"iss=https://b.exampl", nil},
		{"sub=one", []uint64{0, 2}},
		{"sub=one&iss=https://b.example", []uint64{2}},
		{"sub=one&iss=https://c.example", nil},
		{"sub=" + url.QueryEscape("Ünïcode 主题"), []uint64{16}},
		{"kid=" + hex.EncodeToString([]byte("https://b.example")), []uint64{2, 3}},
		{"kid=aHR0cHM6Ly9iLmV4YW1wbGU", []uint64{2, 3}},
		{"kid=00", nil},
		{"typ=" + url.QueryEscape(scitt.TypePolicy), []uint64{1, 5}},
		{"typ=application/cose", nil},
		{"content_type=application/cbor", []uint64{4}},
		{"content_type=50", []uint64{9}},
		{"content_type=text", nil},
		{"policy=" + id(1), []uint64{2, 3, 4, 5}},
		{"policy=" + id(5), all(6, 17)},
		{"policy=" + id(0), nil},
		{"policy=" + id(5) + "&class_uid=5023", []uint64{6}},
		{"policy=" + id(5) + "&index_from=15", []uint64{15, 16}},
		{"artifact=" + hex.EncodeToString(hashed[:]), []uint64{6}},
		{"artifact=sha256:" + hex.EncodeToString(hashed[:]), []uint64{6}},
		{"artifact=" + strings.Repeat("0", 64), nil},
		{"chain=inventory", []uint64{9, 10}},
		{"chain=inventory:7", []uint64{10}},
		{"chain=inventory:8", nil},
		{"chain=inv", nil},
		{"class_uid=5023", []uint64{2, 6}},
		{"class_uid=1", nil},
		{"class_uid=5001", []uint64{4}},
		{"event_code=inventory.create", []uint64{2}},
		{"event_code=inventory", nil},
		{"asset=r2", []uint64{2}},
		{"asset=zz9&f.resources.uid=r1", []uint64{2}},
		{"asset=r", nil},
		{"from=1000", []uint64{2, 4, 6}},
		{"from=1001", []uint64{4, 6}},
		{"to=1000", []uint64{15}},
		{"to=1001", []uint64{2, 15}},
		{"from=1000&to=2001", []uint64{2, 6}},
		{"from=1970-01-01T00:00:02Z&to=2024-01-01T00:00:00%2B01:00", []uint64{4, 6}},
		{"from=2000&to=1000", nil},
		{"index_from=15", []uint64{15, 16}},
		{"index_to=2", []uint64{0, 1}},
		{"index_from=3&index_to=4", []uint64{3}},
		{"index_from=17", nil},
		{"index_from=9000000000000000000", nil},
		{"index_to=9000000000000000000&index_from=16", []uint64{16}},
		{"f.severity_id=4", []uint64{2}},
		{"f.severity_id=4.0", []uint64{2}},
		{"f.severity_id=%3E=3", []uint64{2}},
		{"f.severity_id=%3E2", []uint64{2}},
		{"f.severity_id=%3E=2", []uint64{2, 3}},
		{"f.severity_id=%3C4", []uint64{3}},
		{"f.severity_id=%3C=4", []uint64{2, 3}},
		{"f.severity_id=%3C2", nil},
		{"f.severity_id=%3E=2&f.severity_id=%3C4", []uint64{3}},
		{"f.resources.uid=r1", []uint64{2}},
		{"f.resources.uid=r2", []uint64{2}},
		{"f.resources.uid=r3", nil},
		{"f.resources.0.uid=r1", nil},
		{"f.resources.size=%3E15&f.resources.uid=r1", []uint64{2}},
		{"f.resources.size=%3E20", nil},
		{"f.flag=true", []uint64{3}},
		{"f.flag=false", nil},
		{"f.nothing=null", []uint64{3}},
		{"f.text=3", []uint64{3}},
		{"f.text=%3E2", nil}, // a string is not a number
		{"f.text=3.0", nil},
		{"f.text==3", []uint64{3}},
		{"f.when=%3E=2025-06-01T10:00:00Z", []uint64{3}},
		{"f.when=%3E2025-06-01T10:00:00.5Z", nil},
		{"f.when=%3C2025-06-01T12:00:01%2B02:00", []uint64{3}},
		{"f.time=%3C1970-01-01T00:00:02Z", []uint64{2, 15}},
		{"f.time=3000.5", []uint64{3}},
		{"f.where=in storage", []uint64{6}},
		{"f.class_uid=5001", []uint64{4}},
		{"f.deep.list=1", []uint64{4}},
		{"f.deep.list=two", []uint64{4}},
		{"f.deep.list.x=y", []uint64{4}},
		{"f.bytes=-_8", []uint64{4}},
		{"f.7=by number", []uint64{4}},
		{"f.big=18446744073709551615", []uint64{4}},
		{"f.big=18446744073709551614", nil},
		{"f.big=%3E1e19", []uint64{4}},
		{"f.half=0.5", []uint64{4}},
		{"f.at=%3E=2025-06-01T10:00:00Z", []uint64{4}},
		{"f.yes=true", []uint64{4}},
		{"f.none=null", []uint64{4}},
		{"f.version=2", []uint64{5}},
		{"f.a.b.c=d", []uint64{10}},
		{"f.n=0", []uint64{15}},
		{"f.n=-0", []uint64{15}},
		{"f.n=100", []uint64{15}},
		{"f.n=9007199254740993", []uint64{15}},
		{"f.n=9007199254740992", nil},
		{"f.s=9007199254740993", []uint64{15}},
		{"f.n=%3C-4", []uint64{15}},
		{"f.n=%3E1e300", []uint64{15}},
		{"f." + url.QueryEscape("名") + "=" + url.QueryEscape("値"), []uint64{16}},
		{"f.escaped=" + url.QueryEscape("🙂 \"quoted\""), []uint64{16}},
		{"f.a.b=dotted", []uint64{16}},
		{"f.dup=1", []uint64{16}},
		{"f.dup=2", []uint64{16}},
		{"f.text=", nil},
		{"q=inventory", []uint64{2}},
		{"q=CREATE inventory", []uint64{2}},
		{"q=create missing", nil},
		{"q=zürcher", []uint64{11}},
		{"q=see. Café", []uint64{11}},
		{"q=" + url.QueryEscape("京東"), []uint64{11}},
		{"q=x y", []uint64{11}},
		{"q=x_y", []uint64{11}},
		{"q=hidden", nil},
		{"q=unseen", nil},
		{"q=storage", []uint64{6}},
		{"q=zwei", []uint64{10}},
		{"q=" + url.QueryEscape("主"), []uint64{16}}, // of the subject
		{"order=desc&limit=3", []uint64{16, 15, 14}},
		{"order=time-asc&class_uid=5023", []uint64{2, 6}},
		{"order=time-desc&class_uid=5023", []uint64{6, 2}},
		{"order=time-desc&limit=3", []uint64{4, 6, 2}},
		{"order=time-asc&index_from=13", []uint64{13, 14, 16, 15}},
		{"order=time-desc&index_from=13", []uint64{15, 16, 14, 13}},
		{"after=14", []uint64{15, 16}},
		{"after=2&order=desc", []uint64{1, 0}},
		{"after=1000.2&order=time-asc", []uint64{6, 4}},
		{"after=none.13&order=time-asc&index_from=13", []uint64{14, 16, 15}},
	} {
		expect(t, x, c.query, c.want...)
	}
}

// TestAgainstScan asks by every filter and compares with what a scan of the
// whole log finds: the index and Verify share no code that finds anything.
func TestAgainstScan(t *testing.T) {
	l, store := sample(t)
	events := eventLog(t, 0, 3*blockEntries-len(l)) // the last block is full
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	l = append(l, events...)
	view := l.published(t)
	x := openIndex(t, "", Options{Artifacts: store, Service: testlog.Issuer})
	if err := x.CatchUp(t.Context(), view.Checkpoint, view); err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{
		"", "limit=1000", "order=desc&limit=7", "order=time-asc", "order=time-desc&limit=3", "class_uid=5023&order=time-desc",
		"iss=https://provider-3.example&limit=20", "f.severity_id=>=3&f.resources.region=eu-west-2", "q=volume backup tenant 17",
		"from=1750000010000&to=1750000020000&order=time-desc&limit=10", "from=1750000010000&order=time-asc", "after=1750000020961.100&order=time-desc&limit=9", "f.cloud.account.name=tenant 9", "f.resources.labels=team=9",
		"chain=inventory:44", "policy=" + idOf(l[5]).String() + "&limit=3&order=desc", "after=300&limit=5", "f.metadata.logged_time=<2025-06-15T15:06:50Z&limit=1000",
	} {
		q := parseQuery(t, query)
		a := ask(t, x, query)
		if err := verifyOne(t, view, q, a, store, nil); err != nil {
			t.Errorf("%s: %v", query, err)
		}
		if err := VerifyHits(t.Context(), view, q, a, store, nil); err != nil {
			t.Errorf("%s: hits: %v", query, err)
		}
		if len(a.Entries) == 0 {
			t.Errorf("%s finds nothing: this test has shown nothing", query)
		}
	}
}

func TestBadQueries(t *testing.T) {
	for _, c := range []struct{ query, param, says string }{
		{"entry=abc", "entry", "entry id"},
		{"entry=" + strings.Repeat("A", 64), "entry", "lowercase"},
		{"entry=", "entry", "empty"},
		{"iss=", "iss", "empty"},
		{"iss=a&iss=b", "iss", "more than once"},
		{"kid=%21", "kid", "base64url"},
		{"policy=latest", "policy", "entry id"},
		{"artifact=xyz", "artifact", "digest"},
		{"artifact=sha256:00", "artifact", "digest"},
		{"class_uid=five", "class_uid", "number"},
		{"class_uid=05", "class_uid", "number"},
		{"from=yesterday", "from", "RFC 3339"},
		{"to=1e3", "to", "RFC 3339"},
		{"index_from=-1", "index_from", "index"},
		{"index_to=0", "index_to", "before index 0"},
		{"index_from=5&index_to=5", "index_to", "not behind"},
		{"f.=1", "f.", "path"},
		{"f." + strings.Repeat("x", 513) + "=1", "f." + strings.Repeat("x", 62) + "...", "longer"},
		{"f.a=%3Eb", "f.a", "neither a number"},
		{"f.a=%3E", "f.a", "neither a number"},
		{"f.a=%3E=NaN", "f.a", "neither a number"},
		{"q=...", "q", "no word"},
		{"order=up", "order", "time-desc"},
		{"limit=0", "limit", "1 to 1000"},
		{"limit=1001", "limit", "1 to 1000"},
		{"limit=1.5", "limit", "1 to 1000"},
		{"after=x", "after", "next"},
		{"after=01", "after", "next"},
		{"after=5&order=time-asc", "after", "another order"},
		{"after=1.5", "after", "another order"},
		{"isss=x", "isss", "no such parameter"},
		{"iss=%ff", "iss", "UTF-8"},
		{"sub=" + strings.Repeat("x", 4097), "sub", "longer"},
		{strings.Repeat("x", 5000) + "=1", strings.Repeat("x", 64) + "...", "longer"},
		{"q=" + strings.Repeat("a+b+", 1) + func() (s string) {
			for i := range 40 {
				s += fmt.Sprintf("w%d+", i)
			}
			return s
		}(), "q", "at most 32"},
	} {
		values, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		_, err = ParseQuery(values)
		p, ok := errors.AsType[*scitt.Problem](err)
		if !ok || p.Status != 400 || !strings.Contains(p.Detail, fmt.Sprintf("parameter %q", c.param)) || !strings.Contains(p.Detail, c.says) {
			t.Errorf("%.60s: %v", c.query, err)
		}
	}
}

// TestInjection gives each parameter what would break SQL if it were pasted
// into it, and indexes the same.
func TestInjection(t *testing.T) {
	var l memLog
	for _, s := range injections {
		payload := map[string]any{"field": s, s: "named", "metadata": map[string]any{"event_code": s}}
		l = append(l, jsonStatement(t, "iss "+s, "sub "+s, payload))
	}
	x := indexed(t, l, Options{})
	for i, s := range injections {
		for param := range parameters {
			q, err := ParseQuery(url.Values{param: {s}})
			if err != nil {
				continue // refused by its form
			}
			a, err := x.Search(t.Context(), q)
			if err != nil {
				t.Errorf("%s=%q: %v", param, s, err)
				continue
			}
			if param == "event_code" && (len(a.Entries) != 1 || a.Entries[0].Index != uint64(i)) {
				t.Errorf("%s=%q finds %v", param, s, indexes(a))
			}
		}
		for _, values := range []url.Values{{"iss": {"iss " + s}}, {"sub": {"sub " + s}}, {"f.field": {"=" + s}}, {"f." + s: {"named"}}} {
			if len(s) > 4000 && values.Get("f.field") == "" {
				continue // too long with what stands before it
			}
			q, err := ParseQuery(values)
			if err != nil {
				if len(s) < 4000 {
					t.Errorf("%v: %v", values, err)
				}
				continue
			}
			a, err := x.Search(t.Context(), q)
			if err != nil || len(a.Entries) != 1 || a.Entries[0].Index != uint64(i) {
				t.Errorf("%.60q: %v, %v", values, a, err)
			}
		}
	}
	if got := ask(t, x, "limit=1000"); len(got.Entries) != len(l) {
		t.Errorf("%d entries are left of %d", len(got.Entries), len(l))
	}
}
