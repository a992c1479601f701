package witness

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/scitt"
)

// ErrPolicy is wrapped when a file is not a policy (C2SP tlog-policy).
var ErrPolicy = errors.New("not a witness policy")

// Policy says which witnesses must have cosigned a checkpoint for it to count (C2SP
// tlog-policy). It counts witnesses, where a [Quorum] counts logs. Each witness has
// another public key, so none counts twice.
type Policy struct {
	Logs      []note.Verifier // keys, by any one of which a checkpoint must be signed; none where the log is known from elsewhere
	Witnesses []PolicyWitness // in the order of the file

	text   []byte
	quorum *member // nil for "none"
}

// PolicyWitness is a witness that a policy names.
type PolicyWitness struct {
	Name string // within the policy
	Key  *scitt.CosignatureVerifier
	URL  string // submission prefix (C2SP tlog-witness); "" for none
}

// member is a name that a group or the quorum can have: a witness, or a group of
// which so many members are needed.
type member struct {
	name    string
	witness int // index; -1 for a group
	needed  int
	of      []*member
	taken   bool // listed in a group
}

// decimal is a number as the policy has it: positive, without leading zeros.
var decimal = regexp.MustCompile(`^[1-9][0-9]{0,8}$`)

// policyParser reads a policy.
type policyParser struct {
	Policy
	names     map[string]*member
	keys      map[string]bool // raw public keys
	hasQuorum bool
}

// ParsePolicy reads a policy. Every line of it, the last one too, ends with a
// newline. Errors wrap ErrPolicy.
func ParsePolicy(data []byte) (*Policy, error) {
	p := &policyParser{Policy: Policy{text: bytes.Clone(data)}, names: map[string]*member{"none": nil}, keys: map[string]bool{}}
	bad := func(n int, err error) error { return fmt.Errorf("%w: line %d: %w", ErrPolicy, n, err) }
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		text, ended := strings.CutSuffix(line, "\n")
		if !ended {
			return nil, bad(n, errors.New("it does not end with a newline, so the file may be cut short"))
		}
		// C2SP tlog-policy: "The only allowed control characters are tab and newline".
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return nil, bad(n, errors.New("control characters other than tab are not allowed, a carriage return neither"))
		}
		// "whitespace" means "sequences of ASCII space and tab characters *only*".
		items := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\t' })
		if len(items) == 0 || strings.HasPrefix(items[0], "#") {
			continue
		}
		if err := p.line(items); err != nil {
			return nil, bad(n, err)
		}
	}
	// C2SP tlog-policy: "A policy file must include exactly one quorum line."
	if !p.hasQuorum {
		return nil, fmt.Errorf("%w: there is no quorum line", ErrPolicy)
	}
	return &p.Policy, nil
}

func (p *policyParser) line(items []string) error {
	args := items[1:]
	switch items[0] {
	case "log":
		if len(args) < 1 || len(args) > 2 {
			return errors.New("it is not: log VKEY [URL]")
		}
		return p.log(args[0])
	case "witness":
		if len(args) < 2 || len(args) > 3 {
			return errors.New("it is not: witness NAME VKEY [URL]")
		}
		return p.witness(args[0], args[1], strings.Join(args[2:], ""))
	case "group":
		if len(args) < 3 {
			return errors.New("it is not: group NAME all|any|NUMBER and its members")
		}
		return p.group(args[0], args[1], args[2:])
	case "quorum":
		if len(args) != 1 {
			return errors.New("it is not: quorum NAME")
		}
		if p.hasQuorum {
			return errors.New("there is another quorum line")
		}
		m, ok := p.names[args[0]]
		if !ok {
			return fmt.Errorf("the quorum %q is not defined above", args[0])
		}
		p.quorum, p.hasQuorum = m, true
		return nil
	}
	return fmt.Errorf("%q is not log, witness, group or quorum", items[0])
}

func (p *policyParser) log(vkey string) error {
	v, raw, err := LogVerifier(vkey)
	if err != nil {
		return err
	}
	if err := p.key(raw); err != nil {
		return err
	}
	p.Logs = append(p.Logs, v)
	return nil
}

