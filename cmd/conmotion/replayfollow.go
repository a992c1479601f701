package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/tiles"
)

// followFlags say how far references to other logs are followed, and where.
type followFlags struct {
	upstream []string
	VKeys    []string
	depth    int
}

func (f *followFlags) add(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringArrayVar(&f.upstream, "upstream", nil, "with --follow: URL or directory of an upstream log (default: where it was seen before); once for each")
	fl.StringArrayVar(&f.VKeys, "upstream-vkey", nil, "with --follow: verifier key of an upstream log; once for each key")
	fl.IntVar(&f.depth, "max-depth", 8, "with --follow: how many logs one behind the other are followed")
}

// followed is an asset of a log, and what it rests on.
type followed struct {
	Asset  string     `json:"asset"`
	Origin string     `json:"origin"`
	Links  []followUp `json:"links"`
	Note   string     `json:"note,omitempty"` // why it goes no further
}

// followUp is a way from an asset to an entry of another log.
type followUp struct {
	By     string           `json:"by"` // acknowledgement or record
	From   monitor.EntryRef `json:"from"`
	Issuer string           `json:"issuer"`
	To     monitor.EntryRef `json:"to"`
	// Home is that of an acknowledgement that was carried to this log: it counts only as of this log.
	Home string `json:"as_of_log_home,omitempty"`
	// Says is what the upstream's record says, such as inventory.create.
	Says   string   `json:"says,omitempty"`
	Signer string   `json:"signer,omitempty"` // its issuer
	Assets []string `json:"assets,omitempty"` // of the upstream
	// Verified says with what: the embedded Transparent Statement, the log.
	Verified    []string   `json:"verified"`
	Error       string     `json:"error,omitempty"`
	Transparent []byte     `json:"transparent_statement,omitempty"` // of the upstream's record, with its Receipt
	Upstream    []followed `json:"upstream,omitempty"`
}

const (
	byAcknowledgement = "acknowledgement"
	byRecord          = "record"
	withEmbedded      = "embedded"
	withLog           = "log"
)

// follower walks from assets to what they rest on in other logs.
type follower struct {
	*app
	f       readFlags
	options party.Options
	flags   followFlags
	logs    map[string]*party.Log // by origin
	seen    map[[2]string]bool    // origin and asset
	failed  []string
	unread  []string // which could not be checked or read
}

// followUpstream walks from an asset to the entries of other logs that it rests
// on, and on from their assets, and verifies each of them.
func (a *app) followUpstream(ctx context.Context, l *party.Log, f readFlags, u followFlags, asset string) error {
	if u.depth < 1 {
		return cli.Usage(errors.New("--max-depth is at least 1"))
	}
	o, err := a.partyOptions(f)
	if err != nil {
		return err
	}
	w := &follower{app: a, f: f, options: o, flags: u, logs: map[string]*party.Log{l.View.Checkpoint.Origin: l}, seen: map[[2]string]bool{}}
	w.f.artifacts, w.f.token, w.f.VKeys = "", "", u.VKeys // those are of the log where it begins
	logs, err := a.openLogs(ctx, u.upstream, w.f)
	if err != nil {
		return err
	}
	for _, other := range logs {
		w.logs[other.View.Checkpoint.Origin] = other
	}
	w.logs[l.View.Checkpoint.Origin] = l
	root, err := w.visit(ctx, l, asset, 0)
	if err != nil {
		return err
	}
	if err := w.print(root); err != nil {
		return err
	}
	if len(w.failed) > 0 {
		return cli.Bad(fmt.Errorf("%s not verified: %s", plural.Verb(len(w.failed), "reference", "is", "are"), strings.Join(w.failed, "; ")))
	}
	if len(w.unread) > 0 {
		return cli.Usage(fmt.Errorf("%s not be checked or read: %s", plural.Verb(len(w.unread), "reference or statement", "could", "could"), strings.Join(w.unread, "; ")))
	}
	return nil
}

