package importer

import (
	"encoding/base64"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/conmotion/conmotion/monitor/disclosure"
)

// Secrets are fields that are known to hold secrets.
type Secrets struct {
	Kind     string // such as environment
	Of       string // where they are, for people
	Patterns []string
	// Only, when not "", is the kind of the Kubernetes object in a member of which they are.
	Only string
	// Derived fields are taken out where another one of their item is: a hash of what
	// was there would let everybody try values.
	Derived bool
}

// KnownSecrets is what an import takes out unless it is told otherwise. The table in
// docs/monitoring.md is this one, and a test holds them together.
func KnownSecrets() []Secrets {
	return []Secrets{
		{Kind: "environment", Of: "environment of ECS and Batch containers, Lambda, CodeBuild, Elastic Beanstalk, App Runner, Amplify, SageMaker; Cloud Run, Cloud Functions; App Service and Functions, Container Apps, Container Instances; Kubernetes' pods", Patterns: []string{
			"environment[].value", "environment.variables.*", "*environmentVariables[].value", "*environmentVariables[].secureValue", "*environmentVariables.*", "env[].value",
			"*environmentVariable[].value", "metadata.environment.*", "envVariables.*", "buildEnvVariables.*", "steps[].env[]", "substitutions.*", "appSettings.*", "setting[].value",
			"containers[].environment.*", "primaryContainer.environment.*", "optionSettings[].value", "appSettings[].value", "configuration.secrets[].value"}},
		{Kind: "user-data", Of: "user data of EC2 instances, launch templates and configurations; metadata of Compute Engine; custom data of Azure's machines", Patterns: []string{
			"userData", "userData.value", "userDataBase64", "customData", "metadata.items[].value", "commonInstanceMetadata.items[].value", "metadataStartupScript", "metadata.startupScript",
			"nodeConfig.metadata.*", "gceClusterConfig.metadata.*"}},
		{Kind: "connection-string", Of: "connection strings of any service", Patterns: []string{
			"*connectionString", "*connectionStrings[].connectionString", "*connectionStrings.*"}},
		{Kind: "credential", Of: "passwords, private keys, access keys and tokens, by their names, in any service", Patterns: []string{
			"*password", "*passphrase", "*passwd", "*clientSecret", "*sharedSecret", "*secretKey", "*secretAccessKey", "*secretString", "privateKey", "privateKeyData", "privateKeyPem",
			"*apiKey", "*accountKey", "*sharedKey", "*sharedAccessKey", "primaryKey", "secondaryKey", "*authToken", "*oauthToken", "*accessToken", "*refreshToken", "*sasToken", "token",
			"*splunkToken", "workspaceKey", "azureFilesKey", "insecureValue", "protectedSettings", "customerGatewayConfiguration", "parameters[].parameterValue", "outputs[].outputValue",
			"customHeaders.items[].headerValue"}},
		{Kind: "kubernetes-secret", Of: "data of Kubernetes' Secrets", Only: "Secret", Patterns: []string{"data.*", "stringData.*"}},
		{Kind: "hash", Of: "the provider's own hash of what was there, where another field of the item is taken out", Derived: true, Patterns: []string{
			"configurationItemMD5Hash", "configurationMd5Hash", "codeSha256", "metadata.fingerprint", "etag"}},
	}
}

// Kinds that are none of KnownSecrets: of a pattern that was given, and of what can be shown later.
const asked, shownLater = "asked", "disclosable"

// Redactor takes fields out of source items before anything is made of them. It counts
// what it took out, and serves one goroutine.
type Redactor struct {
	rules []rule
	keep  []disclosure.Pattern
	// disclosable are the fields that can be shown later; the others are gone.
	disclosable []disclosure.Pattern
	named       map[string]bool // kinds that are kept or, where it is true, can be shown later
	secret      *disclosure.Secret
	counts      map[string]int
	folded      map[string]string // names of members, as steps
}

type rule struct {
	disclosure.Pattern
	kind, only string
	derived    bool
}

// RedactOptions change what is taken out. Each is a pattern ([disclosure.Pattern]), or "@"
// and a kind of [KnownSecrets], or "@all" for all of these.
type RedactOptions struct {
	Redact      []string // beside the known fields; a pattern
	Keep        []string // what stays
	Disclosable []string // what can be shown later, whether it would be taken out or not
	Secret      *disclosure.Secret
}

