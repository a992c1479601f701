package watch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// lineSink is the name of the sink that writes log lines.
const lineSink = "lines"

// sink is where alerts go.
type sink interface {
	name() string
	// deliver hands over one alert; refused says that trying others makes sense.
	deliver(ctx context.Context, alert []byte) (refused bool, err error)
	// together says how many may be handed over before that is noted: so many
	// may be repeated after a kill.
	together() int
}

// Lines are written to the end before it is noted, and a program is never run
// again when it can be helped.
const (
	linesTogether   = 1 << 30
	webhookTogether = 100
)

// lines writes alerts for people, or as lines of JSON.
type lines struct{ print func(*Alert, []byte) error }

func (l *lines) name() string  { return lineSink }
func (l *lines) together() int { return linesTogether }

func (l *lines) deliver(_ context.Context, data []byte) (bool, error) {
	a, err := ParseAlert(data)
	if err != nil {
		return true, err
	}
	return false, l.print(a, data)
}

// webhook posts alerts.
type webhook struct {
	webhookConfig
	token  string
	client *http.Client
}

func newWebhook(ctx context.Context, w webhookConfig, transport http.RoundTripper) (*webhook, error) {
	out := &webhook{webhookConfig: w, client: &http.Client{
		Transport: transport, Timeout: time.Duration(w.Timeout),
		// A redirect could turn the POST into a GET, and take the token elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	var err error
	if out.token, err = readToken(ctx, w.TokenFile); err != nil {
		return nil, fmt.Errorf("webhook %s: %w", w.Name, err)
	}
	return out, nil
}

func (w *webhook) name() string  { return w.Name }
func (w *webhook) together() int { return webhookTogether }

// lastMoment is how long a delivery may take that had begun when the program was told to
// end.
const lastMoment = time.Second

// aMomentMore is a context that ends a moment later.
func aMomentMore(ctx context.Context) (context.Context, context.CancelFunc) {
	more, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(lastMoment, cancel) })
	return more, func() { stop(); cancel() }
}

// deliver has a moment to finish what it began when the program is told to end. What is
// not known to be delivered then is delivered again, with the same id.
func (w *webhook) deliver(ctx context.Context, data []byte) (refused bool, err error) {
	a, err := ParseAlert(data)
	if err != nil {
		return true, err
	}
	ctx, cancel := aMomentMore(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(data))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", a.ID)
	if w.token != "" {
		req.Header.Set("Authorization", "Bearer "+w.token)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16)) // so that the connection can be used again
	switch {
	case resp.StatusCode < 300:
		return false, nil
	case resp.StatusCode < 400:
		return false, fmt.Errorf("status %s: redirects are not followed, so give the address behind it", resp.Status)
	case resp.StatusCode >= 400 && resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusRequestTimeout:
		return true, fmt.Errorf("status %s", resp.Status)
	}
	return false, fmt.Errorf("status %s", resp.Status)
}

// command runs a program for each alert.
type command struct {
	commandConfig
	stderr io.Writer
}

func (c *command) name() string  { return c.Name }
func (c *command) together() int { return 1 }

// deliver gives a program that runs a moment to come to its end when this one is told to
// end, and then tells it too. It is run again with the same id.
func (c *command) deliver(ctx context.Context, data []byte) (refused bool, err error) {
	ctx, cancel := aMomentMore(ctx)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, time.Duration(c.Timeout))
	defer cancel()
	cmd := exec.CommandContext(ctx, c.Run[0], c.Run[1:]...)
	cmd.Stdin = io.MultiReader(bytes.NewReader(data), strings.NewReader("\n"))
	cmd.Stdout, cmd.Stderr = c.stderr, c.stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Second // until it is killed, and for what it left behind
	if err := cmd.Run(); err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = fmt.Errorf("not done after %v: %w", time.Duration(c.Timeout), err)
		}
		return false, fmt.Errorf("%s: %w", c.Run[0], err)
	}
	return false, nil
}

// delivery takes the alerts of one log to one sink.
type delivery struct {
	sink   sink
	book   *book
	signal <-chan struct{}
	say    func(format string, args ...any)
	failed bool // and that was said
	vain   int  // rounds in a row in which the sink failed and took nothing, up to onceAttempts
	probe  int  // the next other alert that is tried then
}