// visit looks for what an asset rests on.
func (w *follower) visit(ctx context.Context, l *party.Log, asset string, depth int) (followed, error) {
	node := followed{Asset: asset, Origin: l.View.Checkpoint.Origin, Links: []followUp{}}
	key := [2]string{node.Origin, asset}
	switch {
	case w.seen[key]:
		node.Note = "it stands above already"
		return node, nil
	case depth >= w.flags.depth:
		node.Note = fmt.Sprintf("not followed: it is %d logs away", depth)
		return node, nil
	}
	w.seen[key] = true
	links, flaws, err := monitor.Links(ctx, l.Monitor(), asset)
	if err != nil {
		return node, fmt.Errorf("the log at %s: %w", l.Location, err)
	}
	w.noticeFlaws(flaws)
	for _, b := range flaws {
		if what := fmt.Sprintf("%s (%s)", b.Entry, b.Kind); b.Unread() && !slices.Contains(w.unread, what) {
			w.unread = append(w.unread, what)
		}
	}
	for _, link := range links {
		up := followUp{By: byRecord, From: link.From, Issuer: link.Issuer, To: link.To, Verified: []string{}}
		if link.Acknowledgement != nil {
			up.By, up.Assets = byAcknowledgement, link.Acknowledgement.Upstream
		}
		if link.Carried() {
			up.Home = link.Acknowledgement.Home
		}
		if err := w.follow(ctx, link, &up, depth); err != nil {
			return node, err
		}
		node.Links = append(node.Links, up)
	}
	return node, nil
}

// errNotHere says that nothing is known of a log, not even its keys.
var errNotHere = errors.New("is not known here")

// follow verifies where a link leads to, and goes on from there.
func (w *follower) follow(ctx context.Context, link monitor.Link, up *followUp, depth int) error {
	other, keys, why, err := w.open(ctx, link.To.Origin)
	if err != nil {
		return err
	}
	fail := func(err error) {
		up.Error = err.Error()
		list := &w.failed
		// What was read of its log is not what the log committed to: that says nothing
		// about the reference.
		if errors.Is(err, scitt.ErrUnchecked) || errors.Is(err, errNotHere) || errors.Is(err, tiles.ErrCorrupt) {
			list = &w.unread
		}
		*list = append(*list, fmt.Sprintf("%s, in %s: %v", link.To, link.From, err))
	}
	var content []byte
	if other != nil {
		content, err = w.fetch(ctx, other, up)
		switch unchecked := errors.Is(err, scitt.ErrUnchecked); {
		case err == nil:
			up.Verified = append(up.Verified, withLog)
		case !unchecked && cli.ExitCode(err) != cli.ExitBad:
			return err
		case !unchecked || link.Acknowledgement == nil:
			fail(err)
			return nil
		}
	}
	if a := link.Acknowledgement; a != nil && keys != nil {
		if err := w.embedded(keys, a, content, up); err != nil {
			fail(err)
			return nil
		}
		if other != nil {
			if err := published(ctx, other.View, keys, a.Transparent); err != nil {
				fail(fmt.Errorf("the Receipt that is embedded: %w", err))
				return nil
			}
		}
		up.Verified = append(up.Verified, withEmbedded)
	}
	if len(up.Verified) == 0 {
		fail(cmp.Or(err, fmt.Errorf("the log %s %w%s: give it with --upstream", link.To.Origin, errNotHere, why)))
		return nil
	}
	if other == nil {
		return nil
	}
	for _, asset := range up.Assets {
		node, err := w.visit(ctx, other, asset, depth+1)
		if err != nil {
			return err
		}
		up.Upstream = append(up.Upstream, node)
	}
	return nil
}

// open gives the log with an origin, and the keys whose Receipts count as its.
// It is one that was given, or else one that was seen before: where it was, if
// it is still there, and at least its keys.
func (w *follower) open(ctx context.Context, origin string) (l *party.Log, keys scitt.KeySet, why string, err error) {
	if l = w.logs[origin]; l != nil {
		keys, err = l.ReceiptKeys(ctx)
		return l, keys, "", err
	}
	known, err := w.options.Home.Known(origin)
	if err != nil {
		return nil, nil, ": " + err.Error(), nil
	}
	if known == nil {
		return nil, nil, "", nil
	}
	keys = known.ReceiptKeys()
	for _, address := range known.Addresses {
		f := w.f
		f.VKeys = nil // what is remembered counts
		l, err := w.openLog(ctx, address, f)
		if err == nil && l.View.Checkpoint.Origin == origin {
			w.logs[origin] = l
			return l, keys, "", nil
		}
		if err != nil && cli.ExitCode(err) == cli.ExitBad && !errors.Is(err, tiles.ErrCorrupt) {
			return nil, nil, "", err
		}
		w.Notice("notice: the log %s is not at %s any more", origin, address)
	}
	return nil, keys, "", nil
}

