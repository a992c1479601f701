package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/conmotion/conmotion/internal/jsonx"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
)

// mode says how strictly chains and artifacts are treated.
type mode string

// The modes of "chain" and "artifact".
const (
	modeOff      mode = "off"      // not looked at
	modeOptional mode = "optional" // may be missing; what is there must be right
	modeRequired mode = "required" // must be there and right
)

// handoverMode reports whether a chain may go on under another issuer.
type handoverMode string

// The values of "handover".
const (
	handoverOff     handoverMode = "off"
	handoverAllowed handoverMode = "allowed"
)

// ocsfMode says what follows from an event that is not valid.
type ocsfMode string

// The modes of "ocsf.mode".
const (
	ocsfOff     ocsfMode = "off"
	ocsfWarn    ocsfMode = "warn"
	ocsfEnforce ocsfMode = "enforce"
)

// signatureForm says which of the two forms of an ECDSA signature is admitted.
type signatureForm string

// The forms of "signature".
const (
	anyForm signatureForm = "any"
	lowS    signatureForm = "low-s" // s <= n/2: see [scitt.Statement.LowS]
)

const (
	maxDocument = 64 << 10 // bytes; a policy must fit into an entry
	maxRules    = 64
	maxIssuers  = 1024
	maxKeys     = 1024
)

// grant is an entry of "issuers" or "administrators": who it is, how it is
// known, and what it may sign.
type grant struct {
	issuer       string // a pattern, for issuers
	keys         []*trustKey
	pins         []*did.X509 // "certificates"
	subjects     []string    // patterns; empty: any
	contentTypes []string    // patterns in lower case; empty: any

	pos    int
	keyIDs []string
	path   string
}

// ocsfPolicy is the member "ocsf".
type ocsfPolicy struct {
	mode     ocsfMode
	versions []string
	classes  []int64
	schema   string // hex SHA-256 of the schema file; "" for the built-in one
	pos      int
}

// document reads the whole document into the policy.
func (p *Policy) document(d *decoder, root *node) {
	var version, maxEntry int64 = 0, scitt.MaxEntrySize
	p.chain, p.handover, p.artifact, p.ocsf.mode, p.form = modeOff, handoverOff, modeOff, ocsfOff, anyForm
	d.object(root, "", fields{
		"version":        d.integer(&version, 1, 1),
		"description":    d.text(&p.description),
		"previous":       func(n *node, path string) { p.readPrevious(d, n, path) },
		"trust_anchors":  func(n *node, path string) { p.readAnchors(d, n, path) },
		"issuers":        func(n *node, path string) { p.issuers = p.readGrants(d, n, path, true) },
		"administrators": func(n *node, path string) { p.admins = p.readGrants(d, n, path, false) },
		"limits": func(n *node, path string) {
			d.object(n, path, fields{
				"max_entry_bytes": d.integer(&maxEntry, 1, scitt.MaxEntrySize),
				"algorithms": d.texts(&p.algorithms, func(s string) error {
					if !slices.Contains(scitt.Algorithms(), s) {
						return fmt.Errorf("%s is none of %s", quote(s), strings.Join(scitt.Algorithms(), ", "))
					}
					return nil
				}),
			})
		},
		"signature": choice(d, &p.form, anyForm, lowS),
		"chain":     choice(d, &p.chain, modeOff, modeOptional, modeRequired),
		"handover":  choice(d, &p.handover, handoverOff, handoverAllowed),
		"artifact":  choice(d, &p.artifact, modeOff, modeOptional, modeRequired),
		"ocsf":      func(n *node, path string) { p.readOCSF(d, n, path) },
		"rules":     func(n *node, path string) { p.readRules(d, n, path) },
	}, "version")
	p.maxEntry = int(maxEntry)
	if p.algorithms == nil {
		p.algorithms = scitt.Algorithms()
	}
	p.link(d, p.issuers)
	p.link(d, p.admins)
	p.oneKeyEach(d)
	p.checkModes(d)
}

