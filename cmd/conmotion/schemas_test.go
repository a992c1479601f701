package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/cmd/conmotion/internal/demo"
	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/cmd/internal/cli/clitest"
	"github.com/conmotion/conmotion/cmd/internal/searching"
	"github.com/conmotion/conmotion/cmd/internal/version"
	"github.com/conmotion/conmotion/internal/bench"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/monitor/verify"
	"github.com/conmotion/conmotion/storage/search"
	"github.com/conmotion/conmotion/witness/mirror"
)

// inspected is what inspect prints: the facts about each object by name, with its
// kind and its diagnostic notation.
type inspected []map[string]string

// printed is what each command prints with --json.
var printed = clitest.Printed{
	"ack":            {attested{}},
	"artifact get":   {gotArtifact{}},
	"artifact put":   {putResult{}},
	"artifact token": {madeToken{}},
	"audit":          {auditViolation{}, auditSummary{}},
	"bench":          {bench.Report{}},
	"compare":        {clitest.Document("comparison"), confirmations{}},
	"demo":           {demo.Result{}, demo.Left{}},
	"disclose":       {disclosed{}},
	"dispute":        {attested{}},
	"endorse":        {attested{}},
	"endorsements":   {party.Endorsements{}},
	"export":         {exported{}},
	"fsck":           {party.FsckReport{}},
	"head":           {headInfo{}},
	"import":         {recorded{}},
	"inspect":        {inspected{}},
	"key convert":    {converted{}},
	"key handover":   {handedOver{}},
	"key inspect":    {keyInfo{}},
	"key public":     {publicKey{}},
	"key vkey":       {vkey{}},
	"keygen":         {newKey{}},
	"measure":        {clitest.Document("measurement"), party.Measured{}, party.Recomputed{}},
	"mirror":         {mirrored{}},
	"monitor":        {clitest.Document("alert")},
	"observe":        {recorded{}},
	"policy check":   {policyReport{}},
	"policy diff":    {policyDifference{}},
	"policy set":     {policyChange{}, wouldSet{}},
	"policy show":    {policyList{}, shownPolicy{}},
	"policy test":    {judged{}},
	"receipt":        {gotReceipt{}},
	"record":         {recorded{}},
	"replay":         {clitest.Document("replay"), clitest.Document("history"), clitest.Document("difference"), party.Followed{}},
	"report":         {clitest.Document("report")},
	"require":        {gateReport{}},
	"search":         {searching.Entry{}, searching.Summary{}, search.Stats{}},
	"sign":           {signed{}},
	"submit":         {submitted{}},
	"verify":         {verify.Result{}, mirror.Report{}, verify.Equivocation{}, verify.Evidence{}},
	"version":        {version.Info{}},
	"withdraw":       {attested{}},
	"witness-check":  {checkedWitness{}},
}

// TestSchemas: each command has a schema of what it prints, which docs/tool.md names.
func TestSchemas(t *testing.T) {
	printed.Check(t, (&app{}).root(), "../../docs")
}

// validated runs a command for the scripts: what is printed with --json is held to
// its schema, and what is counted to its plural.
func validated(ctx context.Context, a *cli.App, args []string) int {
	var out, said bytes.Buffer
	tool := &app{*a}
	tool.Stdout = io.MultiWriter(a.Stdout, &out)
	tool.Stderr = io.MultiWriter(a.Stderr, &said)
	root := tool.root()
	code := tool.Run(ctx, root, args)
	text := said.String()
	if !bytes.HasPrefix(out.Bytes(), []byte("{")) { // a document keeps its words
		text += out.String()
	}
	if wrong := plural.Wrong(text); len(wrong) > 0 {
		fmt.Fprintf(a.Stderr, "ONE IS COUNTED AS SEVERAL: %q\n", wrong)
		return 99
	}
	cmd, _, err := root.Find(args)
	// Other things than JSON are printed where they are asked for, with --out -.
	if docs := os.Getenv("ROOT"); err == nil && tool.JSON && docs != "" && !(strings.Contains(strings.Join(args, " ")+" ", "--out - ") && !bytes.HasPrefix(out.Bytes(), []byte("{"))) {
		command := strings.TrimPrefix(cmd.CommandPath(), root.Name()+" ")
		if err := printed.Validate(filepath.Join(docs, "docs"), root.Name(), command, out.Bytes()); err != nil {
			fmt.Fprintf(a.Stderr, "NOT AS ITS SCHEMA: %v\n%s", err, out.Bytes())
			return 99
		}
	}
	return code
}
