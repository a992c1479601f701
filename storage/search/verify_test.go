package search

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/storage/internal/projection"
)

// TestVerifyLies: an answer that is not true is told from one that is, and
// what VerifyHits cannot see is what its comment says.
func TestVerifyLies(t *testing.T) {
	l := eventLog(t, 0, 400)
	view := l.published(t)
	x := openIndex(t, "", Options{Service: testlog.Issuer})
	if err := x.CatchUp(t.Context(), view.Checkpoint, view); err != nil {
		t.Fatal(err)
	}
	query := "class_uid=5023&limit=10&index_from=20"
	q := parseQuery(t, query)
	other := int64(1)
	for _, c := range []struct {
		name     string
		lie      func(a *Answer)
		hitsFine bool
	}{
		{"an entry is left out", func(a *Answer) { a.Entries = slices.Delete(a.Entries, 3, 4) }, true},
		{"the last is left out", func(a *Answer) { a.Entries = a.Entries[:9] }, true},
		{"all are left out", func(a *Answer) { a.Entries, a.Next = nil, "" }, true},
		{"there is no more", func(a *Answer) { a.Next = "" }, true},
		{"the policy is another", func(a *Answer) { a.Entries[0].Policy = a.Entries[0].Entry }, true},
		{"an entry comes twice", func(a *Answer) { a.Entries[4] = a.Entries[3] }, false},
		{"the order is another", func(a *Answer) { slices.Reverse(a.Entries) }, false},
		{"an entry does not match", func(a *Answer) { a.Entries[2] = ask(t, x, "index_from=31&limit=1").Entries[0] }, false},
		{"an entry is out of bounds", func(a *Answer) { a.Entries[0] = ask(t, x, "index_from=15&limit=1").Entries[0] }, false},
		{"the id is another", func(a *Answer) { a.Entries[1].Entry = a.Entries[2].Entry }, false},
		{"the issuer is another", func(a *Answer) { a.Entries[1].Issuer = "https://b.example" }, false},
		{"the class is another", func(a *Answer) { a.Entries[1].ClassUID = &other }, false},
		{"too many", func(a *Answer) {
			a.Entries = append(a.Entries, ask(t, x, "class_uid=5023&after=65&limit=1").Entries...)
		}, false},
		{"the root is another", func(a *Answer) { a.Checkpoint.Root = make([]byte, 32) }, false},
		{"the size is another", func(a *Answer) { a.Checkpoint.Size-- }, false},
		{"the log is another", func(a *Answer) { a.Checkpoint.Origin = "elsewhere.example" }, false},
	} {
		a := ask(t, x, query)
		if err := errors.Join(VerifyHits(t.Context(), view, q, a, nil, nil), verifyOne(t, view, q, a, nil, nil)); err != nil {
			t.Fatal(err)
		}
		c.lie(a)
		if err := verifyOne(t, view, q, a, nil, nil); !errors.Is(err, ErrAnswer) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err := VerifyHits(t.Context(), view, q, a, nil, nil); errors.Is(err, ErrAnswer) == c.hitsFine || (err != nil && !errors.Is(err, ErrAnswer)) {
			t.Errorf("%s: the hits: %v", c.name, err)
		}
	}
}

// TestVerifyOlder: an answer may be of an earlier state of the log.
func TestVerifyOlder(t *testing.T) {
	l := eventLog(t, 0, 600)
	view := l.published(t)
	x := openIndex(t, "", Options{})
	catchUp(t, x, l, 333)
	for _, query := range []string{"order=desc&limit=5", "order=time-desc&class_uid=5001&limit=3", "policy=" + idOf(l[1]).String() + "&order=desc&limit=2"} {
		q, a := parseQuery(t, query), ask(t, x, query)
		var last uint64
		if err := verifyOne(t, view, q, a, nil, func(n uint64) { last = n }); err != nil || last != 333 {
			t.Errorf("%s: %v after %d entries", query, err, last)
		}
		if err := VerifyHits(t.Context(), view, q, a, nil, nil); err != nil {
			t.Errorf("%s: %v", query, err)
		}
		a.Checkpoint.Size = 601
		if err := verifyOne(t, view, q, a, nil, nil); err == nil || errors.Is(err, ErrAnswer) || !strings.Contains(err.Error(), "newer") {
			t.Errorf("%s, of a checkpoint to come: %v", query, err)
		}
	}
	empty := openIndex(t, "", Options{})
	q, a := parseQuery(t, ""), ask(t, empty, "")
	if err := verifyOne(t, view, q, a, nil, nil); err != nil {
		t.Errorf("the answer of an index that has read nothing: %v", err)
	}
	// It is complete up to the reader's checkpoint, or up to what was asked for.
	for _, c := range []struct {
		x      *Index
		query  string
		unsaid uint64
	}{
		{empty, "", 600}, {empty, "class_uid=5023&index_to=10", 10}, {empty, "index_from=590", 10},
		{x, "index_from=330", 600 - 333}, {x, "order=desc&limit=5", 600 - 333}, {x, "order=time-asc&limit=5", 600 - 333},
		{x, "limit=5", 0}, {x, "index_to=333", 0}, {x, "index_from=330&index_to=334", 1}, {x, "index_from=330&index_to=900", 600 - 333}, {x, "index_from=300&index_to=320", 0},
	} {
		q, a := parseQuery(t, c.query), ask(t, c.x, c.query)
		s, err := Verify(t.Context(), view, []Page{{q, a}}, nil, nil, nil)
		if err != nil || s.Unsaid != c.unsaid {
			t.Errorf("%q for %d entries: nothing is said of %d, want %d: %v", c.query, a.Checkpoint.Size, s.Unsaid, c.unsaid, err)
		}
	}
}

