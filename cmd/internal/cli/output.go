package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/internal/plain"
)

// Notice tells the person at the terminal something that is not data.
func (a *App) Notice(format string, args ...any) {
	fmt.Fprintln(a.Stderr, a.message(fmt.Sprintf(format, args...)))
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

// Of shows how much of one thing is done, for those who tell only that.
func (p *Progress) Of(what string) func(done, total uint64) {
	return func(done, total uint64) { p.Part(what, done, total) }
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
func (a *App) ReadInput(ctx context.Context, path string) ([]byte, error) {
	if path == "-" {
		return plain.ReadAll("standard input", plain.Reader(ctx, a.Stdin), mostInput)
	}
	return ReadFile(ctx, path)
}

// mostInput is how many bytes of a file are read into memory.
const mostInput = 2 << 30

// ReadFile reads what the user names, which may be a pipe.
func ReadFile(ctx context.Context, path string) ([]byte, error) {
	return plain.ReadInput(ctx, path, mostInput)
}

// ReadFileFlag reads the file that a flag names.
func ReadFileFlag(ctx context.Context, flag, path string) ([]byte, error) {
	data, err := ReadFile(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", flag, err)
	}
	return data, nil
}

// WriteOutput replaces a file in one step, or writes to standard output for
// "-", and to what is not a file, such as /dev/null or a pipe. A crash leaves the
// old file or the new one, never a part, and perhaps a temporary file beside it
// whose name begins with a dot. A pipe that nobody reads is waited for until the
// context ends.
func (a *App) WriteOutput(ctx context.Context, path string, data []byte) error {
	return a.WriteStream(ctx, path, func(w io.Writer) error { _, err := w.Write(data); return err })
}

// WriteStream is WriteOutput for what is too large to be held in memory.
func (a *App) WriteStream(ctx context.Context, path string, write func(io.Writer) error) (err error) {
	if path == "-" {
		return write(a.Stdout)
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		_, err := plain.Wait(ctx, func() (struct{}, error) { return struct{}{}, writeDevice(path, write) })
		return err
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
