package party

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/conmotion/conmotion/scitt"
)

var errInvalid = errors.New("invalid")

// inputs are contents; of those that begin with "invalid" an error.
func inputs(contents ...string) iter.Seq[func() Input] {
	return func(yield func(func() Input) bool) {
		for i, c := range contents {
			if !yield(func() Input {
				in := Input{File: "f", Line: int64(i + 1), Draft: drafts(c)[0]}
				if strings.HasPrefix(c, "invalid") {
					in.Err = errInvalid
				}
				return in
			}) {
				return
			}
		}
	}
}

// TestStream: inputs are registered in their order, up to one that is wrong or refused,
// or all that can be.
func TestStream(t *testing.T) {
	t.Parallel()
	s := newService(t, chained)
	long := make([]string, maxRun+50)
	for i := range long {
		long[i] = fmt.Sprint(i)
	}
	for name, c := range map[string]struct {
		contents []string
		keep     bool
		single   bool
		results  string // of all inputs, invalid ones as such
		log      []string
		err      error
	}{
		"none":             {},
		"one":              {contents: []string{"a"}, single: true, results: "registered", log: []string{"a"}},
		"two, and one":     {contents: []string{"a", "b"}, single: true, err: ErrSeveral},
		"invalid":          {contents: []string{"a", "invalid", "b"}, results: "registered invalid", log: []string{"a"}},
		"invalid, keep":    {contents: []string{"a", "invalid", "b"}, keep: true, results: "registered invalid registered", log: []string{"a", "b"}},
		"refused":          {contents: []string{"a", "bad", "b"}, results: "registered refused unreached", log: []string{"a"}},
		"refused, keep":    {contents: []string{"a", "bad", "b", "a"}, keep: true, results: "registered refused registered known", log: []string{"a", "b"}},
		"several batches":  {contents: long, results: strings.TrimSpace(strings.Repeat("registered ", len(long))), log: long},
		"stops in a batch": {contents: append(slices.Clone(long[:maxRun-1]), "bad", "b"), results: strings.Repeat("registered ", maxRun-1) + "refused", log: long[:maxRun-1]},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuthor(t)
			r := a.registrar(s)
			r.KeepGoing = c.keep
			var got []string
			batches := 0
			for b, err := range r.Stream(t.Context(), inputs(c.contents...), c.single) {
				if !errors.Is(err, c.err) {
					t.Fatal(err)
				}
				batches++
				for i, in := range b.Inputs {
					if in.Line != int64(len(got)+1) || b.Single != (len(c.contents) == 1) {
						t.Errorf("input %d of batch %d is %+v", i, batches, in)
					}
					if in.Err != nil {
						got = append(got, "invalid")
					} else {
						got = append(got, results([]Outcome{in.Outcome}))
					}
				}
			}
			if strings.Join(got, " ") != c.results {
				t.Errorf("%q in %d batches", got, batches)
			}
			a.wrote(s, c.log...)
			a.left(0)
		})
	}
}

// TestStreamArtifacts: contents are stored where they are registered by their hash, and in
// a further service whose policy wants them; what the storage does not take is refused.
func TestStreamArtifacts(t *testing.T) {
	t.Parallel()
	one := newService(t, chained, "--artifact-max-size", "40000")
	two := newService(t, `{"version": 1, "trust_anchors": {"self_certifying": ["did:jwk"]}, "artifact": "required"}`)
	a := newAuthor(t)
	large, larger := strings.Repeat("l", 39000), strings.Repeat("m", 50000)
	for _, want := range []string{"registered+registered registered+registered refused+unreached registered+registered known+known",
		"known+known known+known refused+unreached known+known known+known"} {
		r := a.registrar(one, two)
		r.KeepGoing = true
		var got []Outcome
		for b, err := range r.Stream(t.Context(), hashed("a", large, larger, "b", "a"), false) {
			if err != nil {
				t.Fatal(err)
			}
			for _, in := range b.Inputs {
				got = append(got, in.Outcome)
			}
		}
		if results(got) != want {
			t.Fatalf("%s; want %s", results(got), want)
		}
		if p, ok := errors.AsType[*scitt.Problem](got[2].Err()); !ok || p.Status != 413 {
			t.Error(got[2].Err())
		}
	}
	one.contents("a", large, "b")
	two.contents("a", large, "b")
	for _, s := range []*testService{one, two} {
		r := a.registrar(s)
		for _, st := range s.holds() {
			if _, err := r.Log().Content(t.Context(), st); err != nil {
				t.Error(err)
			}
		}
	}
	// A further storage that is down ends it, before anything is registered of that.
	r := a.registrar(one, two)
	two.stop()
	for b, err := range r.Stream(t.Context(), func(yield func(func() Input) bool) {
		d := drafts("c")[0]
		d.Options.Hash = true
		yield(func() Input { return Input{Draft: d} })
	}, false) {
		if err == nil || !strings.Contains(err.Error(), two.URL) || len(b.Inputs) != 0 {
			t.Errorf("%+v, %v", b, err)
		}
	}
	one.contents("a", large, "b")
}

