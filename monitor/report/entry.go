package report

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/inspect"
	"github.com/conmotion/conmotion/tiles"
)

// entryPage is a page about one entry that the report rests on.
type entryPage struct {
	*Report
	Back        string // the report's page
	Checkpoint  checkpoint
	Commands    []command
	Content     string // what it says, where it stands in the log itself
	Digest      string // of the content that does not
	Entry       EntryLink
	Issued      string
	LeafHash    string
	Objects     []inspect.Object // the statement and its Receipt, decoded
	Problem     string           // why the Receipt or the signature does not verify
	Signed      string           // when the checkpoint was
	Statement   *scitt.Statement
	Tile        string // the file that the entry is in
	Transparent bool   // there is a Transparent Statement, and it was verified
}

// pageName is the name of the file with the page about an entry.
func pageName(ref monitor.EntryRef) string {
	sum := sha256.Sum256([]byte(ref.Origin))
	return fmt.Sprintf("entry-%x-%d.html", sum[:4], ref.Index)
}

// pages are the report as [Report.HTML], whose links to entries lead to pages in the folder dir, and these pages by
// the names of their files. Back is the name of the report's file as seen from there. The logs are those that the report
// was made of.
func (r *Report) pages(ctx context.Context, sources []Source, dir, back string) (page []byte, entries map[string][]byte, err error) {
	wanted := map[monitor.EntryRef]bool{}
	note := func(e EntryLink) string {
		wanted[e.EntryRef] = true
		return ""
	}
	if _, err := r.page(note); err != nil {
		return nil, nil, err
	}
	entries = map[string][]byte{}
	for i := range sources {
		if err := r.entryPages(ctx, &sources[i], wanted, back, entries); err != nil {
			return nil, nil, err
		}
	}
	page, err = r.page(func(e EntryLink) string {
		if name := pageName(e.EntryRef); wanted[e.EntryRef] && entries[name] != nil {
			return dir + "/" + name
		}
		return e.URL
	})
	return page, entries, err
}

// entryPages makes the pages about those entries that a log has where the report says. The others are not wanted any
// more.
func (r *Report) entryPages(ctx context.Context, s *Source, wanted map[monitor.EntryRef]bool, back string, out map[string][]byte) error {
	if s.log == nil || !slices.ContainsFunc(r.Logs, func(l logHealth) bool { return l.Location == s.location && l.State == stateGood }) {
		return nil
	}
	cp := s.log.Checkpoint
	var refs []monitor.EntryRef
	for ref := range wanted {
		if ref.Origin == cp.Origin && ref.Index < cp.Size && out[pageName(ref)] == nil {
			refs = append(refs, ref)
		}
	}
	slices.SortFunc(refs, compareRefs)
	for n := 0; len(refs) > 0; refs = refs[n:] {
		// One read for those that are in the same bundle.
		for n = 1; n < len(refs) && refs[n].Index/tiles.Width == refs[0].Index/tiles.Width; n++ {
		}
		for e, err := range s.log.Source.Entries(ctx, refs[0].Index, refs[n-1].Index+1) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				break // it was readable when the report was made; now there is no page
			}
			for _, ref := range refs[:n] {
				if ref.Index != e.Index {
					continue
				}
				st, err := scitt.DecodeEntry(e.Data)
				if err != nil || st.ID().String() != ref.EntryID {
					delete(wanted, ref) // the log has another entry there
					continue
				}
				if out[pageName(ref)], err = r.entry(ctx, s, ref, st, back); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// entry is the page about an entry.
func (r *Report) entry(ctx context.Context, s *Source, ref monitor.EntryRef, st *scitt.Statement, back string) ([]byte, error) {
	cp := s.log.Checkpoint
	p := entryPage{
		Report: r, Back: back, Entry: (&log{Source: s}).link(ref), Checkpoint: *pinned(cp), Statement: st, LeafHash: fmt.Sprintf("%x", scitt.LeafHash(st.Entry())),
		Tile: tiles.BundlePath(ref.Index/tiles.Width, int(min(tiles.Width, cp.Size-ref.Index/tiles.Width*tiles.Width))),
	}
	if st.IssuedAt > 0 && st.IssuedAt <= lastSecond {
		p.Issued = timestamp(unix(st.IssuedAt))
	}
	if cp.Tree != nil && cp.Tree.IssuedAt > 0 && cp.Tree.IssuedAt <= lastSecond {
		p.Signed = timestamp(unix(cp.Tree.IssuedAt))
	}
	if st.Envelope != nil {
		p.Digest = fmt.Sprintf("%x", st.Payload)
	} else if list := inspect.Bytes(st.Payload); len(list) > 0 && list[0].Diagnostic != "" {
		p.Content = list[0].Diagnostic
	} else {
		p.Content = string(st.Payload)
	}
	data, err := []byte(nil), errors.New("the log's Receipts were not asked for")
	if s.evidence != nil {
		data, err = s.evidence(ctx, ref.Index, st)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if p.Transparent = err == nil; err != nil {
		p.Problem, data = err.Error(), st.Entry()
	}
	p.Objects = inspect.Bytes(data)
	index := fmt.Sprint(ref.Index)
	p.Commands = []command{
		{commandLine("conmotion", "receipt", "--static", s.location, "--index", index, "--transparent", "--out", "entry.cose"), "Make the statement with its Receipt from the log's files"},
		{commandLine("conmotion", "verify", "--static", s.location, "entry.cose"), "Verify it"},
		{commandLine("conmotion", "inspect", "entry.cose"), "Decode it"},
	}
	return r.render("entry", p, nil)
}
