package party

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

// TestRegister: each content is in each log once, in one chain, whoever remembers it.
func TestRegister(t *testing.T) {
	t.Parallel()
	one, two := newService(t, chained), newService(t, chained)
	a := newAuthor(t)
	r := a.registrar(one, two)
	for _, o := range a.register(r, "registered+registered registered+registered known+known", drafts("a", "b", "a")...)[:2] {
		verified(t, o, one, two)
		if len(o.Copies) != 1 || o.Resumed || o.Err() != nil || o.At[1].Location == "" {
			t.Errorf("%+v", o)
		}
	}
	if err := r.save(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, home := range []Home{a.home, Home(t.TempDir()), ""} {
		a.home = home
		r = a.registrar(one, two)
		again := a.register(r, "known+known known+known", drafts("a", "b")...)
		for _, o := range again {
			if err := r.Read(t.Context(), &o); err != nil {
				t.Fatal(err)
			}
			verified(t, o, one, two)
		}
	}
	// What one log has by itself goes to the other, in the order of the first.
	a.register(a.registrar(one), "registered registered", drafts("c", "d")...)
	both := a.register(a.registrar(one, two), "known+registered registered+registered known+registered", drafts("d", "e", "c")...)
	if err := r.Read(t.Context(), &both[0]); err != nil {
		t.Fatal(err)
	}
	verified(t, both[0], one, two)
	one.contents("a", "b", "c", "d", "e")
	two.contents("a", "b", "c", "d", "e")
	a.left(0)
	if _, err := a.open(one, one); err == nil || !strings.Contains(err.Error(), "named twice") {
		t.Error(err)
	}
	one.stop()
	if _, err := a.open(two, one); err == nil {
		t.Error("a service that is down was opened")
	}
}

// TestRefused: what is refused ends it, or does not, and nobody else's statement is lost.
func TestRefused(t *testing.T) {
	t.Parallel()
	one, open := newService(t, chained), newService(t, anybody)
	a := newAuthor(t)
	r := a.registrar(one)
	o := a.register(r, "registered refused unreached", drafts("a", "bad", "b")...)
	if p, ok := errors.AsType[*scitt.Problem](o[1].Err()); !ok || p.Status != 400 || !strings.Contains(p.Detail, "no bad assets") {
		t.Error(o[1].Err())
	}
	r.KeepGoing = true
	a.register(r, "known refused registered refused registered refused", drafts("a", "bad 1", "b", "bad 2", "c", "bad 3")...)
	if r.services[0].run.Load() >= maxRun/2 {
		t.Errorf("still %d at a time", r.services[0].run.Load())
	}
	one.contents("a", "b", "c")
	// The other log takes what this one does not, and the other way round.
	r = a.registrar(open, one)
	r.KeepGoing = true
	o = a.register(r, "registered+refused registered+refused", drafts("a", "bad")...)
	if err := o[0].Err(); err == nil || !strings.Contains(err.Error(), "has it as another statement, entry 2") {
		t.Error(err)
	}
	if err := o[1].Err(); err == nil || !strings.Contains(err.Error(), "it is entry 3 of "+open.URL+", and "+one.URL+" does not admit it") {
		t.Error(err)
	}
	// What cannot be signed is refused too.
	d := drafts("x", "y")
	d[0].Options.Subject = ""
	a.register(r, "refused+unreached registered+refused", d...)
	r = a.registrar(one)
	a.register(r, "refused unreached", d...)
	a.left(0)
}

// TestWords: what was signed for words is registered for the same words, as it was
// signed, wherever the command broke; until it is done.
func TestWords(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]string{"alone": anybody, "in a chain": chained} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, policy)
			a := newAuthor(t)
			var want []string
			done := func(o Outcome) {
				if err := o.Done(); err != nil {
					t.Error(err)
				}
			}
			for i, stored := range []bool{false, true} {
				first, second := fmt.Sprint("first ", i), fmt.Sprint("second ", i)
				s.mended()
				s.breaks(stored)
				if _, err := a.registrar(s).Register(t.Context(), []Draft{says(first, "x", first)}); err == nil {
					t.Fatal("it did not break")
				}
				sent := s.mended()
				a.left(1)
				// Nobody else registers it, or takes it for its own.
				if !stored && policy == anybody {
					done(a.register(a.registrar(s), "registered", says("other", "x"))[0])
					a.register(a.registrar(s), "registered", drafts("record")...)
					want = append(want, "other", "record")
					a.left(1)
					s.mended()
				}
				o := a.register(a.registrar(s), "registered", says(second, "x", first))[0]
				if again := s.mended(); !o.Resumed || len(again) != 1 || !bytes.Equal(again[0], sent[0]) {
					t.Errorf("%+v, with other bytes", o)
				}
				verified(t, o, s)
				// Not done: it is the same again. Done: it is another one.
				if o = a.register(a.registrar(s), "registered", says(second, "x", first))[0]; !o.Resumed {
					t.Error("it was said anew before it was done")
				}
				done(o)
				if o = a.register(a.registrar(s), "registered", says(second, "x", first))[0]; o.Resumed {
					t.Error("it is resumed after it was done")
				}
				done(o)
				done(o)
				want = append(want, first, second)
			}
			s.contents(want...)
		})
	}
}

