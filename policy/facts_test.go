package policy

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/scitt"
)

func at(seconds int64) time.Time { return time.Unix(seconds, 0) }

// chained signs the statement that follows in a chain.
func chained(t *testing.T, name string, seq uint64, prev []byte) *scitt.Statement {
	t.Helper()
	return sign(t, p256(t, "issuer"), scitt.SignOptions{Chain: &scitt.ChainLink{Name: name, Seq: seq, Prev: prev}}, fmt.Sprint(name, seq))
}

func TestChain(t *testing.T) {
	required, optional, off := with(t, `"chain": "required"`), with(t, `"chain": "optional"`), with(t, "")
	first := chained(t, "a", 0, nil)
	id := first.ID()
	second := chained(t, "a", 1, id[:])
	other := chained(t, "b", 0, nil).ID()
	heads := &chainHeads{}
	heads.Add(first, 5)
	head := fmt.Sprintf("seq 0, entry %v at index 5", id)
	next := fmt.Sprintf(`["a", 1, %v]`, id)
	for name, c := range map[string]struct {
		s     *scitt.Statement
		facts Facts
		want  []string // of a refusal
	}{
		"first":                 {first, NoFacts{}, nil},
		"next":                  {second, heads, nil},
		"another chain":         {chained(t, "b", 0, nil), heads, nil},
		"restart":               {chained(t, "a", 0, nil), heads, []string{"restart", head, next}},
		"gap":                   {chained(t, "a", 2, id[:]), heads, []string{"gap: seq is 2 where 1 comes next", head, next}},
		"wrong prev":            {chained(t, "a", 1, other[:]), heads, []string{"wrong prev", head, next}},
		"gap before the first":  {second, NoFacts{}, []string{`no chain "a" in this log`, `["a", 0, nil]`}},
		"fork":                  {chained(t, "a", 1, id[:]), with2(heads, second), []string{"fork: seq 1 is taken", "seq 1, entry " + second.ID().String() + " at index 9"}},
		"fork further back":     {chained(t, "a", 1, id[:]), headOf{Index: 9, ID: id, Seq: 4}, []string{"fork: seq 1 is taken"}},
		"another issuer begins": {sign(t, ed("x"), scitt.SignOptions{Chain: &scitt.ChainLink{Name: "a"}}, "x"), heads, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, p := range []*Policy{required, optional} {
				if err := p.Admit(c.s, c.facts); c.want == nil {
					admitted(t, err)
				} else {
					contains(t, refused(t, err, CheckChain), c.want...)
				}
			}
			admitted(t, off.Admit(c.s, failingFacts{})) // not even asked
		})
	}
	plain := sign(t, p256(t, "issuer"), scitt.SignOptions{}, "x")
	contains(t, refused(t, required.Admit(plain, heads), CheckChain), "[name, 0, nil]")
	admitted(t, optional.Admit(plain, heads))

	p := with(t, `"chain": "required", `+rule1(`head.present && head.index == 5 && head.seq == 0 && head.id == "`+id.String()+`"`))
	admitted(t, p.Admit(second, heads))
	refused(t, p.Admit(first, NoFacts{}), "r")
}

