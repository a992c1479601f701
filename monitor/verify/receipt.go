package verify

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/witness"
)

// Wanted is the entry whose Receipt is wanted: a statement, or where it is.
type Wanted struct {
	Statement *scitt.Statement
	ID        string // an entry id or an index, as services read them
	Index     uint64 // in files
	// Transparent asks for the Transparent Statement, which is the entry with its Receipts.
	Transparent bool
}

// Got is a Receipt.
type Got struct {
	Data      []byte           // the Receipt, or the Transparent Statement
	Receipt   *scitt.Receipt   // the first one in Data
	Statement *scitt.Statement // that it is for; nil where that is not known
	// Unverified is why the Receipt was not verified; nil when it was.
	Unverified error
}

// read reads what a service gave.
func (w Wanted) read(data []byte) (got *Got, receipts [][]byte, err error) {
	got, receipts = &Got{Data: data, Statement: w.Statement}, [][]byte{data}
	if w.Transparent {
		if got.Statement, err = scitt.DecodeStatement(data); err != nil {
			return nil, nil, fmt.Errorf("transparent statement: %w", err)
		}
		if receipts = got.Statement.Receipts; len(receipts) == 0 {
			return nil, nil, fmt.Errorf("%w: the transparent statement carries no receipt", scitt.ErrProof)
		}
	}
	got.Receipt, err = scitt.ParseReceipt(receipts[0])
	return got, receipts, err
}

// FromService fetches the Receipt from a service by the statement's id, or the ID, and
// verifies it for the statement: the one that is wanted, the one that comes with it, or
// else the entry in the log's files. Where there is none of them, it is Unverified.
func (w Wanted) FromService(ctx context.Context, service string, o party.Options) (*Got, error) {
	c, err := client.New(service, o.Client)
	if err != nil {
		return nil, err
	}
	log, keys, err := party.OpenService(ctx, service, o)
	if err != nil {
		return nil, err
	}
	id, fetch := w.ID, c.Receipt
	if w.Statement != nil {
		id = w.Statement.ID().String()
	}
	if w.Transparent {
		fetch = c.TransparentStatement
	}
	data, err := fetch(ctx, id)
	if err != nil {
		return nil, err
	}
	got, receipts, err := w.read(data)
	if err != nil {
		return nil, err
	}
	index, _, placed := got.Receipt.Place()
	switch {
	case got.Statement != nil:
	case log == nil:
		got.Unverified = errors.New("not verified: the service shows no files of a log, which would have the statement; give it with --statement")
		return got, nil
	case !placed:
		return nil, fmt.Errorf("%w: the service's receipt does not say where the entry is", scitt.ErrProof)
	default:
		if index >= log.View.Checkpoint.Size { // it has grown since it was opened
			if err := log.Refresh(ctx, o); err != nil {
				return nil, err
			}
		}
		e, err := log.Find(ctx, party.EntryName{Index: index}, nil)
		if err != nil {
			return nil, err
		}
		got.Statement = e.Statement
	}
	// A service of other software may have identifiers of its own.
	if is := got.Statement.ID().String(); (log != nil || w.Statement != nil) && id != is && (!placed || id != strconv.FormatUint(index, 10)) {
		return nil, fmt.Errorf("%w: asked for %s, the service gave the receipt of %s, %s", party.ErrReceipt, id, PlaceOf(got.Receipt), is)
	}
	checked, err := witness.Keys{Named: keys}.Verify(got.Statement, receipts, time.Now())
	if err != nil {
		return nil, err
	}
	for _, v := range checked {
		if v.Err != nil {
			return nil, fmt.Errorf("%w for the statement %s: %w", party.ErrReceipt, got.Statement.ID(), v.Err)
		}
	}
	return got, nil
}

// FromFiles makes the Receipt from the files of a log, where the statement is searched
// from the newest entry on, or is at Index. Its proof, and the signature on its root,
// have been verified.
func (w Wanted) FromFiles(ctx context.Context, log *party.Log, progress func(done, size uint64)) (*Got, error) {
	index, err := w.find(ctx, log, progress)
	if err != nil {
		return nil, err
	}
	got := &Got{Statement: w.Statement}
	if got.Statement == nil {
		e, err := log.Find(ctx, party.EntryName{Index: index}, nil)
		if err != nil {
			return nil, err
		}
		got.Statement = e.Statement
	}
	receipts, err := log.View.Receipts(ctx, index, scitt.LeafHash(got.Statement.Entry()))
	if err != nil {
		return nil, err
	}
	if got.Data = receipts[0]; w.Transparent {
		got.Data = scitt.AttachReceipts(got.Statement, receipts...)
	}
	got.Receipt, err = scitt.ParseReceipt(receipts[0])
	return got, err
}

// TLogProof makes the proof of the entry as a C2SP tlog-proof, as FromFiles does.
func (w Wanted) TLogProof(ctx context.Context, log *party.Log, progress func(done, size uint64)) ([]byte, error) {
	index, err := w.find(ctx, log, progress)
	if err != nil {
		return nil, err
	}
	entry, err := log.View.Entry(ctx, index)
	if err != nil {
		return nil, err
	}
	p, err := log.View.Inclusion(ctx, index, scitt.LeafHash(entry))
	if err != nil {
		return nil, err
	}
	return MarshalProof(p, log.View.Checkpoint.Raw), nil
}

func (w Wanted) find(ctx context.Context, log *party.Log, progress func(done, size uint64)) (uint64, error) {
	cp := log.View.Checkpoint
	if w.Statement == nil {
		if w.Index >= cp.Size {
			return 0, fmt.Errorf("%w: index %d is not below the log's size %d", party.ErrNoEntry, w.Index, cp.Size)
		}
		return w.Index, nil
	}
	index, found, err := log.View.Find(ctx, scitt.LeafHash(w.Statement.Entry()), progress)
	if err == nil && !found {
		err = fmt.Errorf("%w: the log %s of %d entries does not hold the statement %s", party.ErrNoEntry, cp.Origin, cp.Size, w.Statement.ID())
	}
	return index, err
}