// TestWordsBehind: a statement that was signed for a chain that went on without it is
// signed again.
func TestWordsBehind(t *testing.T) {
	t.Parallel()
	s := newService(t, chained)
	a := newAuthor(t)
	s.breaks(false)
	if _, err := a.registrar(s).Register(t.Context(), []Draft{says("a", "a")}); err == nil {
		t.Fatal("it did not break")
	}
	s.mended()
	if err := a.register(a.registrar(s), "registered", says("b", "b"))[0].Done(); err != nil {
		t.Fatal(err)
	}
	o := a.register(a.registrar(s), "registered", says("a", "a"))[0]
	if o.Resumed || o.Copies[0].Statement.Chain.Seq != 1 {
		t.Errorf("%+v", o)
	}
	if err := o.Done(); err != nil {
		t.Fatal(err)
	}
	// A refusal keeps nothing.
	a.register(a.registrar(s), "refused", says("bad", "bad"))
	s.contents("b", "a")
	a.left(0)
}

// TestBroken: a command that ended between two points leaves what the next one
// finishes, with the same bytes, in both logs.
func TestBroken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		second bool // it is the second service that breaks
		stored bool
	}{"not sent": {}, "stored": {stored: true}, "not sent to the second": {second: true}, "stored in the second": {second: true, stored: true}} {
		t.Run(name, func(t *testing.T) {
			one, two := newService(t, chained), newService(t, chained)
			a := newAuthor(t)
			a.register(a.registrar(one, two), "registered+registered", drafts("a")...)
			broken, want := one, "finish"
			if c.second {
				broken, want = two, "not everything that is in the log at "+one.URL
			}
			one.mended()
			two.mended()
			broken.breaks(c.stored)
			_, err := a.registrar(one, two).Register(t.Context(), drafts("b", "c"))
			if err == nil || c.second && !strings.Contains(err.Error(), want) {
				t.Fatal(err)
			}
			first := broken.mended()
			a.notices = nil
			// The next input is another one: what was begun comes first.
			known := "known+registered"
			if c.second && c.stored {
				known = "known+known"
			}
			a.register(a.registrar(one, two), "registered+registered "+known, drafts("d", "b")...)
			if again := broken.mended(); !c.second && (len(again) < 2 || !bytes.Equal(first[0], again[0])) {
				t.Error("other bytes were sent")
			}
			if finished := slices.ContainsFunc(a.notices, func(s string) bool { return strings.Contains(s, "had begun: 2 statements") }); finished == c.second {
				t.Errorf("%q", a.notices)
			}
			one.contents("a", "b", "c", "d")
			two.contents("a", "b", "c", "d")
			a.left(0)
		})
	}
}

// TestLetGo: what was signed for a chain that went on elsewhere is let go, with a notice.
func TestLetGo(t *testing.T) {
	t.Parallel()
	s := newService(t, chained)
	a := newAuthor(t)
	s.breaks(false)
	if _, err := a.registrar(s).Register(t.Context(), drafts("a", "b")); err == nil {
		t.Fatal("it did not break")
	}
	s.mended()
	elsewhere := &author{t: t, key: a.key, home: Home(t.TempDir())}
	elsewhere.register(elsewhere.registrar(s), "registered", drafts("c")...)
	a.register(a.registrar(s), "registered known", drafts("a", "c")...)
	if !slices.ContainsFunc(a.notices, func(s string) bool {
		return strings.Contains(s, "2 statements that an earlier run signed are not in the log")
	}) {
		t.Errorf("%q", a.notices)
	}
	s.contents("c", "a")
	a.left(0)
}

