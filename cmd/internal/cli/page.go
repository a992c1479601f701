package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/conmotion/conmotion/internal/printable"
)

// Print prints a result: an indented document with --json, and for people what
// show puts on the page.
func (a *App) Print(v any, show func(*Page)) error { return a.print(v, "  ", show) }

// PrintLine is Print for a sequence of results, whose documents have a line each.
func (a *App) PrintLine(v any, show func(*Page)) error { return a.print(v, "", show) }

// PrintData prints a document with --json, and else the bytes that it is about, for
// programs too.
func (a *App) PrintData(v any, data []byte) error {
	return a.print(v, "  ", func(p *Page) { p.out.Write(data) })
}

// document is a result that has a form of its own, which its bytes are a part of.
type document interface{ Write(w io.Writer) error }

func (a *App) print(v any, indent string, show func(*Page)) error {
	if !a.JSON {
		p := &Page{app: a}
		show(p)
		_, err := a.Stdout.Write(p.out.Bytes())
		return err
	}
	if d, ok := v.(document); ok {
		return d.Write(a.Stdout)
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	data := printable.JSON(a.named(out.Bytes()))
	if indent != "" {
		out = bytes.Buffer{}
		if err := json.Indent(&out, data, "", indent); err != nil {
			return err
		}
		data = out.Bytes()
	}
	_, err := a.Stdout.Write(data)
	return err
}

// Page is what people are shown of a result. Text from outside that is in it cannot
// look like a line of its own, and who has a name is called by it.
type Page struct {
	app *App
	out bytes.Buffer // to which writing does not fail
}

// Rows adds aligned columns. A row that ends with nothing is left out.
func (p *Page) Rows(rows [][]string) {
	w := tabwriter.NewWriter(&p.out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		if row[len(row)-1] == "" {
			continue
		}
		cells := make([]string, len(row))
		for i := range row {
			cells[i] = p.app.Names.Text(printable.Line(row[i]))
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	w.Flush()
}

// Table adds an empty line and columns with a heading; nothing when there are no rows.
func (p *Page) Table(heading []string, rows [][]string) {
	if len(rows) > 0 {
		p.out.WriteByte('\n')
		p.Rows(append([][]string{heading}, rows...))
	}
}

// Line adds a line.
func (p *Page) Line(format string, args ...any) {
	p.out.WriteString(p.app.Names.Text(printable.Line(fmt.Sprintf(format, args...))) + "\n")
}

// Message adds a line, and indents what follows a line feed in it.
func (p *Page) Message(format string, args ...any) {
	p.out.WriteString(p.app.message(fmt.Sprintf(format, args...)) + "\n")
}

// Text adds text whose lines stay lines.
func (p *Page) Text(text string) { p.out.WriteString(p.app.Names.Text(printable.Lines(text))) }

// Raw adds text whose lines stay lines, without names: what a file holds.
func (p *Page) Raw(text string) { p.out.WriteString(printable.Lines(text)) }

// Rows shows nothing but rows: see [Page.Rows].
func Rows(rows [][]string) func(*Page) {
	return func(p *Page) { p.Rows(rows) }
}

// message is text for people beside the result.
func (a *App) message(text string) string { return a.Names.Text(printable.Message(text)) }

// Show shows people something, and Document programs, where the two are not told
// the same in one order.
func (a *App) Show(show func(*Page)) error {
	if a.JSON {
		return nil
	}
	return a.print(nil, "", show)
}

// Document prints a document on one line with --json, and nothing without.
func (a *App) Document(v any) error {
	if !a.JSON {
		return nil
	}
	return a.print(v, "", nil)
}

// Say shows people text before the result, such as a step of a long job. Programs
// are not shown it.
func (a *App) Say(format string, args ...any) {
	if !a.JSON {
		fmt.Fprintln(a.Stdout, a.Names.Text(printable.Lines(fmt.Sprintf(format, args...))))
	}
}

// Notice tells the person at the terminal something that is not data.
func (p *Page) Notice(format string, args ...any) { p.app.Notice(format, args...) }