// TestBundlesAndViews: both ways to a log make the same index.
func TestBundlesAndViews(t *testing.T) {
	l := eventLog(t, 0, 700)
	view := l.published(t)
	dir := bundleDir(t.TempDir())
	dir.write(t, l, 0)
	x, y := openIndex(t, "", Options{}), openIndex(t, "", Options{})
	if err := x.CatchUp(t.Context(), view.Checkpoint, view); err != nil {
		t.Fatal(err)
	}
	for _, size := range []uint64{100, 512, 700} {
		cp := l.checkpoint(int(size))
		// The files are those of 700 entries: of an earlier size they are longer.
		if err := y.CatchUp(t.Context(), cp, projection.Bundles{BundleReader: longest{dir, 700}, Size: size}); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "from bundles", answers(t, y), answers(t, x))
	if err := y.CatchUp(t.Context(), eventLog(t, 0, 900).checkpoint(900), projection.Bundles{BundleReader: dir, Size: 900}); err == nil {
		t.Error("bundles that are not there were read")
	}
	if y.Next() != 700 || y.Err() == nil {
		t.Errorf("%d, %v", y.Next(), y.Err())
	}
}

// longest reads the longest bundle that a log of a size has, as who serves
// the files may.
type longest struct {
	bundleDir
	size uint64
}

func (l longest) ReadEntryBundle(ctx context.Context, n uint64, _ uint8) ([]byte, error) {
	return l.bundleDir.ReadEntryBundle(ctx, n, uint8(min(256, l.size-n*256)))
}

// TestVerifyPages: all pages of a list are verified with one reading, also
// when the log grew between them.
func TestVerifyPages(t *testing.T) {
	l := eventLog(t, 0, 700)
	view := l.published(t)
	for _, order := range []order{ascending, descending, byTime, byTimeDescending} {
		x := openIndex(t, "", Options{})
		catchUp(t, x, l, 500)
		var pages []Page
		for after := ""; ; {
			query := "class_uid=5023&limit=30&order=" + string(order)
			if after != "" {
				query += "&after=" + after
			}
			a := ask(t, x, query)
			pages = append(pages, Page{parseQuery(t, query), a})
			if after = a.Next; after == "" {
				break
			}
			catchUp(t, x, l, 500+40*min(len(pages), 5))
		}
		if len(pages) < 4 {
			t.Fatalf("%s: only %d pages", order, len(pages))
		}
		var last uint64
		s, err := Verify(t.Context(), view, pages, nil, nil, func(n uint64) { last = n })
		if size := pages[len(pages)-1].Answer.Checkpoint.Size; err != nil || s.Entries != size || last != size || size < 600 || s.Missing != 0 {
			t.Errorf("%s: %+v, %v", order, s, err)
		}
		gone := pages[2].Answer
		gone.Entries = slices.Delete(gone.Entries, 5, 6)
		if _, err := Verify(t.Context(), view, pages, nil, nil, nil); !errors.Is(err, ErrAnswer) {
			t.Errorf("%s: an entry of the third page was left out: %v", order, err)
		}
	}
}

// TestVerifyArtifacts: an artifact that only one side has makes nobody a liar.
// The artifact of entry 6 is in the storage, and that of entry 7 is not.
func TestVerifyArtifacts(t *testing.T) {
	l, store := sample(t)
	view := l.published(t)
	with, without := openIndex(t, "", Options{Artifacts: store}), openIndex(t, "", Options{})
	for _, x := range []*Index{with, without} {
		if err := x.CatchUp(t.Context(), view.Checkpoint, view); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name  string
		x     *Index
		query string
		store reader.Artifacts
		lie   func(a *Answer)
		want  error
	}{
		{"both have it", with, "q=storage", store, nil, nil},
		{"neither has it", without, "index_from=6&index_to=7", nil, nil, nil},
		{"not here, and found by it", with, "q=storage", nil, nil, ErrUnchecked},
		{"not here, and shown", with, "index_from=6&index_to=7", nil, nil, ErrUnchecked},
		{"not in the index, and not found", without, "q=storage", store, nil, ErrUnchecked},
		{"not in the index, and shown", without, "index_from=6&index_to=7", store, nil, ErrUnchecked},
		{"by time, not in the index", without, "order=time-desc&limit=3", store, nil, ErrUnchecked},
		{"by time, not here", with, "order=time-desc&limit=3", nil, nil, ErrUnchecked},
		{"left out, found by its header", with, "index_from=6&index_to=8", store, func(a *Answer) { a.Entries = a.Entries[1:] }, ErrAnswer},
		{"left out for what it says", with, "q=storage", store, func(a *Answer) { a.Entries = nil }, ErrUnchecked},
		{"another artifact", with, "index_from=6&index_to=7", store, func(a *Answer) { a.Entries[0].Artifact = strings.Repeat("0", 64) }, ErrAnswer},
		{"one that does not match", with, "q=storage", store, func(a *Answer) { a.Entries[0] = ask(t, with, "index_from=7&limit=1").Entries[0] }, ErrAnswer},
	} {
		q, a := parseQuery(t, c.query), ask(t, c.x, c.query)
		if c.lie != nil {
			c.lie(a)
		}
		if err := verifyOne(t, view, q, a, c.store, nil); !errors.Is(err, c.want) || (c.want == nil && err != nil) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err := VerifyHits(t.Context(), view, q, a, c.store, nil); c.want == ErrUnchecked && errors.Is(err, ErrAnswer) {
			t.Errorf("%s: the hits: %v", c.name, err)
		}
	}
	s, err := Verify(t.Context(), view, []Page{{parseQuery(t, "sub=one"), ask(t, without, "sub=one")}}, nil, nil, nil)
	if err != nil || s.Missing < 2 {
		t.Errorf("%+v, %v", s, err)
	}
}
