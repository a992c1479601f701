package verify_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor/disclosure"
	"github.com/conmotion/conmotion/monitor/verify"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/storage/artifact/reader"
)

// storing is a directory of an artifact storage with this under the digest of content.
func storing(t *testing.T, content string, is []byte) *reader.Reader {
	t.Helper()
	dir, sum := t.TempDir(), sha256.Sum256([]byte(content))
	name := hex.EncodeToString(sum[:])
	path := filepath.Join(dir, "sha256", name[:2], name[2:4], name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if is != nil {
		if err := os.WriteFile(path, is, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return testlog.Must(reader.Open(dir, reader.Options{}))(t)
}

// TestContent: the content is held to what was signed, wherever it is from. That it
// cannot be had says nothing against the statement; whoever asked for it has no verdict.
func TestContent(t *testing.T) {
	keys, issuer := testlog.NewKeys(t), testlog.Key(t, "ES256")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(strings.TrimPrefix(r.URL.Path, "/")))
	}))
	defer server.Close()
	hash := func(location string) *scitt.Statement {
		return testlog.Must(scitt.ParseStatement(testlog.Must(scitt.SignStatement(issuer, scitt.SignOptions{Subject: "s", Hash: true, Location: location}, []byte("content")))(t)))(t)
	}
	secret := &disclosure.Secret{1}
	document := testlog.Must(secret.HideFields("s", []byte(`{"a":1,"b":2}`), []disclosure.Pattern{testlog.Must(disclosure.ParsePattern("*"))(t)}))(t)
	one := testlog.Must(document.Only("$.a"))(t)
	record := testlog.Must(scitt.ParseStatement(testlog.Statement(t, issuer, "s", document.Payload)))(t)
	inline := statement(t, "content")
	forged := testlog.Must(scitt.DecodeStatement(testlog.Garbage(hash(server.URL + "/content").Entry())))(t)
	for name, c := range map[string]struct {
		st      *scitt.Statement
		content verify.Content
		want    expected
	}{
		"a hash":                        {hash(""), verify.Content{}, expected{checks: []string{"not checked payload: the statement signs a hash; give the content with --payload"}}},
		"its file":                      {hash(""), verify.Content{File: "f", Data: []byte("content")}, expected{checks: []string{"ok payload: f has the hash that the statement signs"}}},
		"another file":                  {hash(""), verify.Content{File: "f", Data: []byte("x")}, expected{verdict: "payload: f is not what the statement is about"}},
		"an empty file":                 {hash(""), verify.Content{File: "f"}, expected{verdict: "payload: f is not what the statement is about"}},
		"an artifact":                   {hash(""), verify.Content{Artifacts: storing(t, "content", []byte("content"))}, expected{checks: []string{"ok payload: the 7 bytes at "}}},
		"a wrong artifact":              {hash(""), verify.Content{Artifacts: storing(t, "content", []byte("x"))}, expected{verdict: "the content there does not have the hash"}},
		"an artifact that is not there": {hash(""), verify.Content{Artifacts: storing(t, "content", nil)}, expected{unsure: "the content cannot be checked: ", checks: []string{"not checked payload: "}}},
		"no artifact to fetch":          {inline, verify.Content{Artifacts: storing(t, "content", nil)}, expected{checks: []string{"not checked payload: it is in the statement; there is no artifact to fetch"}}},
		"from its URL":                  {hash(server.URL + "/content"), verify.Content{Fetch: &reader.Options{}}, expected{checks: []string{"ok payload: the 7 bytes at http"}}},
		"something else from its URL":   {hash(server.URL + "/other"), verify.Content{Fetch: &reader.Options{}}, expected{verdict: "the content there does not have the hash"}},
		"more than may be":              {hash(server.URL + "/content"), verify.Content{Fetch: &reader.Options{Limits: reader.Limits{Size: 3}}}, expected{unsure: "give the content with --payload"}},
		"no URL":                        {hash("file:///etc/passwd"), verify.Content{Fetch: &reader.Options{}}, expected{unsure: "no http or https URL of its content"}},
		"a URL with a name in it":       {hash(strings.Replace(server.URL, "//", "//user@", 1) + "/content"), verify.Content{Fetch: &reader.Options{}}, expected{unsure: "no http or https URL of its content"}},
		"nobody vouches for the URL":    {forged, verify.Content{Fetch: &reader.Options{}}, expected{verdict: "statement: ", checks: []string{"not checked payload: not fetched"}}},
		"what is shown of a record":     {record, verify.Content{File: "f", Disclosed: one}, expected{checks: []string{"ok payload: the record in f is what", "ok disclosed: $.a = 1", "not checked undisclosed: 1 hidden field is not shown"}}},
		"of another record":             {inline, verify.Content{File: "f", Disclosed: one}, expected{verdict: "payload: f: the record in it is not what the statement is about"}},
	} {
		t.Run(name, func(t *testing.T) {
			v := &verify.Verifier{Content: c.content}
			if err := v.Add(saved(t, "log", keys), nil); err != nil {
				t.Fatal(err)
			}
			c.want.hold(t, verified(t, v, scitt.AttachReceipts(c.st, receipt(t, keys, c.st))))
		})
	}
}

// TestUnreachable: content that is out of reach is an error, and no finding.
func TestUnreachable(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close()
	data := testlog.Must(scitt.SignStatement(testlog.Key(t, "ES256"), scitt.SignOptions{Subject: "s", Hash: true, Location: server.URL}, nil))(t)
	v := &verify.Verifier{Content: verify.Content{Fetch: &reader.Options{Client: client.Options{Retries: -1}}}}
	if r, err := v.Verify(t.Context(), verify.Statement{Data: data}); err == nil || !strings.Contains(err.Error(), server.URL) {
		t.Errorf("%v, %+v", err, r)
	}
}