// TestLarge: what does not fit into an entry is stored, where the service stores it.
func TestLarge(t *testing.T) {
	t.Parallel()
	s, small := newService(t, anybody), newService(t, anybody, "--artifact-max-size", "1000")
	a := newAuthor(t)
	large := says(strings.Repeat("x", scitt.MaxEntrySize), "x")
	o := a.register(a.registrar(s), "refused", large)[0]
	if !errors.Is(o.Err(), scitt.ErrTooLarge) {
		t.Error(o.Err())
	}
	large.OrHash = true
	r := a.registrar(s)
	o = a.register(r, "registered", large)[0]
	if content, err := r.Log().Content(t.Context(), o.Copies[0].Statement); err != nil || !bytes.Equal(content, large.Content) {
		t.Errorf("%d bytes, %v", len(content), err)
	}
	if err := o.Done(); err != nil {
		t.Fatal(err)
	}
	o = a.register(a.registrar(small), "refused", large)[0]
	if err := o.Err(); !errors.Is(err, scitt.ErrTooLarge) || !strings.Contains(err.Error(), fmt.Sprintf("does not store its payload of %d bytes", scitt.MaxEntrySize)) {
		t.Error(err)
	}
	a.left(0)
}

// TestDamagedJournal: nothing is registered over what is damaged, or of an older version.
func TestDamagedJournal(t *testing.T) {
	t.Parallel()
	s := newService(t, anybody)
	a := newAuthor(t)
	s.breaks(false)
	if _, err := a.registrar(s).Register(t.Context(), drafts("a")); err == nil {
		t.Fatal("it did not break")
	}
	s.mended()
	file := a.left(1)[0]
	good := testlog.Must(os.ReadFile(file))(t)
	for name, data := range map[string][]byte{
		"a byte":   append(slices.Clone(good[:len(good)-1]), good[len(good)-1]^1),
		"cut":      good[:len(good)-1],
		"empty":    nil,
		"no bytes": good[:bytes.IndexByte(good, '\n')+1],
		"format":   bytes.Replace(good, []byte("journal/1"), []byte("journal/2"), 1),
	} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, d := range []Draft{drafts("b")[0], says("c", "c")} {
			if _, err := a.registrar(s).Register(t.Context(), []Draft{d}); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), file) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if err := os.WriteFile(file, good, 0o600); err != nil {
		t.Fatal(err)
	}
	a.register(a.registrar(s), "known", drafts("a")...)
	s.contents("a")
	for _, old := range []string{"pending", "attested"} {
		path := string(a.home) + "/" + old + "/x/y.cose"
		if err := writeFile(path, []byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := a.open(s); err == nil || !strings.Contains(err.Error(), path+" is of an older conmotion") {
			t.Error(err)
		}
		if err := os.RemoveAll(string(a.home) + "/" + old); err != nil {
			t.Fatal(err)
		}
	}
	a.registrar(s)
}

// FuzzKept: what is read of a journal's file is what is written into the next.
func FuzzKept(f *testing.F) {
	statement := testlog.Statement(f, testlog.FixedKey(f, "a"), "asset", []byte("x"))
	line := `{"format":"` + formatJournal + `"`
	f.Add([]byte(line + "}\n" + string(statement) + string(statement)))
	f.Add([]byte(line + `,"words":"x"}` + "\n" + string(statement)))
	f.Add([]byte(line + `,"after":"log+1"}` + "\n" + string(statement)))
	f.Add([]byte(line + "}\n\xa0"))
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := parseKept(data)
		if err != nil {
			return
		}
		j := journal(t.TempDir())
		path := testlog.Must(j.keep(k))(t)
		left := testlog.Must(j.left())(t)
		if len(left) != 1 || left[0].Words != k.Words || left[0].After != k.After || left[0].path != path || len(left[0].statements) != len(k.statements) {
			t.Fatalf("%+v is not %+v", left, k)
		}
		for i, s := range left[0].statements {
			if !bytes.Equal(s.data, k.statements[i].data) {
				t.Errorf("statement %d is another one", i)
			}
		}
	})
}
