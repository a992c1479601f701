package main

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/conmotion/conmotion/cmd/conmotiond/internal/daemon"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/keys"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness/audit"
)

// owner is who changes the keys of a service.
type owner struct {
	t        *testing.T
	dir      string // of the service
	offline  string // where the recovery keys are
	recovery string // the file of the one that is announced
	next     int
}

// newKey makes a key's file.
func (o *owner) newKey(path string) string {
	o.t.Helper()
	if err := os.WriteFile(path, testlog.Must(scitt.MarshalPrivateKey(testlog.Key(o.t, "ES256")))(o.t), 0o600); err != nil {
		o.t.Fatal(err)
	}
	return path
}

// change asks the service for the next keys of a purpose. The error says that there was no
// answer, so that the log may announce them or not.
func (o *owner) change(ctx context.Context, purpose string) (err error) {
	kind, body, recovery := "application/json", testlog.Must(json.Marshal(daemon.KeyChange{Rotate: purpose}))(o.t), o.recovery
	if purpose == "service" {
		o.next++
		recovery = o.newKey(filepath.Join(o.offline, fmt.Sprintf("recovery-%d.pem", o.next)))
		kind = "application/cose"
		body = testlog.Must(daemon.Recover(o.t.Context(), daemon.Recovery{
			Open:   func(ctx context.Context, _, uri string) (crypto.Signer, error) { return keys.Options{}.Open(ctx, uri) },
			Notice: o.t.Logf,
			Log:    filepath.Join(o.dir, "public"), RecoveryKey: o.recovery, NextRecovery: recovery,
			ServiceKey: o.newKey(filepath.Join(o.dir, "private", fmt.Sprintf("service-key-%d.pem", o.next))),
		}))(o.t)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(o.dir, "private", "manage.sock"))
	}}}
	r := testlog.Must(http.NewRequestWithContext(ctx, http.MethodPost, "http://manage/keys", bytes.NewReader(body)))(o.t)
	r.Header.Set("Content-Type", kind)
	status, answer, err := func() (int, []byte, error) {
		a, err := client.Do(r)
		if err != nil {
			return 0, nil, err
		}
		defer a.Body.Close()
		var b bytes.Buffer
		_, err = b.ReadFrom(a.Body)
		return a.StatusCode, b.Bytes(), err
	}()
	switch {
	case err != nil:
		return err
	case status != http.StatusOK:
		o.t.Fatalf("%s: status %d: %s", purpose, status, answer)
	}
	o.recovery = recovery
	return nil
}

// announced are the keys that the log announces, by an audit of its files.
func (o *owner) announced() []*scitt.KeysInForce {
	o.t.Helper()
	public := filepath.Join(o.dir, "public")
	c := testlog.Must(scitt.ParseConfiguration(testlog.Must(os.ReadFile(filepath.Join(public, filepath.FromSlash(tiles.ConfigurationPath))))(o.t)))(o.t)
	log := tiles.NewLog(tiles.Dir(public), testlog.Must(scitt.NewCheckpointVerifiers(c.CheckpointKeys))(o.t))
	a := testlog.Must(audit.New(log, nil, audit.Options{VKeys: c.CheckpointKeys, List: 10, Report: func(v audit.Violation) { o.t.Errorf("%+v", v) }}))(o.t)
	if err := a.Run(o.t.Context()); err != nil {
		o.t.Fatal(err)
	}
	view := testlog.Must(log.Latest(o.t.Context()))(o.t)
	all := testlog.Must(view.FollowKeys(o.t.Context(), nil, c.Keys))(o.t)
	if n := len(a.Summary().Keys); n != len(all) {
		o.t.Fatalf("the log has %d keys statements, and shows %d", n, len(all))
	}
	return all
}

// TestRotateKill changes keys of all purposes under load, and ends the service with SIGKILL
// while it does. CONMOTION_ROTATIONS says how often.
func TestRotateKill(t *testing.T) {
	t.Parallel()
	rotations := 6
	if n, err := strconv.Atoi(os.Getenv("CONMOTION_ROTATIONS")); err == nil {
		rotations = n
	}
	o := &owner{t: t, dir: t.TempDir(), offline: t.TempDir()}
	args := []string{"--dir", o.dir, "--listen", testwait.Address(t), "--batch-max-age", "5ms", "--rate", "0", "--search=false"}
	a := &acknowledged{receipts: map[string][]byte{}}
	slept := party.Home(t.TempDir())
	purposes := []string{"receipt", "note", "service"}
	lives, began := 0, time.Now()
	for ; ; lives++ {
		p := start(t, nil, nil, args...)
		done := o.settle()
		if done >= rotations {
			a.check(t, p, p.checker(o.dir))
			break
		}
		if lives == 0 {
			o.recovery = filepath.Join(o.offline, "recovery.pem")
			if err := os.Rename(filepath.Join(o.dir, "private", "recovery-key.pem"), o.recovery); err != nil {
				t.Fatal(err)
			}
			testlog.Must(party.Open(t.Context(), filepath.Join(o.dir, "public"), party.Options{Home: slept}))(t)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() { a.load(ctx, t, p, 4) })
		a.await(t, 5*(lives+1), 5*(lives+1), 0)
		// One or two changes in a life, and the end in the middle of the last. They get more time with each
		// life: on a slow machine some end too.
		for range 1 + rand.IntN(2) {
			deadline, end := context.WithTimeout(ctx, time.Duration(rand.IntN(150+20*lives))*time.Millisecond)
			err := o.change(deadline, purposes[done%len(purposes)])
			end()
			if err != nil {
				break
			}
			done++
		}
		p.signal(syscall.SIGKILL)
		cancel()
		group.Wait()
	}
	all := o.announced()
	if _, err := party.Open(t.Context(), filepath.Join(o.dir, "public"), party.Options{Home: slept}); err != nil {
		t.Errorf("a reader who slept: %v", err)
	}
	last := all[len(all)-1]
	t.Logf("%d changes of keys in %d lives and %v: %d note keys, %d receipt keys, %d receipts and %d acceptances",
		len(all)-1, lives, time.Since(began).Round(time.Second), len(last.Note), len(last.Receipt), len(a.receipts), len(a.accepted))
}

// settle says how many changes the log announces, of a service that went on from what a crash
// left. The recovery key is the one that the log announces.
func (o *owner) settle() int {
	o.t.Helper()
	all := o.announced()
	last := all[len(all)-1]
	for _, file := range testlog.Must(filepath.Glob(filepath.Join(o.offline, "*.pem")))(o.t) {
		key := testlog.Must(scitt.ParsePrivateKey(testlog.Must(os.ReadFile(file))(o.t)))(o.t)
		if bytes.Equal(last.Recovery[0], testlog.KeySet(o.t, key)[0].ID) {
			o.recovery = file
		}
	}
	return len(all) - 1
}
