package party

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/tiles"
)

// Followed is an asset of a log, and what it rests on.
type Followed struct {
	Asset  string         `json:"asset"`
	Origin string         `json:"origin"`
	Links  []FollowedLink `json:"links"`
	Note   string         `json:"note,omitempty"` // why it goes no further
}

// FollowedLink is a way from an asset to an entry of another log.
type FollowedLink struct {
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
	Upstream    []Followed `json:"upstream,omitempty"`
}

// How a link was found, and what it was verified with.
const (
	byAcknowledgement = "acknowledgement"
	byRecord          = "record"
	WithEmbedded      = "embedded" // the Receipt in the Transparent Statement that is embedded
	WithLog           = "log"      // the log that it leads to
)

// FollowOptions say how far [Follow] goes, and how logs are opened on the way.
type FollowOptions struct {
	Options
	Depth    int    // how many logs are followed, one after the other; at least 1
	Upstream []*Log // that are open; others are looked for where they were seen before
}

// Walk is what an asset rests on.
type Walk struct {
	Root   Followed
	Failed []string // references that do not verify
	Unread []string // references and statements that could not be checked or read
}

// Follow walks from an asset of a log to the entries of other logs that it rests
// on, and on from their assets, and verifies each of them: in its log, and with the
// Transparent Statement that an acknowledgement embeds, which needs nothing but the log's
// keys.
func Follow(ctx context.Context, l *Log, asset string, o FollowOptions) (*Walk, error) {
	w := &follower{o: o, logs: map[string]*Log{}, seen: map[[2]string]bool{}, walk: &Walk{}}
	for _, known := range append(slices.Clone(o.Upstream), l) {
		w.logs[known.Origin()] = known
	}
	root, err := w.visit(ctx, l, asset, 0)
	w.walk.Root = root
	return w.walk, err
}

// follower is one walk.
type follower struct {
	o    FollowOptions
	logs map[string]*Log    // by origin
	seen map[[2]string]bool // origin and asset
	walk *Walk
}

// visit looks for what an asset rests on.
func (w *follower) visit(ctx context.Context, l *Log, asset string, depth int) (Followed, error) {
	node := Followed{Asset: asset, Origin: l.View.Checkpoint.Origin, Links: []FollowedLink{}}
	key := [2]string{node.Origin, asset}
	switch {
	case w.seen[key]:
		node.Note = "it stands above already"
		return node, nil
	case depth >= w.o.Depth:
		node.Note = fmt.Sprintf("not followed: it is %d logs away", depth)
		return node, nil
	}
	w.seen[key] = true
	links, flaws, err := monitor.Links(ctx, l.Monitor(), asset)
	if err != nil {
		return node, fmt.Errorf("the log at %s: %w", l.Location, err)
	}
	noticeFlaws(flaws, w.o.notice)
	for _, b := range flaws {
		if what := fmt.Sprintf("%s (%s)", b.Entry, b.Kind); b.Unread() && !slices.Contains(w.walk.Unread, what) {
			w.walk.Unread = append(w.walk.Unread, what)
		}
	}
	for _, link := range links {
		up := FollowedLink{By: byRecord, From: link.From, Issuer: link.Issuer, To: link.To, Verified: []string{}}
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
func (w *follower) follow(ctx context.Context, link monitor.Link, up *FollowedLink, depth int) error {
	other, keys, why, err := w.open(ctx, link.To.Origin)
	if err != nil {
		return err
	}
	fail := func(err error) {
		up.Error = err.Error()
		list := &w.walk.Failed
		// What was read of its log is not what the log committed to: that says nothing
		// about the reference.
		if errors.Is(err, scitt.ErrUnchecked) || errors.Is(err, errNotHere) || errors.Is(err, tiles.ErrCorrupt) {
			list = &w.walk.Unread
		}
		*list = append(*list, fmt.Sprintf("%s, in %s: %v", link.To, link.From, err))
	}
	var content []byte
	if other != nil {
		content, err = w.fetch(ctx, other, up)
		switch unchecked := errors.Is(err, scitt.ErrUnchecked); {
		case err == nil:
			up.Verified = append(up.Verified, WithLog)
		case !unchecked && !Refutes(err):
			return err
		case !unchecked || link.Acknowledgement == nil:
			fail(err)
			return nil
		}
	}
	if a := link.Acknowledgement; a != nil && keys != nil {
		if err := w.embedded(keys, a, time.Unix(link.Issued, 0), content, up); err != nil {
			fail(err)
			return nil
		}
		if other != nil {
			if err := published(ctx, other.View, keys, a.Transparent); err != nil {
				fail(fmt.Errorf("the Receipt that is embedded: %w", err))
				return nil
			}
		}
		up.Verified = append(up.Verified, WithEmbedded)
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
func (w *follower) open(ctx context.Context, origin string) (l *Log, keys scitt.KeySet, why string, err error) {
	if l = w.logs[origin]; l != nil {
		keys, err = l.ReceiptKeys(ctx)
		return l, keys, "", err
	}
	known, err := w.o.Home.Known(origin)
	if err != nil {
		return nil, nil, ": " + err.Error(), nil
	}
	if known == nil {
		return nil, nil, "", nil
	}
	keys = known.ReceiptKeys()
	for _, address := range known.Addresses {
		o := w.o.Options
		o.VKeys = nil // what is remembered counts
		l, err := Open(ctx, address, o)
		if err == nil && l.View.Checkpoint.Origin == origin {
			w.logs[origin] = l
			return l, keys, "", nil
		}
		if err != nil && Refutes(err) && !errors.Is(err, tiles.ErrCorrupt) {
			return nil, nil, "", err
		}
		w.o.notice("notice: the log %s is not at %s any more", origin, address)
	}
	return nil, keys, "", nil
}

// fetch reads the entry in its log, and what it says.
func (w *follower) fetch(ctx context.Context, l *Log, up *FollowedLink) (content []byte, err error) {
	e, err := l.FindSigned(ctx, EntryName{Index: up.To.Index}, nil)
	if err != nil {
		return nil, err
	}
	if id := e.Statement.ID().String(); id != up.To.EntryID {
		return nil, fmt.Errorf("%w: entry %d of %s is another one: %s", ErrNoEntry, up.To.Index, l.Location, id)
	}
	if up.Transparent, _, err = l.Evidence(ctx, e); err != nil {
		return nil, err
	}
	up.Signer = e.Statement.Issuer
	content, err = l.ContentOf(ctx, e)
	if reader.Withheld(err) || errors.Is(err, reader.ErrPrivate) || errors.Is(err, reader.ErrUnread) {
		up.Says = "its content is withheld, private, or elsewhere, or cannot be read now"
		w.walk.Unread = append(w.walk.Unread, fmt.Sprintf("the content of %s", up.To))
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
func (w *follower) says(content []byte, s *scitt.Statement, up *FollowedLink) {
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
// it is about the assets that are named. It is held to the time at which the
// acknowledgement was signed.
func (w *follower) embedded(keys scitt.KeySet, a *monitor.Acknowledgement, at time.Time, content []byte, up *FollowedLink) error {
	s, err := scitt.DecodeStatement(a.Transparent)
	if err != nil {
		return err
	}
	if err := a.Verify(verifierAt(keys, w.o.IssuerKeys, s.Issuer, at), content); err != nil {
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