func (p *Policy) readPrevious(d *decoder, n *node, path string) {
	var s string
	if d.text(&s)(n, path); s == "" {
		return
	}
	id, err := scitt.ParseEntryID(s)
	if err != nil {
		d.errorf(n.pos, path, "%v", err)
	}
	p.previous = &id
}

// readGrants reads "issuers", or "administrators", which have no patterns.
func (p *Policy) readGrants(d *decoder, n *node, path string, issuers bool) []*grant {
	var out []*grant
	seen := map[string]bool{}
	d.each(n, path, func(n *node, path string) {
		g := &grant{pos: n.pos, path: path}
		f := fields{
			"issuer": d.text(&g.issuer),
			"keys":   d.texts(&g.keyIDs, func(string) error { return nil }),
			"certificates": d.texts(new([]string), func(s string) error {
				pin, err := did.ParseX509(s)
				g.pins = append(g.pins, pin)
				return err
			}),
		}
		if issuers {
			f["subjects"] = d.texts(&g.subjects, func(string) error { return nil })
			f["content_types"] = d.texts(&g.contentTypes, func(s string) error {
				if strings.Contains(s, ";") {
					return errors.New("content types are compared without their parameters; leave out what follows the semicolon")
				}
				return nil
			})
		}
		d.object(n, path, f, "issuer")
		for i, t := range g.contentTypes {
			g.contentTypes[i] = strings.ToLower(t)
		}
		switch {
		case seen[g.issuer]:
			d.errorf(n.pos, path+".issuer", "%s is there twice", quote(g.issuer))
		case !issuers && isPattern(g.issuer):
			d.errorf(n.pos, path+".issuer", "an administrator is named exactly, without *")
		}
		seen[g.issuer] = true
		out = append(out, g)
	})
	if len(out) > maxIssuers {
		d.errorf(n.pos, path, "%d entries, and %d are allowed", len(out), maxIssuers)
	}
	return out
}

// link finds the keys that grants name, and checks that what a grant says
// about an issuer fits its DID.
func (p *Policy) link(d *decoder, grants []*grant) {
	for _, g := range grants {
		for _, id := range g.keyIDs {
			i := slices.IndexFunc(p.keys, func(k *trustKey) bool { return k.id == id })
			if i < 0 {
				d.errorf(g.pos, g.path+".keys", "no key %s in trust_anchors.keys", quote(id))
				continue
			}
			g.keys = append(g.keys, p.keys[i])
		}
		if did.Method(g.issuer) != "" && (g.keyIDs != nil || g.pins != nil) {
			d.errorf(g.pos, g.path, "a %s issuer is known by its DID alone: leave out keys and certificates", did.Method(g.issuer))
		}
		if isPattern(g.issuer) {
			continue
		}
		var err error
		switch did.Method(g.issuer) {
		case did.MethodJWK, did.MethodKey:
			_, err = scitt.KeyOf(g.issuer)
		case did.MethodX509:
			_, err = did.ParseX509(g.issuer)
		}
		if err != nil {
			d.errorf(g.pos, g.path+".issuer", "%v", err)
		}
	}
}

// oneKeyEach refuses two keys for one issuer and kid, which would leave open
// whose signature is asked for. An issuer may stand in "issuers" and in
// "administrators".
func (p *Policy) oneKeyEach(d *decoder) {
	for _, g := range slices.Concat(p.issuers, p.admins) {
		keys := g.keys
		for _, other := range p.issuers {
			if other != g && !isPattern(g.issuer) && (other.issuer == g.issuer || match(other.issuer, g.issuer)) {
				keys = slices.Concat(keys, other.keys)
			}
		}
		for i, a := range keys {
			for _, b := range keys[:i] {
				if a != b && a.sharesKid(b) {
					d.errorf(g.pos, g.path+".keys", "the keys %s and %s have one kid, and both may sign as %s; give them different ones", quote(b.id), quote(a.id), quote(g.issuer))
				}
			}
		}
	}
}

