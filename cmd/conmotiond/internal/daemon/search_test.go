package daemon_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/cmd/conmotiond/internal/daemon"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/search"
)

// TestSearch: the running service finds what it registered, also behind a
// hash, and says up to which checkpoint.
func TestSearch(t *testing.T) {
	t.Parallel()
	s := newService(t, func(c *daemon.Config) { c.Search = true })
	key := testlog.Key(t, "ES256")
	if home := string(s.get("/").body); !strings.Contains(home, "\n/search... ") || !strings.Contains(home, "\n/artifacts... ") {
		t.Errorf("the home page says %s", home)
	}
	event := []byte(`{"class_uid":5023,"resources":[{"uid":"i-0a1"},{"uid":"i-0a2"}],"metadata":{"event_code":"inventory.create"}}`)
	if a := s.do(http.MethodPost, "/artifacts", event); a.StatusCode != http.StatusCreated {
		t.Fatal(a.Status)
	}
	for _, hash := range []bool{false, true} {
		s.register(testlog.Must(scitt.SignStatement(key, scitt.SignOptions{Subject: "asset", ContentType: "application/json", Hash: hash}, event))(t))
	}
	find := func(query url.Values) (int, search.Answer) {
		t.Helper()
		a := s.get("/search?" + query.Encode())
		var answer search.Answer
		if a.StatusCode == http.StatusOK {
			if err := json.Unmarshal(a.body, &answer); err != nil {
				t.Fatal(err)
			}
		}
		return a.StatusCode, answer
	}
	q := url.Values{"f.resources.uid": {"i-0a2"}, "iss": {issuer(t, key)}}
	status, answer := find(q)
	for status != http.StatusOK || answer.Checkpoint.Size < 4 { // until the index is there
		status, answer = find(q)
	}
	for _, hit := range answer.Entries {
		if hit.Receipt != "http://transparency.example/entries/"+hit.Entry {
			t.Errorf("the receipt is at %q", hit.Receipt)
		}
		if a := s.get("/entries/" + hit.Entry); a.StatusCode != http.StatusOK {
			t.Errorf("receipt: %s", a.Status)
		}
	}
	if len(answer.Entries) != 2 || answer.Entries[0].Index != 2 || answer.Entries[1].Index != 3 {
		t.Errorf("found %+v", answer.Entries)
	}
	if status, _ := find(url.Values{"nonsense": {"1"}}); status != http.StatusBadRequest {
		t.Errorf("a filter that there is not: %d", status)
	}
	s.stop()
	s.start()
	if status, answer := find(q); status == http.StatusOK && len(answer.Entries) != 2 {
		t.Errorf("after a restart: %+v", answer)
	}
}
