package printable

import (
	"math"
	"testing"
)

// TestTime: what RFC 3339 cannot write is shown as the number that it is.
func TestTime(t *testing.T) {
	for seconds, want := range map[int64]string{
		0: "", 1: "1970-01-01T00:00:01Z", -1: "1969-12-31T23:59:59Z",
		-62167219200: "0000-01-01T00:00:00Z", -62167219201: "-62167219201 seconds since 1970",
		253402300799: "9999-12-31T23:59:59Z", 253402300800: "253402300800 seconds since 1970",
		math.MaxInt64: "9223372036854775807 seconds since 1970 or more", math.MinInt64: "-9223372036854775808 seconds since 1970 or less",
	} {
		if got := Time(seconds); got != want {
			t.Errorf("%d: %q, want %q", seconds, got, want)
		}
	}
}
