package monitor

import (
	"crypto/sha256"
	"slices"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/monitor/disclosure"
	"github.com/conmotion/conmotion/storage/artifact/reader"
)

// TestUndisclosed: what is hidden is neither the same nor different. What is shown
// counts, and what differs beside it, for as long as it did.
func TestUndisclosed(t *testing.T) {
	secret := &disclosure.Secret{9}
	hidden := func(value string) any {
		mark, _, err := secret.Hide("web-1", "$.resources[0].data.token", value)
		if err != nil {
			t.Fatal(err)
		}
		return mark
	}
	gone := disclosure.Redacted()
	tls := func(v string, token any) object { return object{"tls": v, "token": token} }
	at := func(ms int64, of object) object { return configured(Modify, ms, "web-1", of) }
	for name, c := range map[string]struct {
		reported, observed []object
		want               string
	}{
		"hidden":               {[]object{tls("1.3", hidden("s"))}, []object{tls("1.3", "s")}, "undisclosed configuration/web-1 r0 o0 $.token"},
		"taken out":            {[]object{tls("1.3", gone)}, []object{tls("1.3", "s")}, "undisclosed configuration/web-1 r0 o0 $.token"},
		"the other side":       {[]object{tls("1.3", "s")}, []object{tls("1.3", gone)}, "undisclosed configuration/web-1 r0 o0 $.token"},
		"hidden, the same":     {[]object{tls("1.3", hidden("s"))}, []object{tls("1.3", hidden("s"))}, ""},
		"beside a difference":  {[]object{tls("1.3", gone)}, []object{tls("1.2", "s")}, "drift configuration/web-1 r0 o0 $.tls"},
		"not there":            {[]object{tls("1.3", gone)}, []object{{"tls": "1.3"}}, "drift configuration/web-1 r0 o0 $.token"},
		"a short difference":   {[]object{tls("1.3", gone)}, []object{tls("1.2", "s"), tls("1.3", "s")}, "undisclosed configuration/web-1 r0 o1 $.token"},
		"a long one, at first": {[]object{tls("1.3", gone)}, []object{tls("1.2", "s"), tls("1.2", "t"), tls("1.3", "s")}, "drift configuration/web-1 r0 o1 $.tls"},
	} {
		p := newPair(t)
		for _, r := range c.reported {
			p.provider.record(at(noon, r))
		}
		for i, o := range c.observed {
			p.auditor.record(at(noon+int64(i)*10*minute, o)) // of 15 minutes of grace
		}
		got := p.compare(hour)
		if all := strings.Join(slices.DeleteFunc(findings(got), func(s string) bool { return !strings.Contains(s, " configuration/") }), "; "); all != c.want {
			t.Errorf("%s: %q, want %q", name, all, c.want)
		}
		m := got.Metrics[Configuration]
		if m.Drift+m.Undisclosed != min(len(c.want), 1) || (m.Undisclosed > 0) != strings.HasPrefix(c.want, "undisclosed") {
			t.Errorf("%s: %+v", name, m)
		}
		if differ, _, unknown := got.Counts(); unknown != uint64(m.Undisclosed) || differ+unknown != uint64(len(got.Findings)) {
			t.Errorf("%s: %d differ, and of %d it is not known", name, differ, unknown)
		}
	}
}

// TestDisclosed: with the value that the provider shows, the comparison says what is so.
func TestDisclosed(t *testing.T) {
	mark, shown, err := (&disclosure.Secret{9}).Hide("web-1", "$.resources[0].data.token", "s")
	if err != nil {
		t.Fatal(err)
	}
	for observed, want := range map[string]string{"s": "", "other": "drift configuration/web-1 r0 o0 $.token"} {
		p := newPair(t)
		event := configured(Modify, noon, "web-1", object{"tls": "1.3", "token": mark})
		p.provider.record(event)
		p.auditor.record(configured(Modify, noon, "web-1", object{"tls": "1.3", "token": observed}))
		payload := must(NewRecord(encode(event), Configuration, Modify))(t).Payload
		opened := must((&disclosure.Document{Payload: payload, Disclosures: []string{shown}}).Open())(t)
		side := p.provider.side()
		side.Log.Disclosed = map[reader.Digest]*Shown{sha256.Sum256(payload): {Opened: opened}}
		got := must(Compare(t.Context(), side, p.auditor.side(), hour))(t)
		if all := strings.Join(findings(got), "; "); all != want {
			t.Errorf("%s: %q, want %q", observed, all, want)
		}
	}
}
