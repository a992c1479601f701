package main

import (
	"bytes"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testpki"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// admits is a lie of a provider who puts more into the log than its service would.
func admits(more func(t *testing.T, w *world) []byte) func(t *testing.T, w *world) shown {
	return shows("provider", func(t *testing.T, w *world) string { return w.provider.and(more(t, w)).dir(t) })
}

// signs is admits of a record of the provider that is not as the policy asks.
func signs(change func(w *world, o *scitt.SignOptions)) func(t *testing.T, w *world) shown {
	return admits(func(t *testing.T, w *world) []byte {
		return w.provider.record(t, monitor.Inventory, "create", "other", func(o *scitt.SignOptions) { change(w, o) })
	})
}

// forged is an entry under the provider's name that somebody else signed.
func forged(t *testing.T, w *world) []byte {
	somebody := *w.provider
	somebody.key = testlog.FixedKey(t, "somebody")
	return somebody.record(t, monitor.Inventory, "create", "other", func(o *scitt.SignOptions) { o.Issuer = w.provider.issuer })
}

func signatureLies() []lie {
	const judged = "verify --roots {roots} --keys {provider.keys} {certified}"
	unsigned := func(entry func(t *testing.T, w *world) []byte) func(t *testing.T, w *world) shown {
		return func(t *testing.T, w *world) shown {
			liar := w.provider.with(webEntry, entry(t, w))
			return shown{"provider": liar.dir(t), "transparent": write(t, "t", liar.transparent(t, webEntry))}
		}
	}
	readers := append(looks(cli.ExitBad, `signature`, verifyOffline, verifyStatic, auditProvider, compareBoth, requireWeb, monitorOnce,
		"ack --log {service} --upstream-log {provider} --key {customer.pem} --asset vm 2", "endorse --log {service} --entry-log {provider} --key {customer.pem} --scope existence --for 1h 2",
		"audit --artifacts {provider} {provider} --state {tmp}/s"),
		look{"export --log {provider} --out {tmp}/e && verify {tmp}/e", cli.ExitBad, `signature`})
	return []lie{
		{"an entry that nobody signed", unsigned(func(_ *testing.T, w *world) []byte { return testlog.Garbage(w.provider.entries[webEntry]) }), readers},
		{"an entry that somebody else signed", unsigned(forged), readers},
		{"a record that somebody else signed", admits(forged), looks(cli.ExitBad, `signature`, auditProvider, compareBoth, monitorOnce)},
		{"an endorsement that its issuer did not sign", shows("auditor", func(t *testing.T, w *world) string {
			n := len(w.auditor.entries) - 2
			return w.auditor.with(n, testlog.Garbage(w.auditor.entries[n])).dir(t)
		}), looks(cli.ExitBad, `does not count: signature`, requireWeb)},
		{"a certificate of another issuer", certified(func(p *testpki.PKI, o *scitt.SignOptions) { o.Issuer = "https://ceo.corp.example" }), looks(cli.ExitBad, `^failed +signature .*(certificate|x5chain)`, judged)},
		{"a certificate that had ended", certified(func(_ *testpki.PKI, o *scitt.SignOptions) { o.IssuedAt = testpki.NotAfter.Add(time.Hour) }), looks(cli.ExitBad, `^failed +signature .*(certificate|x5chain)`, judged)},
		{"a certificate of nobody's authority", func(t *testing.T, w *world) shown {
			return certified(func(*testpki.PKI, *scitt.SignOptions) {})(t, &world{provider: w.provider, truth: shown{"pki": "mallory"}})
		}, looks(cli.ExitBad, `^failed +signature .*(certificate|x5chain)`, judged)},
		{"an issuer whom nobody knows", signs(func(_ *world, o *scitt.SignOptions) { o.Issuer = "https://provider.example" }),
			append(looks(cli.ExitUsage, `issuer's key is not known|unchecked`, replayBoth, compareBoth, reportOnBoth, "replay --log {provider} --asset web"), look{auditProvider, cli.ExitBad, `issuer: `})},
		{"an endorsement by an issuer whom nobody knows", shows("auditor", func(t *testing.T, w *world) string {
			e := &monitor.Endorsement{Entry: w.provider.ref(webEntry), Home: "auditor.example", Verdict: monitor.Dispute, Scope: []string{"existence"}, From: eventTime}
			return w.auditor.and(testlog.Must(testlog.SignAs(w.auditor.key, e, scitt.SignOptions{IssuedAt: signedAt, Issuer: "https://auditor.example"}))(t)).dir(t)
		}), looks(cli.ExitUsage, `unchecked`, "endorsements --log {provider} --in {auditor} 2")},
	}
}

// certified is a statement with x5chain in the provider's log, and the roots that
// its readers trust.
func certified(change func(p *testpki.PKI, o *scitt.SignOptions)) func(t *testing.T, w *world) shown {
	return func(t *testing.T, w *world) shown {
		name := w.truth["pki"]
		if name == "" {
			name = "corp"
		}
		p := testpki.New(t, name)
		o := scitt.SignOptions{Issuer: "https://corp.example", Subject: "s", IssuedAt: time.Unix(1_800_000_000, 0), X5Chain: testpki.Chain(p.Leaf, p.Inter)}
		change(p, &o)
		liar := w.provider.and(testlog.Must(scitt.SignStatement(p.Leaf.Key, o, []byte("x")))(t))
		roots := testpki.New(t, "corp").Root
		return shown{"certified": write(t, "c", liar.transparent(t, len(liar.entries)-1)), "roots": write(t, "roots", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: roots.Raw}))}
	}
}

