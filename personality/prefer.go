package personality

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// waiting bounds how long a registration waits for its Receipt: by --wait,
// and by what the client prefers.
//
// RFC 7240 section 4.1: "respond-async ... indicates that the client prefers
// the server to respond asynchronously"; section 4.3: "wait ... the length of
// time, in seconds, the client is willing to wait".
func (s *Service) waiting(r *http.Request) (context.Context, context.CancelFunc) {
	wait := s.Wait
	for _, field := range r.Header.Values("Prefer") {
		for pref := range strings.SplitSeq(field, ",") {
			pref, _, _ = strings.Cut(pref, ";")
			name, value, _ := strings.Cut(strings.TrimSpace(pref), "=")
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "respond-async":
				wait = 0
			case "wait":
				n, err := strconv.Atoi(strings.Trim(strings.TrimSpace(value), `"`))
				if err == nil && n >= 0 {
					wait = min(wait, time.Duration(n)*time.Second)
				}
			}
		}
	}
	return context.WithTimeout(r.Context(), wait)
}
