package scitt_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/conmotion/conmotion/scitt"
)

func TestProblemRoundTrip(t *testing.T) {
	p := &scitt.Problem{Status: 400, Title: "Rejected", Detail: "because"}
	if want := enc(t, m{-1: "Rejected", -2: "because"}); !bytes.Equal(p.Marshal(), want) {
		t.Errorf("encoded %x, want %x", p.Marshal(), want)
	}
	got, err := scitt.ParseProblem(400, p.Marshal())
	must(t, err)
	if *got != *p {
		t.Errorf("got %+v", got)
	}
	if p.Error() != "Rejected: because (status 400)" {
		t.Errorf("error %q", p)
	}
	if e := (&scitt.Problem{Status: 500, Title: "x"}).Error(); e != "x (status 500)" {
		t.Errorf("error %q", e)
	}
}

func TestProblemItem(t *testing.T) {
	for status, want := range map[int]struct{ code, status int }{400: {0x80, 400}, 413: {0x8d, 413}, 409: {0x89, 409}, 429: {0x9d, 429}, 451: {0x80, 400}, 503: {0xa3, 503}} {
		p := &scitt.Problem{Status: status, Title: "Rejected", Detail: "because"}
		if want := enc(t, m{-1: "Rejected", -2: "because", -4: want.code}); !bytes.Equal(p.MarshalItem(), want) {
			t.Errorf("%d encoded %x, want %x", status, p.MarshalItem(), want)
		}
		got, err := scitt.ParseProblemItem(p.MarshalItem())
		must(t, err)
		if p.Status = want.status; *got != *p {
			t.Errorf("got %+v", got)
		}
	}
	for _, body := range []any{m{-1: "no code"}, m{-4: 0x60}, m{-4: 0xc0}, m{-4: "x"}, []any{}} {
		if _, err := scitt.ParseProblemItem(enc(t, body)); !errors.Is(err, scitt.ErrMalformed) {
			t.Errorf("%v: %v", body, err)
		}
	}
}

// TestAlreadyRegistered: the reason is found again where the answer is read.
func TestAlreadyRegistered(t *testing.T) {
	p := scitt.AlreadyRegistered("https://transparency.example/entries/17")
	if p.Status != 409 || p.Location != "https://transparency.example/entries/17" || !strings.Contains(p.Detail, "fetch its Transparent Statement, "+p.Location+"/statement") {
		t.Errorf("%+v", p)
	}
	whole, err := scitt.ParseProblem(p.Status, p.Marshal())
	must(t, err)
	item, err := scitt.ParseProblemItem(p.MarshalItem())
	must(t, err)
	for _, err := range []error{p, whole, item} {
		if !errors.Is(fmt.Errorf("register: %w", err), scitt.ErrRegistered) || scitt.ProblemOf(err) != err {
			t.Errorf("%v", err)
		}
	}
	for _, other := range []*scitt.Problem{{Status: 409, Title: "Conflict"}, {Status: 400, Title: "Already Registered"}} {
		if errors.Is(other, scitt.ErrRegistered) {
			t.Errorf("%v", other)
		}
	}
}

func TestParseProblem(t *testing.T) {
	oltext := func(a ...any) any { return cbor.Tag{Number: 38, Content: a} }
	for name, c := range map[string]struct {
		body                 any
		title, detail, piece string
	}{
		"oltext":           {m{-1: oltext("en", "Title"), -2: oltext("de", "Grund", true)}, "Title", "Grund", ""},
		"title only":       {m{-1: "Title"}, "Title", "", ""},
		"empty":            {m{}, "", "", ""},
		"more":             {m{-1: "Title", -3: "instance", "x": 1, 7807: m{}}, "Title", "", ""},
		"another tag":      {m{-1: cbor.Tag{Number: 39, Content: []any{"en", "Title"}}}, "", "", ""},
		"oltext of one":    {m{-1: oltext("en")}, "", "", ""},
		"oltext of number": {m{-1: oltext("en", 1)}, "", "", ""},
		"oltext of text":   {m{-1: cbor.Tag{Number: 38, Content: "Title"}}, "", "", ""},
		"title number":     {m{-1: 1}, "", "", ""},
		"not a map":        {[]any{}, "", "", "not a map"},
		"text":             {"<html>", "", "", "not a map"},
		"duplicate":        {raw(unhex(t, "a2 20 6161 20 6162")), "", "", "duplicate"},
		"trailing":         {raw(unhex(t, "a0 00")), "", "", "extraneous"},
	} {
		t.Run(name, func(t *testing.T) {
			body, ok := c.body.(raw)
			if !ok {
				body = enc(t, c.body)
			}
			got, err := scitt.ParseProblem(418, body)
			if c.piece != "" {
				wantError(t, err, scitt.ErrMalformed, c.piece)
				return
			}
			must(t, err)
			if got.Title != c.title || got.Detail != c.detail || got.Status != 418 {
				t.Errorf("got %+v", got)
			}
		})
	}
	got, err := scitt.ParseProblem(502, nil) // a proxy's answer without a body
	must(t, err)
	if got.Status != 502 || got.Title != "" {
		t.Errorf("got %+v", got)
	}
}