// TestPendingHead: a head without an index is as good as any other, but where
// the index is asked for, or to refuse.
func TestPendingHead(t *testing.T) {
	link := func(seq uint64, prev []byte) *scitt.Statement {
		return sign(t, p256(t, "issuer"), scitt.SignOptions{Chain: &scitt.ChainLink{Name: "c", Seq: seq, Prev: prev}}, "x")
	}
	first := link(0, nil)
	id := first.ID()
	pending := headOf{ID: id, Pending: true}
	second, fork := link(1, id[:]), link(0, nil)
	admitted(t, with(t, `"chain": "required"`).Admit(second, pending))
	admitted(t, with(t, `"chain": "optional", `+rule1(`head.present && head.seq == 0 && head.id == "`+id.String()+`"`)).Admit(second, pending))
	for name, err := range map[string]error{
		"refused":        with(t, `"chain": "required"`).Admit(fork, pending),
		"a gap":          with(t, `"chain": "optional"`).Admit(link(2, id[:]), pending),
		"asked":          with(t, `"chain": "required", `+rule1(`head.index > 0`)).Admit(second, pending),
		"asked in vain":  with(t, `"chain": "required", `+rule1(`head.index > 0 || true`)).Admit(second, pending),
		"asked, refused": with(t, `"chain": "required", `+rule1(`head.index > 0 && false`)).Admit(second, pending),
	} {
		if !errors.Is(err, ErrPending) || !errors.Is(err, ErrFacts) || AsRefusal(err) != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Head as Facts: one head for every chain.
// headOf is a chain whose head this is.
type headOf scitt.Head

func (h headOf) ChainHead(issuer, name string) (*scitt.Head, error) { return (*scitt.Head)(&h), nil }
func (h headOf) Artifact(int64, []byte) (*Artifact, error)          { return nil, nil }

func with2(h *chainHeads, s *scitt.Statement) *chainHeads {
	out := &chainHeads{}
	for k, v := range h.heads {
		if out.heads == nil {
			out.heads = map[[2]string]scitt.Head{}
		}
		out.heads[k] = v
	}
	out.Add(s, 9)
	return out
}

// store is artifact storage in memory.
type store struct {
	NoFacts
	blobs map[string][]byte
	reads int
	err   error // of reading
}

func stored(content ...string) *store {
	st := &store{blobs: map[string][]byte{}}
	for _, c := range content {
		sum := sha256.Sum256([]byte(c))
		st.blobs[string(sum[:])] = []byte(c)
	}
	return st
}

func (s *store) Artifact(alg int64, digest []byte) (*Artifact, error) {
	content, ok := s.blobs[string(digest)]
	if !ok || alg != -16 {
		return nil, nil
	}
	return &Artifact{int64(len(content)), func() ([]byte, error) {
		s.reads++
		return bytes.Clone(content), s.err
	}}, nil
}

func TestArtifact(t *testing.T) {
	hashed := func(content string) *scitt.Statement {
		return sign(t, p256(t, "issuer"), scitt.SignOptions{Hash: true, ContentType: "application/json"}, content)
	}
	required, optional := with(t, `"artifact": "required"`), with(t, `"artifact": "optional"`)
	s := hashed(`{"x": 1}`)
	here, gone := stored(`{"x": 1}`), stored()
	admitted(t, required.Admit(s, here))
	contains(t, refused(t, required.Admit(s, gone), CheckArtifact), fmt.Sprintf("%x", s.Payload), "store the content")
	admitted(t, optional.Admit(s, gone))
	admitted(t, Default().Admit(s, failingFacts{}))
	admitted(t, required.Admit(sign(t, p256(t, "issuer"), scitt.SignOptions{}, "inline"), gone))
	if here.reads != 0 {
		t.Error("the content was read though no rule asks for it")
	}

	p := with(t, `"artifact": "optional", `+rule1(`artifact.stored && artifact.size == 8 && artifact.content.x == 1 && artifact.content.x < 2`))
	admitted(t, p.Admit(s, here))
	if here.reads != 1 {
		t.Errorf("the content was read %d times", here.reads)
	}
	refused(t, p.Admit(s, gone), "r")
	content := with(t, `"artifact": "optional", `+rule1(`artifact.content.x == 1`))
	contains(t, refused(t, content.Admit(s, gone), "r"), "not in artifact storage")
	large := `{"x": 1, "pad": "` + strings.Repeat("x", MaxArtifact) + `"}`
	contains(t, refused(t, content.Admit(hashed(large), stored(large)), "r"), "reads at most")
	refused(t, content.Admit(hashed(`{"x": 1, "x": 1}`), stored(`{"x": 1, "x": 1}`)), "r")
}

// TestArtifactLater: whatever a rule says, a statement that is admitted while
// its artifact is not stored is admitted when it is, or a replay would accuse
// the service of what it could not know.
func TestArtifactLater(t *testing.T) {
	const content = `{"x": 2, "pad": "0123456789"}`
	s := sign(t, p256(t, "issuer"), scitt.SignOptions{Hash: true, ContentType: "application/json"}, content)
	inline := sign(t, p256(t, "issuer"), scitt.SignOptions{ContentType: "application/json"}, content)
	for expr, want := range map[string]bool{ // whether it admits without the artifact
		"!artifact.stored": false, "artifact.stored == false": false, "artifact.size == 0": false, "artifact.size < 5": false,
		"artifact.stored ? artifact.size < 5 : true": false, "!(artifact.size > 5)": false, "!artifact.stored || artifact.size < 5": false,
		"[1].exists(i, !artifact.stored)": false, "[1].all(i, artifact.size < 5)": false, "[artifact.size].size() == 1": false,
		"!has(artifact.content.x)": false, "artifact.content.?x.orValue(1) == 1": false, "!(artifact.size > 5 && envelope.present)": false,
		"envelope.present || artifact.size < 5": true, "artifact.size < 5 || envelope.present": true, "!(artifact.stored && !envelope.present)": true,
		"[artifact.size < 5, true].exists(x, x)": false, "[1, 2].exists(i, i == 2 || artifact.size < 5)": true,
	} {
		p := with(t, `"artifact": "optional", `+rule1(expr))
		without, later := p.Admit(s, stored()), p.Admit(s, stored(content))
		if (without == nil) != want {
			t.Errorf("%s, not stored: %v", expr, without)
		}
		if without == nil && later != nil {
			t.Errorf("%s admits while the artifact is not stored, and then: %v", expr, later)
		}
		// Content that is in the statement is not an artifact, now and for ever.
		if a, b := p.Admit(inline, stored()), p.Admit(inline, stored(content)); (a == nil) != (b == nil) {
			t.Errorf("%s, inline: %v, then %v", expr, a, b)
		}
	}
}

// TestFactsErrors: what cannot be read is neither admitted nor refused.
func TestFactsErrors(t *testing.T) {
	s := sign(t, p256(t, "issuer"), scitt.SignOptions{Hash: true, ContentType: "application/json", Chain: &scitt.ChainLink{Name: "a"}}, `{}`)
	broken := stored(`{}`)
	broken.err = errStorage
	corrupt := stored(`{}`)
	for k := range corrupt.blobs {
		corrupt.blobs[k] = []byte("[]")
	}
	for name, c := range map[string]struct {
		members string
		facts   Facts
	}{
		"chain":            {`"chain": "required"`, failingFacts{}},
		"artifact":         {`"artifact": "required"`, failingFacts{}},
		"rule":             {`"artifact": "optional", ` + rule1(`artifact.stored`), failingFacts{}},
		"rule, absorbed":   {`"chain": "optional", ` + rule1(`head.present || true`), failingFacts{}},
		"read":             {`"artifact": "optional", ` + rule1(`artifact.content == 1`), broken},
		"corrupt":          {`"artifact": "optional", ` + rule1(`artifact.content == 1`), corrupt},
		"ocsf":             {`"artifact": "optional", "ocsf": {"mode": "enforce"}`, broken},
		"ocsf, only warns": {`"artifact": "optional", "ocsf": {"mode": "warn"}`, broken},
	} {
		t.Run(name, func(t *testing.T) {
			p := with(t, c.members)
			if err := p.Admit(s, c.facts); !errors.Is(err, ErrFacts) || AsRefusal(err) != nil {
				t.Errorf("got %v", err)
			}
			if _, err := p.Explain(s, c.facts); !errors.Is(err, ErrFacts) {
				t.Errorf("Explain: %v", err)
			}
		})
	}
}

func TestOCSF(t *testing.T) {
	key := p256(t, "issuer")
	data, err := os.ReadFile("ocsf/testdata/inventory_provider.json")
	if err != nil {
		t.Fatal(err)
	}
	good := string(data)
	bad := strings.Replace(good, `"class_uid": 5023`, `"class_uid": "5023"`, 1)
	wrong := strings.Replace(good, `"activity_id": 1`, `"activity_id": 2`, 1)
	js := scitt.SignOptions{ContentType: "application/json"}
	hashed := scitt.SignOptions{ContentType: "application/json", Hash: true}
	ack := scitt.SignOptions{Type: scitt.TypeAcknowledgement}
	for name, c := range map[string]struct {
		members string
		o       scitt.SignOptions
		content string
		facts   Facts
		want    string // of the refusal
	}{
		"valid":              {`"ocsf": {"mode": "enforce"}`, js, good, NoFacts{}, ""},
		"invalid":            {`"ocsf": {"mode": "enforce"}`, js, wrong, NoFacts{}, "$.type_uid"},
		"wrong type":         {`"ocsf": {"mode": "enforce"}`, js, bad, NoFacts{}, "$.class_uid"},
		"no JSON":            {`"ocsf": {"mode": "enforce"}`, js, "{", NoFacts{}, "not an OCSF event"},
		"another type":       {`"ocsf": {"mode": "enforce"}`, scitt.SignOptions{ContentType: "text/plain"}, good, NoFacts{}, "not JSON"},
		"warn":               {`"ocsf": {"mode": "warn"}`, js, wrong, NoFacts{}, ""},
		"warn, no JSON":      {`"ocsf": {"mode": "warn"}`, js, "{", NoFacts{}, ""},
		"off":                {`"ocsf": {"mode": "off"}`, js, wrong, NoFacts{}, ""},
		"version":            {`"ocsf": {"mode": "enforce", "versions": ["1.5.0"]}`, js, good, NoFacts{}, ""},
		"another version":    {`"ocsf": {"mode": "enforce", "versions": ["1.4.0"]}`, js, good, NoFacts{}, `version "1.5.0"`},
		"class":              {`"ocsf": {"mode": "enforce", "classes": [5001, 5023]}`, js, good, NoFacts{}, ""},
		"another class":      {`"ocsf": {"mode": "enforce", "classes": [5001]}`, js, good, NoFacts{}, "class 5023"},
		"acknowledgement":    {`"ocsf": {"mode": "enforce"}`, ack, "x", NoFacts{}, ""},
		"stored":             {`"artifact": "optional", "ocsf": {"mode": "enforce"}`, hashed, good, stored(good), ""},
		"stored and invalid": {`"artifact": "optional", "ocsf": {"mode": "enforce"}`, hashed, wrong, stored(wrong), "$.type_uid"},
		"not stored":         {`"artifact": "optional", "ocsf": {"mode": "enforce"}`, hashed, good, stored(), "not in artifact storage"},
		"no artifacts":       {`"ocsf": {"mode": "enforce"}`, hashed, good, stored(good), "payload is a hash"},
	} {
		t.Run(name, func(t *testing.T) {
			p := with(t, c.members)
			s := sign(t, key, c.o, c.content)
			if err := p.Admit(s, c.facts); c.want == "" {
				admitted(t, err)
			} else {
				contains(t, refused(t, err, CheckOCSF), c.want)
			}
			rep, err := p.Explain(s, c.facts)
			if err != nil || rep.Admitted() != (c.want == "") {
				t.Errorf("Explain: %+v, %v", rep, err)
			}
			warned := false
			for _, f := range rep.Findings {
				warned = warned || f.Outcome == Warned && f.Check == CheckOCSF
			}
			if strings.HasPrefix(name, "warn") && !warned {
				t.Errorf("no warning in %+v", rep)
			}
		})
	}
}
