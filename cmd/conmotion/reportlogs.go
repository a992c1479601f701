package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/monitor/report"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness"
)

// reportSources opens the logs of a report. What is wrong with a log is in its
// source: the report is about that as well.
func (a *app) reportSources(ctx context.Context, f reportFlags) (sources []report.Source, err error) {
	for _, group := range []struct {
		role      report.Role
		locations []string
	}{{report.RoleProvider, f.provider}, {report.RoleAuditor, f.auditor}, {report.RoleOwn, f.own}, {report.RoleOther, f.logs}} {
		for _, location := range group.locations {
			same := func(s report.Source) bool { return s.Location == location || sameFile(s.Location, location) }
			if i := slices.IndexFunc(sources, same); i < 0 {
				sources = append(sources, report.Source{Location: location, Roles: []report.Role{group.role}})
			} else if !slices.Contains(sources[i].Roles, group.role) {
				sources[i].Roles = append(sources[i].Roles, group.role)
			}
		}
	}
	if len(sources) == 0 {
		return nil, cli.Usage(errors.New("no log: give --provider, --auditor, --own or --log"))
	}
	if f.token != "" && f.artifacts == "" && len(sources) > 1 {
		return nil, cli.Usage(errors.New("--artifact-token-file needs --artifacts: the token is for one artifact storage, and there are several logs"))
	}
	o, err := a.partyOptions(ctx, f.readFlags)
	if err != nil {
		return nil, err
	}
	o.SomeVKeys, o.Newest = true, true
	for i := range sources {
		if err := openSource(ctx, &sources[i], o); err != nil {
			return nil, err
		}
	}
	return sources, ctx.Err()
}

// openSource opens a log, or notes why it could not be.
func openSource(ctx context.Context, s *report.Source, o party.Options) error {
	l, err := party.Open(ctx, s.Location, o)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.Keys = report.KeysUnknown
	if err != nil {
		s.State, s.Detail = stateOf(err), err.Error()
		if h, ok := errors.AsType[*party.HistoryError](err); ok && h.ProofFile != "" {
			s.Proofs = []report.Proof{{Detail: "made when the log was opened for this report", File: h.ProofFile}}
		}
		return nil
	}
	log := l.Monitor()
	s.Location, s.Log, s.State, s.VKeys, s.SeenBefore, s.Cosigned, s.At = l.Location, &log, report.StateGood, l.VKeys, l.Previous != nil, l.Cosigned, l.At
	s.Evidence = func(ctx context.Context, index uint64, st *scitt.Statement) ([]byte, error) {
		data, _, err := l.Evidence(ctx, &party.Entry{Index: index, Statement: st})
		return data, err
	}
	if party.IsURL(l.Location) {
		s.URL = strings.TrimSuffix(l.Location, "/")
	}
	switch {
	case slices.ContainsFunc(o.VKeys, func(v string) bool { return slices.Contains(l.VKeys, v) }):
		s.Keys = report.KeysGiven
	case l.Previous != nil:
		s.Keys = report.KeysRemembered
	default:
		s.Keys = report.KeysFirstUse
	}
	files, err := o.Home.Proofs(l.VKeys)
	if err != nil {
		return fmt.Errorf("--home: %w", err)
	}
	for _, file := range files {
		s.Proofs = append(s.Proofs, report.Proof{Detail: "seen before, and verified", File: file})
	}
	return nil
}

// stateOf is what an error of opening a log says about it.
func stateOf(err error) report.State {
	for _, kind := range []struct {
		err   error
		state report.State
	}{
		{party.ErrForked, report.StateForked}, {party.ErrRolledBack, report.StateRolledBack}, {tiles.ErrOtherLog, report.StateOtherLog},
		{party.ErrKeysChanged, report.StateKeysChanged}, {tiles.ErrKeys, report.StateCorrupt}, {tiles.ErrCorrupt, report.StateCorrupt}, {scitt.ErrProof, report.StateCorrupt},
		{scitt.ErrCheckpoint, report.StateCorrupt}, {scitt.ErrMalformed, report.StateCorrupt},
		{witness.ErrQuorum, report.StateUnwitnessed}, {witness.ErrStale, report.StateUnwitnessed},
	} {
		if errors.Is(err, kind.err) {
			return kind.state
		}
	}
	return report.StateUnreachable
}
