package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/witness"
)

// registrar is a service that registers.
type registrar struct {
	url    string
	client *client.Client
	keys   witness.Keys
	down   error // why its keys are not known
}

// registrars connects to the services, and reads their keys. One of --also may
// be down: the others get the statements.
func (a *app) registrars(ctx context.Context, f submitFlags) ([]registrar, error) {
	urls := append([]string{f.log}, f.also...)
	if len(f.keys) > 0 && len(f.keys) != len(urls) {
		return nil, fmt.Errorf("--keys is given %d times, and there are %d services: it is once for each, that of --log first", len(f.keys), len(urls))
	}
	var o party.Options
	var err error
	if len(f.keys) == 0 {
		if o, err = a.logOptions(f.memoryFlags); err != nil {
			return nil, err
		}
		o.Newest = true // nothing is registered with a log that went back
	}
	out := make([]registrar, len(urls))
	for i, url := range urls {
		flag := "log"
		if i > 0 {
			flag = "also"
		}
		if slices.Contains(urls[:i], url) {
			return nil, fmt.Errorf("--%s: %s is named twice", flag, url)
		}
		r := registrar{url: url}
		if r.client, err = a.connect(url, f.concurrency); err != nil {
			return nil, fmt.Errorf("--%s: %w", flag, err)
		}
		if len(f.keys) > 0 {
			if r.keys, err = readKeys(f.keys[i]); err != nil {
				return nil, err
			}
		} else if r.keys, err = a.keysWithin(ctx, f.timeout, url, o); err != nil && i == 0 {
			return nil, err
		}
		r.down = err
		out[i] = r
	}
	return out, nil
}

// keysWithin reads the keys of a service, which may be down, within the time of one
// Receipt.
func (a *app) keysWithin(ctx context.Context, timeout time.Duration, url string, o party.Options) (witness.Keys, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_, keys, err := a.openService(ctx, url, o)
	return keys, err
}

// vouches says whether one of the Receipts is this service's and verifies.
func (r *registrar) vouches(st *scitt.Statement, receipts [][]byte) bool {
	checked, err := r.keys.Verify(st, receipts, time.Now())
	return err == nil && slices.ContainsFunc(checked, func(v scitt.ReceiptVerification) bool { return v.Err == nil })
}

// advance takes one statement through all services. What one of them does not
// do keeps it from no other.
func (s *submitter) advance(ctx context.Context, r *submitted, out string) error {
	data, err := s.readInput(r.File)
	if err != nil {
		return err
	}
	// Only what cannot be read at all is refused here; to judge is the
	// service's task.
	st, err := scitt.DecodeStatement(data)
	if err != nil {
		return fmt.Errorf("%s: %w", r.File, err)
	}
	r.EntryID = st.ID().String()
	r.Result = resultSkipped
	files, err := s.there(st, out)
	if err != nil {
		return err
	}
	registered := 0
	var failures []error
	for i := range s.services {
		service := &s.services[i]
		at := submittedAt{Log: service.url, Result: resultSkipped}
		n := files.vouched(service)
		if n < 0 {
			if n, at.Location, err = s.registerWith(ctx, service, data, st, files); err == nil {
				// A crash from here on leaves the Receipts of those that came before.
				if out != "" && out != "-" {
					if err := s.writeOutput(signatureFile(out, n), files.bytes(n)); err != nil {
						return err
					}
				}
				at.Result, r.Result = resultRegistered, resultRegistered
			} else {
				failures = append(failures, s.failure(service, err))
				if at.Result = resultFailed; exitCode(err) == exitBad {
					at.Result = resultRefused
				}
			}
		}
		if at.Result == resultSkipped || at.Result == resultRegistered {
			registered++
			at.OtherSignature = !bytes.Equal(files.all[n].Entry(), st.Entry())
			if at.Out = signatureFile(out, n); r.Out == "" {
				r.Out = at.Out
			}
			if at.Out == r.Out {
				at.Out = ""
			}
		}
		if i == 0 {
			r.log, r.Location, r.OtherSignature = at.Log, at.Location, at.OtherSignature
		} else {
			r.Also = append(r.Also, at)
		}
	}
	if out == "-" && failures == nil {
		for n := range files.all {
			if err := s.writeOutput(out, files.bytes(n)); err != nil {
				return err
			}
		}
	}
	return s.together(r.File, registered, failures)
}

