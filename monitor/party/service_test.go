package party

import (
	"slices"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

// TestHold: a Receipt stays with the signature that it is of, in the order of the
// logs.
func TestHold(t *testing.T) {
	statement := testlog.Statement(t, testlog.Key(t, "ES256"), "asset", nil)
	own := testlog.Must(scitt.ParseStatement(statement))(t)
	twin := testlog.Must(scitt.ParseStatement(testlog.Twin(t, own.Entry())))(t)
	o := Outcome{copies: hold(nil, own, "own", []byte("1"))}
	o.copies = hold(o.copies, twin, "second", []byte("2"))
	o.copies = hold(o.copies, own, "third", []byte("3"))
	o.copies = hold(o.copies, twin, "fourth", []byte("4"))
	copies := testlog.Must((&Recorder{}).Copies(t.Context(), o))(t)
	want := []Copy{
		{scitt.AttachReceipts(own, []byte("1"), []byte("3")), []string{"own", "third"}},
		{scitt.AttachReceipts(twin, []byte("2"), []byte("4")), []string{"second", "fourth"}},
	}
	if !slices.EqualFunc(copies, want, func(a, b Copy) bool {
		return string(a.Transparent) == string(b.Transparent) && slices.Equal(a.Origins, b.Origins)
	}) {
		t.Errorf("%+v", copies)
	}
}

func TestService(t *testing.T) {
	says := func(issuer string) *scitt.Configuration { return &scitt.Configuration{Issuer: issuer} }
	for _, c := range []struct {
		c              *scitt.Configuration
		location, want string
	}{
		{says("https://service.example/"), "/some/dir", "https://service.example"},
		{says("https://service.example/at"), "https://mirror.example", "https://service.example/at"},
		{says("did:web:service.example"), "https://mirror.example", ""},
		{says("https://me:secret@service.example"), "https://mirror.example", ""},
		{nil, "https://service.example/logs/1/", "https://service.example/logs/1"},
		{nil, "/some/dir", ""},
	} {
		l := &Log{Location: c.location, Configuration: c.c}
		if got := l.Service(); got != c.want {
			t.Errorf("%+v at %s: %q", c.c, c.location, got)
		}
	}
}
