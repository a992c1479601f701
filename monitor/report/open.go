package report

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness"
)

// Locations are URLs of logs, or directories with their files, by what the reader takes
// the logs for. Measurements and endorsements are looked for in all of them.
type Locations struct {
	Provider []string // their records are compared
	Auditor  []string // with the observations in these
	Own      []string
	Other    []string
}

// Open opens the logs. A log that is there several times is one log with several roles.
// What is wrong with a log is noted in its source, since the report is about that as
// well; the error is about the options, of Home, or of ctx.
func (l Locations) Open(ctx context.Context, o party.Options) (sources []Source, err error) {
	for _, group := range []struct {
		role      role
		locations []string
	}{{roleProvider, l.Provider}, {roleAuditor, l.Auditor}, {roleOwn, l.Own}, {roleOther, l.Other}} {
		for _, location := range group.locations {
			i := slices.IndexFunc(sources, func(s Source) bool { return party.SamePlace(s.location, location) })
			if i < 0 {
				sources = append(sources, Source{location: location, roles: []role{group.role}})
			} else if !slices.Contains(sources[i].roles, group.role) {
				sources[i].roles = append(sources[i].roles, group.role)
			}
		}
	}
	switch {
	case len(sources) == 0:
		return nil, fmt.Errorf("%w: no log: give --provider, --auditor, --own or --log", ErrOptions)
	case o.Token != "" && o.Artifacts == "" && len(sources) > 1:
		return nil, fmt.Errorf("%w: --token-file needs --artifacts: the token is for one artifact storage, and there are several logs", ErrOptions)
	}
	o.SomeVKeys, o.Newest = true, true
	for i := range sources {
		if err := sources[i].open(ctx, o); err != nil {
			return nil, err
		}
	}
	return sources, nil
}

// open opens the log, or notes why it could not be.
func (s *Source) open(ctx context.Context, o party.Options) error {
	l, err := party.Open(ctx, s.location, o)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.keys = keysUnknown
	if err != nil {
		s.state, s.detail = stateOf(err), err.Error()
		if h, ok := errors.AsType[*party.HistoryError](err); ok && h.ProofFile != "" {
			s.proofs = []proof{{Detail: "made when the log was opened for this report", File: h.ProofFile}}
		}
		return nil
	}
	log := l.Monitor()
	s.location, s.log, s.state, s.vkeys, s.seenBefore, s.cosigned, s.at = l.Location, &log, stateGood, l.VKeys, l.Previous != nil, l.Cosigned, l.At
	s.evidence = func(ctx context.Context, index uint64, st *scitt.Statement) ([]byte, error) {
		data, _, err := l.Evidence(ctx, &party.Entry{Index: index, Statement: st})
		return data, err
	}
	if party.IsURL(l.Location) {
		s.url = strings.TrimSuffix(l.Location, "/")
	}
	switch {
	case slices.ContainsFunc(o.VKeys, func(v string) bool { return slices.Contains(l.VKeys, v) }):
		s.keys = keysGiven
	case l.Previous != nil:
		s.keys = keysRemembered
	default:
		s.keys = keysFirstUse
	}
	files, err := o.Home.Proofs(l.VKeys)
	if err != nil {
		return fmt.Errorf("--home: %w", err)
	}
	for _, file := range files {
		s.proofs = append(s.proofs, proof{Detail: "seen before, and verified", File: file})
	}
	return nil
}

// stateOf is what an error of opening a log says about it.
func stateOf(err error) state {
	for _, kind := range []struct {
		err   error
		state state
	}{
		{party.ErrForked, stateForked}, {party.ErrRolledBack, stateRolledBack}, {tiles.ErrOtherLog, stateOtherLog},
		{party.ErrKeysChanged, stateKeysChanged}, {tiles.ErrKeys, stateCorrupt}, {tiles.ErrCorrupt, stateCorrupt}, {scitt.ErrProof, stateCorrupt},
		{scitt.ErrCheckpoint, stateCorrupt}, {scitt.ErrMalformed, stateCorrupt},
		{witness.ErrQuorum, stateUnwitnessed}, {witness.ErrStale, stateUnwitnessed},
	} {
		if errors.Is(err, kind.err) {
			return kind.state
		}
	}
	return stateUnreachable
}