// signatures are the Transparent Statements of one content: one for each
// signature of it that a log holds, since a Receipt is for these bytes alone.
type signatures struct{ all []*scitt.Statement }

// signatureFile names the file of the n-th signature, from 0: NAME.cose and
// then NAME.2.cose, NAME.3.cose and so on. On standard output they follow each
// other.
func signatureFile(out string, n int) string {
	if n == 0 || out == "" || out == "-" {
		return out
	}
	ext := filepath.Ext(out)
	return fmt.Sprintf("%s.%d%s", strings.TrimSuffix(out, ext), n+1, ext)
}

func (f *signatures) bytes(n int) []byte {
	return scitt.AttachReceipts(f.all[n], f.all[n].Receipts...)
}

// vouched finds the one for which a service vouches already, or -1.
func (f *signatures) vouched(r *registrar) int {
	return slices.IndexFunc(f.all, func(st *scitt.Statement) bool { return r.vouches(st, st.Receipts) })
}

// add attaches a Receipt, which must verify, to the one with these bytes, or
// makes it with the Receipts that st has.
func (f *signatures) add(r *registrar, st *scitt.Statement, receipt []byte) (n int, err error) {
	n = slices.IndexFunc(f.all, func(have *scitt.Statement) bool { return bytes.Equal(have.Entry(), st.Entry()) })
	if n >= 0 {
		st = f.all[n]
	}
	transparent, err := r.attach(st, receipt)
	if err != nil {
		return 0, err
	}
	if st, err = scitt.DecodeStatement(transparent); err != nil {
		return 0, err
	}
	if n < 0 {
		n, f.all = len(f.all), append(f.all, nil)
	}
	f.all[n] = st
	return n, nil
}

// there reads what an earlier run left, as far as a service of this call
// vouches for it. Receipts of other logs that the statement brings are kept.
func (s *submitter) there(st *scitt.Statement, out string) (*signatures, error) {
	files := &signatures{}
	for n := 0; out != "" && out != "-"; n++ {
		data, err := s.readInput(signatureFile(out, n))
		if err != nil {
			break
		}
		have, err := scitt.DecodeStatement(data)
		if err != nil || have.ID() != st.ID() {
			break
		}
		var old [][]byte
		if bytes.Equal(have.Entry(), st.Entry()) {
			if old = st.Receipts; len(have.Receipts) < len(old) {
				break
			}
		}
		receipts := slices.DeleteFunc(have.Receipts, func(receipt []byte) bool {
			return !slices.ContainsFunc(s.services, func(r registrar) bool { return r.vouches(have, [][]byte{receipt}) })
		})
		if len(receipts) == 0 {
			break
		}
		for i := range s.services { // in place of those of the same services
			if r := &s.services[i]; r.vouches(have, receipts) {
				old = slices.DeleteFunc(slices.Clone(old), func(receipt []byte) bool { return r.vouches(have, [][]byte{receipt}) })
			}
		}
		if have, err = scitt.DecodeStatement(scitt.AttachReceipts(have, append(slices.Clone(old), receipts...)...)); err != nil {
			return nil, err
		}
		files.all = append(files.all, have)
	}
	return files, nil
}

