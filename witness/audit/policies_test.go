package audit

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/policy/ocsf"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

func (w *world) policies(m *memory, o PolicyOptions) (*History, error) {
	w.t.Helper()
	view := testlog.Must(tiles.NewLog(m, w.keys.Verifiers).Latest(w.t.Context()))(w.t)
	o.VKeys = w.keys.VKeys
	return Policies(w.t.Context(), view, o)
}

// TestPolicies reads logs twice, by Policies and by an audit, and expects the
// same keys and policies in force, and the same statements refused.
func TestPolicies(t *testing.T) {
	w := newWorld(t)
	begin, good := w.begin(""), w.statements(2)
	second := w.signPolicy(w.admin, w.policy(begin[1], ""))
	third := func(before []byte) []byte { return w.signPolicy(w.keys.Service, w.policy(before, "")) }
	rotated := w.recovered(begin[0], w.bob)
	newReceipt := func(k *scitt.Keys) { k.Receipt = append(testlog.KeySet(t, w.alice), k.Receipt...) }
	renewed := w.nextKeys(w.keys.Service, begin[0], newReceipt)
	// Of another log that the service made with the same name and keys.
	elsewhere := w.nextKeys(w.keys.Service, w.nextKeys(w.keys.Service, nil, newReceipt), asIs)
	byBob := w.signPolicy(w.bob, w.policy(second, ""))
	first := w.signPolicy(w.bob, w.policy(nil, ""))
	withReceipt := scitt.AttachReceipts(testlog.Must(scitt.ParseStatement(second))(t), []byte("receipt"))
	for name, tc := range map[string]struct {
		log      [][]byte
		policies string // "index from-to signer", for each
		keys     []uint64
		refused  string // "index part of the reason", for each
	}{
		"three policies": {slices.Concat(begin, good[:1], [][]byte{second, good[1], third(second)}),
			"1 2-3 service; 3 4-5 administrator; 5 6- service", []uint64{0}, ""},
		"new keys sign": {slices.Concat(begin, [][]byte{second, rotated, byBob}),
			"1 2-2 service; 2 3-4 administrator; 4 5- service", []uint64{0, 3}, ""},
		"keys that are not announced yet": {slices.Concat(begin, [][]byte{second, byBob, rotated}),
			"1 2-2 service; 2 3- administrator", []uint64{0, 4}, "3 no administrator of the policy in force"},
		"the first statement":     {[][]byte{begin[0], first, good[0]}, "1 2- first statement", []uint64{0}, ""},
		"not the first statement": {[][]byte{begin[0], good[0], first}, "", []uint64{0}, "2 neither signed by the service"},
		"the first after two statements of keys": {[][]byte{begin[0], rotated, w.signPolicy(w.alice, w.policy(nil, ""))},
			"2 3- first statement", []uint64{0, 1}, ""},
		// Entry 1 announces nothing new, so it does not make room for a stranger's policy.
		"the same keys again": {[][]byte{begin[0], begin[0], first}, "", []uint64{0}, "1 the same content is at index 0; 2 neither signed by the service"},
		"a policy again":      {slices.Concat(begin, [][]byte{second, begin[1]}), "1 2-2 service; 2 3- administrator", []uint64{0}, "3 the same content is at index 1"},
		"a replay":            {slices.Concat(begin, [][]byte{second, w.signPolicy(w.admin, w.policy(begin[1], `, "description": "late"`))}), "1 2-2 service; 2 3- administrator", []uint64{0}, "3 it is a replay"},
		"another encoding":    {slices.Concat(begin, [][]byte{withReceipt}), "1 2- service", []uint64{0}, "2 not in the encoding of an entry"},
		"a bad signature":     {slices.Concat(begin, [][]byte{tamper(second)}), "1 2- service", []uint64{0}, "2 signature"},
		"keys by a stranger":  {slices.Concat(begin, [][]byte{w.nextKeys(w.bob, begin[0], asIs)}), "1 2- service", []uint64{0}, "2 no key with that identifier"},
		"the receipt key is no service key": {slices.Concat(begin, [][]byte{w.signPolicy(w.keys.Receipt, w.policy(begin[1], "")), w.nextKeys(w.keys.Receipt, begin[0], asIs)}),
			"1 2- service", []uint64{0}, "2 no administrator of the policy in force; 3 no key with that identifier"},
		"the service key before recovery": {slices.Concat(begin, [][]byte{rotated, third(begin[1])}),
			"1 2- service", []uint64{0, 2}, "3 no administrator of the policy in force"},
		"a stolen service key replaces itself": {slices.Concat(begin, [][]byte{w.nextKeys(w.keys.Service, begin[0], func(k *scitt.Keys) { k.Service = testlog.KeySet(t, w.bob) })}),
			"1 2- service", []uint64{0}, "2 only a recovery key may sign"},
		"recovery twice": {slices.Concat(begin, [][]byte{rotated, w.recovered(rotated, w.alice)}), "1 2- service", []uint64{0, 2}, "3 was not announced"},
		"keys replayed": {slices.Concat(begin, [][]byte{renewed, w.nextKeys(w.keys.Service, renewed, newReceipt), renewed, w.nextKeys(w.keys.Service, begin[0], asIs)}),
			"1 2- service", []uint64{0, 2, 3}, "4 the same content; 5 it is a replay"},
		"keys of another log": {slices.Concat(begin, [][]byte{elsewhere}), "1 2- service", []uint64{0}, "2 it is a replay"},
		"of another log": {slices.Concat(begin, [][]byte{w.sign(w.admin, scitt.SignOptions{Type: scitt.TypePolicy, Subject: "other"}, w.policy(begin[1], ""))}),
			"1 2- service", []uint64{0}, "2 not that of this log's policy"},
		"the first of another log": {[][]byte{begin[0], w.sign(w.keys.Service, scitt.SignOptions{Type: scitt.TypePolicy}, w.policy(nil, ""))},
			"", []uint64{0}, "1 not that of this log's policy"},
		"a broken first policy": {[][]byte{begin[0], w.signPolicy(w.keys.Service, "{}"), begin[1]}, "2 3- service", []uint64{0}, "1 version"},
	} {
		t.Run(name, func(t *testing.T) {
			w := *w
			w.t = t
			m := w.log(tc.log...)
			h, err := w.policies(m, PolicyOptions{})
			if err != nil {
				t.Fatal(err)
			}
			var policies []string
			var inForce, keysInForce []Registered
			for _, p := range h.Policies {
				to := ""
				if p.To != nil {
					to = fmt.Sprint(*p.To)
				}
				policies = append(policies, fmt.Sprintf("%d %d-%s %s", p.Index, p.From, to, p.SignedBy))
				inForce = append(inForce, p.Registered)
				if p.EntryID != testlog.ID(tc.log[p.Index]).String() {
					t.Errorf("entry %d has id %s", p.Index, p.EntryID)
				}
			}
			if got := strings.Join(policies, "; "); got != tc.policies {
				t.Errorf("policies %q, want %q", got, tc.policies)
			}
			var keys []uint64
			for _, k := range h.keys {
				keys = append(keys, k.Index)
				keysInForce = append(keysInForce, k.Registered)
			}
			if !slices.Equal(keys, tc.keys) {
				t.Errorf("keys at %v, want %v", keys, tc.keys)
			}
			var want []string
			if tc.refused != "" {
				want = strings.Split(tc.refused, "; ")
			}
			var refused []string
			for i, r := range h.Refused {
				index, reason, _ := strings.Cut(append(want, make([]string, len(h.Refused))...)[i], " ")
				if fmt.Sprint(r.Index) != index || !strings.Contains(r.Reason, reason) {
					t.Errorf("refused entry %d: %s; want %q", r.Index, r.Reason, want)
				}
				refused = append(refused, fmt.Sprint(r.Index))
			}
			if len(h.Refused) != len(want) {
				t.Errorf("%d refused, want %d", len(h.Refused), len(want))
			}

			a := w.audit(m, Options{})
			if !slices.Equal(a.state.Policies, inForce) || !slices.Equal(a.state.Keys, keysInForce) {
				t.Errorf("an audit has policies %+v and keys %+v, Policies %+v and %+v", a.state.Policies, a.state.Keys, inForce, keysInForce)
			}
			var told []string
			for _, v := range a.told {
				st, err := scitt.ParseStatement(tc.log[*v.Index])
				if err != nil {
					t.Fatal(err)
				}
				if index := fmt.Sprint(*v.Index); (st.Type == scitt.TypeKeys || st.Type == scitt.TypePolicy) && !slices.Contains(told, index) {
					told = append(told, index)
				}
			}
			if !slices.Equal(told, refused) {
				t.Errorf("an audit refuses %v, Policies %v", told, refused)
			}
		})
	}
}

