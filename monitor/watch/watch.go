package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/internal/plain"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/witness"
)

// Options are what a watcher is given beside its configuration.
type Options struct {
	// Line writes an alert where people read it; alert is its JSON, which must
	// not be changed. It is called by several goroutines.
	Line func(a *Alert, alert []byte) error
	// Notice, when not nil, is told what concerns the monitor itself. It is
	// called by several goroutines.
	Notice func(format string, args ...any)
	// Output is where commands write to; nothing when nil. It must be safe
	// for concurrent use.
	Output io.Writer
	// Transport makes all requests; [http.DefaultTransport] when nil.
	Transport http.RoundTripper
	// now is the clock; [time.Now] when nil.
	now func() time.Time
	// retry is the wait before a look that failed is tried again; a second
	// when 0.
	retry time.Duration
}

// Watcher follows the logs of a configuration.
type Watcher struct {
	c         *Config
	o         Options
	bounds    bounds
	lock      *os.File
	followers []*follower
	deliver   []*delivery
}

// maxNamed bounds in bytes a file that the configuration names.
const maxNamed = 64 << 20

// New opens the states of all logs. Only one watcher uses a state directory at
// a time. The context ends the wait for a pipe that the configuration names.
func New(ctx context.Context, c *Config, o Options) (w *Watcher, err error) {
	if o.now == nil {
		o.now = time.Now
	}
	if o.Notice == nil {
		o.Notice = func(string, ...any) {}
	}
	if o.Output == nil {
		o.Output = io.Discard
	}
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	if o.retry == 0 {
		o.retry = time.Second
	}
	w = &Watcher{c: c, o: o, bounds: defaultBounds()}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	if err := os.MkdirAll(c.State, 0o700); err != nil {
		return w, fmt.Errorf("state: %w", err)
	}
	if w.lock, err = os.OpenFile(filepath.Join(c.State, "lock"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return w, fmt.Errorf("state: %w", err)
	}
	// Where files cannot be locked, that only one monitor uses a state is left
	// to who runs it.
	if err := durable.Lock(w.lock); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return w, fmt.Errorf("state %s: %w", c.State, err)
	}
	keys, err := issuerKeys(ctx, c.IssuerKeys)
	if err != nil {
		return w, err
	}
	sinks, err := w.sinks(ctx)
	if err != nil {
		return w, err
	}
	for i := range c.Logs {
		if err := w.follow(ctx, &c.Logs[i], sinks, keys); err != nil {
			return w, fmt.Errorf("log %s: %w", c.Logs[i].Name, err)
		}
	}
	return w, nil
}

// Close lets the state directory go.
func (w *Watcher) Close() error {
	if w.lock == nil {
		return nil
	}
	return w.lock.Close()
}

func issuerKeys(ctx context.Context, files map[string]string) (map[string]scitt.Key, error) {
	keys := map[string]scitt.Key{}
	for issuer, path := range files {
		data, err := plain.ReadInput(ctx, path, maxNamed)
		if err != nil {
			return nil, fmt.Errorf("key of %s: %w", issuer, err)
		}
		if keys[issuer], err = scitt.ParsePublicKey(data); err != nil {
			return nil, fmt.Errorf("key of %s: %s: %w", issuer, path, err)
		}
	}
	return keys, nil
}

func (w *Watcher) sinks(ctx context.Context) ([]sink, error) {
	sinks := []sink{&lines{w.o.Line}}
	for _, c := range w.c.Alerts.Webhooks {
		hook, err := newWebhook(ctx, c, w.o.Transport)
		if err != nil {
			return nil, err
		}
		sinks = append(sinks, hook)
	}
	for _, c := range w.c.Alerts.Commands {
		sinks = append(sinks, &command{c, w.o.Output})
	}
	return sinks, nil
}

// follow opens the state of one log.
func (w *Watcher) follow(ctx context.Context, c *logConfig, sinks []sink, keys map[string]scitt.Key) error {
	var names []string
	for _, s := range sinks {
		names = append(names, s.name())
	}
	b, look, err := openBook(filepath.Join(w.c.State, c.Name+".json"), names)
	if err != nil {
		return err
	}
	f := &follower{w: w, c: c, book: b, look: look, rules: rulesOf(c), said: map[string]bool{}}
	if f.once, err = monitor.LoadOnce(look.Once, look.Size); err != nil {
		return fmt.Errorf("state %s: %w; remove it to watch this log anew", b.path, err)
	}
	f.client = &http.Client{Transport: w.o.Transport, Timeout: time.Duration(c.Timeout)}
	f.options = party.Options{
		Home: party.Home(w.c.State), VKeys: c.VKeys, Artifacts: c.Artifacts, IssuerKeys: keys,
		Client: client.Options{HTTP: f.client, Retries: -1}, // it looks again anyway
		Notice: f.say, Now: w.o.now,
	}
	if f.options.Token, err = readToken(ctx, c.TokenFile); err != nil {
		return err
	}
	if c.WitnessPolicy != "" {
		text, err := plain.ReadInput(ctx, c.WitnessPolicy, maxNamed)
		if err != nil {
			return fmt.Errorf("witness_policy: %w", err)
		}
		p, err := witness.ParsePolicy(text)
		if err != nil {
			return fmt.Errorf("witness_policy %s: %w", c.WitnessPolicy, err)
		}
		f.options.Witnesses, f.options.MaxAge = []*witness.Policy{p}, time.Duration(c.WitnessMaxAge)
	}
	if c.Admission != nil {
		if err := f.prepareAudit(ctx); err != nil {
			return err
		}
	}
	w.followers = append(w.followers, f)
	for i, s := range sinks {
		say := func(format string, args ...any) { w.o.Notice("log "+c.Name+": "+format, args...) }
		w.deliver = append(w.deliver, &delivery{sink: s, book: b, signal: b.changed[i], say: say})
	}
	return nil
}

// Run looks at every log again and again until the context ends. A log that is
// slow or in trouble does not hold up others, nor do receivers of alerts.
func (w *Watcher) Run(ctx context.Context) {
	var group sync.WaitGroup
	for _, d := range w.deliver {
		group.Go(func() { d.run(ctx) })
	}
	for _, f := range w.followers {
		group.Go(func() {
			for {
				f.lookOnce(ctx)
				f.recompute(ctx, patience)
				if !pause(ctx, jitter(time.Duration(f.c.Interval))) {
					return
				}
			}
		})
	}
	group.Wait()
}

// Result is what a single run came to.
type Result struct {
	Alerts      int // that this run found, ends of conditions not counted
	Holding     int // conditions that hold, new ones included
	Undelivered int // alerts that did not reach some sink; they stay for the next run
}

// Once looks at every log one time, and delivers what is to be delivered.
func (w *Watcher) Once(ctx context.Context) Result {
	var group sync.WaitGroup
	for _, f := range w.followers {
		group.Go(func() { f.lookOnce(ctx) })
	}
	group.Wait()
	for _, f := range w.followers { // now that all logs were looked at
		f.recompute(ctx, 1)
	}
	var r Result
	for _, f := range w.followers {
		r.Alerts += f.found
		r.Holding += len(f.look.Conditions)
	}
	left := make([]int, len(w.deliver))
	for i, d := range w.deliver {
		group.Go(func() { left[i] = d.once(ctx) })
	}
	group.Wait()
	for _, n := range left {
		r.Undelivered += n
	}
	return r
}
