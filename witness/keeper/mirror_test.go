package keeper

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/scitt"
	artifacts "github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness/cosigner"
)

func unbase64(t testing.TB, s string) []byte {
	t.Helper()
	return testlog.Must(base64.StdEncoding.DecodeString(s))(t)
}

// TestAddEntries: a log that is uploaded in pieces is served whole, and cosigned only then.
func TestAddEntries(t *testing.T) {
	w := newWorld(t)
	w.grow(1300)
	w.start()
	for _, step := range []struct {
		size, packages int // of the upload, and how many of its packages are sent at a time
		zipped         bool
	}{{1, 1, false}, {2, 9, true}, {2, 9, false}, {255, 9, false}, {256, 9, true}, {300, 9, false}, {1300, 2, true}} {
		w.pend(step.size)
		next := uint64(0)
		if own := testlog.Must(w.own.State(t.Context(), testlog.Origin))(t); own.Root != nil {
			next = own.Size
		}
		for done := false; !done; {
			body, encoding := w.upload(int(next), step.size, step.packages, nil), ""
			if step.zipped {
				body, encoding = zip(t, body), "gzip"
			}
			status, i, lines := w.send(body, encoding)
			switch {
			case status == http.StatusOK:
				done = true
				note := append(bytes.Clone(w.view(step.size).Checkpoint.Raw), lines...)
				key := testlog.Must(scitt.NewCosignatureVerifier(w.own.VKeys()[0]))(t)
				if _, sigs, err := scitt.OpenNote(note, key); err != nil || len(sigs) != 1 {
					t.Fatalf("size %d: %q, %v", step.size, lines, err)
				}
			case status == http.StatusAccepted && i.next > next && i.size == uint64(step.size):
				if cp, err := w.readMirror(); err == nil && cp.Size >= uint64(step.size) {
					t.Errorf("size %d is cosigned, and the entries from %d on are not there", cp.Size, i.next)
				}
				next = i.next
			default:
				t.Fatalf("size %d from %d: status %d, %+v", step.size, next, status, i)
			}
		}
		if cp := w.served(); cp.Size != uint64(step.size) {
			t.Errorf("size %d is served, and %d was uploaded", cp.Size, step.size)
		}
	}
	// The copy goes on after a restart, and there are no files but the log's.
	w.stop()
	w.start()
	w.grow(1400)
	w.pend(1400)
	if status, i, _ := w.send(w.upload(0, 0, 0, nil), ""); status != http.StatusConflict || i.size != 1400 || i.next != 1300 {
		t.Errorf("where it is: %d %+v", status, i)
	}
	if status, _, _ := w.send(w.upload(1300, 1400, 9, nil), ""); status != http.StatusOK {
		t.Errorf("after a restart: %d", status)
	}
	w.served()
	w.onlyFiles(1400)
}

// onlyFiles holds the directory of the log to what a log of a size has.
func (w *world) onlyFiles(size int) {
	w.Helper()
	want := map[string]bool{".copying": true, tiles.CheckpointPath: true, tiles.KeysPath: w.pulls, tiles.ConfigurationPath: w.pulls}
	testlog.WriteTree(w.entries[:size], func(path string, _ []byte) { want[path] = true })
	dir := filepath.Join(w.dir, "kept", cosigner.HashOf(testlog.Origin))
	if err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name := testlog.Must(filepath.Rel(dir, path))(w)
		if !want[name] {
			w.Errorf("%s is left over", name)
		}
		delete(want, name)
		return nil
	}); err != nil {
		w.Fatal(err)
	}
	for name, needed := range want {
		if needed {
			w.Errorf("%s is not there", name)
		}
	}
}