// hashed are inputs whose contents are stored as artifacts.
func hashed(contents ...string) iter.Seq[func() Input] {
	return func(yield func(func() Input) bool) {
		for job := range inputs(contents...) {
			if !yield(func() Input {
				in := job()
				in.Options.Hash = true
				return in
			}) {
				return
			}
		}
	}
}

// TestStreamBatch: of artifacts that are stored together only the one that the storage does not take is refused.
func TestStreamBatch(t *testing.T) {
	t.Parallel()
	s := newService(t, anybody, "--artifact-max-size", "100")
	a := newAuthor(t)
	r := a.registrar(s)
	r.KeepGoing = true
	for b, err := range r.Stream(t.Context(), hashed("a", strings.Repeat("b", 101), "c"), false) {
		var got []Outcome
		for _, in := range b.Inputs {
			got = append(got, in.Outcome)
		}
		if err != nil || results(got) != "registered refused registered" {
			t.Errorf("%s, %v", results(got), err)
		}
	}
	s.contents("a", "c")
}

// TestStreamEnds: an end by force is the error, and so is a service that goes away.
func TestStreamEnds(t *testing.T) {
	t.Parallel()
	s := newService(t, anybody)
	a := newAuthor(t)
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	endless := func(yield func(func() Input) bool) {
		for i := 0; yield(func() Input { return Input{Draft: drafts(fmt.Sprint(i))[0]} }); i++ {
		}
	}
	var last error
	n := 0
	for b, err := range a.registrar(s).Stream(ctx, endless, false) {
		n += len(b.Inputs)
		for _, in := range b.Inputs {
			if in.Outcome.Err() != nil || in.Outcome.At[0].Ref.EntryID == "" {
				t.Errorf("a batch was begun and not finished: %+v", in.Outcome)
			}
		}
		last = err
		cancel(cause)
	}
	if !errors.Is(last, cause) && !errors.Is(last, context.Canceled) || n < maxRun {
		t.Errorf("%v after %d", last, n)
	}
	s.breaks(false)
	for _, err := range a.registrar(s).Stream(t.Context(), inputs("x"), false) {
		if last = err; err == nil {
			t.Error("it did not break")
		}
	}
	if s.mended(); last == nil {
		t.Error("nothing came")
	}
}

// TestIdle: a source that is slow gets its batch all the same.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		more := make(chan string)
		slow := func(yield func(func() Input) bool) {
			for c := range more {
				if !yield(func() Input { return Input{Draft: drafts(c)[0]} }) {
					return
				}
			}
		}
		batches := gather(t.Context(), prepare(t.Context(), slow), false, false)
		for _, c := range []string{"a", "b"} {
			more <- c
			if b := <-batches; len(b.Inputs) != 1 || b.Single {
				t.Errorf("%+v", b)
			}
		}
		close(more)
		if b, ok := <-batches; ok {
			t.Errorf("%+v", b)
		}
		// The order is that of the source.
		n := 0
		for in := range Inputs(t.Context(), inputs("0", "1", "2", "3")) {
			if string(in.Content) != fmt.Sprint(n) {
				t.Errorf("%q is the %d.", in.Content, n)
			}
			if n++; n == 3 {
				break
			}
		}
	})
}
