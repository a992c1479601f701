package monitor

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/conmotion/conmotion/internal/jsonx"
	"github.com/conmotion/conmotion/scitt"
)

// Resume reads a saved replay. It can go on with [Replay.Advance].
// Errors wrap ErrMalformed.
func Resume(data []byte) (*Replay, error) {
	var d replayDocument
	if err := jsonx.Unmarshal(data, &d); err != nil {
		return nil, malformed("%w", err)
	}
	if d.Format != formatReplay || d.State == nil {
		return nil, malformed("this is not a saved replay of format %s", formatReplay)
	}
	if !isSealed(data) {
		return nil, malformed("the saved replay was changed: begin without it")
	}
	return d.replay()
}

func (d *replayDocument) replay() (*Replay, error) {
	r := NewReplay(Filter{d.Selected.Issuers, d.Selected.Types}, nil)
	cp, err := d.State.Checkpoint.checkpoint()
	if err != nil {
		return nil, err
	}
	if d.Entries > cp.Size {
		return nil, malformed("%d entries were read of a log with %d", d.Entries, cp.Size)
	}
	if r.once, err = LoadOnce(d.State.Once, d.Entries); err != nil {
		return nil, err
	}
	r.until, r.checkpoint, r.next = d.Selected.Until, *cp, d.Entries
	r.handovers = d.Handovers
	for _, h := range r.handovers {
		r.heirs.add(chainKey{h.To, h.Chain})
	}
	r.anomalies, r.anomaliesMore, r.counts, r.lastTime = d.Anomalies, d.AnomaliesMore, d.Counts, d.State.LastTime
	for _, issuer := range d.Issuers {
		r.intern(issuer)
	}
	for _, a := range d.Anomalies {
		_, err := a.Entry.check()
		if a.Kind == AnomalyNoStatement && a.Entry.EntryID == "" {
			err = nil
		}
		if err != nil || a.Entry.Index >= r.next || a.Entry.Origin != cp.Origin {
			return nil, malformed("an anomaly is of entry %d of %.80q", a.Entry.Index, a.Entry.Origin)
		}
	}
	for _, fill := range []func(*Replay) error{d.readConfigs, d.readAssets, d.readChains, d.readDeleted, d.readScans, d.readNames} {
		if err := fill(r); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *Replay) known(issuer int, refs ...refDocument) ([]Ref, error) {
	if issuer < 0 || issuer >= len(r.issuers) {
		return nil, malformed("there is no issuer %d", issuer)
	}
	out := make([]Ref, len(refs))
	for i, d := range refs {
		var err error
		if out[i], err = d.ref(); err != nil {
			return nil, malformed("%w", err)
		}
		if d.Index >= r.next {
			return nil, malformed("entry %d has not been read", d.Index)
		}
	}
	return out, nil
}

func (d *replayDocument) readAssets(r *Replay) error {
	for i, a := range d.Assets {
		if i > 0 && d.Assets[i-1].UID >= a.UID {
			return malformed("the asset %.80q is not in its order", a.UID)
		}
		refs, err := r.known(a.Issuer, a.Created, a.Last)
		if err != nil {
			return err
		}
		digest, err := readDigest(a.UID, a.SHA256)
		if err != nil {
			return err
		}
		r.assets[a.UID] = &asset{refs[0], refs[1], a.Issuer, r.traits.number(Traits{a.Account, a.Region, a.Type, a.Tags}), digest, a.Seen, false}
	}
	return nil
}

func readDigest(uid, text string) (digest [sha256.Size]byte, err error) {
	if n, err := hex.Decode(digest[:], []byte(text[:min(len(text), 2*sha256.Size)])); err != nil || 2*n != len(text) || n != len(digest) {
		return digest, malformed("sha256 of %.80q", uid)
	}
	return digest, nil
}

func (d *replayDocument) readScans(r *Replay) error {
	for _, s := range d.State.Scans {
		id, err := scitt.ParseEntryID(s.EntryID)
		if err != nil || s.Issuer < 0 || s.Issuer >= len(r.issuers) {
			return malformed("the scan %.80q of issuer %d", s.EntryID, s.Issuer)
		}
		r.scans[s.Issuer] = lastScan{id, s.What}
	}
	return nil
}

func (d *replayDocument) readNames(r *Replay) error {
	for _, n := range d.State.Names {
		if n.Issuer < 0 || n.Issuer >= len(r.issuers) || n.Index >= r.next {
			return malformed("the name %.80q of issuer %d in entry %d", n.Name, n.Issuer, n.Index)
		}
		key := aliasKey{n.Issuer, n.Name}
		r.names[key] = append(r.names[key], claim{n.Asset, n.Index})
	}
	return nil
}

func (d *replayDocument) readConfigs(r *Replay) error {
	for i, c := range d.Configurations {
		if i > 0 && d.Configurations[i-1].UID >= c.UID {
			return malformed("the configuration %.80q is not in its order", c.UID)
		}
		refs, err := r.known(c.Issuer, c.Created, c.Last)
		if err != nil {
			return err
		}
		f := &configuration{created: refs[0], last: refs[1], issuer: c.Issuer, own: len(c.Assets) == 1 && c.Assets[0] == c.UID}
		f.traits = r.traits.number(Traits{c.Account, c.Region, c.Type, c.Tags})
		if f.digest, err = readDigest(c.UID, c.SHA256); err != nil {
			return err
		}
		if !f.own {
			f.assets = c.Assets
			for _, a := range c.Assets {
				r.link(a, c.UID)
			}
		}
		r.configs[c.UID] = f
	}
	return nil
}

func (d *replayDocument) readChains(r *Replay) error {
	for _, c := range d.State.Chains {
		refs, err := r.known(c.Issuer, c.Head)
		if err != nil {
			return err
		}
		r.chains[chainKey{r.issuers[c.Issuer], c.Name}] = chainHead{refs[0], c.Seq, string(c.Given)}
	}
	return nil
}

func (d *replayDocument) readDeleted(r *Replay) error {
	for _, g := range d.State.Deleted {
		ref, err := g.Entry.ref()
		if err != nil {
			return malformed("%w", err)
		}
		r.dead.bury(grave{graveKey{g.What, g.UID}, ref, g.WithAsset, g.Inferred})
	}
	return nil
}