// round tries each alert that is owed. It gives how many are left, and why.
func (d *delivery) round(ctx context.Context) (left int, err error) {
	before := len(d.book.owed(d.sink.name()))
	left, failing, err := d.pass(ctx)
	switch {
	case failing == nil || left < before:
		d.vain = 0
	case d.vain+1 < onceAttempts:
		d.vain++
	case d.takesOthers(ctx, failing):
		d.vain = 0
		left, _, err = d.pass(ctx)
	}
	d.tell(err)
	return left, err
}

// pass tries each alert in turn, up to the one with which the sink fails.
func (d *delivery) pass(ctx context.Context) (left int, failing *outgoing, err error) {
	owed := d.book.owed(d.sink.name())
	left = len(owed)
	var done []*outgoing
	for _, o := range owed {
		if ctx.Err() != nil {
			break
		}
		refused, derr := d.sink.deliver(ctx, o.Alert)
		if derr != nil {
			if err = derr; refused {
				continue // the receiver may like others
			}
			failing = o
			break
		}
		left--
		// While few wait, noting is cheap.
		if done = append(done, o); len(done) >= d.sink.together() || len(owed) <= webhookTogether && d.sink.together() < linesTogether {
			d.note(done...)
			done = nil
		}
	}
	if len(done) > 0 {
		d.note(done...)
	}
	return left, failing, err
}

// mostProbes is how many other alerts a round tries at a sink that fails with the first.
const mostProbes = 2

// takesOthers finds out whether a sink fails with one alert alone: whoever can bring such an
// alert about would silence the monitor. It tries a few others, in each round the next ones.
// When one is taken, those with which it failed wait behind all others from then on.
func (d *delivery) takesOthers(ctx context.Context, failing *outgoing) bool {
	others := slices.DeleteFunc(d.book.owed(d.sink.name()), func(o *outgoing) bool { return o == failing })
	failed := []*outgoing{failing}
	for range min(mostProbes, len(others)) {
		o := others[d.probe%len(others)]
		d.probe++
		if refused, err := d.sink.deliver(ctx, o.Alert); err != nil && !refused {
			failed = append(failed, o)
			continue
		} else if err == nil {
			d.note(o)
		}
		if err := d.book.behind(failed); err != nil {
			d.say("alerts that %s does not take are to wait behind the others, and that cannot be noted: %v", d.sink.name(), err)
		}
		return true
	}
	return false
}

func (d *delivery) note(done ...*outgoing) {
	if err := d.book.delivered(d.sink.name(), done...); err != nil {
		d.say("alerts were delivered to %s, and that cannot be noted: after a restart they are delivered again: %v", d.sink.name(), err)
	}
}

// tell says once that a sink does not take alerts, and once that it does again.
func (d *delivery) tell(err error) {
	switch {
	case err != nil && !d.failed:
		d.say("%s does not take alerts; they wait until it does: %v", d.sink.name(), err)
	case err == nil && d.failed:
		d.say("%s takes alerts again", d.sink.name())
	}
	d.failed = err != nil
}

// The waits between two rounds when something is left.
const (
	minBackoff = time.Second
	maxBackoff = 5 * time.Minute
)

// run delivers until the context ends.
func (d *delivery) run(ctx context.Context) {
	backoff := minBackoff
	for {
		left, _ := d.round(ctx) // which it has told
		var again <-chan time.Time
		if left > 0 {
			timer := time.NewTimer(jitter(backoff))
			again, backoff = timer.C, min(2*backoff, maxBackoff)
			select {
			case <-again:
			case <-d.signal: // a new one is tried at once
			case <-ctx.Done():
			}
			if timer.Stop(); ctx.Err() != nil {
				return
			}
			continue
		}
		backoff = minBackoff
		select {
		case <-d.signal:
		case <-ctx.Done():
			return
		}
	}
}

// onceAttempts is how often a single run tries to deliver, and how many rounds in vain come
// before other alerts are tried.
const onceAttempts = 3

// once delivers what it can in a few attempts.
func (d *delivery) once(ctx context.Context) (left int) {
	backoff := minBackoff
	for attempt := 1; ; attempt++ {
		left, _ = d.round(ctx)
		if left == 0 || attempt == onceAttempts || !pause(ctx, jitter(backoff)) {
			return left
		}
		backoff *= 2
	}
}

// jitter is a time near d, so that what began together does not stay together.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + time.Duration(rand.Int64N(int64(d)/5+1))
}

// pause waits, and reports whether it came to the end.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
