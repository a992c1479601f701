package main

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
)

// measures is a lie of the auditor, who signs another measurement.
func measures(payload func(t *testing.T, w *world) []byte) func(t *testing.T, w *world) shown {
	return func(t *testing.T, w *world) shown {
		m := w.measurement(t, payload(t, w))
		return shown{"measurement": write(t, "m", m), "auditor": w.auditor.with(len(w.auditor.entries)-1, m).dir(t)}
	}
}

// instead is measures with a text in the place of what an expression matches.
func instead(expression, text string) func(t *testing.T, w *world) shown {
	return measures(func(t *testing.T, w *world) []byte {
		was := read(t, w.truth["payload"])
		is := regexp.MustCompile(expression).ReplaceAll(was, []byte(text))
		if bytes.Equal(is, was) {
			t.Fatalf("nothing changed in %s", was)
		}
		return is
	})
}

const requireMeasured = "require --log {provider} --entry --measured-by {auditor-issuer} --max-impact 50 --recompute --in {auditor} 2"

// provenBad is how the readers of a measurement say that it is not true.
func provenBad() []look {
	return []look{{recompute, cli.ExitBad, `DIFFERENT`}, {requireMeasured, cli.ExitBad, `computed again|differ`}, {reportOnBoth, cli.ExitBad, `comes out differently`}, {monitorOnce, cli.ExitBad, `measurement_differs`}}
}

// changedHistory is how they say that the logs are not those that it was made of.
func changedHistory() []look {
	return append(looks(cli.ExitBad, `does not extend`, recompute, requireMeasured), look{reportOnBoth, cli.ExitBad, `is not the history`})
}

func measurementLies() []lie {
	return []lie{
		{"a worse result, computed from other records", measures(func(t *testing.T, w *world) []byte {
			// The provider's log without db, measured, and said to be the one with it.
			lying := maps.Clone(w.truth)
			less := w.provider.says(slices.Delete(slices.Clone(w.provider.entries), dbEntry, dbEntry+1)...)
			lying["provider"] = less.dir(t)
			pinned := func(a *actor) string { return fmt.Sprintf(`"root":"%x","size":%d`, a.root(), len(a.entries)) }
			payload := w.measure(t, interval, lying)
			return bytes.ReplaceAll(payload, []byte(pinned(less)), []byte(pinned(w.provider)))
		}), provenBad()},
		{"another number", instead(`"lag_longest_ms":10000`, `"lag_longest_ms":10001`), provenBad()},
		{"another comparison", instead(`"comparison_sha256":"........`, `"comparison_sha256":"00000000`), provenBad()},
		{"another tree of the provider's log", instead(`("origin":"provider.example","root":").{8}`, `${1}00000000`), changedHistory()},
		{"a result that does not follow from its own numbers", instead(`"missing":0`, `"missing":1`),
			[]look{{recompute, cli.ExitBad, `differs +.*missing`}, {requireMeasured, cli.ExitBad, `1 of 3 objects missing makes 33`}, {monitorOnce, cli.ExitBad, `measurement_differs`}}},
		{"a provider who reported less than was measured", func(t *testing.T, w *world) shown {
			return shown{"provider": w.provider.says(w.provider.entries[:dbEntry]...).dir(t)}
		}, []look{{recompute, cli.ExitUsage, `shows fewer entries`}, {requireMeasured, cli.ExitBad, `it is of 6 entries, and the log shows 3`}, {reportOnBoth, cli.ExitUsage, `shows fewer entries than were measured`}}},
		{"other records than were measured", func(t *testing.T, w *world) shown {
			return shown{"provider": w.provider.with(dbEntry, w.other(t)).dir(t)}
		}, looks(cli.ExitBad, `does not extend|history`, recompute, requireMeasured, reportOnBoth)},
		{"other observations than were measured", func(t *testing.T, w *world) shown {
			return shown{"auditor": w.auditor.with(dbEntry, w.auditor.entries[webEntry]).dir(t)}
		}, looks(cli.ExitBad, `does not extend|history`, recompute, requireMeasured, reportOnBoth)},
		{"content that was measured and is withheld", shows("provider", func(t *testing.T, w *world) string {
			return w.provider.dir(t, func(f *testlog.Files) { f.Put(digestPath(w.provider.artifacts[0]), nil) })
		}), append(looks(cli.ExitUsage, `withheld|could not be read`, recompute, compareBoth, replayBoth, reportOnBoth),
			look{"measure --recompute {payload} --reported {provider} --observed {auditor}", cli.ExitUsage, `withheld`})},
		{"records that are missing", func(t *testing.T, w *world) shown {
			return shown{"provider": w.provider.says(w.provider.entries[:diskEntry]...).dir(t)}
		}, looks(cli.ExitBad, `missing`, compareBoth)},
		{"a configuration that is another", shows("auditor", func(t *testing.T, w *world) string {
			payload := bytes.Replace(testlog.Must(monitor.Canonical(eventAbout(monitor.Configuration, "create", "web")))(t), []byte(`"open":false`), []byte(`"open":true`), 1)
			o := scitt.SignOptions{IssuedAt: signedAt, Type: scitt.TypeObservation, Subject: "configuration/web", ContentType: "application/json"}
			return w.auditor.with(openEntry, testlog.Must(scitt.SignStatement(w.auditor.key, o, payload))(t)).dir(t)
		}), looks(cli.ExitBad, `drift`, compareBoth)},
	}
}

