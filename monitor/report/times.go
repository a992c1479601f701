package report

import (
	"time"

	"github.com/conmotion/conmotion/internal/plural"
)

// lastSecond is the last one of the year 9999.
var lastSecond = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).Unix()

func unix(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }

// age writes how long something is, in the largest unit that says it.
func age(ms int64) string {
	d := time.Duration(ms) * time.Millisecond
	unit := plural.Of[int64]
	switch {
	case ms > int64(time.Duration(1<<63-1)/time.Millisecond) || d >= 48*time.Hour:
		return unit(ms/(24*3600*1000), "day")
	case d >= 2*time.Hour:
		return unit(int64(d/time.Hour), "hour")
	case d >= 2*time.Minute:
		return unit(int64(d/time.Minute), "minute")
	case d >= time.Second:
		return unit(int64(d/time.Second), "second")
	case ms > 0:
		return "less than a second"
	}
	return "none"
}