// TestAddEntriesRefused: each status of the specification.
func TestAddEntriesRefused(t *testing.T) {
	w := newWorld(t)
	w.grow(9000)
	w.start()
	if status, i, _ := w.send(w.upload(0, 0, 0, nil), ""); status != http.StatusConflict || i.size != 0 || i.next != 0 || len(i.ticket) != 0 {
		t.Errorf("before there is a checkpoint: %d %+v", status, i)
	}
	w.pend(600)
	_, at600, _ := w.send(w.upload(0, 0, 0, nil), "")
	w.pend(700)
	good := w.upload(0, 700, 3, nil)
	stranger := upload{origin: "stranger.example", end: 700}.append(nil)
	first := w.parcel(span{0, 0, 256}, 700)
	lie := parcel{append([][]byte{[]byte("a lie")}, first.entries[1:]...), first.proof}
	header := w.upload(0, 700, 0, nil)
	forged := bytes.Clone(at600.ticket)
	forged[40] ^= 1
	for name, c := range map[string]struct {
		body     []byte
		encoding string
		status   int
	}{
		"unknown log":             {stranger, "", http.StatusNotFound},
		"no checkpoint of it":     {w.upload(0, 650, 3, nil), "", http.StatusConflict},
		"one that was pending":    {w.upload(0, 600, 3, nil), "", http.StatusConflict},
		"a forged ticket":         {w.upload(0, 600, 3, forged), "", http.StatusConflict},
		"a ticket of another":     {w.upload(0, 650, 3, at600.ticket), "", http.StatusConflict},
		"a hole":                  {w.upload(1, 700, 3, nil), "", http.StatusConflict},
		"backwards":               {upload{origin: testlog.Origin, start: 700, end: 600}.append(nil), "", http.StatusBadRequest},
		"nothing":                 {nil, "", http.StatusBadRequest},
		"a header":                {header[:len(header)-1], "", http.StatusBadRequest},
		"no package":              {header, "", http.StatusBadRequest},
		"a part of a package":     {good[:len(header)+300], "", http.StatusBadRequest},
		"too long a proof":        {append(appendBundle(bytes.Clone(header), first.entries), 64), "", http.StatusBadRequest},
		"another entry":           {lie.append(bytes.Clone(header)), "", http.StatusUnprocessableEntity},
		"another proof":           {parcel{first.entries, first.proof[1:]}.append(bytes.Clone(header)), "", http.StatusUnprocessableEntity},
		"no gzip":                 {good, "gzip", http.StatusBadRequest},
		"another encoding":        {good, "br", http.StatusUnsupportedMediaType},
		"entries of another tree": {w.parcel(span{0, 0, 256}, 600).append(bytes.Clone(header)), "", http.StatusUnprocessableEntity},
	} {
		if status, i, _ := w.send(c.body, c.encoding); status != c.status || status == http.StatusConflict && name != "a hole" && i.size != 700 {
			t.Errorf("%s: status %d, %+v", name, status, i)
		}
		if _, err := w.readMirror(); err == nil {
			t.Fatalf("%s: something is cosigned", name)
		}
	}
	// A part of a package after whole ones is left out.
	if status, i, _ := w.send(good[:len(good)-5], ""); status != http.StatusAccepted || i.next != 512 || i.size != 700 {
		t.Errorf("cut off: %d %+v", status, i)
	}
	// A checkpoint that was pending is taken with its ticket, and what is there is skipped.
	if status, _, _ := w.send(w.upload(10, 600, 3, at600.ticket), ""); status != http.StatusOK || w.served().Size != 600 {
		t.Errorf("with a ticket: %d", status)
	}
	if status, _, _ := w.send(zip(t, w.upload(600, 700, 3, nil)), "gzip"); status != http.StatusOK || w.served().Size != 700 {
		t.Errorf("the rest: %d", status)
	}
	if status, i, _ := w.send(w.upload(600, 600, 0, at600.ticket), ""); status != http.StatusConflict || i.size != 700 || i.next != 700 {
		t.Errorf("below the mirror's checkpoint: %d %+v", status, i)
	}
	// Nothing is uploaded, and it is cosigned again.
	if status, _, lines := w.send(w.upload(700, 700, 0, nil), ""); status != http.StatusOK || len(lines) == 0 {
		t.Errorf("the same again: %d", status)
	}
	w.pend(9000)
	if status, i, _ := w.send(w.upload(700, 9000, 40, nil), ""); status != http.StatusOK || w.served().Size != 9000 {
		t.Errorf("many: %d %+v", status, i)
	}
	if status, _, _ := w.send(w.upload(256, 9000, 1, nil), ""); status != http.StatusConflict {
		t.Errorf("far below: %d", status)
	}
	for path, status := range map[string]int{
		"/mirror/" + cosigner.HashOf("x") + "/checkpoint":                           http.StatusNotFound,
		"/mirror/" + cosigner.HashOf(testlog.Origin) + "/tile/0/000":                http.StatusOK,
		"/mirror/" + cosigner.HashOf(testlog.Origin) + "/tile/0/999":                http.StatusNotFound,
		"/mirror/" + cosigner.HashOf(testlog.Origin) + "/tile/0/035.p/41":           http.StatusNotFound,
		"/mirror/" + cosigner.HashOf(testlog.Origin) + "/.copying":                  http.StatusNotFound,
		"/mirror/" + cosigner.HashOf(testlog.Origin) + "/tile/entries/../../w1/key": http.StatusNotFound,
	} {
		if rec := w.ask(http.MethodGet, path, nil, ""); rec.Code != status && rec.Code != http.StatusTemporaryRedirect && rec.Code != http.StatusMovedPermanently {
			t.Errorf("%s: status %d", path, rec.Code)
		}
	}
}

