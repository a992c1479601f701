package search

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/conmotion/conmotion/internal/jsonx"
	"github.com/conmotion/conmotion/scitt"
)

// Bounds of one query.
const (
	defaultLimit  = 50
	maxLimit      = 1000
	maxConditions = 32
	maxValue      = 4096 // bytes of one parameter
)

// order is the order of an answer's entries.
type order string

// The orders. Entries with the same event time are in the order of the log,
// or against it in byTimeDescending.
const (
	ascending        order = "asc"
	descending       order = "desc"
	byTime           order = "time-asc"
	byTimeDescending order = "time-desc"
)

func (o order) byTime() bool     { return o == byTime || o == byTimeDescending }
func (o order) descending() bool { return o == descending || o == byTimeDescending }

// Query asks for entries. The zero value asks for the first ones of the log.
// It is made by [ParseQuery], which the package comment describes.
type Query struct {
	conditions []condition
	policy     *scitt.EntryID
	from, to   uint64 // indexes; to is 0 for no bound
	order      order
	limit      int
	after      *cursor
}

// condition is what one parameter asks of an entry: that it has one of these
// terms, or one in these spans.
type condition struct {
	param string
	terms []term
	spans []span
}

// span is the numbers from low to high, both included.
type span struct {
	kind      kind
	path      string
	low, high float64
}

// cursor is the place of an entry in the order of an answer.
type cursor struct {
	time  int64 // noTime by index
	index uint64
}

// ErrTooBroad is wrapped by the refusal of a query that would cost too much.
var ErrTooBroad = errors.New("search: the query is too broad")

// bad refuses a query and names the parameter.
func bad(param, format string, args ...any) error {
	return &scitt.Problem{Status: http.StatusBadRequest, Title: "Malformed request",
		Detail: fmt.Sprintf("parameter %q: ", param) + fmt.Sprintf(format, args...)}
}

// ParseQuery reads the parameters of a query. Every error is a
// [*scitt.Problem] with status 400 that names the parameter.
func ParseQuery(values url.Values) (Query, error) {
	q := Query{order: ascending, limit: defaultLimit}
	params := make([]string, 0, len(values))
	for param := range values {
		params = append(params, param)
	}
	slices.Sort(params) // of two errors always the same one is told
	for _, param := range params {
		_, isField := strings.CutPrefix(param, "f.")
		if len(values[param]) > 1 && !isField {
			return Query{}, bad(param, "it is given more than once")
		}
		for _, value := range values[param] {
			if err := q.set(param, value); err != nil {
				return Query{}, err
			}
		}
	}
	q.join()
	if len(q.conditions) > maxConditions {
		return Query{}, bad(q.conditions[maxConditions].param, "a query has at most %d conditions", maxConditions)
	}
	if q.to != 0 && q.to <= q.from {
		return Query{}, bad("index_to", "it is not behind index_from")
	}
	if q.after != nil && q.order.byTime() == (q.after.time == noCursorTime) {
		return Query{}, bad("after", "it is of an answer in another order")
	}
	return q, nil
}

// join makes one condition of from and to.
func (q *Query) join() {
	find := func(param string) int {
		return slices.IndexFunc(q.conditions, func(c condition) bool { return c.param == param })
	}
	if i, j := find("from"), find("to"); i >= 0 && j >= 0 {
		q.conditions[i].spans[0].high = q.conditions[j].spans[0].high
		q.conditions = slices.Delete(q.conditions, j, j+1)
	}
}

func (q *Query) set(param, value string) error {
	path, isField := strings.CutPrefix(param, "f.")
	switch {
	case len(value) > maxValue || len(param) > maxValue:
		return bad(cut(param), "it is longer than %d bytes", maxValue)
	case !utf8.ValidString(value) || !utf8.ValidString(param):
		return bad(strings.ToValidUTF8(cut(param), "?"), "it is not valid UTF-8")
	case isField && path == "":
		return bad(param, "the path of the field is missing")
	case isField:
		return q.field(param, path, value)
	case value == "":
		return bad(param, "it is empty")
	}
	set, ok := parameters[param]
	if !ok {
		return bad(cut(param), "there is no such parameter")
	}
	return set(q, param, value)
}

func cut(s string) string { return jsonx.Cut(s, 64) }

// equal is what a field has that is equal to a value.
func equal(path, value string) (terms []term, spans []span) {
	terms = []term{{kindText, path, value}}
	switch value {
	case "true", "false", "null":
		return append(terms, term{kindLiteral, path, value}), nil
	}
	n, ok := parseNumber(value)
	switch {
	case ok && isBig(value, n):
		terms = append(terms, term{kindBig, path, value})
	case ok:
		spans = []span{{kindNumber, path, n, n}}
	}
	return terms, spans
}

// parseTime reads an RFC 3339 time as milliseconds since 1970. Below
// microseconds it is cut off.
func parseTime(s string) (float64, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return 0, err
	}
	return float64(t.UnixMicro()) / 1000, nil
}

const noCursorTime = math.MinInt64 + 1 // of a cursor in the order of indexes

// String is the form that the parameter after has.
func (c cursor) String() string {
	index := strconv.FormatUint(c.index, 10)
	switch c.time {
	case noCursorTime:
		return index
	case noTime:
		return "none." + index
	}
	return strconv.FormatInt(c.time, 10) + "." + index
}

func parseCursor(s string) (c cursor, err error) {
	c.time = noCursorTime
	at, index, found := strings.Cut(s, ".")
	if !found {
		index = at
	} else if at == "none" {
		c.time = noTime
	} else if c.time, err = strconv.ParseInt(at, 10, 64); err != nil {
		return c, err
	}
	if c.index, err = parseUint(index); err == nil && c.String() != s {
		err = strconv.ErrSyntax
	}
	return c, err
}