// acknowledges is a lie of the customer, whose acknowledgement says something else.
func acknowledges(change func(t *testing.T, w *world, a *monitor.Acknowledgement)) func(t *testing.T, w *world) shown {
	return shows("customer", func(t *testing.T, w *world) string {
		ack := w.acknowledgement(t, func(a *monitor.Acknowledgement) { change(t, w, a) })
		return w.customer.with(len(w.customer.entries)-1, testlog.Must(scitt.DecodeStatement(ack))(t).Entry()).dir(t)
	})
}

func acknowledgementLies() []lie {
	const follow = "replay --log {customer} --follow vm --upstream {provider}"
	bad := looks(cli.ExitBad, `NOT VERIFIED`, follow)
	return []lie{
		{"a receipt of another entry", acknowledges(func(t *testing.T, w *world, a *monitor.Acknowledgement) {
			s := testlog.Must(scitt.DecodeStatement(w.provider.entries[webEntry]))(t)
			a.Transparent = scitt.AttachReceipts(s, w.provider.receipt(t, dbEntry))
		}), bad},
		{"a receipt of a tree that was not published", acknowledges(func(t *testing.T, w *world, a *monitor.Acknowledgement) {
			a.Transparent = w.provider.with(dbEntry, w.other(t)).transparent(t, webEntry)
		}), bad},
		{"an entry that its issuer did not sign", acknowledges(func(t *testing.T, w *world, a *monitor.Acknowledgement) {
			liar := w.provider.with(webEntry, testlog.Garbage(w.provider.entries[webEntry]))
			a.Transparent = liar.transparent(t, webEntry)
		}), bad},
		{"an entry that the upstream does not have", acknowledges(func(t *testing.T, w *world, a *monitor.Acknowledgement) {
			liar := w.provider.and(w.other(t))
			a.Entry, a.Upstream, a.Transparent = liar.ref(6), []string{"other"}, liar.transparent(t, 6)
		}), bad},
		{"another index", acknowledges(func(_ *testing.T, _ *world, a *monitor.Acknowledgement) { a.Entry.Index = dbEntry }), bad},
		{"an asset that the record is not about", acknowledges(func(_ *testing.T, _ *world, a *monitor.Acknowledgement) { a.Upstream = []string{"db"} }), bad},
		{"another log's entry", acknowledges(func(_ *testing.T, _ *world, a *monitor.Acknowledgement) { a.Entry.Origin = "auditor.example" }),
			looks(cli.ExitBad, `NOT VERIFIED`, follow+" --upstream {auditor}")},
		{"an upstream that nobody knows", acknowledges(func(t *testing.T, w *world, a *monitor.Acknowledgement) {
			unknown := *w.provider
			unknown.keys = testlog.NewKeysOf(t, "unknown.example")
			a.Entry.Origin, a.Transparent = "unknown.example", unknown.transparent(t, webEntry)
		}), looks(cli.ExitUsage, `unknown\.example`, follow)},
		{"an upstream with another history", shows("provider", func(t *testing.T, w *world) string {
			return w.provider.with(webEntry, w.other(t)).dir(t)
		}), bad},
	}
}