// TestPull: a log whose files are known is copied by itself. What it gives wrong is
// never cosigned, and stands in nobody's way.
func TestPull(t *testing.T) {
	w := newWorld(t)
	w.pulls = true
	w.grow(700)
	w.start()
	w.pend(700)
	w.until(700)
	lied := make(chan struct{}, 100)
	w.grow(1500)
	good := testlog.Must(w.files.Get(t.Context(), tiles.BundlePath(3, 256)))(t)
	bad := bytes.Clone(good)
	bad[5] ^= 1
	w.files.Put(tiles.BundlePath(3, 256), bad)
	w.mirror.files = func(*cosigner.Log) (tiles.Source, *artifacts.Reader, error) {
		lied <- struct{}{}
		return &w.files, nil, nil
	}
	w.pend(1500)
	<-lied
	<-lied // it has failed once
	if cp := w.served(); cp.Size != 700 {
		t.Errorf("size %d is cosigned, with an entry that is not in it", cp.Size)
	}
	// Somebody who has the entries uploads them.
	if status, i, _ := w.send(w.upload(700, 1500, 9, nil), ""); status != http.StatusOK {
		t.Errorf("upload: %d %+v", status, i)
	}
	if cp := w.served(); cp.Size != 1500 {
		t.Errorf("size %d", cp.Size)
	}
	w.onlyFiles(1500)
}

// until waits for the mirror to be at a size.
func (w *world) until(size uint64) {
	w.Helper()
	testwait.Until(w, func() bool {
		cp, err := w.readMirror()
		return err == nil && cp.Size == size
	}, "the mirror is at ", size)
}

// TestMirrorGone: of a log that the witness does not know any more nothing is served.
func TestMirrorGone(t *testing.T) {
	w := newWorld(t)
	w.grow(10)
	w.start()
	w.pend(10)
	if status, _, _ := w.send(w.upload(0, 10, 1, nil), ""); status != http.StatusOK {
		t.Fatal(status)
	}
	for _, c := range []*cosigner.Witness{w.pending, w.own} {
		if err := c.SetLogs(nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.readMirror(); err == nil {
		t.Error("it is served")
	}
	if status, _, _ := w.send(w.upload(10, 10, 0, nil), ""); status != http.StatusNotFound {
		t.Errorf("add-entries: %d", status)
	}
}

func FuzzUpload(f *testing.F) {
	u := upload{origin: "log.example", start: 3, end: 5, ticket: []byte("ticket")}
	f.Add(parcel{[][]byte{[]byte("a"), {}}, [][]byte{make([]byte, 32)}}.append(u.append(nil)))
	f.Fuzz(func(t *testing.T, body []byte) {
		r := readerOf(body)
		u, err := readUpload(r)
		if err != nil {
			return
		}
		again := u.append(nil)
		for at := u.start; at < u.end; {
			s := u.next(at)
			p, err := readParcel(r, int(s.end-s.start))
			if err != nil {
				break
			}
			again, at = p.append(again), s.end
		}
		if !bytes.HasPrefix(body, again) {
			t.Errorf("%x is read as %x", body, again)
		}
	})
}

func FuzzTicket(f *testing.F) {
	mine := tickets{[]byte("secret")}
	f.Add(mine.make([]byte("log.example\n3\n")))
	f.Add([]byte("log.example\n3\n"))
	f.Fuzz(func(t *testing.T, ticket []byte) {
		if signed := mine.open(ticket); signed != nil && !bytes.Equal(mine.make(signed), ticket) {
			t.Errorf("%x is a ticket", ticket)
		}
		if (tickets{[]byte("another")}).open(mine.make(ticket)) != nil {
			t.Error("a ticket of another mirror is taken")
		}
	})
}
