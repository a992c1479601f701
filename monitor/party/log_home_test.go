package party_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/tiles"
)

// TestOpenGrows: a log that grew between the look at it and the one of another
// process at what is remembered is neither stale nor rolled back.
func TestOpenGrows(t *testing.T) {
	p := newPlace(t)
	p.publish(300, "a")
	p.opens(300)
	p.o.Newest = true
	behind := testlog.Must(p.files.Get(t.Context(), tiles.CheckpointPath))(t)
	p.publish(310, "a")
	p.opens(310)
	asked := 0
	p.files.Serve(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.TrimPrefix(r.URL.Path, "/") != tiles.CheckpointPath {
			return false
		}
		if asked++; asked > 1 {
			return false
		}
		_, _ = w.Write(behind)
		return true
	})
	p.opens(310)
	p.noticed()
	if asked != 2 {
		t.Errorf("%d looks", asked)
	}
}

// TestOpenAtOnce: of processes that open a log at once each compares with what
// the others saw, so the newest checkpoint is remembered.
func TestOpenAtOnce(t *testing.T) {
	p := newPlace(t)
	p.o.Notice = nil
	var group sync.WaitGroup
	for n := range 8 {
		dir := p.mirror(500+n, 500+n, "a")
		group.Go(func() {
			if _, err := party.Open(t.Context(), dir, p.o); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	k := testlog.Must(p.o.Home.Known(testlog.Origin))(t)
	if !strings.Contains(k.Checkpoint, "\n507\n") || len(k.Addresses) != 8 {
		t.Errorf("%+v", k)
	}
}

func TestOpenDirectory(t *testing.T) {
	p := newPlace(t)
	service := t.TempDir()
	public := filepath.Join(service, "public")
	p.files.WriteTo(t, public)
	p.location = service
	p.refuses(nil, "did you mean "+public+"?")
	t.Chdir(service)
	p.location = "public"
	p.opens(3)
	p.noticed("is new here")
	p.location = public
	if l := p.opens(3); l.Location != public || party.IsURL(l.Location) {
		t.Errorf("location %q", l.Location)
	}
	p.noticed() // known by whatever name
	p.location = p.url + "/"
	if l := p.opens(3); !party.IsURL(l.Location) {
		t.Errorf("location %q", l.Location)
	}
	p.noticed()
	p.location = filepath.Join(service, "nowhere")
	p.refuses(os.ErrNotExist, "nowhere")
}

// TestOpenDamagedHome: a damaged memory is neither believed nor forgotten.
func TestOpenDamagedHome(t *testing.T) {
	p := newPlace(t)
	p.opens(3)
	files := testlog.Must(filepath.Glob(filepath.Join(string(p.o.Home), "logs", "*")))(t)
	if len(files) != 1 {
		t.Fatalf("files %q", files)
	}
	good := testlog.Must(os.ReadFile(files[0]))(t)
	for _, bad := range []string{"", "{}", "null", string(good[:len(good)/2]), strings.Replace(string(good), `\n3\n`, `\n2\n`, 1)} {
		if err := os.WriteFile(files[0], []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		p.refuses(party.ErrDamaged, "is damaged")
		if got := testlog.Must(os.ReadFile(files[0]))(t); string(got) != bad {
			t.Error("it was overwritten")
		}
	}
	if err := os.WriteFile(files[0], good, 0o600); err != nil {
		t.Fatal(err)
	}
	p.opens(3)
}
