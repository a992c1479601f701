package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/conmotion/conmotion/internal/durable"
)

// notice tells the person at the terminal something that is not data.
func (a *app) notice(format string, args ...any) {
	fmt.Fprintln(a.stderr, message(fmt.Sprintf(format, args...)))
}

// printJSON prints one indented document.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// printJSONLine prints a document on one line, for a sequence of them.
func (a *app) printJSONLine(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// printRows prints aligned columns. A row that ends with nothing is left out.
func (a *app) printRows(rows [][]string) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		if row[len(row)-1] == "" {
			continue
		}
		for i := range row {
			row[i] = clean(row[i])
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

// clean makes text that came from outside harmless in a line: line feeds and
// other control characters, and marks that change the direction of writing, are
// shown as what they are.
func clean(s string) string { return strings.ReplaceAll(cleanLines(s), "\n", `\u000a`) }

// message is a text for people. What follows its first line is indented, so that
// text from outside that is in it cannot look like a line of its own.
func message(s string) string { return strings.ReplaceAll(cleanLines(s), "\n", "\n  ") }

// cleanLines is clean for a document, whose lines stay.
func cleanLines(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n' || r == ' ' || unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, "\\u%04x", r)
		}
	}
	return b.String()
}

// progress shows how far a long job is, at most a few times a second on a
// terminal and every few seconds elsewhere. It is safe for concurrent use.
type progress struct {
	out      io.Writer
	terminal bool
	start    time.Time

	mu    sync.Mutex
	shown time.Time
	width int
}

func (a *app) progress() *progress {
	p := &progress{out: a.stderr, start: time.Now(), shown: time.Now()}
	if f, ok := a.stderr.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

// show shows what line gives, when it is time to.
func (p *progress) show(line func() string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	every := 5 * time.Second
	if p.terminal {
		every = 200 * time.Millisecond
	}
	if time.Since(p.shown) < every {
		return
	}
	p.shown = time.Now()
	text := line()
	if !p.terminal {
		fmt.Fprintln(p.out, text)
		return
	}
	fmt.Fprintf(p.out, "\r%-*s", p.width, text)
	p.width = len(text)
}

// part shows how much of what is done.
func (p *progress) part(what string, done, total uint64) {
	p.show(func() string { return fmt.Sprintf("%s: %d of %d", what, done, total) })
}

// done takes the line away again.
func (p *progress) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.width > 0 {
		fmt.Fprintf(p.out, "\r%*s\r", p.width, "")
		p.width = 0
	}
}

// readInput reads a file, or standard input for "-".
func (a *app) readInput(path string) ([]byte, error) {
	if path == "-" {
		data, err := io.ReadAll(a.stdin)
		if err != nil {
			return nil, fmt.Errorf("standard input: %w", err)
		}
		return data, nil
	}
	return os.ReadFile(path)
}

// readFileFlag reads the file that a flag names.
func readFileFlag(flag, path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", flag, err)
	}
	return data, nil
}

// writeOutput replaces a file in one step, or writes to standard output for
// "-", and to what is no file, such as /dev/null or a pipe. A crash leaves the
// old file or the new one, never a part, and perhaps a temporary file beside it
// whose name begins with a dot.
func (a *app) writeOutput(path string, data []byte) error {
	return a.writeStream(path, func(w io.Writer) error { _, err := w.Write(data); return err })
}

// writeStream is writeOutput for what is too large to be held in memory.
func (a *app) writeStream(path string, write func(io.Writer) error) (err error) {
	if path == "-" {
		return write(a.stdout)
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return writeDevice(path, write)
	}
	return durable.Write(path, 0o644, write)
}

// writeDevice writes to what a new file must not take the place of.
func writeDevice(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err = errors.Join(write(f), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// timeOf writes a NumericDate for people; 0 means that there is none.
func timeOf(seconds int64) string {
	if seconds == 0 {
		return ""
	}
	return time.Unix(seconds, 0).UTC().Format(time.RFC3339)
}
