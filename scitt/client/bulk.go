package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/conmotion/conmotion/scitt"
)

// RegisterAll registers Signed Statements in their order, many in a request
// where the service takes a CBOR sequence of them (docs/formats.md), else one
// by one. Each may be the next in a chain of those before it.
//
// It gives the registrations of the statements that are registered, the first
// ones, and an error that is about the next: a [*scitt.Problem] where the
// service refused it. What was sent behind that one is not registered.
// Sending the same again is no error, as with Register. When the error wraps
// scitt.ErrRegistered, [Client.Registered] fetches what there is in place of
// that statement, and those behind it can be registered.
func (c *Client) RegisterAll(ctx context.Context, statements [][]byte) ([]Registration, error) {
	b := bulk{Client: c, most: scitt.MaxSequence}
	var done []Registration
	for attempt := 0; len(done) < len(statements); {
		part, later, err := b.next(ctx, statements[len(done):])
		done = append(done, part...)
		if len(part) > 0 {
			attempt = 0
		}
		switch {
		case err != nil || later == nil:
		case attempt >= c.retries && !errors.Is(later.why, ErrRunning):
			err = later.why
		default:
			err = c.pause(ctx, attempt, later.after, later.why)
			attempt++
		}
		if err != nil && len(statements) > 1 {
			err = fmt.Errorf("register statement %d of %d: %w", len(done)+1, len(statements), err)
		}
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// bulk is what is known of a service's way to take many statements.
type bulk struct {
	*Client
	most int // statements in a request; 1 when they go one by one
	odd  int // requests in a row that were refused, and whose first statement alone was not
}

// maxOdd is how many such requests tell a service that does not understand
// sequences from one whose mind changes.
const maxOdd = 2

// later is a reason to wait before the next request.
type later struct {
	after time.Duration // that the service asks for; 0 when it does not
	why   error
}

// next registers some of the statements, the first ones.
func (b *bulk) next(ctx context.Context, statements [][]byte) (done []Registration, wait *later, err error) {
	part := b.fits(statements)
	if len(part) == 1 {
		return b.single(ctx, part[0])
	}
	a, err := b.exchange(ctx, request{
		method: http.MethodPost, url: b.service.JoinPath("entries"),
		accept: mediaCBORSeq, media: mediaCBORSeq, body: slices.Concat(part...),
	})
	if p, ok := errors.AsType[*scitt.Problem](err); ok {
		switch p.Status {
		case http.StatusRequestEntityTooLarge:
			b.most = len(part) / 2
			return nil, nil, nil
		case http.StatusBadRequest:
			// The service refuses the first statement, or does not know what a
			// sequence is. The statement by itself tells.
			done, wait, err = b.single(ctx, part[0])
			if err == nil {
				if b.odd++; b.odd == maxOdd {
					b.most = 1
				}
			}
			return done, wait, err
		case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotAcceptable,
			http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity, http.StatusNotImplemented:
			b.most = 1
			return nil, nil, nil
		}
	}
	switch {
	case err != nil:
		return nil, nil, err
	case a.status == http.StatusAccepted && len(a.body) == 0 && a.header.Get("Location") == "":
		return nil, &later{a.retryAfter(), ErrRunning}, nil
	case a.status != http.StatusOK:
		b.most = 1 // it took it for something else
		return nil, nil, nil
	}
	b.odd = 0
	return b.read(part, a.body)
}

// fits is how many of the statements go into a request.
func (b *bulk) fits(statements [][]byte) [][]byte {
	size := 0
	for i, s := range statements[:min(len(statements), b.most)] {
		if size += len(s); size > scitt.MaxSequenceBytes && i > 0 {
			return statements[:i]
		}
	}
	return statements[:min(len(statements), b.most)]
}

func (b *bulk) single(ctx context.Context, statement []byte) ([]Registration, *later, error) {
	r, err := b.Register(ctx, statement)
	if err != nil {
		return nil, nil, err
	}
	return []Registration{*r}, nil, nil
}

// read takes an answer apart: Receipts, and behind them perhaps a problem.
func (b *bulk) read(part [][]byte, body []byte) (done []Registration, wait *later, err error) {
	items, err := scitt.SplitSequence(body)
	if err != nil {
		return nil, nil, fmt.Errorf("the answer: %w", err)
	}
	var problem *scitt.Problem
	if n := len(items); n > 0 {
		if p, err := scitt.ParseProblemItem(items[n-1]); err == nil {
			problem, items = p, items[:n-1]
		}
	}
	if len(items) > len(part) || len(items) < len(part) && problem == nil {
		return nil, nil, fmt.Errorf("the service answers %d statements with %d Receipts", len(part), len(items))
	}
	for i, receipt := range items {
		location, err := b.location(part[i])
		if err != nil {
			return nil, nil, err
		}
		done = append(done, Registration{location, bytes.Clone(receipt)})
	}
	switch {
	case problem == nil || len(items) == len(part):
		return done, nil, nil
	case transient(problem):
		return done, &later{why: problem}, nil
	}
	return done, nil, problem
}

// location is the URL of a statement's Receipt.
func (b *bulk) location(statement []byte) (string, error) {
	st, err := scitt.DecodeStatement(statement)
	if err != nil {
		return "", fmt.Errorf("the service gave a Receipt for what is not a statement: %w", err)
	}
	return b.service.JoinPath("entries", st.ID().String()).String(), nil
}