// fetch reads the entry in its log, and what it says.
func (w *follower) fetch(ctx context.Context, l *party.Log, up *followUp) (content []byte, err error) {
	e, err := w.findIn(ctx, l, party.EntryName{Location: l.Location, Index: up.To.Index})
	if err != nil {
		return nil, err
	}
	if id := e.Statement.ID().String(); id != up.To.EntryID {
		return nil, cli.Bad(fmt.Errorf("entry %d of %s is another one: %s", up.To.Index, l.Location, id))
	}
	there := &spokenOf{l, e}
	if up.Transparent, _, err = there.transparent(ctx); err != nil {
		return nil, err
	}
	up.Signer = e.Statement.Issuer
	content, err = there.content(ctx)
	if reader.Withheld(err) {
		up.Says = "its content is withheld, or elsewhere"
		w.unread = append(w.unread, fmt.Sprintf("the content of %s", up.To))
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	w.says(content, e.Statement, up)
	return content, nil
}

// says tells what the upstream's record says. It may be no record: then its
// type is what there is to tell.
func (w *follower) says(content []byte, s *scitt.Statement, up *followUp) {
	event, err := monitor.ParseEvent(content)
	if err != nil {
		up.Says = s.Type
		return
	}
	up.Says = event.Code()
	if up.Assets == nil {
		up.Assets = event.Assets
	}
}

// embedded verifies the Transparent Statement in an acknowledgement, and that
// it is about the assets that are named.
func (w *follower) embedded(keys scitt.KeySet, a *monitor.Acknowledgement, content []byte, up *followUp) error {
	s, err := scitt.DecodeStatement(a.Transparent)
	if err != nil {
		return err
	}
	v := &scitt.Verifier{LogKeys: keys, Leaf: []scitt.LeafMode{scitt.LeafEntry}}
	if key, ok := w.options.IssuerKeys[s.Issuer]; ok {
		v.IssuerKey = &key
	}
	if err := a.Verify(v, content); err != nil {
		return err
	}
	if up.Transparent == nil {
		up.Transparent, up.Signer = a.Transparent, s.Issuer
	}
	if content == nil && s.Envelope == nil {
		w.says(s.Payload, s, up)
	}
	return nil
}

// published holds the Receipts of a log in a Transparent Statement to the log,
// which must extend the trees that they are of.
func published(ctx context.Context, view *tiles.View, keys scitt.KeySet, transparent []byte) error {
	s, err := scitt.DecodeStatement(transparent)
	if err != nil {
		return err
	}
	cp := view.Checkpoint
	for _, data := range s.Receipts {
		r, err := scitt.ParseReceipt(data)
		if err != nil || keys.VerifyReceipt(r, s.Entry()) != nil {
			continue // another log's
		}
		for _, p := range r.Proofs {
			root, err := p.Root(scitt.LeafHash(s.Entry()))
			switch {
			case err != nil:
				return err
			case p.Size > cp.Size:
				return fmt.Errorf("its tree of %d entries %w: the log shows %d", p.Size, errNotHere, cp.Size)
			}
			if err := view.Consistency(ctx, &scitt.Checkpoint{Origin: cp.Origin, Size: p.Size, Root: root}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *follower) print(root followed) error {
	if w.JSON {
		return w.PrintJSON(root)
	}
	var b strings.Builder
	root.text(&b, "")
	_, err := w.Stdout.Write([]byte(b.String()))
	return err
}

// text writes the tree for people.
func (n followed) text(b *strings.Builder, indent string) {
	fmt.Fprintf(b, "%s%s in %s\n", indent, cli.Clean(n.Asset), cli.Clean(n.Origin))
	indent += "  "
	switch {
	case n.Note != "":
		fmt.Fprintf(b, "%s%s\n", indent, cli.Clean(n.Note))
	case len(n.Links) == 0:
		fmt.Fprintf(b, "%srests on nothing in another log\n", indent)
	}
	for _, l := range n.Links {
		fmt.Fprintf(b, "%s%s, entry %d, by %s\n", indent, cli.Clean(string(l.By)), l.From.Index, cli.Clean(l.Issuer))
		state := "verified " + strings.Join(slices.Collect(l.how), " and ")
		if l.Error != "" {
			state = "NOT VERIFIED: " + l.Error
		}
		fmt.Fprintf(b, "%s-> %s, %s\n", indent, cli.Clean(l.To.String()), cli.Clean(state))
		if l.Home != "" {
			fmt.Fprintf(b, "%s   only as of this log: its home is %s\n", indent, cli.Clean(l.Home))
		}
		if l.Says != "" {
			fmt.Fprintf(b, "%s   %s by %s\n", indent, cli.Clean(l.Says), cli.Clean(l.Signer))
		}
		for _, up := range l.Upstream {
			up.text(b, indent+"   ")
		}
	}
}

// how says what a reference was verified with.
func (l followUp) how(yield func(string) bool) {
	for _, v := range l.Verified {
		if !yield(map[string]string{withLog: "in its log", withEmbedded: "with the Receipt that is embedded"}[v]) {
			return
		}
	}
}