func admissionLies() []lie {
	audited := func(says string) []look {
		return looks(cli.ExitBad, says, auditProvider, monitorOnce, "audit --artifacts {provider} {provider} --state {tmp}/s", "audit --artifacts {provider} --json {provider}")
	}
	policyBy := func(service bool, change func(w *world) string) func(t *testing.T, w *world) shown {
		return admits(func(t *testing.T, w *world) []byte {
			key, issuer := testlog.FixedKey(t, "somebody"), ""
			if service {
				key, issuer = w.provider.keys.Service, testlog.Issuer
			}
			return testlog.Must(scitt.SignStatement(key, scitt.SignOptions{Issuer: issuer, Type: scitt.TypePolicy,
				Subject: scitt.PolicySubject("provider.example"), ContentType: "application/json"}, []byte(change(w))))(t)
		})
	}
	hash := func(_ *world, o *scitt.SignOptions) { o.Hash = true }
	return []lie{
		{"a record of a stranger", admits(func(t *testing.T, w *world) []byte {
			return w.customer.record(t, monitor.Inventory, "create", "x", func(o *scitt.SignOptions) { o.Chain = nil })
		}), audited(`issuer`)},
		{"a subject that is not the issuer's", signs(func(_ *world, o *scitt.SignOptions) { o.Subject = "secret/web" }), audited(`subject`)},
		{"a content type that is not admitted", signs(func(_ *world, o *scitt.SignOptions) { o.ContentType = "text/html" }), audited(`content_type`)},
		{"an entry that is too large", signs(func(_ *world, o *scitt.SignOptions) { o.Subject += strings.Repeat("x", 4096) }), audited(`size`)},
		{"a signature of the other form", admits(func(t *testing.T, w *world) []byte { return testlog.Twin(t, w.other(t)) }), audited(`signature`)},
		{"what a rule refuses", signs(func(_ *world, o *scitt.SignOptions) { o.IssuedAt = time.Time{} }), audited(`iat is missing`)},
		{"an event that is none", admits(func(t *testing.T, w *world) []byte {
			o := scitt.SignOptions{IssuedAt: signedAt, Type: scitt.TypeRecord, Subject: "inventory/x", ContentType: "application/json", Chain: w.provider.head["inventory"]}
			return testlog.Must(scitt.SignStatement(w.provider.key, o, []byte(`{"class_uid":5023}`)))(t)
		}), audited(`ocsf`)},
		{"bytes that are not a statement", admits(func(*testing.T, *world) []byte { return []byte("nothing") }),
			append(audited(`log/statement`), looks(cli.ExitUsage, `nobody's statement`, replayBoth, compareBoth, requireWeb, reportOnBoth, headOfProvider)...)},
		{"a statement in another encoding", admits(func(t *testing.T, w *world) []byte {
			return append([]byte{0xd2, 0x98, 0x04}, w.other(t)[2:]...)
		}), append(audited(`log/encoding`), looks(cli.ExitUsage, `nobody's statement`, replayBoth, headOfProvider, "endorsements --log {provider} --in {auditor} 2")...)},
		{"an artifact that is not there", signs(hash), looks(cli.ExitUsage, `artifact|withheld|could not be read`, auditProvider, replayBoth, compareBoth, reportOnBoth)},
		{"other bytes in place of an artifact", shows("provider", func(t *testing.T, w *world) string {
			return w.provider.dir(t, func(f *testlog.Files) { f.Put(digestPath(w.provider.artifacts[0]), []byte("other")) })
		}), append(looks(cli.ExitUsage, `artifact|withheld|could not be read`, auditProvider, replayBoth, compareBoth, recompute, reportOnBoth),
			look{"verify --keys {provider.keys} --artifacts {provider} {disk}", cli.ExitBad, `does not have the hash`})},
		{"a policy of a stranger", policyBy(false, func(*world) string { return openPolicy }),
			append(audited(`policy|type|issuer`), looks(cli.ExitBad, `did not allow`, "policy show --static {provider}", "policy show --static {provider} --list")...)},
		{"a policy that replaces another one than that in force", policyBy(true, func(*world) string { return openPolicy }),
			append(audited(`previous`), looks(cli.ExitBad, `previous`, "policy show --static {provider}")...)},
		// A newer program may know it: nobody is accused, and nothing is good.
		{"a policy of a version that nobody knows", policyBy(true, func(*world) string { return `{"version":17}` }),
			append(looks(cli.ExitUsage, `version`, auditProvider, "audit --artifacts {provider} {provider} --state {tmp}/s", "audit --artifacts {provider} --json {provider}", "policy show --static {provider}"),
				looks(cli.ExitBad, `version`, monitorOnce)...)},
		{"no policy where the first one should be", shows("provider", func(t *testing.T, w *world) string { return w.provider.with(1, w.other(t)).dir(t) }),
			looks(cli.ExitBad, `policy`, auditProvider, monitorOnce, "policy show --static {provider}")},
		{"keys of the log that nobody announced", shows("provider", func(t *testing.T, w *world) string {
			return w.provider.with(0, testlog.Garbage(w.provider.entries[0])).dir(t)
		}), looks(cli.ExitBad, `keys`, auditProvider, "fsck {provider}", replayBoth, "policy show --static {provider}", exportLog, verifyStatic, receiptOfWeb, compareBoth, requireWeb, reportOnBoth, monitorOnce)},
		{"a configuration that shows another policy", put(tiles.ConfigurationPath, func(_ *testing.T, _ *world, was []byte) []byte {
			return bytes.ReplaceAll(was, []byte("low-s"), []byte("l0w-s"))
		}), looks(cli.ExitBad, `configuration`, auditProvider, "fsck {provider}", monitorOnce)},
		{"a configuration that shows another issuer", put(tiles.ConfigurationPath, func(_ *testing.T, _ *world, was []byte) []byte {
			return bytes.ReplaceAll(was, []byte(testlog.Issuer), []byte("https://tranSparency.example"))
		}), looks(cli.ExitBad, `configuration`, auditProvider, "fsck {provider}", monitorOnce)},
	}
}

