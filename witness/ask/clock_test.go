package ask

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness"
)

// clocked is a witness that cosigns everything by its own clock, without a network.
type clocked struct {
	key   *scitt.Cosigner
	off   atomic.Int64 // nanoseconds
	hangs atomic.Bool
	asked atomic.Int64
}

func (c *clocked) RoundTrip(r *http.Request) (*http.Response, error) {
	c.asked.Add(1)
	if c.hangs.Load() {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	req, err := witness.ParseAddCheckpoint(body)
	if err != nil {
		return nil, err
	}
	line, err := c.key.Cosign(req.Checkpoint[:bytes.LastIndex(req.Checkpoint, []byte("\n\n"))+1], time.Now().Add(time.Duration(c.off.Load())))
	if err != nil {
		return nil, err
	}
	answer := fmt.Sprintf("— %s %s\n", line.Name, line.Base64)
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(answer)), Request: r}, nil
}

// TestClocks: a witness whose clock jumps has failed until the clock is right again, and
// then cosigns within the longest pause. What it said before is renewed when it is
// ten minutes old, and one that hangs keeps the log for the timeout and no longer.
func TestClocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := testlog.NewKeys(t)
		var f testlog.Files
		f.Publish(t, keys, [][]byte{[]byte("entry")})
		view := testlog.Must(tiles.NewLog(&f, keys.Verifiers).Latest(t.Context()))(t)
		c := &clocked{key: testlog.NewCosigner(t, "w.example", "Ed25519")}
		p := testlog.Must(witness.ParsePolicy(fmt.Appendf(nil, "witness w %s http://w.example\nquorum w\n", c.key)))(t)
		const timeout = 3 * time.Second
		w := testlog.Must(New(p, keys.VKeys[0], Options{Timeout: timeout, HTTP: &http.Client{Transport: c}, Logger: slog.New(slog.DiscardHandler)}))(t)
		go w.Run(t.Context())
		defer synctest.Wait()
		cosignedAt := func() time.Time {
			t.Helper()
			by := testlog.Must(p.Open(testlog.Must(w.Add(view.Checkpoint.Raw))(t)))(t).By
			if len(by) != 1 {
				return time.Time{}
			}
			return by[0].At
		}
		// asks waits for the quorum, and says how long it took.
		asks := func() (took time.Duration, err error) {
			start := time.Now()
			err = w.Cosign(view)(t.Context())
			return time.Since(start), err
		}
		for _, off := range []time.Duration{maxSkew + time.Second, -maxSkew - time.Second, 365 * 24 * time.Hour, -20 * 365 * 24 * time.Hour} {
			c.off.Store(int64(off))
			if _, err := asks(); err == nil || !cosignedAt().IsZero() || w.States()[0].Err == nil {
				t.Errorf("a clock that is off by %v is believed", off)
			}
			time.Sleep(longestPause)
		}
		c.off.Store(0)
		c.hangs.Store(true)
		time.Sleep(longestPause)
		if took, err := asks(); err == nil || took > timeout {
			t.Errorf("a witness that hangs: %v after %v", err, took)
		}
		c.hangs.Store(false)
		time.Sleep(timeout + longestPause)
		if _, err := asks(); err != nil || w.States()[0].Err != nil {
			t.Errorf("the clock is right again: %v", err)
		}
		first := cosignedAt()
		asked := c.asked.Load()
		time.Sleep(refreshEvery - time.Minute)
		if more := c.asked.Load() - asked; more > 0 {
			t.Errorf("asked %d times more while it is fresh", more)
		}
		time.Sleep(2 * time.Minute)
		if at := cosignedAt(); at.Sub(first) < refreshEvery-time.Minute {
			t.Errorf("cosigned at %v, and %v later at %v", first, refreshEvery, at)
		}
		// A clock that is off when it is asked again takes nothing away.
		c.off.Store(int64(time.Hour))
		before := cosignedAt()
		asked = c.asked.Load()
		time.Sleep(refreshEvery)
		if at := cosignedAt(); !at.Equal(before) || w.States()[0].Err == nil {
			t.Errorf("cosigned at %v, and with a wrong clock at %v", before, at)
		}
		if more, most := c.asked.Load()-asked, int64(refreshEvery/longestPause)+10; more > most {
			t.Errorf("asked %d times more in ten minutes without success, at most %d are wanted", more, most)
		}
	})
}