// NewRedactor makes a Redactor. The error says which pattern is none.
func NewRedactor(o RedactOptions) (*Redactor, error) {
	r := &Redactor{named: map[string]bool{}, secret: o.Secret, counts: map[string]int{}, folded: map[string]string{}}
	known := map[string]bool{"all": true}
	for _, s := range KnownSecrets() {
		known[s.Kind] = true
		for _, text := range s.Patterns {
			p, err := disclosure.ParsePattern(text)
			if err != nil {
				return nil, err
			}
			r.rules = append(r.rules, rule{p, s.Kind, s.Only, s.Derived})
		}
	}
	read := func(texts []string, shown bool) (out []disclosure.Pattern, err error) {
		for _, text := range texts {
			if kind, ok := strings.CutPrefix(text, "@"); ok {
				if !known[kind] {
					return nil, fmt.Errorf("%q is none of the kinds %s", text, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
				}
				r.named[kind] = shown
				continue
			}
			p, err := disclosure.ParsePattern(text)
			if err != nil {
				return nil, err
			}
			out = append(out, p)
		}
		return out, nil
	}
	var err error
	if r.keep, err = read(o.Keep, false); err != nil {
		return nil, fmt.Errorf("keep: %w", err)
	}
	if r.disclosable, err = read(o.Disclosable, true); err != nil {
		return nil, fmt.Errorf("disclosable: %w", err)
	}
	for _, text := range o.Redact {
		p, err := disclosure.ParsePattern(text)
		if err != nil {
			return nil, fmt.Errorf("redact: %w", err)
		}
		r.rules = append(r.rules, rule{Pattern: p, kind: asked})
	}
	return r, nil
}

// Counts returns how many fields were taken out, by kind: those of the patterns that
// were given are "asked", those that can be shown later "disclosable".
func (r *Redactor) Counts() map[string]int {
	if r == nil {
		return nil
	}
	return maps.Clone(r.counts)
}

// hiding is what a Redactor knows while one source item is read.
type hiding struct {
	*Redactor
	steps   []string
	kinds   []string // of Kubernetes, of the objects around
	values  []any    // that can be shown later
	took    int
	derived bool // the second pass, for derived fields
	refused error
}

// redact takes fields out of an item, which it changes, and returns the values that
// can be shown later.
func (r *Redactor) redact(item any) ([]any, error) {
	if r == nil {
		return nil, nil
	}
	h := &hiding{Redactor: r}
	h.value(item)
	if h.took > 0 {
		h.derived = true
		h.value(item)
	}
	return h.values, h.refused
}

// value returns what stands for a value.
func (h *hiding) value(v any) any {
	if kind, ok := h.matches(v); ok {
		h.took++
		if kind == shownLater {
			h.values = append(h.values, v)
			h.counts[kind]++
			return pending(len(h.values) - 1)
		}
		h.counts[kind]++
		return disclosure.Redacted()
	}
	switch v := v.(type) {
	case object:
		if _, there := v[disclosure.Member]; there {
			_, _, err := disclosure.Mark(v)
			if _, own := pendingNumber(v); !(own && h.derived) && h.refused == nil { // in the first pass none is of here
				h.refused = err
			}
			return v
		}
		kind, _ := v["kind"].(string)
		h.kinds = append(h.kinds, kind)
		if h.secret == nil {
			for name := range v {
				h.member(v, name)
			}
		} else { // values are numbered: the same item gives the same events
			for _, name := range slices.Sorted(maps.Keys(v)) {
				h.member(v, name)
			}
		}
		h.kinds = h.kinds[:len(h.kinds)-1]
	case list:
		h.steps = append(h.steps, disclosure.Element)
		for i := range v {
			v[i] = h.value(v[i])
		}
		h.steps = h.steps[:len(h.steps)-1]
	case string:
		return h.text(v)
	}
	return v
}

// member takes out what there is to take out of a member of an object.
func (h *hiding) member(o object, name string) {
	n := len(h.steps)
	// A change of Azure Resource Graph has a whole path as its name: properties.siteConfig.appSettings[0].value.
	for part := range strings.SplitSeq(name, ".") {
		bare, element, _ := strings.Cut(part, "[")
		step, ok := h.folded[bare]
		if !ok {
			if step = disclosure.Step(bare); len(h.folded) < maxFolded {
				h.folded[bare] = step
			}
		}
		if h.steps = append(h.steps, step); element != "" {
			h.steps = append(h.steps, disclosure.Element)
		}
	}
	o[name] = h.value(o[name])
	h.steps = h.steps[:n]
}

// maxFolded is how many names are remembered in the form in which they are compared.
const maxFolded = 1 << 12

// text looks into a string that holds a JSON object or array, also in base64.
func (h *hiding) text(s string) string {
	inner, encoded := embedded(s), false
	if _, still := inner.(string); still && len(s) > 7 && (s[0] == 'e' || s[0] == 'W' || s[0] == 'I' || s[0] == 'C') {
		if raw, err := base64.StdEncoding.DecodeString(s); err == nil {
			inner, encoded = embedded(string(raw)), true
		}
	}
	if _, still := inner.(string); still || inner == nil {
		return s
	}
	before := h.took
	if h.value(inner); h.took == before {
		return s
	}
	if out := string(encode(inner)); !encoded {
		return out
	}
	return base64.StdEncoding.EncodeToString(encode(inner))
}

// matches reports whether the value at the place is to be taken out, and of which kind
// it is. What is true, false, null or empty tells nothing.
func (h *hiding) matches(v any) (kind string, ok bool) {
	switch v := v.(type) {
	case nil, bool:
		return "", false
	case string:
		if v == "" {
			return "", false
		}
	case object:
		if _, there := v[disclosure.Member]; there || len(v) == 0 {
			return "", false
		}
	case list:
		if len(v) == 0 {
			return "", false
		}
	}
	if !h.derived && matchAny(h.disclosable, h.steps) {
		return shownLater, true
	}
	for i := range h.rules {
		r := &h.rules[i]
		if r.derived != h.derived || !r.MatchesLoosely(h.steps) || r.only != "" && !h.inside(r.only) {
			continue
		}
		shown, named := h.named[r.kind]
		if !named && r.kind != asked {
			shown, named = h.named["all"]
		}
		switch {
		case matchAny(h.keep, h.steps), named && !shown:
			return "", false
		case named:
			return shownLater, true
		}
		return r.kind, true
	}
	return "", false
}

// inside reports whether the place is in a member of an object of this kind.
func (h *hiding) inside(kind string) bool {
	return len(h.kinds) > 1 && h.kinds[len(h.kinds)-2] == kind
}

func matchAny(patterns []disclosure.Pattern, steps []string) bool {
	return slices.ContainsFunc(patterns, func(p disclosure.Pattern) bool { return p.Matches(steps) })
}

// pendingMark stands, with a number behind it, for a value that can be shown later, until its
// event and so its path are known.
const pendingMark = "pending-disclosure-"

func pending(n int) any { return object{disclosure.Member: pendingMark + strconv.Itoa(n)} }

func pendingNumber(v any) (n int, ok bool) {
	o, _ := v.(object)
	mark, _ := o[disclosure.Member].(string)
	number, ok := strings.CutPrefix(mark, pendingMark)
	if !ok || len(o) != 1 {
		return 0, false
	}
	n, err := strconv.Atoi(number)
	return n, err == nil
}

var pendingText = regexp.MustCompile(pendingMark + `[0-9]+`)

// seal puts the digests of the values that can be shown later into an event. Those
// in a text, as in a Pub/Sub message that stays one, are gone: they have no path.
func (d *draft) seal(secret *disclosure.Secret) (disclosures []string, err error) {
	event, err := decode(d.event)
	if err != nil {
		return nil, err
	}
	err = disclosure.Walk("$", event, func(path string, v any) (any, bool, error) {
		n, ok := pendingNumber(v)
		if !ok || n >= len(d.values) {
			return nil, false, nil
		}
		mark, text, err := secret.Hide(d.asset, path, d.values[n])
		disclosures = append(disclosures, text)
		return mark, true, err
	})
	d.event = pendingText.ReplaceAll(encode(event), []byte("redacted"))
	return disclosures, err
}