func TestProblemOf(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		title  string
		retry  time.Duration
	}{
		{scitt.ErrMalformed, 400, "Malformed request", 0},
		{scitt.ErrAlgorithm, 400, "Bad Signature Algorithm", 0},
		{scitt.ErrNoKeyID, 400, "Confirmation Missing", 0},
		{scitt.ErrPayloadMissing, 400, "Payload Missing", 0},
		{scitt.ErrTooLarge, 413, "Statement Too Large", 0},
		{scitt.ErrSignature, 400, "Rejected", 0},
		{scitt.ErrUnknownKey, 400, "Rejected", 0},
		{scitt.ErrRegistered, 409, "Already Registered", 0},
		{scitt.ErrBusy, 503, "Log Busy", time.Second},
		{scitt.ErrUnavailable, 503, "Registration Failed", 5 * time.Second},
	} {
		err := fmt.Errorf("statement: %w: more", c.err)
		got := scitt.ProblemOf(err)
		if want := (scitt.Problem{Status: c.status, Title: c.title, Detail: err.Error(), RetryAfter: c.retry}); got == nil || *got != want {
			t.Errorf("%v: got %+v, want %+v", c.err, got, want)
		}
	}
	// These are about a log and not about a statement: no fault of the client.
	for _, err := range []error{scitt.ErrProof, scitt.ErrCheckpoint, io.EOF, nil} {
		if got := scitt.ProblemOf(err); got != nil {
			t.Errorf("%v: got %+v", err, got)
		}
	}
	told := &scitt.Problem{Status: 429, Title: "Too Many Requests"}
	if got := scitt.ProblemOf(errors.Join(scitt.ErrMalformed, told)); got != told {
		t.Errorf("got %+v", got)
	}
}

// TestProblemBounded: nobody is shown more than 8 KiB of what somebody else sent.
func TestProblemBounded(t *testing.T) {
	long := strings.Repeat("ä", 1<<20)
	for _, body := range [][]byte{
		(&scitt.Problem{Status: 400, Title: "Rejected", Detail: long}).Marshal(),
		(&scitt.Problem{Status: 400, Title: "Rejected", Detail: long}).MarshalItem(),
		enc(t, m{-1: long, -2: long}),
		enc(t, m{-1: cbor.Tag{Number: 38, Content: []any{"de", long}}, -2: cbor.Tag{Number: 38, Content: []any{"de", long}}}),
	} {
		p, err := scitt.ParseProblem(400, body)
		must(t, err)
		if len(p.Title) > 9<<10 || len(p.Detail) > 9<<10 || !strings.HasSuffix(p.Detail, "ä...") {
			t.Errorf("%d and %d bytes", len(p.Title), len(p.Detail))
		}
	}
}

// TestProblemJSON: as JSON a problem is what a service said, and nothing else.
func TestProblemJSON(t *testing.T) {
	got, err := json.Marshal(&scitt.Problem{Status: 429, Title: "Busy", Detail: "later", RetryAfter: time.Second, Location: "x"})
	if want := `{"status":429,"title":"Busy","detail":"later"}`; err != nil || string(got) != want {
		t.Errorf("%s, %v", got, err)
	}
}
