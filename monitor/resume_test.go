package monitor

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/conmotion/conmotion/scitt"
)

func TestResumeRefuses(t *testing.T) {
	p := goldenParty(t)
	saved := bytesOf(t, p.replay(nil).Save)
	edit := func(old, new string) []byte {
		if !bytes.Contains(saved, []byte(old)) {
			t.Fatalf("no %s in the document", old)
		}
		return bytes.Replace(saved, []byte(old), []byte(new), 1)
	}
	for name, data := range map[string][]byte{
		"no state":      bytesOf(t, p.replay(nil).Write),
		"another":       sealed(edit(formatReplay, "conmotion-replay/2")),
		"space":         append(slices.Clone(saved), ' '),
		"unknown":       edit(`{"anomalies":`, `{"a":1,"anomalies":`),
		"twice":         sealed(edit(`{"anomalies":`, `{"anomalies":[],"anomalies":`)),
		"links":         edit(`"configurations":["baseline/é<7>`, `"configurations":["other","baseline/é<7>`),
		"issuer":        sealed(edit(`"issuer":0`, `"issuer":1`)),
		"future entry":  sealed(edit(`"index":5`, `"index":7`)),
		"entries":       sealed(edit(`"entries":7`, `"entries":8`)),
		"root":          sealed(edit(`"root":"`, `"root":"0`)),
		"truncated":     saved[:len(saved)-1],
		"not in order":  sealed(edit(`"uid":"web-1"`, `"uid":"zzz"`)),
		"a flipped bit": edit(`"uid":"web-1"`, `"uid":"web-0"`),
		"digest":        sealed(edit(`"sha256":"`, `"sha256":"A`)),
		"no checkpoint": []byte(`{"format":"conmotion-replay/1","state":{}}`),
	} {
		if _, err := Resume(data); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := newParty(t, "other", scitt.TypeRecord)
	for range 9 {
		other.record(inventory(Create, noon, "x"))
	}
	r := must(Resume(saved))(t)
	if err := r.Advance(t.Context(), other.log(), 99); !errors.Is(err, ErrResume) || !errors.Is(err, scitt.ErrProof) {
		t.Errorf("a log that forked: %v", err)
	}
	shorter := &party{t: t, typ: p.typ, entries: p.entries[:3]}
	if err := must(Resume(saved))(t).Advance(t.Context(), shorter.log(), 99); !errors.Is(err, ErrResume) {
		t.Errorf("a log that rolled back: %v", err)
	}
	other.typ = scitt.TypeObservation
	if err := must(Resume(saved))(t).Advance(t.Context(), other.log(), 99); !errors.Is(err, ErrResume) {
		t.Errorf("another log: %v", err)
	}
}

// sealed is a document that was changed, with the checksum of what it is now.
func sealed(data []byte) []byte {
	at := bytes.LastIndex(data, []byte(`,"sha256":"`))
	if at < 0 {
		return data
	}
	h := sha256.New()
	h.Write(data[:at])
	return append(slices.Clone(data[:at]), seal(h)+"}"...)
}

// TestEach: documents that several goroutines make stand in their order, and one that cannot be made is an error.
func TestEach(t *testing.T) {
	for _, n := range []int{0, 1, 255, 256, 257, 3000} {
		var b bytes.Buffer
		e := &encoder{w: bufio.NewWriter(&b)}
		items := make([]int, n)
		for i := range items {
			items[i] = i
		}
		each(e, items, func(i int) any { return i })
		if err := errors.Join(e.err, e.w.Flush()); err != nil || !bytes.Equal(b.Bytes(), encode(items)) {
			t.Errorf("%d: %.100s, %v", n, &b, err)
		}
		each(e, append(items, -1), func(i int) any {
			if i < 0 {
				return func() {}
			}
			return i
		})
		if e.err == nil {
			t.Errorf("%d, and one that cannot be made: no error", n)
		}
	}
}

// TestResumeEmpty: a replay of nothing goes on too.
func TestResumeEmpty(t *testing.T) {
	p := goldenParty(t)
	r := NewReplay(Filter{}, nil)
	if err := r.Save(io.Discard); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
	empty := &party{t: t, typ: p.typ}
	if err := r.Advance(t.Context(), empty.log(), 99); err != nil {
		t.Fatal(err)
	}
	r = must(Resume(bytesOf(t, r.Save)))(t)
	if err := r.Advance(t.Context(), p.log(), 99); err != nil {
		t.Fatal(err)
	}
	if got, want := bytesOf(t, r.Save), bytesOf(t, p.replay(nil).Save); !bytes.Equal(got, want) {
		t.Error("it differs")
	}
}

func FuzzResume(f *testing.F) {
	f.Add(bytesOf(f, goldenParty(f).replay(nil).Save))
	f.Add([]byte(`{"format":"conmotion-replay/1","state":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Resume(sealed(data))
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Error(err)
			}
			return
		}
		again := bytesOf(t, r.Save)
		if second := bytesOf(t, must(Resume(again))(t).Save); !bytes.Equal(second, again) {
			t.Errorf("saved it is another document:\n%s\n%s", again, second)
		}
		for uid := range r.assets {
			r.applyAsset(uid, &Event{Action: Delete}, Ref{}, 0)
		}
	})
}
