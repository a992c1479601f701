package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

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
		var err error
		if r.client, err = a.connect(url, f.concurrency); err != nil {
			return nil, fmt.Errorf("--%s: %w", flag, err)
		}
		if len(f.keys) > 0 {
			if r.keys, err = readKeys(f.keys[i]); err != nil {
				return nil, err
			}
		} else if r.keys.Named, err = f.fetchKeys(ctx, r.client); err != nil && i == 0 {
			return nil, err
		}
		r.down = err
		out[i] = r
	}
	return out, nil
}

func (f submitFlags) fetchKeys(ctx context.Context, c *client.Client) (scitt.KeySet, error) {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	return c.Keys(ctx)
}

// vouches says whether one of the Receipts is this service's and verifies.
func (r *registrar) vouches(st *scitt.Statement, receipts [][]byte) bool {
	checked, err := r.keys.Verify(st, receipts)
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
	there := s.there(st, out)
	if st, err = s.goOn(st, there); err != nil {
		return err
	}
	registered := 0
	var failures []error
	for i := range s.services {
		service := &s.services[i]
		also := submittedAlso{Log: service.url, Result: resultSkipped}
		if service.vouches(st, there) {
			r.Out = out
		} else if also.Location, err = s.registerWith(ctx, service, data, &st); err == nil {
			// A crash from here on leaves the Receipts of those that came before.
			if out != "" && (out != "-" || i == len(s.services)-1 && failures == nil) {
				if err := s.writeOutput(out, scitt.AttachReceipts(st, st.Receipts...)); err != nil {
					return err
				}
			}
			also.Result = resultRegistered
			r.Result, r.Out = resultRegistered, out
		} else {
			failures = append(failures, s.failure(service, err))
			if also.Result = resultFailed; exitCode(err) == exitBad {
				also.Result = resultRefused
			}
		}
		if also.Result == resultSkipped || also.Result == resultRegistered {
			registered++
		}
		if i == 0 {
			r.Location = also.Location
		} else {
			r.Also = append(r.Also, also)
		}
	}
	return s.together(r.File, registered, failures)
}

// there gives the Receipts in an output that an earlier run left, as far as a
// service of this call vouches for them.
func (s *submitter) there(st *scitt.Statement, out string) [][]byte {
	if out == "" || out == "-" {
		return nil
	}
	data, err := s.readInput(out)
	if err != nil {
		return nil
	}
	have, err := scitt.DecodeStatement(data)
	if err != nil || have.ID() != st.ID() || len(have.Receipts) < len(st.Receipts) {
		return nil
	}
	return slices.DeleteFunc(have.Receipts, func(receipt []byte) bool {
		return !slices.ContainsFunc(s.services, func(r registrar) bool { return r.vouches(have, [][]byte{receipt}) })
	})
}

// goOn gives the statement with the Receipts of an earlier run, in place of
// those that it has of the same services.
func (s *submitter) goOn(st *scitt.Statement, there [][]byte) (*scitt.Statement, error) {
	receipts := st.Receipts
	for i := range s.services {
		r := &s.services[i]
		if r.vouches(st, there) {
			receipts = slices.DeleteFunc(slices.Clone(receipts), func(old []byte) bool { return r.vouches(st, [][]byte{old}) })
		}
	}
	return scitt.DecodeStatement(scitt.AttachReceipts(st, append(slices.Clone(receipts), there...)...))
}

// registerWith registers the statement in data with a service, and adds the Receipt to st.
func (s *submitter) registerWith(ctx context.Context, service *registrar, data []byte, st **scitt.Statement) (location string, err error) {
	if service.down != nil {
		return "", service.down
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	register := service.client.Register
	if s.async {
		register = service.client.RegisterAsync
	}
	reg, err := register(ctx, data)
	if err != nil {
		return "", err
	}
	transparent, err := service.attach(*st, reg.Receipt)
	if err != nil {
		nothing := ", and nothing was written"
		if len(s.services) > 1 {
			nothing = ", and was not written"
		}
		return "", bad(fmt.Errorf("the service's receipt is not good%s: %w", nothing, err))
	}
	*st, err = scitt.DecodeStatement(transparent)
	return reg.Location, err
}

// attach adds a Receipt, which must verify, to those of other logs. One of
// the same log gives way to it.
func (r *registrar) attach(st *scitt.Statement, receipt []byte) ([]byte, error) {
	fresh, err := r.keys.Verify(st, [][]byte{receipt})
	if err != nil {
		return nil, err
	}
	if fresh[0].Err != nil {
		return nil, fresh[0].Err
	}
	old, err := r.keys.Verify(st, st.Receipts)
	if err != nil {
		return nil, err
	}
	var receipts [][]byte
	for i, v := range old {
		if v.Err != nil {
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