// LogVerifier reads the key of a log, and its raw public key: Ed25519, as most logs
// have it, or one that signs in the form of cosignatures (C2SP tlog-checkpoint:
// "Logs SHOULD use ML-DSA-44 cosignatures to sign the checkpoint").
func LogVerifier(vkey string) (v note.Verifier, raw []byte, err error) {
	if c, err := scitt.NewCosignatureVerifier(vkey); err == nil {
		return c, c.PublicKey(), nil
	}
	if v, err = note.NewVerifier(vkey); err != nil {
		return nil, nil, fmt.Errorf("the key of a log is Ed25519 or ML-DSA-44: %q: %w", vkey, err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.SplitN(vkey, "+", 3)[2])
	return v, key[1:], err
}

func (p *policyParser) witness(name, vkey, url string) error {
	v, err := scitt.NewCosignatureVerifier(vkey)
	if err != nil {
		return err
	}
	if err := p.key(v.PublicKey()); err != nil {
		return err
	}
	p.Witnesses = append(p.Witnesses, PolicyWitness{name, v, url})
	return p.define(&member{name: name, witness: len(p.Witnesses) - 1})
}

// key refuses a public key that is there already, under whatever name.
//
// C2SP tlog-policy: "Two vkeys are considered duplicate if they wrap the same
// underlying public key, even if they differ by key name and key id." A log that
// is its own witness says nothing new either.
func (p *policyParser) key(raw []byte) error {
	if p.keys[string(raw)] {
		return errors.New("its public key is there already; under another name it is the same party")
	}
	p.keys[string(raw)] = true
	return nil
}

func (p *policyParser) define(m *member) error {
	if _, ok := p.names[m.name]; ok {
		return fmt.Errorf("the name %q is taken", m.name)
	}
	p.names[m.name] = m
	return nil
}

func (p *policyParser) group(name, needed string, names []string) error {
	g := &member{name: name, witness: -1}
	for _, name := range names {
		m := p.names[name]
		if m == nil { // none, too
			return fmt.Errorf("the member %q is not defined above", name)
		}
		// C2SP tlog-policy: "Each defined name can be listed as a group member at most once."
		if m.taken {
			return fmt.Errorf("%q is a member of a group already", name)
		}
		m.taken = true
		g.of = append(g.of, m)
	}
	switch {
	case needed == "any":
		g.needed = 1
	case needed == "all":
		g.needed = len(g.of)
	case decimal.MatchString(needed):
		g.needed, _ = strconv.Atoi(needed)
	}
	// C2SP tlog-policy: "it is required that 1 <= k <= n".
	if g.needed < 1 || g.needed > len(g.of) {
		return fmt.Errorf("%q of %d members is neither all, any, nor a number from 1 to %d", needed, len(g.of), len(g.of))
	}
	return p.define(g)
}

// String is the policy as it was written.
func (p *Policy) String() string { return string(p.text) }

// Reachable reports whether these witnesses can make the quorum.
func (p *Policy) Reachable(names []string) bool {
	cosigned := map[int]bool{}
	for i, w := range p.Witnesses {
		cosigned[i] = slices.Contains(names, w.Name)
	}
	return p.quorum.met(cosigned)
}

// SharedHosts are the hosts at which the policy has more than one key.
func (p *Policy) SharedHosts() (shared []string) {
	seen := map[string]int{}
	for _, w := range p.Witnesses {
		if u, err := url.Parse(w.URL); err == nil && u.Host != "" {
			if seen[u.Host]++; seen[u.Host] == 2 {
				shared = append(shared, u.Host)
			}
		}
	}
	return shared
}

// met reports whether the witnesses that cosigned are enough for a member.
func (m *member) met(cosigned map[int]bool) bool {
	if m == nil {
		return true
	}
	if m.witness >= 0 {
		return cosigned[m.witness]
	}
	n := 0
	for _, of := range m.of {
		if of.met(cosigned) {
			n++
		}
	}
	return n >= m.needed
}

// Rule is what the quorum asks for, in words such as "2 of (w1, w2, w3)".
func (p *Policy) Rule() string {
	if p.quorum == nil {
		return "no witness"
	}
	return p.quorum.rule()
}

func (m *member) rule() string {
	if m.witness >= 0 {
		return m.name
	}
	var of []string
	for _, m := range m.of {
		of = append(of, m.rule())
	}
	return fmt.Sprintf("%d of (%s)", m.needed, strings.Join(of, ", "))
}
