package cosigner

import (
	"fmt"
	"net/http"
	"time"
)

// Refusal is why a request is not done, with the status of HTTP that C2SP
// tlog-witness has for it.
type Refusal struct {
	Status int
	Size   uint64        // with [http.StatusConflict]: that of the latest cosigned checkpoint
	Retry  time.Duration // when to try again; 0 where that does not help
	Err    error
}

func refuse(status int, format string, args ...any) *Refusal {
	return &Refusal{Status: status, Err: fmt.Errorf(format, args...)}
}

// busy is a refusal that passes by itself.
func busy(status int, retry time.Duration, format string, args ...any) *Refusal {
	r := refuse(status, format, args...)
	r.Retry = retry
	return r
}

// Error says why.
func (r *Refusal) Error() string {
	if r.Status == http.StatusConflict {
		return fmt.Sprintf("%v (%d)", r.Err, r.Size)
	}
	return r.Err.Error()
}

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.Err }

// Refuse is a refusal with a status of HTTP.
func Refuse(status int, format string, args ...any) error { return refuse(status, format, args...) }
