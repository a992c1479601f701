package cli

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

// Notice tells the person at the terminal something that is not data.
func (a *App) Notice(format string, args ...any) {
	fmt.Fprintln(a.Stderr, Message(fmt.Sprintf(format, args...)))
}

// Print prints one indented document with --json, and rows for people without.
func (a *App) Print(v any, rows [][]string) error {
	if a.JSON {
		return a.PrintJSON(v)
	}
	return a.PrintRows(rows)
}

// PrintJSON prints one indented document.
func (a *App) PrintJSON(v any) error {
	enc := json.NewEncoder(a.Stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// PrintJSONLine prints a document on one line, for a sequence of them.
func (a *App) PrintJSONLine(v any) error {
	enc := json.NewEncoder(a.Stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// PrintRows prints aligned columns. A row that ends with nothing is left out.
func (a *App) PrintRows(rows [][]string) error {
	w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		if row[len(row)-1] == "" {
			continue
		}
		for i := range row {
			row[i] = Clean(row[i])
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

// Clean makes text that came from outside harmless in a line: line feeds and
// other control characters, and marks that change the direction of writing, are
// shown as what they are.
func Clean(s string) string { return strings.ReplaceAll(CleanLines(s), "\n", `\u000a`) }

// Message is a text for people. What follows its first line is indented, so that
// text from outside that is in it cannot look like a line of its own.
func Message(s string) string { return strings.ReplaceAll(CleanLines(s), "\n", "\n  ") }

// CleanLines is Clean for a document, whose lines stay.
func CleanLines(s string) string {
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

// Progress shows how far a long job is, at most a few times a second on a
// terminal and every few seconds elsewhere. It is safe for concurrent use.
type Progress struct {
	out      io.Writer
	terminal bool
	start    time.Time

	mu    sync.Mutex
	shown time.Time
	width int
}

func (a *App) Progress() *Progress {
	p := &Progress{out: a.Stderr, start: time.Now(), shown: time.Now()}
	if f, ok := a.Stderr.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

// Show shows what line gives, when it is time to.
func (p *Progress) Show(line func() string) {
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

// Part shows how much of what is done.
func (p *Progress) Part(what string, done, total uint64) {
	p.Show(func() string { return fmt.Sprintf("%s: %d of %d", what, done, total) })
}

// Done takes the line away again.
func (p *Progress) Done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.width > 0 {
		fmt.Fprintf(p.out, "\r%*s\r", p.width, "")
		p.width = 0
	}
}

// ReadInput reads a file, or standard input for "-".
func (a *App) ReadInput(path string) ([]byte, error) {
	if path == "-" {
		data, err := io.ReadAll(a.Stdin)
		if err != nil {
			return nil, fmt.Errorf("standard input: %w", err)
		}
		return data, nil
	}
	return os.ReadFile(path)
}

// ReadFileFlag reads the file that a flag names.
func ReadFileFlag(flag, path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", flag, err)
	}
	return data, nil
}

// WriteOutput replaces a file in one step, or writes to standard output for
// "-", and to what is not a file, such as /dev/null or a pipe. A crash leaves the
// old file or the new one, never a part, and perhaps a temporary file beside it
// whose name begins with a dot.
func (a *App) WriteOutput(path string, data []byte) error {
	return a.WriteStream(path, func(w io.Writer) error { _, err := w.Write(data); return err })
}

// WriteStream is WriteOutput for what is too large to be held in memory.
func (a *App) WriteStream(path string, write func(io.Writer) error) (err error) {
	if path == "-" {
		return write(a.Stdout)
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

// TimeOf writes a NumericDate for people; 0 means that there is none.
func TimeOf(seconds int64) string {
	if seconds == 0 {
		return ""
	}
	return time.Unix(seconds, 0).UTC().Format(time.RFC3339)
}
