package plural

import "testing"

func TestPlural(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Of(0, "artifact"), "0 artifacts"}, {Of(1, "artifact"), "1 artifact"}, {Of(uint64(2), "artifact"), "2 artifacts"},
		{Of(1, "entry"), "1 entry"}, {Of(2, "entry"), "2 entries"}, {Of(2, "anomaly"), "2 anomalies"}, {Of(2, "verifier key"), "2 verifier keys"},
		{Verb(1, "log", "vouches", "vouch"), "1 log vouches"}, {Verb(2, "log", "vouches", "vouch"), "2 logs vouch"}, {Verb(0, "log", "vouches", "vouch"), "0 logs vouch"},
		{Form(1, "1 is", "%d are"), "1 is"}, {Form(2, "1 is", "%d are"), "2 are"}, {Form(2, " is", " are"), " are"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

func TestWrong(t *testing.T) {
	for text, want := range map[string]int{
		"the log has 1 entries": 1, "(1 assets)": 1, "1 files, 1 errors": 2, "1 entry, 2 entries": 0, "11 entries": 0, "0.1 seconds": 0, "2 of 1 items": 1,
		"entry 1 was read": 0, "1 has": 0, "line 1: keys": 0, "1 is": 0, "x=1 bytes": 0,
	} {
		if got := Wrong(text); len(got) != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}