// TestPoliciesUpTo: the policies that judged an entry, and what the next one has to fit.
func TestPoliciesUpTo(t *testing.T) {
	w := newWorld(t)
	begin := w.begin("")
	second := w.signPolicy(w.admin, w.policy(begin[1], ""))
	m := w.log(append(begin, second)...)
	for size, last := range []string{"", "", "1 by service", "2 by administrator"} {
		n, read := uint64(size), uint64(0)
		h, err := w.policies(m, PolicyOptions{Size: &n, Entry: func(e tiles.Entry) error {
			if e.Index != read {
				t.Errorf("entry %d came when %d were read", e.Index, read)
			}
			read++
			return nil
		}})
		if err != nil || h.Size != n || read != n || h.Origin != testlog.Origin {
			t.Fatalf("size %d: %+v after %d entries, error %v", size, h, read, err)
		}
		got := ""
		if p := h.Last(); p != nil {
			got = fmt.Sprintf("%d by %s", p.Index, p.SignedBy)
			next := testlog.Must(scitt.ParseStatement(w.signPolicy(w.admin, w.policy(begin[1], ""))))(t)
			if _, err := p.Policy.AdmitPolicy(next, h.InForce()); (err == nil) != (p.Index == 1) {
				t.Errorf("size %d: a policy that replaces entry 1: %v", size, err)
			}
		}
		if got != last {
			t.Errorf("size %d: in force %q, want %q", size, got, last)
		}
	}
	n := uint64(4)
	if _, err := w.policies(m, PolicyOptions{Size: &n}); err == nil || !strings.Contains(err.Error(), "4 entries of a log with 3") {
		t.Errorf("error %v", err)
	}
	stop := errors.New("stop")
	if _, err := w.policies(m, PolicyOptions{Entry: func(tiles.Entry) error { return stop }}); !errors.Is(err, stop) {
		t.Errorf("error %v", err)
	}
}

