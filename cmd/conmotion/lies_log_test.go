package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// other is an entry that the provider did not register.
func (w *world) other(t *testing.T) []byte {
	return w.provider.record(t, monitor.Inventory, "create", "other", nil)
}

// shows is a lie that shows other files in the place of a log's.
func shows(name string, files func(t *testing.T, w *world) string) func(t *testing.T, w *world) shown {
	return func(t *testing.T, w *world) shown { return shown{name: files(t, w)} }
}

// put is the provider's log with a file changed by its operator.
func put(path string, data func(t *testing.T, w *world, was []byte) []byte) func(t *testing.T, w *world) shown {
	return shows("provider", func(t *testing.T, w *world) string {
		return w.provider.dir(t, func(f *testlog.Files) {
			was, err := f.Get(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			f.Put(path, data(t, w, was))
		})
	})
}

func flip(i int) func(*testing.T, *world, []byte) []byte {
	return func(_ *testing.T, _ *world, was []byte) []byte {
		data := bytes.Clone(was)
		data[(i+len(data))%len(data)] ^= 1
		return data
	}
}

// carries is a lie about web: a statement with this receipt.
func carries(receipt func(t *testing.T, w *world) []byte) func(t *testing.T, w *world) shown {
	return func(t *testing.T, w *world) shown {
		s := testlog.Must(scitt.DecodeStatement(w.provider.entries[webEntry]))(t)
		return shown{"transparent": write(t, "transparent", scitt.AttachReceipts(s, receipt(t, w)))}
	}
}

const (
	verifyOffline  = "verify --keys {provider.keys} {transparent}"
	verifyStatic   = "verify --static {provider} {transparent}"
	receiptOfWeb   = "receipt --static {provider} --index 2 --out {tmp}/r"
	auditProvider  = "audit --artifacts {provider} {provider}"
	recompute      = "measure --recompute {measurement} --reported {provider} --observed {auditor}"
	compareBoth    = "compare " + interval + " --reported {provider} --observed {auditor}"
	headOfProvider = "head --log {provider} --issuer {provider-issuer}"
	requireWeb     = "require --log {provider} --entry --endorsed-by {auditor-issuer} --in {auditor} 2"
	replayBoth     = "replay --log {provider}"
	exportLog      = "export --log {provider} --out {tmp}/e"
	reportOnBoth   = "report --provider {provider} --auditor {auditor} " + interval + " --out {tmp}/report.html"
	monitorOnce    = "copy {provider} {tmp}/p && copy {auditor} {tmp}/a && " + monitorAgain
	monitorAgain   = "monitor --config {tmp}/monitor.yaml --once"
)

var (
	bundle = tiles.BundlePath(0, 6)
	tile   = tiles.TilePath(0, 0, 6)
)

func inclusionLies() []lie {
	return append([]lie{
		{"the receipt of another entry", carries(func(t *testing.T, w *world) []byte { return w.provider.receipt(t, dbEntry) }),
			looks(cli.ExitBad, `^failed +receipt 1 .*not a receipt for this statement`, verifyOffline, verifyStatic)},
		{"a receipt by somebody else's key", carries(func(t *testing.T, w *world) []byte {
			stranger := *w.provider
			stranger.keys = testlog.NewKeysOf(t, "provider.example")
			return stranger.receipt(t, webEntry)
		}), append(looks(cli.ExitUsage, `no key with that identifier.*fresh receipt`, verifyOffline), looks(cli.ExitBad, `receipt 1 .*key`, verifyStatic)...)},
		{"a key for receipts that the log did not announce", func(t *testing.T, w *world) shown {
			stranger := *w.provider
			stranger.keys = testlog.NewKeysOf(t, "provider.example")
			keys := testlog.Must(stranger.keys.KeySet(t).Marshal())(t)
			return shown{"transparent": write(t, "t", stranger.transparent(t, webEntry)), "provider": w.provider.dir(t, func(f *testlog.Files) { f.Put(tiles.KeysPath, keys) })}
		}, looks(cli.ExitBad, `receipt 1 .*key`, verifyStatic)},
		{"a receipt of a tree that was not published", carries(func(t *testing.T, w *world) []byte {
			return w.provider.with(dbEntry, w.other(t)).receipt(t, webEntry)
		}), looks(cli.ExitBad, `does not extend`, verifyStatic)},
		{"a receipt for a place where the entry is not", carries(func(t *testing.T, w *world) []byte {
			swapped := w.provider.with(webEntry, w.provider.entries[dbEntry]).with(dbEntry, w.provider.entries[webEntry])
			return swapped.receipt(t, dbEntry)
		}), looks(cli.ExitBad, `does not extend`, verifyStatic)},
		{"a statement that is not in the log", func(t *testing.T, w *world) shown {
			return shown{"statement": write(t, "s", w.other(t)), "transparent": write(t, "t", w.other(t))}
		}, append(looks(cli.ExitBad, `does not hold|not in the log`, "receipt --static {provider} --statement {statement} --out {tmp}/r", verifyStatic),
			look{verifyOffline, cli.ExitBad, `^failed +receipt +the statement carries none`})},
		{"another entry in the bundle", put(bundle, flip(-1)),
			append(looks(cli.ExitBad, `entry 5 does not hash|leaf 5 is not|other bytes|lead to`, "fsck {provider}", auditProvider, replayBoth, exportLog, compareBoth, recompute, requireWeb, "endorsements --log {provider} 5",
				"replay --log {customer} --follow vm --upstream {provider}", "head --log {provider} --issuer {provider-issuer} --chain configuration", "conmotion-index search --db {db} --verify --static {provider}", reportOnBoth),
				look{"receipt --static {provider} --index 5 --out {tmp}/r", cli.ExitBad, `leaf 5 is not`},
				look{monitorOnce, cli.ExitBad, `CRITICAL +provider +(entries|tiles|admission)`})},
		{"a hash in a tile", put(tile, flip(32*webEntry)),
			looks(cli.ExitBad, `lead to`, "fsck {provider}", auditProvider, receiptOfWeb, verifyStatic, headOfProvider, "policy show --static {provider}")},
		{"a checkpoint of another root", put(tiles.CheckpointPath, func(t *testing.T, w *world, _ []byte) []byte {
			return w.provider.keys.Checkpoint(t, 6, make([]byte, 32))
		}), looks(cli.ExitBad, `lead to root`, "fsck {provider}", auditProvider, receiptOfWeb, verifyStatic, replayBoth, exportLog, "policy show --static {provider}", reportOnBoth)},
		{"a checkpoint of more entries than there are", put(tiles.CheckpointPath, func(t *testing.T, w *world, _ []byte) []byte {
			return w.provider.keys.Checkpoint(t, 9, w.provider.root())
		}), append(looks(cli.ExitUsage, `no such file`, receiptOfWeb, verifyStatic, replayBoth, exportLog, compareBoth, recompute, requireWeb), look{"fsck {provider}", cli.ExitBad, `cannot go on after entry 0`})},
		{"a receipts' signature of another tree", put(tiles.CheckpointPath, func(t *testing.T, w *world, was []byte) []byte {
			return append(line(was, 0), line(w.provider.keys.Checkpoint(t, 6, make([]byte, 32)), 1)...)
		}), looks(cli.ExitBad, `invalid signature`, "fsck {provider}", auditProvider, receiptOfWeb)},
		{"no receipts' signature", put(tiles.CheckpointPath, func(_ *testing.T, _ *world, was []byte) []byte { return line(was, 0) }),
			looks(cli.ExitUsage, `no tree signature`, receiptOfWeb, headOfProvider)},
		{"a checkpoint that somebody else signed", put(tiles.CheckpointPath, func(t *testing.T, w *world, _ []byte) []byte {
			return testlog.NewKeysOf(t, "provider.example").Checkpoint(t, 6, w.provider.root())
		}), looks(cli.ExitBad, `no verifiable signatures`, "fsck {provider} {provider-vkeys}", "audit --artifacts {provider} {provider} {provider-vkeys}",
			"verify --static {provider} {provider-vkeys} {transparent}")},
		{"a receipt that was cut off", func(t *testing.T, w *world) shown {
			r := read(t, w.truth["receipt"])
			return shown{"receipt": write(t, "r", r[:len(r)-1])}
		}, looks(cli.ExitBad, `malformed|not a|nothing that this tool knows`, "verify --keys {provider.keys} --receipt {receipt} {statement}", "inspect {receipt}")},
		{"an export with another entry", inExport(func(t *testing.T, dir string) { rewrite(t, dir, bundle, flip(-1)) }),
			looks(cli.ExitBad, `manifest: tile/entries/000.p/6 has .*and the manifest says`, "verify {export}")},
		{"an export with another artifact", inExport(func(t *testing.T, dir string) {
			for _, path := range testlog.Must(filepath.Glob(filepath.Join(dir, "sha256/*/*/*")))(t) {
				rewrite(t, dir, strings.TrimPrefix(path, dir), flip(5))
			}
		}), looks(cli.ExitBad, `artifacts: [0-9a-f]{64} has .*and the manifest says`, "verify {export}")},
		{"an export with an artifact that is a link", inExport(func(t *testing.T, dir string) {
			for _, path := range testlog.Must(filepath.Glob(filepath.Join(dir, "sha256/*/*/*")))(t) {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink("/dev/zero", path); err != nil {
					t.Fatal(err)
				}
			}
		}), looks(cli.ExitBad, `is not a plain file`, "verify {export}")},
		{"an export whose manifest is of a smaller log", inExport(func(t *testing.T, dir string) {
			rewrite(t, dir, "manifest.json", func(_ *testing.T, _ *world, was []byte) []byte {
				return bytes.Replace(was, []byte(`"size":6}`), []byte(`"size":5}`), 1)
			})
		}), looks(cli.ExitBad, `and the manifest of 5`, "verify {export}")},
	}, serviceLies()...)
}

// line is a checkpoint with one of its signatures, or of all but the first only
// the signature.
func line(checkpoint []byte, n int) []byte {
	text, signatures, _ := strings.Cut(string(checkpoint), "\n\n")
	if s := strings.SplitAfter(signatures, "\n")[n]; n > 0 {
		return []byte(s)
	}
	return []byte(text + "\n\n" + strings.SplitAfter(signatures, "\n")[0])
}

// inExport is a lie in the files of an export.
func inExport(change func(t *testing.T, dir string)) func(t *testing.T, w *world) shown {
	return shows("export", func(t *testing.T, w *world) string {
		dir := filepath.Join(t.TempDir(), "export")
		if err := replaceFiles(w.truth["export"], dir); err != nil {
			t.Fatal(err)
		}
		change(t, dir)
		return dir
	})
}

func rewrite(t *testing.T, dir, name string, change func(t *testing.T, w *world, was []byte) []byte) {
	t.Helper()
	path := filepath.Join(dir, name)
	was := testlog.Must(os.ReadFile(path))(t)
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	data := change(t, nil, was)
	if bytes.Equal(data, was) {
		t.Fatal("nothing changed in " + path)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// seenLater are readers who have seen the log before.
func seenLater(says string) []look {
	var list []look
	for _, reader := range []string{"replay --log L", "fsck L", "audit --artifacts L L", "export --log L --out {tmp}/e", "policy show --static L", "receipt --static L --index 2 --out {tmp}/r",
		"head --log L --issuer {provider-issuer}", "endorsements --log L 2", "compare --exit-zero " + interval + " --reported L --observed {auditor}", "measure --recompute {measurement} --reported L --observed {auditor}",
		"require --log L --entry --endorsed-by {auditor-issuer} --in {auditor} 2", "report --provider L --auditor {auditor} " + interval + " --out {tmp}/report.html",
		"replay --log {customer} --follow vm --upstream L", "verify --static L {transparent}", "conmotion-index update L --db {tmp}/db", "conmotion-index search --db {db} --verify=hits --static L"} {
		list = append(list, look{strings.ReplaceAll(reader, "L", "{provider}") + " && " + strings.ReplaceAll(reader, "L", "{later}"), cli.ExitBad, says})
	}
	return list
}

func historyLies() []lie {
	forked := shows("later", func(t *testing.T, w *world) string {
		return w.provider.with(dbEntry, w.other(t)).and(w.other(t)).dir(t)
	})
	return []lie{
		{"another history", forked, append(seenLater(`forked`),
			// Without the memory of --home, by what the reader keeps.
			look{"audit --artifacts {provider} {provider} --no-home --state {tmp}/s && audit --artifacts {later} {later} --no-home --state {tmp}/s", cli.ExitBad, `log/consistency`},
			look{"replay --log {provider} --no-home --save {tmp}/s && replay --log {later} --no-home --since {tmp}/s", cli.ExitBad, `cannot be resumed: .*does not extend`},
			look{"export --log {provider} --no-home --out {tmp}/e && export --log {later} --no-home --out {tmp}/e", cli.ExitBad, `forked`},
			look{"conmotion-index update {provider} --no-home --db {tmp}/db && conmotion-index update {later} --no-home --db {tmp}/db", cli.ExitBad, `does not extend|forked`},
			look{"replay --log {provider} --no-home --save {tmp}/s && compare --exit-zero --from 2026-01-01T12:30:00Z --to 2026-01-01T13:00:00Z --no-home --reported {later} --reported-since {tmp}/s --observed {auditor}", cli.ExitBad, `does not extend`},
			look{"verify --static {later} {transparent}", cli.ExitBad, `does not extend`},
			look{"measure --recompute {measurement} --reported {later} --observed {auditor}", cli.ExitBad, `does not extend`},
			look{monitorOnce + " && copy {later} {tmp}/p && " + monitorAgain, cli.ExitBad, `CRITICAL +provider +fork`},
		)},
		{"another history of the same size", shows("later", func(t *testing.T, w *world) string { return w.provider.with(dbEntry, w.other(t)).dir(t) }),
			looks(cli.ExitBad, `forked`, "replay --log {provider} && replay --log {later}", "fsck {provider} && fsck {later}")},
		{"another history that is smaller", shows("later", func(t *testing.T, w *world) string {
			return w.provider.says(append(w.provider.entries[:4:4], w.other(t))...).dir(t)
		}), looks(cli.ExitBad, `forked`, "replay --log {provider} && replay --log {later}", "fsck {provider} && fsck {later}")},
		{"entries taken away, and no copy has them", func(t *testing.T, w *world) shown {
			dir := w.provider.says(w.provider.entries[:4]...).dir(t)
			return shown{"later": dir}
		}, append(looks(cli.ExitUsage, `rolled back|shows fewer entries here`, "copy {provider} {tmp}/place && replay --log {tmp}/place && copy {later} {tmp}/place && replay --log {tmp}/place",
			"replay --log {provider} --no-home --save {tmp}/s && replay --log {later} --no-home --since {tmp}/s"),
			look{"verify --static {later} {transparent}", cli.ExitUsage, `the copy is old, or entries were taken away`},
			look{"replay --log {customer} --follow vm --upstream {later}", cli.ExitUsage, `its tree of 6 entries is not known here`})},
		{"another log with other keys and the same name", shows("later", func(t *testing.T, w *world) string {
			stranger := *w.provider
			stranger.keys = testlog.NewKeysOf(t, "provider.example")
			stranger.entries = append(stranger.keys.Begin(t, openPolicy), w.provider.entries[2:]...)
			return stranger.dir(t)
		}), seenLater(`keys changed`)},
		{"another log in its place", shows("later", func(t *testing.T, w *world) string { return w.auditor.dir(t) }),
			looks(cli.ExitBad, `another log`, "copy {provider} {tmp}/place && replay --log {tmp}/place && copy {later} {tmp}/place && replay --log {tmp}/place",
				"fsck {provider} {provider-vkeys} && fsck {later} {provider-vkeys}")},
		{"keys that nobody handed over", shows("later", func(t *testing.T, w *world) string {
			keys, entries := w.provider.keys.Rotate(t, w.provider.entries, w.provider.entries[0])
			keys.Handovers = nil
			next := w.provider.says(entries...)
			next.keys = keys
			return next.dir(t)
		}), looks(cli.ExitBad, `keys changed`, "replay --log {provider} && replay --log {later}", "fsck {provider} && fsck {later}")},
		{"keys that a stranger announced", shows("later", func(t *testing.T, w *world) string {
			stolen := *w.provider.keys
			stolen.Service = testlog.Key(t, "ES256")
			keys, entries := stolen.Rotate(t, w.provider.entries, w.provider.entries[0])
			next := w.provider.says(entries...)
			next.keys = keys
			return next.dir(t)
		}), append(looks(cli.ExitBad, `keys changed`, "replay --log {provider} && replay --log {later}", "fsck {provider} && fsck {later}"),
			look{"audit --artifacts {later} {later}", cli.ExitBad, `log/keys`})},
		{"a proof against a log that only grew", proofLie(func(t *testing.T, w *world, e *tiles.Equivocation) {
			e.Newer = read(t, w.truth["later"], tiles.CheckpointPath)
		}),
			looks(cli.ExitBad, `NO PROOF`, "verify {proof} {provider-vkeys}")},
		{"a proof with somebody else's checkpoint", proofLie(func(t *testing.T, w *world, e *tiles.Equivocation) {
			e.Newer = testlog.NewKeysOf(t, "provider.example").Checkpoint(t, 6, make([]byte, 32))
		}), looks(cli.ExitBad, `NO PROOF`, "verify {proof} {provider-vkeys}")},
		{"a proof with hashes that lead elsewhere", proofLie(func(_ *testing.T, _ *world, e *tiles.Equivocation) { e.Head[0] = bytes.Clone(e.Tail[0]) }),
			looks(cli.ExitBad, `NO PROOF`, "verify {proof} {provider-vkeys}")},
	}
}

func read(t *testing.T, elem ...string) []byte {
	t.Helper()
	return testlog.Must(os.ReadFile(filepath.Join(elem...)))(t)
}

func proofLie(change func(t *testing.T, w *world, e *tiles.Equivocation)) func(t *testing.T, w *world) shown {
	return func(t *testing.T, w *world) shown {
		e := testlog.Must(tiles.ParseEquivocation(read(t, w.truth["proof"])))(t)
		change(t, w, e)
		return shown{"proof": write(t, "proof", testlog.Must(e.Marshal())(t))}
	}
}

// signedTime is the provider's log with a checkpoint that says to be signed then.
func signedTime(at time.Time) func(t *testing.T, w *world) shown {
	return put(tiles.CheckpointPath, func(t *testing.T, w *world, was []byte) []byte {
		k := w.provider.keys
		tree := testlog.Must(scitt.NewTreeSigner(k.Receipt, testlog.Issuer, k.Note.Name(), func() time.Time { return at }, func() {}))(t)
		text, _, _ := strings.Cut(string(was), "\n\n")
		return testlog.Must(note.Sign(&note.Note{Text: text + "\n"}, k.Note, tree))(t)
	})
}