// links is a lie about a chain: a record with this link.
func links(link func(w *world, head scitt.ChainLink) *scitt.ChainLink) func(t *testing.T, w *world) shown {
	return func(t *testing.T, w *world) shown {
		entry := w.provider.record(t, monitor.Inventory, "create", "other", func(o *scitt.SignOptions) { o.Chain = link(w, *w.provider.head["inventory"]) })
		return shown{"provider": w.provider.and(entry).dir(t), "new": write(t, "s", entry)}
	}
}

func chainLies() []lie {
	seen := func(anomaly string) []look {
		return append(looks(cli.ExitBad, `chain: `, auditProvider, monitorOnce), look{compareBoth, cli.ExitBad, anomaly},
			look{"policy test --static {before} --policy {before} {new}", cli.ExitBad, `chain`})
	}
	return []lie{
		{"a record left out", links(func(_ *world, h scitt.ChainLink) *scitt.ChainLink { h.Seq++; return &h }), seen(`chain_gap`)},
		{"two records in one place", links(func(w *world, h scitt.ChainLink) *scitt.ChainLink {
			id := testlog.ID(w.provider.entries[webEntry])
			return &scitt.ChainLink{Name: h.Name, Seq: 1, Prev: id[:]}
		}), seen(`chain_fork`)},
		{"another record before", links(func(_ *world, h scitt.ChainLink) *scitt.ChainLink { h.Prev = make([]byte, 32); return &h }), seen(`chain_prev`)},
		{"a chain that begins again", links(func(_ *world, h scitt.ChainLink) *scitt.ChainLink { return &scitt.ChainLink{Name: h.Name} }), seen(`chain_fork`)},
		{"a record beside the chain", links(func(*world, scitt.ChainLink) *scitt.ChainLink { return nil }), seen(`chain_missing`)},
		{"a chain that another issuer takes", shows("provider", func(t *testing.T, w *world) string {
			thief := testlog.FixedKey(t, "thief")
			h := testlog.NewHandover(t, "inventory", testlog.FixedKey(t, "provider"), thief)
			return w.provider.and(testlog.Handover(t, thief, h, w.provider.entries[webEntry])).dir(t)
		}), append(looks(cli.ExitBad, `handover|under another issuer`, auditProvider, monitorOnce), look{compareBoth, cli.ExitBad, `chain_handover`})},
		{"a record taken out of the middle", shows("provider", func(t *testing.T, w *world) string {
			e := w.provider.entries
			return w.provider.says(append(append([][]byte{}, e[:dbEntry]...), e[dbEntry+1:]...)...).dir(t)
		}), append(looks(cli.ExitBad, `chain: `, auditProvider, monitorOnce), look{compareBoth, cli.ExitBad, `chain_gap`})},
	}
}