func quorumLies() []lie {
	const two = "verify --quorum 2 --static {provider} --static {mirror} {both}"
	both := func(receipts func(t *testing.T, w *world) [][]byte) func(t *testing.T, w *world) shown {
		return func(t *testing.T, w *world) shown {
			s := testlog.Must(scitt.DecodeStatement(w.provider.entries[webEntry]))(t)
			return shown{"both": write(t, "both", scitt.AttachReceipts(s, receipts(t, w)...))}
		}
	}
	own := func(t *testing.T, w *world) []byte { return w.provider.receipt(t, webEntry) }
	return []lie{
		{"two receipts of one log", both(func(t *testing.T, w *world) [][]byte {
			return [][]byte{own(t, w), w.provider.and(w.other(t)).receipt(t, webEntry)}
		}), looks(cli.ExitBad, `1 log vouches for it of 2`, two)},
		{"one log under two names", func(t *testing.T, w *world) shown {
			return shown{"mirror": w.provider.dir(t), "both": w.truth["transparent"]}
		}, looks(cli.ExitUsage, `only 1 log is named`, two)},
		{"the receipt of a log that is not in the rule", func(t *testing.T, w *world) shown {
			third := *w.second
			third.keys = testlog.NewKeysOf(t, "third.example")
			return both(func(t *testing.T, w *world) [][]byte { return [][]byte{own(t, w), third.receipt(t, webEntry)} })(t, w)
		}, looks(cli.ExitBad, `1 log vouches for it of 2`, two)},
		{"a receipt of the second log that does not verify", both(func(t *testing.T, w *world) [][]byte {
			return [][]byte{own(t, w), w.second.receipt(t, dbEntry)}
		}), looks(cli.ExitBad, `receipt 2 .*does not verify`, two)},
		{"a tree that the second log did not publish", both(func(t *testing.T, w *world) [][]byte {
			return [][]byte{own(t, w), w.second.with(dbEntry, w.other(t)).receipt(t, webEntry)}
		}), looks(cli.ExitBad, `does not extend`, two)},
		{"a second log with another history", shows("mirror", func(t *testing.T, w *world) string { return w.second.with(webEntry, w.other(t)).dir(t) }),
			looks(cli.ExitBad, `does not extend`, two)},
	}
}

func freshnessLies() []lie {
	return []lie{
		{"a tree that was signed long ago", signedTime(time.Now().AddDate(0, 0, -3)), looks(cli.ExitBad, `stale`, monitorOnce)},
		{"a tree that is signed tomorrow", signedTime(time.Now().Add(24 * time.Hour)), looks(cli.ExitBad, `clock`, monitorOnce)},
		{"a measurement of long ago", measures(func(t *testing.T, w *world) []byte {
			return w.measure(t, "--from 2026-01-01T11:00:00Z --to 2026-01-01T12:30:00Z", w.truth)
		}), looks(cli.ExitBad, `age`, "require --log {provider} --entry --measured-by {auditor-issuer} --max-age {max-age} --in {auditor} 2")},
		{"an endorsement that has ended", shows("auditor", func(t *testing.T, w *world) string {
			e := w.endorsement(t, func(e *monitor.Endorsement) { e.Until = eventTime.Add(time.Hour) })
			return w.auditor.with(6, e).dir(t)
		}), looks(cli.ExitBad, `expired`, requireWeb)},
		{"an endorsement that was taken back", shows("auditor", func(t *testing.T, w *world) string {
			e := w.endorsement(t, func(e *monitor.Endorsement) {
				e.Entry, e.Verdict, e.Scope, e.Until = w.auditor.ref(6), monitor.Withdraw, nil, time.Time{}
			})
			return w.auditor.and(e).dir(t)
		}), looks(cli.ExitBad, `withdrawn`, requireWeb)},
		{"an endorsement with a statement as its evidence that no log vouches for", shows("auditor", func(t *testing.T, w *world) string {
			e := w.endorsement(t, func(e *monitor.Endorsement) { e.Transparent = w.provider.entries[webEntry] })
			return w.auditor.with(6, e).dir(t)
		}), looks(cli.ExitBad, `embeds.* no receipt`, "endorsements --log {provider} --in {auditor} 2")},
		{"an endorsement that was carried from the log where it may have been taken back", shows("auditor", func(t *testing.T, w *world) string {
			e := w.endorsement(t, func(e *monitor.Endorsement) { e.Home = "other.example" })
			return w.auditor.with(6, e).dir(t)
		}), looks(cli.ExitBad, `only as of that log`, requireWeb)},
	}
}
