package scitt

import (
	"cmp"
	"fmt"
	"math"
	"math/big"
	"time"

	"github.com/veraison/go-cose"
)

func claimsOf(h map[any]any) (map[any]any, error) {
	v, ok := h[cose.HeaderLabelCWTClaims]
	if !ok {
		return nil, nil
	}
	claims, ok := v.(map[any]any)
	if !ok {
		return nil, malformed("the CWT Claims (15) are not a map")
	}
	// RFC 9597 section 2: "Claim-Label = int / text".
	return claims, checkLabels("the CWT Claims (15)", claims)
}

func text(m map[any]any, label any, what string) (string, error) {
	v, ok := m[label]
	if !ok {
		return "", nil
	}
	s, ok := v.(string)
	if !ok {
		return "", malformed("%s is not text", what)
	}
	return s, nil
}

// numericDate reads a CWT NumericDate, in seconds since 1970; ok is false when
// it is not there. round makes whole seconds. A date with a tag is read, and
// only registration refuses it: see [Statement.registrable].
func numericDate(claims map[any]any, label int64, round func(float64) float64) (seconds int64, ok bool, err error) {
	v, ok := claims[label]
	if !ok {
		return 0, false, nil
	}
	switch v := v.(type) {
	case int64:
		return v, true, nil
	case big.Int: // beyond any time that there is
		if v.Sign() < 0 {
			return math.MinInt64, true, nil
		}
		return math.MaxInt64, true, nil
	case float64:
		if v > -1e15 && v < 1e15 {
			return int64(round(v)), true, nil
		}
	case time.Time:
		return v.Unix(), true, nil
	}
	return 0, false, malformed("CWT claim %s is not a NumericDate", dateClaims[label])
}

// The first and the last second of the times that RFC 3339 can write.
//
// RFC 3339 section 1: "All dates and times are assumed to be in the "current era",
// somewhere between 0000AD and 9999AD."
const firstSecond, lastSecond = -62167219200, 253402300799

// timeOf is a NumericDate, or the nearest one that RFC 3339, and so JSON, can write.
func timeOf(seconds int64) time.Time {
	return time.Unix(min(max(seconds, firstSecond), lastSecond), 0).UTC()
}

// showTime writes a NumericDate.
func showTime(seconds int64) string {
	if t := timeOf(seconds); t.Unix() == seconds {
		return t.Format(time.RFC3339)
	}
	return fmt.Sprintf("%d seconds since 1970", seconds)
}

// dateClaims are the CWT Claims that are dates.
var dateClaims = map[int64]string{cose.CWTClaimExpirationTime: "exp", cose.CWTClaimNotBefore: "nbf", cose.CWTClaimIssuedAt: "iat"}

// Validity is from when on and until when what carries CWT Claims is to be
// accepted, in seconds since 1970; nil where it does not say.
type Validity struct{ NotBefore, Expires *int64 }

// Bounded reports whether it is to be accepted at some times only.
func (v Validity) Bounded() bool { return v.NotBefore != nil || v.Expires != nil }

// At returns an error that wraps ErrTime unless it is to be accepted at this
// time, of which fractions of a second do not count. At the zero time nobody
// can tell, of what has a bound.
//
// RFC 8392 section 3.1.4: "The "exp" (expiration time) claim has the same
// meaning and processing rules as the "exp" claim defined in Section 4.1.4 of
// [RFC7519]", which is "the expiration time on or after which the JWT MUST NOT
// be accepted for processing"; and section 3.1.5 for nbf, "the time before which
// the JWT MUST NOT be accepted for processing".
func (v Validity) At(at time.Time) error {
	switch now := at.Unix(); {
	case at.IsZero() && v.Bounded():
		return fmt.Errorf("%w: it has exp or nbf, and there is no time at which to judge them", ErrTime)
	case v.Expires != nil && now >= *v.Expires:
		return fmt.Errorf("%w, %s: it expired at %s (exp)", ErrTime, showTime(now), showTime(*v.Expires))
	case v.NotBefore != nil && now < *v.NotBefore:
		return fmt.Errorf("%w, %s: it is not valid before %s (nbf)", ErrTime, showTime(now), showTime(*v.NotBefore))
	}
	return nil
}

// validityOf reads exp and nbf.
func validityOf(claims map[any]any) (v Validity, err error) {
	date := func(label int64) *int64 {
		seconds, ok, wrong := numericDate(claims, label, math.Ceil)
		if err = cmp.Or(err, wrong); ok {
			return &seconds
		}
		return nil
	}
	v = Validity{NotBefore: date(cose.CWTClaimNotBefore), Expires: date(cose.CWTClaimExpirationTime)}
	return v, err
}