// registerWith registers the statement in data with a service, and adds the
// Receipt to the file of these bytes. When the service holds the content with
// another signature it is that one's Receipt, in a file of its own.
func (s *submitter) registerWith(ctx context.Context, service *registrar, data []byte, st *scitt.Statement, files *signatures) (n int, location string, err error) {
	if service.down != nil {
		return 0, "", service.down
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	register := service.client.Register
	if s.async {
		register = service.client.RegisterAsync
	}
	reg, err := register(ctx, data)
	if err == nil {
		if n, err = files.add(service, st, reg.Receipt); err == nil {
			return n, reg.Location, nil
		}
		nothing := ", and nothing was written"
		if len(s.services) > 1 {
			nothing = ", and was not written"
		}
		err = bad(fmt.Errorf("the service's receipt is not good%s: %w", nothing, err))
		location = reg.Location
	} else if p, ok := errors.AsType[*scitt.Problem](err); ok && errors.Is(err, scitt.ErrRegistered) {
		location = p.Location
	} else {
		return 0, "", err
	}
	// The service holds another signature; or its Receipt, which came later, is
	// of another signature; or of nothing.
	other, otherErr := s.registered(ctx, service, st, location)
	if otherErr != nil {
		if reg != nil {
			return 0, "", err
		}
		return 0, "", otherErr
	}
	i := slices.IndexFunc(other.Receipts, func(receipt []byte) bool { return service.vouches(other, [][]byte{receipt}) })
	if i < 0 {
		return 0, "", bad(fmt.Errorf("%w: no receipt of the registered statement is this service's", scitt.ErrProof))
	}
	n, err = files.add(service, other, other.Receipts[i])
	return n, location, err
}

// registered fetches what a service holds in place of a statement. Its
// signature must verify with the key that verifies the statement's own.
func (s *submitter) registered(ctx context.Context, service *registrar, st *scitt.Statement, location string) (*scitt.Statement, error) {
	v := scitt.Verifier{LogKeys: service.keys.For(nil), IssuerKey: s.issuer, At: time.Now()}
	own, err := v.Verify(scitt.AttachReceipts(st))
	if err != nil {
		return nil, err
	}
	if own.SignatureErr != nil && own.KeySource != "" {
		return nil, bad(fmt.Errorf("the signature of the statement itself: %w", own.SignatureErr))
	}
	other, err := service.client.Registered(ctx, st, location, v)
	if own.KeySource == "" && errors.Is(err, scitt.ErrUnknownKey) {
		return nil, usage(fmt.Errorf("the service holds the content with another signature; to verify that one give --issuer-key: %w", err))
	}
	if errors.Is(err, client.ErrOther) {
		return nil, bad(err)
	}
	return other, err
}

// attach adds a Receipt, which must verify, to those of other logs. One of
// the same log gives way to it.
func (r *registrar) attach(st *scitt.Statement, receipt []byte) ([]byte, error) {
	fresh, err := r.keys.Verify(st, [][]byte{receipt}, time.Now())
	if err != nil {
		return nil, err
	}
	if fresh[0].Err != nil {
		return nil, fresh[0].Err
	}
	old, err := r.keys.Verify(st, st.Receipts, time.Now())
	if err != nil {
		return nil, err
	}
	var receipts [][]byte
	for i, v := range old {
		if v.Err != nil && !errors.Is(v.Err, scitt.ErrTime) {
			receipts = append(receipts, st.Receipts[i])
		}
	}
	return scitt.AttachReceipts(st, append(receipts, receipt)...), nil
}

// failure says which service failed, where there are several.
func (s *submitter) failure(service *registrar, err error) error {
	if len(s.services) == 1 {
		return err
	}
	return fmt.Errorf("%s: %w", service.url, err)
}

// together is the error that the failures come to. Without a verdict by every
// service the same call may succeed.
func (s *submitter) together(file string, registered int, failures []error) error {
	switch {
	case len(failures) == 0:
		return nil
	case len(s.services) == 1:
		return fmt.Errorf("%s: %w", file, failures[0])
	}
	var text []string
	code := exitBad
	for _, err := range failures {
		text = append(text, err.Error())
		if exitCode(err) != exitBad {
			code = exitUsage
		}
	}
	return coded{&severalError{fmt.Sprintf("%s: registered with %d of %d services: %s", file, registered, len(s.services), strings.Join(text, "; ")), errors.Join(failures...)}, code}
}

// severalError is what several services said, in one line.
type severalError struct {
	text string
	error
}

// Error implements error.
func (e *severalError) Error() string { return e.text }

// Unwrap is what each of them said.
func (e *severalError) Unwrap() error { return e.error }
