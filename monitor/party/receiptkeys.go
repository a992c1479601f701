package party

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/tiles"
)

// ReceiptKeys are the keys whose Receipts count as this log's: those that it
// publishes and that are among its trusted verifier keys. Those that it says are
// compromised are among them, marked as such.
func (l *Log) ReceiptKeys(ctx context.Context) (scitt.KeySet, error) {
	data, err := l.Files.Source.Get(ctx, tiles.KeysPath)
	if err != nil {
		return nil, fmt.Errorf("receipt keys: %w", err)
	}
	set, err := scitt.ParseKeySet(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", tiles.KeysPath, err)
	}
	set = slices.DeleteFunc(set, func(k scitt.Key) bool {
		vkey, err := scitt.TreeVKey(l.Files.Verifiers.Note.Name(), k.Public)
		return err != nil || !slices.Contains(l.VKeys, vkey)
	})
	return append(set, compromised(l.compromised)...), nil
}

// keysError is what a service answers that gives no keys. It is no [*scitt.Problem]: it
// says nothing about statements.
type keysError string

// Error implements error.
func (e keysError) Error() string { return string(e) }

// OpenService opens the log of the Transparency Service at a URL, and returns its
// [Log.ReceiptKeys].
//
// A service of other software may have no files of a log, or publish no verifier
// keys. Then the Log is nil, the keys are those that the service gives now (SCRAPI
// section 2.1), Notice is told, and nothing is remembered. Where a log was seen
// before, or VKeys are given, that is an error.
func OpenService(ctx context.Context, url string, o Options) (*Log, scitt.KeySet, error) {
	c, err := client.New(url, o.Client)
	if err != nil {
		return nil, nil, err
	}
	l, err := Open(ctx, url, o)
	switch {
	case err == nil:
		keys, err := l.ReceiptKeys(ctx)
		return l, keys, err
	case !errors.Is(err, ErrNoLog) && !errors.Is(err, errNoKeys), len(o.VKeys) > 0:
		return nil, nil, err
	}
	here, _, herr := o.Home.recall(addressOf(url), "")
	if herr != nil {
		return nil, nil, herr
	}
	if here != nil {
		return nil, nil, fmt.Errorf("%w; %q was there before", err, here.Origin)
	}
	keys, err := c.Keys(ctx)
	if _, answered := errors.AsType[*scitt.Problem](err); answered {
		err = keysError(err.Error())
	}
	if err == nil {
		o.notice("notice: the service at %s shows no log that could be remembered; its receipt keys are what it says now, and nothing tells when it shows others", url)
	}
	return nil, keys, err
}