// TestPoliciesErrors: logs whose policies cannot be known.
func TestPoliciesErrors(t *testing.T) {
	w := newWorld(t)
	begin, good := w.begin(""), w.statements(1)
	for name, tc := range map[string]struct {
		log  [][]byte
		want error
		text string
	}{
		"entry 0 is not keys":        {[][]byte{good[0], begin[1]}, ErrKeys, "does not announce"},
		"keys signed by another key": {[][]byte{w.keys.Announce(t, w.bob, w.keys.Announced), begin[1]}, ErrKeys, "no key with that identifier"},
		"keys that are not trusted":  {testlog.NewKeys(t).Begin(t, "{}")[:1], ErrKeys, "is trusted, and no keys statement"},
		"keys that are cut":          {[][]byte{begin[0][:40], begin[1]}, scitt.ErrMalformed, "entry 0"},
		"a policy that is cut":       {[][]byte{begin[0], begin[1][:len(begin[1])-1]}, scitt.ErrMalformed, "entry 1"},
	} {
		t.Run(name, func(t *testing.T) {
			w := *w
			w.t = t
			if h, err := w.policies(w.log(tc.log...), PolicyOptions{}); !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.text) || h != nil {
				t.Errorf("%+v, error %v", h, err)
			}
		})
	}
	m := w.log(begin...)
	view := testlog.Must(tiles.NewLog(m, w.keys.Verifiers).Latest(t.Context()))(t)
	m.files[tiles.BundlePath(0, 2)] = w.log(begin[0], good[0]).files[tiles.BundlePath(0, 2)]
	if _, err := Policies(t.Context(), view, PolicyOptions{}); !errors.Is(err, tiles.ErrCorrupt) {
		t.Errorf("entries that are not the checkpoint's: error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Policies(ctx, view, PolicyOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// TestSchemas: a policy for another OCSF schema than the one that is loaded is
// an error of Policies and of an audit, and not a refusal.
func TestSchemas(t *testing.T) {
	w := newWorld(t)
	digest := sha256.Sum256([]byte("the schema file"))
	given := PolicyOptions{Policy: []policy.Option{policy.WithSchema(ocsf.Default(), digest)}, Schema: fmt.Sprintf("%x", digest)}
	builtIn := `, "ocsf": {"mode": "enforce"}`
	named := fmt.Sprintf(`, "ocsf": {"mode": "enforce", "schema": "%x"}`, digest)
	for name, tc := range map[string]struct {
		options PolicyOptions
		members string
		want    *SchemaError // Index is that of each log
	}{
		"built in":                   {PolicyOptions{}, builtIn, nil},
		"named and given":            {given, named, nil},
		"named and not given":        {PolicyOptions{}, named, &SchemaError{Digest: given.Schema}},
		"given instead of built in":  {given, builtIn, &SchemaError{}},
		"given and no OCSF in there": {given, "", nil},
	} {
		for _, index := range []uint64{1, 2} {
			t.Run(fmt.Sprint(name, ", entry ", index), func(t *testing.T) {
				w := *w
				w.t = t
				entries := w.begin(tc.members)
				if index == 2 {
					entries = w.begin("")
					entries = append(entries, w.signPolicy(w.admin, w.policy(entries[1], tc.members)))
				}
				m := w.log(entries...)
				h, err := w.policies(m, tc.options)
				a := w.auditor(m, nil, Options{Policy: tc.options.Policy, Schema: tc.options.Schema})
				aerr := a.Run(t.Context())
				a.expect()
				if tc.want == nil {
					if err != nil || aerr != nil || len(h.Refused) > 0 || h.Last().Index != index {
						t.Errorf("%+v, errors %v and %v", h, err, aerr)
					}
					return
				}
				want := SchemaError{Index: index, Digest: tc.want.Digest}
				for _, err := range []error{err, aerr} {
					if got, ok := errors.AsType[*SchemaError](err); !ok || *got != want || !strings.Contains(err.Error(), fmt.Sprint("entry ", index)) {
						t.Errorf("error %v", err)
					}
				}
			})
		}
	}
}

// TestDescribe: what is said of a policy is what its statement and the log say.
func TestDescribe(t *testing.T) {
	w := newWorld(t)
	begin, good := w.begin(""), w.statements(1)
	second := w.signPolicy(w.admin, w.policy(begin[1], `, "description": "second"`))
	h := testlog.Must(w.policies(w.log(slices.Concat(begin, [][]byte{second}, good)...), PolicyOptions{}))(t)
	one, two := h.Policies[0].Describe(), h.Policies[1].Describe()
	hash := h.Policies[1].Policy.Hash()
	if two.EntryID != h.Policies[1].EntryID || two.Index != 2 || two.Hash != fmt.Sprintf("%x", hash) || two.Previous != one.EntryID ||
		two.Description != "second" || one.Previous != "" || two.Signer != testlog.DIDJWK(t, w.admin) {
		t.Errorf("%+v, %+v", one, two)
	}
	if one.Judges() != "entry 2" || two.Judges() != "entry 3 and what follows" {
		t.Errorf("%s; %s", one.Judges(), two.Judges())
	}
	if !strings.HasSuffix(one.SignedBy(), " (the service)") || two.SignedBy() != two.Signer+" (an administrator of the policy before)" {
		t.Errorf("%s; %s", one.SignedBy(), two.SignedBy())
	}
	to := uint64(9)
	if got := (LogPolicy{From: 2, To: &to}).Judges(); got != "entries 2 to 9" {
		t.Error(got)
	}
	if got := (LogPolicy{Signer: "a", SignedAs: signedByAnybody}).SignedBy(); got != "a (the first statement of the log, which nothing vouches for)" {
		t.Error(got)
	}
}
