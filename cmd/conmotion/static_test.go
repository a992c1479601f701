package main

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/monitor/verify"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness"
)

// staticFiles makes a log of these statements, without a service, and gives
// its public directory.
func staticFiles(t *testing.T, keys *testlog.Keys, statements []*scitt.Statement) string {
	t.Helper()
	var entries [][]byte
	for _, st := range statements {
		entries = append(entries, st.Entry())
	}
	files, dir := &testlog.Files{}, t.TempDir()
	files.Publish(t, keys, entries)
	files.Put(tiles.ConfigurationPath, nil) // the files of a log without a service
	files.WriteTo(t, dir)
	return dir
}

func statement(t *testing.T, subject string) *scitt.Statement {
	t.Helper()
	return testlog.Must(scitt.ParseStatement(testlog.Statement(t, testlog.Key(t, "EdDSA"), subject, []byte(subject))))(t)
}

func TestFindStatement(t *testing.T) {
	keys := testlog.NewKeys(t)
	var statements []*scitt.Statement
	for i := range 600 {
		statements = append(statements, statement(t, fmt.Sprint(i)))
	}
	files := staticFiles(t, keys, statements)
	a := &app{cli.App{Stderr: io.Discard}}
	view := testlog.Must(party.Open(t.Context(), files, party.Options{VKeys: keys.VKeys}))(t).View
	for _, want := range []uint64{0, 1, 255, 256, 511, 512, 599} {
		index, found, err := a.findStatement(t.Context(), view, statements[want])
		if err != nil || !found || index != want {
			t.Errorf("statement %d: index %d, found %t, error %v", want, index, found, err)
		}
	}
	if _, found, err := a.findStatement(t.Context(), view, statement(t, "x")); found || err != nil {
		t.Errorf("found %t, error %v", found, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := a.findStatement(ctx, view, statement(t, "x")); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// A log that signs two histories gives receipts that verify. Only the look at
// the log tells.
func TestVerifySeesFork(t *testing.T) {
	keys := testlog.NewKeys(t)
	first, second := statement(t, "first"), statement(t, "second")
	files := staticFiles(t, keys, []*scitt.Statement{first, second, statement(t, "third")})

	receiptOf := func(key crypto.Signer, other []byte) []byte {
		root := rfc6962.DefaultHasher.HashChildren(scitt.LeafHash(first.Entry()), other)
		tree := testlog.Must(scitt.SignTree(key, testlog.Issuer, testlog.Origin, time.Unix(1e9, 0), root))(t)
		return tree.Receipt(&scitt.InclusionProof{Size: 2, Index: 0, Path: [][]byte{other}})
	}
	receipt := func(other []byte) []byte { return receiptOf(keys.Receipt, other) }
	own, never := receipt(scitt.LeafHash(second.Entry())), receipt(make([]byte, 32))
	for name, tc := range map[string]struct {
		transparent []byte
		result      string
		detail      string
	}{
		"both":                      {scitt.AttachReceipts(first, own, never), witness.Failed, "somebody changed the size in the receipt"},
		"the other way round":       {scitt.AttachReceipts(first, never, own), witness.Failed, "to the root "},
		"another log with its name": {scitt.AttachReceipts(first, own, receiptOf(testlog.NewKeys(t).Receipt, make([]byte, 32))), witness.OK, "entry 0 of 3"},
		"an older tree of this log": {scitt.AttachReceipts(first, receipt(scitt.LeafHash(second.Entry()))), witness.OK, "entry 0 of 3"},
		"another history":           {scitt.AttachReceipts(first, receipt(make([]byte, 32))), witness.Failed, "does not extend"},
		"no receipt of this log":    {first.Entry(), witness.OK, "entry 0 of 3"},
		"not in the log":            {statement(t, "never").Entry(), witness.Failed, "does not hold the statement"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s.cose")
			if err := os.WriteFile(path, tc.transparent, 0o644); err != nil {
				t.Fatal(err)
			}
			args := []string{"verify", "--json", "--static", files, path}
			for _, vkey := range keys.VKeys {
				args = append(args, "--vkey", vkey)
			}
			got := runTool(t, args...)
			var report verify.Result
			if err := json.Unmarshal([]byte(got.stdout), &report); err != nil {
				t.Fatalf("%v in %q, %s", err, got.stdout, got.stderr)
			}
			c := report.Checks[len(report.Checks)-1]
			if c.Check != "log now" || c.Result != tc.result || !strings.Contains(c.Detail, tc.detail) {
				t.Errorf("got %+v", c)
			}
			if tc.result == witness.Failed && got.code != cli.ExitBad {
				t.Errorf("exit code %d", got.code)
			}
		})
	}
}

// TestVerifyNameOfAnother: a log that puts another log's name into its receipts
// does not make that one look as if it forked.
func TestVerifyNameOfAnother(t *testing.T) {
	keys, liar := testlog.NewKeys(t), testlog.NewKeys(t)
	st := statement(t, "first")
	entries := append(keys.Begin(t, `{"version": 1}`), st.Entry())
	place, files, log := uint64(len(entries)-1), t.TempDir(), testlog.Files{}
	log.Publish(t, keys, entries)
	log.WriteTo(t, files)
	view := testlog.Must(party.Open(t.Context(), files, party.Options{VKeys: keys.VKeys}))(t).View
	own := testlog.Must(view.Receipt(t.Context(), place, scitt.LeafHash(st.Entry())))(t)
	other := make([]byte, 32)
	root := rfc6962.DefaultHasher.HashChildren(scitt.LeafHash(st.Entry()), other)
	lie := testlog.Must(scitt.SignTree(liar.Receipt, testlog.Issuer, testlog.Origin, time.Unix(1e9, 0), root))(t).Receipt(&scitt.InclusionProof{Size: 2, Path: [][]byte{other}})
	dir := t.TempDir()
	for name, data := range map[string][]byte{"s.cose": scitt.AttachReceipts(st, lie, own), "liar.keys": testlog.Must(liar.KeySet(t).Marshal())(t)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got := runTool(t, "verify", "--quorum", "2", "--static", files, "--keys", filepath.Join(dir, "liar.keys"), filepath.Join(dir, "s.cose"))
	if got.code != cli.ExitGood || !strings.Contains(got.stdout, fmt.Sprintf("entry %d of %d", place, place+1)) {
		t.Errorf("exit code %d: %s%s", got.code, got.stdout, got.stderr)
	}
}
