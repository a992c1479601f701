package monitor

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
)

// formatComparison names the format of a comparison.
const formatComparison = "conmotion-comparison/1"

type intervalDocument struct {
	From    string   `json:"from"`
	GraceMS int64    `json:"grace_ms"`
	Scope   []string `json:"scope,omitempty"`
	To      string   `json:"to"`
}

func (i Interval) document() intervalDocument {
	return intervalDocument{timestamp(i.From.UnixMilli()), i.Grace.Milliseconds(), i.Scope, timestamp(i.To.UnixMilli())}
}

// Counts counts what is not as it should be, and the configurations of which it is not
// known whether they differ, which are none of the findings here. A record of which it is
// not known what it says is none of the anomalies: see Unread.
func (c *Comparison) Counts() (findings, anomalies, undisclosed uint64) {
	for _, m := range c.Metrics {
		undisclosed += uint64(m.Undisclosed)
	}
	for _, side := range []Side{c.Reported, c.Observed} {
		anomalies += uint64(len(side.Anomalies)) + side.AnomaliesMore - side.Unread.count()
	}
	return uint64(len(c.Findings)) - undisclosed, anomalies, undisclosed
}

// Write writes the comparison as a JSON document in JCS form.
func (c *Comparison) Write(w io.Writer) error {
	b := bufio.NewWriter(w)
	e := &encoder{w: b}
	e.text(`{"configuration":`)
	e.canonical(c.Metrics[Configuration])
	e.text(`,"findings":`)
	each(e, c.Findings, func(f Finding) any { return f })
	e.text(`,"format":`)
	e.value(formatComparison)
	e.text(`,"interval":`)
	e.value(c.Interval.document())
	e.text(`,"inventory":`)
	e.canonical(c.Metrics[Inventory])
	e.text(`,"observed":`)
	e.value(c.Observed)
	e.text(`,"reported":`)
	e.value(c.Reported)
	e.text("}")
	if e.err != nil {
		return e.err
	}
	return b.Flush()
}

// canonical writes a value whose members do not stand in order.
func (e *encoder) canonical(v any) {
	if e.err != nil {
		return
	}
	var data []byte
	if data, e.err = marshal(v); e.err == nil {
		_, e.err = e.w.Write(data)
	}
}

// digest is the SHA-256 of the document, in lowercase hex.
func (c *Comparison) digest() (string, error) {
	h := sha256.New()
	if err := c.Write(h); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}
