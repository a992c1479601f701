package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/monitor/verify"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness/audit"
)

// verifyFlags are the flags of verify.
type verifyFlags struct {
	logs, statics, keyFiles           []string // --log, --static, --keys
	log, static, keys                 string   // the one that there is without --quorum
	quorum                            int      // 0: there is one log at most
	payload, leaf, issuerKey, rootCAs string
	receipts                          []string
	at                                string
	cli.MemoryFlags
	artifactStore cli.StoreFlags // --artifacts, which may be a directory too
	fetch         bool
	requirePQ     bool
	disclosed     string // file of disclose
}

func (a *app) verify() *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use: "verify [--log URL | --static URL-or-DIR | --keys FILE]... [--quorum N] TRANSPARENT... | verify DIR", Short: "Verify a Transparent Statement, or an export",
		Long: `Verify a Transparent Statement, an export, or a proof that a log signed two
histories.

Of a Transparent Statement: the issuer's signature, and that each receipt
proves that the statement is in a log. It says what was checked, what was not,
and why something failed. The exit code is 0 only when the signature and at
least one receipt verify and nothing failed. A receipt by a key that the log says
is compromised proves nothing alone, since others can make it: it counts when the
log's checkpoint holds the entry, with --log or --static, and else there is no
verdict (exit code 2); get a fresh one, or ask other logs with --quorum. Keys that
were saved before the log said so cannot tell, and of a receipt by a key that the file
of --keys does not have there is no verdict either. Nor is there a verdict where files of
the log are missing.

Whose receipts count: with --keys those of the keys in a file (a COSE Key Set
such as /.well-known/scitt-keys, a COSE_Key, or PEM), fully offline; with --log
those of the keys of a service, and with --static those of the keys of a log in
its files. Of --log and --static the entry, and the tree of each of the log's
receipts, is also checked against its current checkpoint. Offline nobody can tell
whether the log ever published the tree that a receipt speaks of.

A rule such as "2 of these 3 logs" is --quorum 2 with --log, --static and --keys
once for each log, in any mixture. What counts are logs that vouch: two receipts
of one log, or one log named twice, are one, told by its keys; receipts of other
logs are nothing. A log that is out of reach, or has no receipt here, does not
vouch. A receipt that names a key of one of the logs and does not verify fails
the whole, as it does without --quorum. When logs hold different signatures of
one content, each is a Transparent Statement of its own (conmotion submit writes
NAME.2.cose beside NAME.cose). Given together they must have one entry id; each
is verified, and a log that vouches for any of them counts once.

With --witness-policy each log must also be shown to count witnesses: the quorum has
to have cosigned the checkpoint that the receipt carries, which is checked offline, or
with --log or --static the log's checkpoint of now. --max-age judges by the witnesses'
clocks how long ago they saw it as the newest.

When a statement or a receipt says from when on and until when it is to be
accepted (the CWT claims nbf and exp), that is judged now, or at --at. Certificates
are not: they are judged at the time that the statement was signed.

The issuer's key is the one in its did:jwk or did:key. For other issuers give
--issuer-key, or --roots for a statement with x5chain: its certificates are
judged at the time that the statement was signed, and must be issued to the
issuer that it names. A kid, x5t and x5chain that stand together must name one
key, and a given key for a did:jwk or did:key must be its own. A certificate in
--issuer-key is trusted as it is, so it cannot be given together with --roots.

Logs differ in what they hash for a statement: this project's log the statement
itself (entry), some others its SHA-256 (digest). Both are tried unless --leaf
says which.

A statement may sign only the hash of its content. The content is a file of
yours, with --payload, or an artifact that is fetched and held to that hash:
with --artifacts from an artifact storage, and with --fetch from the URL that
the statement gives. --fetch is off unless asked for: the issuer chooses that
URL, so that it learns who verifies, and when, and can have this machine send a
GET request to any address that it reaches. It is sent only when the issuer's
signature verifies, without a token, and no more than 5 GiB are read.

A log may have a second receipt, by a key of ML-DSA-44, which withstands quantum
computers. It counts like any other; --require-pq demands one. When there is none by
a key that is known there is no verdict (exit code 2).

Of a record with hidden fields, --disclosed has the record itself and the values that its
issuer shows (conmotion disclose). Each is held to the digest that was signed; how many
are not shown is said.

A C2SP tlog-proof of any log is verified with --payload, which is what was logged (of
a statement that is its entry), and with the log's key: a log line of
--witness-policy, or --vkey. It needs no network.
` + exportVerifyHelp + accusationHelp + serviceHelp,
		Example: `  conmotion verify --log http://127.0.0.1:8080 --payload README.md transparent.cose

  # offline, with saved keys
  curl -o scitt-keys.cbor http://127.0.0.1:8080/.well-known/scitt-keys
  conmotion verify --keys scitt-keys.cbor transparent.cose

  # two of three logs have to vouch for it
  conmotion verify --quorum 2 --log https://provider.example --log https://auditor.example --keys third.cbor transparent.cose

  # logs that hold different signatures of one content
  conmotion verify --quorum 2 --log https://provider.example --log https://auditor.example transparent.cose transparent.2.cose

  # with the content behind a hash
  conmotion verify --log https://transparency.example --artifacts https://transparency.example transparent.cose

  # a statement and its receipt in two files, made by another service
  conmotion verify --keys log-key.pub --issuer-key issuer-key.pub --leaf digest --receipt receipt.cose statement.cose

  # everybody is shown this log: two of three witnesses say so, offline
  conmotion verify --keys scitt-keys.cbor --witness-policy policy transparent.cose

  # with saved keys, and a receipt that withstands quantum computers
  conmotion verify --keys scitt-keys.cbor --require-pq transparent.cose

  # a tlog-proof of any log
  conmotion verify --witness-policy policy --payload release.tar.gz release.tlog-proof

  # an export, offline; and did the log with this key sign two histories?
  conmotion verify --vkey "$VKEY" mirror
  conmotion verify --vkey "$VKEY" equivocation.json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.chooseLogs(cmd.Flags().Changed("quorum")); err != nil {
				return cli.Usage(err)
			}
			if len(args) > 1 && f.quorum == 0 {
				return cli.Usage(errors.New("several files need --quorum; without it verify them one by one"))
			}
			if len(args) > 1 && len(f.receipts) > 0 {
				return cli.Usage(errors.New("--receipt is for a single file: a receipt is for the bytes of one signature"))
			}
			return a.runVerify(cmd.Context(), f, args)
		},
	}
	fl := cmd.Flags()
	cli.Strings(fl, &f.logs, "log", "URL of the Transparency Service, for its keys; with --quorum once for each")
	cli.Strings(fl, &f.statics, "static", "URL or directory with the log's files; with --quorum once for each")
	cli.Strings(fl, &f.keyFiles, "keys", "file with the log's keys; with --quorum once for each log")
	fl.IntVar(&f.quorum, "quorum", 0, "how many of the logs have to vouch")
	fl.StringVar(&f.payload, "payload", "", "file that the statement should be about")
	fl.StringVar(&f.leaf, "leaf", "", "what the log hashes: entry or digest (default: either)")
	fl.StringVar(&f.issuerKey, "issuer-key", "", "file with the issuer's public key: PEM, JWK or COSE_Key")
	fl.StringVar(&f.rootCAs, "roots", "", "PEM file with the trusted roots of x5chain")
	cli.Strings(fl, &f.receipts, "receipt", "file with a receipt that the statement does not carry; once for each")
	fl.StringVar(&f.at, "at", "", "when exp and nbf are judged: "+timeHelp+" (default: now)")
	f.artifactStore.AddReading(cmd, "artifacts", "fetch the content behind a hash: URL of a service, or directory of an artifact storage")
	fl.BoolVar(&f.fetch, "fetch", false, "fetch the content behind a hash from the URL in the statement")
	fl.BoolVar(&f.requirePQ, "require-pq", false, "demand a receipt by an ML-DSA-44 key of the log; with --quorum of as many logs")
	f.MemoryFlags.Add(cmd)
	fl.DurationVar(&f.MaxAge, "max-age", 0, "longest time since the quorum of --witness-policy cosigned, by the witnesses' clocks (default: any)")
	fl.StringVar(&f.disclosed, "disclosed", "", "file with the record and hidden values that are shown, from conmotion disclose")
	cmd.MarkFlagsMutuallyExclusive("payload", "artifacts", "fetch", "disclosed")
	cmd.MarkFlagsMutuallyExclusive("keys", "vkey")
	return cmd
}

// runVerify finds out what there is to verify.
func (a *app) runVerify(ctx context.Context, f verifyFlags, paths []string) error {
	if info, err := os.Stat(paths[0]); err == nil && info.IsDir() && len(paths) == 1 {
		return a.verifyDir(ctx, f, paths[0])
	}
	statements := make([]verify.Statement, len(paths))
	for i, path := range paths {
		var err error
		if statements[i].Data, err = a.ReadInput(ctx, path); err != nil {
			return err
		}
	}
	if first := statements[0].Data; len(paths) == 1 {
		switch {
		case f.requirePQ && (tiles.IsEquivocation(first) || audit.IsEvidence(first) || verify.IsProof(first)):
			return cli.Usage(fmt.Errorf("--require-pq is for a statement, and %s is none", paths[0]))
		case tiles.IsEquivocation(first):
			return a.verifyEquivocation(ctx, f, paths[0], first)
		case audit.IsEvidence(first):
			return a.verifyEvidence(ctx, f, paths[0], first)
		case verify.IsProof(first):
			return a.verifyProof(ctx, f, paths[0], first)
		}
	}
	v, err := a.verifier(ctx, f)
	if err != nil {
		return err
	}
	for _, path := range f.receipts {
		data, err := cli.ReadFileFlag(ctx, "receipt", path)
		if err != nil {
			return err
		}
		statements[0].Receipts = append(statements[0].Receipts, data)
	}
	p := a.Progress()
	v.Searched = p.Of("search")
	v.Content.Progress = func(place string, done, size int64) {
		p.Show(func() string { return fmt.Sprintf("%s: received %s", place, amount(done, size)) })
	}
	r, err := v.Verify(ctx, statements...)
	p.Done()
	if err != nil {
		return err
	}
	if err := a.Print(r, showVerified(r)); err != nil {
		return err
	}
	switch names := strings.Join(paths, ", "); {
	case r.Verdict != nil && len(paths) > 1:
		return cli.Bad(fmt.Errorf("%s are not verified: %w", names, r.Verdict))
	case r.Verdict != nil:
		return cli.Bad(fmt.Errorf("%s is not verified: %w", names, r.Verdict))
	case r.Unsure != nil:
		return cli.Usage(fmt.Errorf("%s: no verdict: %w", names, r.Unsure))
	}
	return nil
}

// showVerified shows what was found about a statement.
func showVerified(r *verify.Result) func(*cli.Page) {
	return func(p *cli.Page) {
		if r.EntryID != "" {
			p.Rows([][]string{{"entry id", r.EntryID}, {"issuer", r.Issuer}, {"subject", r.Subject}, {"signed", r.Signed}})
			p.Line("")
		}
		p.Rows(findings(r.Checks))
		result := "NOT VERIFIED"
		switch {
		case r.Verified:
			result = "verified"
		case r.Verdict == nil:
			result = "NO VERDICT"
		}
		p.Line("")
		p.Line("%s", result)
	}
}

// verifyProof verifies a C2SP tlog-proof of any log, offline.
func (a *app) verifyProof(ctx context.Context, f verifyFlags, path string, data []byte) error {
	if f.payload == "" || f.log+f.static+f.keys != "" || f.quorum > 0 {
		return cli.Usage(errors.New("a tlog-proof is verified with --payload, and the log's key in --witness-policy or --vkey"))
	}
	open, err := a.LogOptions(ctx, f.MemoryFlags)
	if err != nil {
		return err
	}
	logged, err := cli.ReadFileFlag(ctx, "payload", f.payload)
	if err != nil {
		return err
	}
	v := verify.Verifier{Options: open, Content: verify.Content{File: f.payload, Data: logged}}
	r := v.Proof(data)
	if err := a.Print(r, showVerified(r)); err != nil {
		return err
	}
	if err := cmp.Or(r.Verdict, r.Unsure); err != nil {
		return fmt.Errorf("%s is not verified: %w", path, err)
	}
	return nil
}
