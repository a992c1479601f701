package party

import (
	"testing"

	"github.com/conmotion/conmotion/scitt"
)

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
