package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact/reader"
)

// TestExitCode: the exit code is what an error is marked with, or what it says, whatever
// it is wrapped in.
func TestExitCode(t *testing.T) {
	status := func(code int) error { return &scitt.Problem{Status: code, Title: "title"} }
	for _, c := range []struct {
		err          error
		code, ofALog int
	}{
		{nil, ExitGood, ExitGood},
		{errors.New("anything"), ExitUsage, ExitUsage},
		{Bad(errors.New("anything")), ExitBad, ExitBad},
		{Usage(scitt.ErrSignature), ExitUsage, ExitUsage},
		{scitt.ErrSignature, ExitBad, ExitBad},
		{fs.ErrNotExist, ExitUsage, ExitUsage},
		{&monitor.WithheldError{}, ExitUsage, ExitUsage},
		{status(http.StatusBadRequest), ExitBad, ExitUsage},
		{status(http.StatusTooManyRequests), ExitUsage, ExitUsage},
		{status(http.StatusServiceUnavailable), ExitUsage, ExitUsage},
		{status(http.StatusInsufficientStorage), ExitBad, ExitUsage},
		{&scitt.Problem{Status: http.StatusInternalServerError, Title: reader.TitleDamaged}, ExitBad, ExitUsage},
	} {
		if got := ExitCode(c.err); got != c.code {
			t.Errorf("%v: exit code %d, want %d", c.err, got, c.code)
		}
		if c.err == nil {
			continue
		}
		if got := ExitCode(fmt.Errorf("wrapped: %w", c.err)); got != c.code {
			t.Errorf("%v: exit code %d when it is wrapped, want %d", c.err, got, c.code)
		}
		if got := ExitCode(OfLog(c.err)); got != c.ofALog {
			t.Errorf("%v: exit code %d when a log is read, want %d", c.err, got, c.ofALog)
		}
	}
}

// TestExitHelp: the page on the tool has the table that the help prints.
func TestExitHelp(t *testing.T) {
	page, err := os.ReadFile("../../../docs/tool.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "```\n"+exitHelp()+"```\n") {
		t.Errorf("docs/tool.md does not have:\n%s", exitHelp())
	}
}