func duplicateLies() []lie {
	seen := append(looks(cli.ExitDuplicates, `log/duplicate`, auditProvider, "audit --artifacts {provider} {provider} --state {tmp}/s"),
		looks(cli.ExitBad, `duplicate`, compareBoth, monitorOnce)...)
	again := func(form func(t *testing.T, entry []byte) []byte) func(t *testing.T, w *world) shown {
		return admits(func(t *testing.T, w *world) []byte { return form(t, w.provider.entries[webEntry]) })
	}
	return []lie{
		{"the same entry again", again(func(_ *testing.T, e []byte) []byte { return e }), seen},
		{"the same content with the other form of the signature", again(func(t *testing.T, e []byte) []byte { return testlog.Twin(t, e) }), seen},
		{"the same content, signed again", again(func(t *testing.T, e []byte) []byte {
			s := testlog.Must(scitt.DecodeStatement(e))(t)
			return testlog.Must(scitt.SignStatement(testlog.FixedKey(t, "provider"), scitt.SignOptions{IssuedAt: signedAt, Type: s.Type, Subject: s.Subject, ContentType: "application/json", Chain: s.Chain}, s.Payload))(t)
		}), seen},
		{"an observation again", shows("auditor", func(t *testing.T, w *world) string { return w.auditor.and(w.auditor.entries[2]).dir(t) }),
			[]look{{"audit {auditor}", cli.ExitDuplicates, `log/duplicate`}, {compareBoth, cli.ExitBad, `duplicate`}}},
	}
}
