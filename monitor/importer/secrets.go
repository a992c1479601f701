package importer

import (
	"slices"
	"strings"

	"github.com/conmotion/conmotion/monitor/disclosure"
)

// secrets are fields that are known to hold secrets.
type secrets struct {
	kind     string // such as environment
	of       string // where they are, for people
	patterns []string
	// only, when not "", is the kind of the Kubernetes object in a member of which they are.
	only string
	// derived fields are taken out where another one of their item is: a hash of what
	// was there would let everybody try values.
	derived bool
}

// knownSecrets is what an import takes out unless it is told otherwise. The table in
// docs/monitoring.md is this one, and a test holds them together.
func knownSecrets() []secrets {
	return []secrets{
		{kind: "environment", of: "environment of ECS and Batch containers, Lambda, CodeBuild, Elastic Beanstalk, App Runner, Amplify, SageMaker; Cloud Run, Cloud Functions; App Service and Functions, Container Apps, Container Instances; Kubernetes' pods", patterns: []string{
			"environment[].value", "environment.variables.*", "*environmentVariables[].value", "*environmentVariables[].secureValue", "*environmentVariables.*", "env[].value",
			"*environmentVariable[].value", "metadata.environment.*", "envVariables.*", "buildEnvVariables.*", "steps[].env[]", "substitutions.*", "appSettings.*", "setting[].value",
			"containers[].environment.*", "primaryContainer.environment.*", "optionSettings[].value", "appSettings[].value", "configuration.secrets[].value"}},
		{kind: "user-data", of: "user data of EC2 instances, launch templates and configurations; metadata of Compute Engine; custom data of Azure's machines", patterns: []string{
			"userData", "userData.value", "userDataBase64", "customData", "metadata.items[].value", "commonInstanceMetadata.items[].value", "metadataStartupScript", "metadata.startupScript",
			"nodeConfig.metadata.*", "gceClusterConfig.metadata.*"}},
		{kind: "connection-string", of: "connection strings of any service", patterns: []string{
			"*connectionString", "*connectionStrings[].connectionString", "*connectionStrings.*"}},
		{kind: credential, of: "passwords, private keys, access keys and tokens, by their names, in any service; the name may stand beside it (`name` or `key`, and `value`), or in a line of a Kubernetes ConfigMap", patterns: []string{
			"*password", "*passphrase", "*passwd", "*clientSecret", "*sharedSecret", "*secretKey", "*secretAccessKey", "*secretString", "privateKey", "privateKeyData", "privateKeyPem",
			"*apiKey", "*accountKey", "*sharedKey", "*sharedAccessKey", "primaryKey", "secondaryKey", "*authToken", "*oauthToken", "*accessToken", "*refreshToken", "*sasToken", "token",
			"*splunkToken", "workspaceKey", "azureFilesKey", "insecureValue", "protectedSettings", "customerGatewayConfiguration", "parameters[].parameterValue", "outputs[].outputValue",
			"customHeaders.items[].headerValue"}},
		{kind: "kubernetes-secret", of: "data of Kubernetes' Secrets", only: "Secret", patterns: []string{"data.*", "stringData.*"}},
		{kind: jsonText, of: "a whole text that begins as a JSON object and cannot be read as one: a member stands there twice, something follows it, it is cut off"},
		{kind: "hash", of: "the provider's own hash of what was there, where another field of the item is taken out", derived: true, patterns: []string{
			"configurationItemMD5Hash", "configurationMd5Hash", "codeSha256", "metadata.fingerprint", "etag"}},
	}
}

// Kinds of knownSecrets with a meaning here: a credential's name can stand beside its value (see names), and a text's
// members may not be known.
const credential, jsonText = "credential", "json-text"

// rule is the kind of the first of some rules that is of the place, or "".
func (h *hiding) rule(some func(*rule) bool) string {
	for _, r := range h.at.rules {
		if some(r) && (r.only == "" || h.inside(r.only)) {
			return r.kind
		}
	}
	return ""
}

// used notes that there was a field of a pattern or kind.
func (r *Redactor) used(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.idle, name)
}

// memo is what was found out about the places in items. Who reads an item has one alone.
type memo struct {
	root   *place
	places int // that are remembered
}

// maxPlaces is how many places are remembered: names of members may be others in each item.
const maxPlaces = 1 << 12

// place is one in an item.
type place struct {
	steps   []string // of the path to it
	before  *place   // without the last step; nil of the item itself
	rules   []*rule  // whose patterns match it, in order
	members map[string]*place
	element *place // of an array
}

func (p *place) step(step string) *place {
	return &place{steps: append(slices.Clip(p.steps), step), before: p}
}

// enter is the place of a member.
func (h *hiding) enter(p *place, name string) *place {
	if inner, ok := p.members[name]; ok {
		return inner
	}
	name = strings.Clone(name) // and not the item that it stands in
	inner := p
	// A change of Azure Resource Graph has a whole path as its name: properties.siteConfig.appSettings[0].value.
	for part := range strings.SplitSeq(name, ".") {
		bare, element, _ := strings.Cut(part, "[")
		if inner = inner.step(disclosure.Step(bare)); element != "" {
			inner = inner.step(disclosure.Element)
		}
	}
	if h.places < maxPlaces {
		if p.members == nil {
			p.members = map[string]*place{}
		}
		p.members[name] = inner
	}
	return h.found(inner)
}

// element is the place of an array's elements.
func (h *hiding) element(p *place) *place {
	if p.element == nil {
		p.element = h.found(p.step(disclosure.Element))
	}
	return p.element
}

// found notes which rules are of a new place.
func (h *hiding) found(p *place) *place {
	h.places++
	for i := range h.rules {
		if r := &h.rules[i]; r.MatchesLoosely(p.steps) {
			p.rules = append(p.rules, r)
		}
	}
	return p
}