func (p *Policy) readOCSF(d *decoder, n *node, path string) {
	o := &p.ocsf
	o.pos = n.pos
	d.object(n, path, fields{
		"mode": choice(d, &o.mode, ocsfOff, ocsfWarn, ocsfEnforce),
		"versions": d.texts(&o.versions, func(s string) error {
			if !isVersion(s) {
				return fmt.Errorf("%s is no OCSF version such as 1.5.0", quote(s))
			}
			return nil
		}),
		"classes": func(n *node, path string) {
			d.each(n, path, func(n *node, path string) {
				var c int64
				d.integer(&c, 1, 1<<31)(n, path)
				switch {
				case c == 0:
				case slices.Contains(o.classes, c):
					d.errorf(n.pos, path, "class %d is there twice", c)
				case !slices.Contains(p.schema().Classes(), c):
					d.errorf(n.pos, path, "class %d is not in the OCSF %s schema, which has %v", c, p.schema().Version(), p.schema().Classes())
				}
				o.classes = append(o.classes, c)
			})
		},
		"schema": func(n *node, path string) {
			if d.text(&o.schema)(n, path); o.schema == "" {
				return
			}
			if raw, err := hex.DecodeString(o.schema); err != nil || len(raw) != sha256.Size || hex.EncodeToString(raw) != o.schema {
				d.errorf(n.pos, path, "expected the SHA-256 of the schema file as 64 lowercase hexadecimal characters")
			} else if o.schema != p.schemaDigest {
				d.errorf(n.pos, path, "the policy is written for the OCSF schema file with this SHA-256, and %s is loaded", schemaName(p.schemaDigest))
			}
		},
	}, "mode")
	if o.schema == "" && p.schemaDigest != "" && o.mode != ocsfOff {
		d.errorf(n.pos, path+".schema", "missing: %s is loaded, and without its SHA-256 in the policy nobody can replay the checks", schemaName(p.schemaDigest))
	}
}

// isVersion reports whether s is three numbers such as 1.5.0.
func isVersion(s string) bool {
	parts := strings.Split(s, ".")
	return len(parts) == 3 && !slices.ContainsFunc(parts, func(p string) bool {
		return p == "" || strings.Trim(p, "0123456789") != ""
	})
}

func schemaName(digest string) string {
	if digest == "" {
		return "the built-in schema"
	}
	return "the schema file with SHA-256 " + digest
}

func (p *Policy) readRules(d *decoder, n *node, path string) {
	seen := map[string]bool{}
	env, err := ruleEnv()
	if err != nil {
		d.errorf(n.pos, path, "%v", err)
		return
	}
	d.each(n, path, func(n *node, path string) {
		r := &rule{pos: n.pos}
		d.object(n, path, fields{
			"id":      d.text(&r.id),
			"expr":    d.text(&r.expr),
			"message": d.text(&r.message),
		}, "id", "expr", "message")
		if r.id != "" {
			at := n.member("id").pos
			switch {
			case seen[r.id]:
				d.errorf(at, path+".id", "%s is there twice", quote(r.id))
			case strings.Trim(r.id, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" || len(r.id) > 64:
				d.errorf(at, path+".id", "an id consists of a-z, 0-9, -, _ and . and has at most 64 of them")
			case slices.Contains(builtin, r.id):
				d.errorf(at, path+".id", "%s is the id of a built-in check", quote(r.id))
			}
			seen[r.id] = true
		}
		if r.expr != "" && len(p.rules) < maxRules {
			p.compile(d, env, r, n.member("expr"), path+".expr")
		}
		p.rules = append(p.rules, r)
	})
	if len(p.rules) > maxRules {
		d.errorf(n.pos, path, "%d rules, and %d are allowed", len(p.rules), maxRules)
	}
}

// WithPrevious gives the canonical form of a policy document with its member
// "previous" set to the entry id of the policy that it replaces. Errors wrap
// ErrInvalid when doc is not a JSON object.
func WithPrevious(doc []byte, id scitt.EntryID) ([]byte, error) {
	members, err := jsonx.Members(doc)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	members["previous"] = json.RawMessage(`"` + id.String() + `"`)
	out, err := json.Marshal(members)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return canonical(out)
}
