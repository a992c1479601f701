package importer

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
		{Kind: credential, Of: "passwords, private keys, access keys and tokens, by their names, in any service; the name may stand beside it (`name` or `key`, and `value`), or in a line of a Kubernetes ConfigMap", Patterns: []string{
			"*password", "*passphrase", "*passwd", "*clientSecret", "*sharedSecret", "*secretKey", "*secretAccessKey", "*secretString", "privateKey", "privateKeyData", "privateKeyPem",
			"*apiKey", "*accountKey", "*sharedKey", "*sharedAccessKey", "primaryKey", "secondaryKey", "*authToken", "*oauthToken", "*accessToken", "*refreshToken", "*sasToken", "token",
			"*splunkToken", "workspaceKey", "azureFilesKey", "insecureValue", "protectedSettings", "customerGatewayConfiguration", "parameters[].parameterValue", "outputs[].outputValue",
			"customHeaders.items[].headerValue"}},
		{Kind: "kubernetes-secret", Of: "data of Kubernetes' Secrets", Only: "Secret", Patterns: []string{"data.*", "stringData.*"}},
		{Kind: jsonText, Of: "a whole text that begins as a JSON object and cannot be read as one: a member stands there twice, something is behind it, it is cut off"},
		{Kind: "hash", Of: "the provider's own hash of what was there, where another field of the item is taken out", Derived: true, Patterns: []string{
			"configurationItemMD5Hash", "configurationMd5Hash", "codeSha256", "metadata.fingerprint", "etag"}},
	}
}

// Kinds of KnownSecrets with a meaning here: a credential's name can stand beside its value (see names), and a text's
// members may not be known.
const credential, jsonText = "credential", "json-text"

// rule is the kind of the first of some rules that is of the place, or "".
func (h *hiding) rule(some func(*rule) bool) string {
	for _, r := range h.ending() {
		if some(r) && r.MatchesLoosely(h.steps) && (r.only == "" || h.inside(r.only)) {
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

// memo is what was found out about the names of members. Who reads an item has one alone.
type memo struct {
	folded map[string]string  // as steps
	byEnd  map[string][]*rule // the rules by the last step of a path
}

// maxFolded is how many names are remembered in the form in which they are compared.
const maxFolded = 1 << 12

// ending are the rules whose patterns end as the place does, in order.
func (h *hiding) ending() (all []*rule) {
	if len(h.steps) == 0 {
		return nil // a pattern has a step
	}
	last := h.steps[len(h.steps)-1]
	all, ok := h.byEnd[last]
	if ok {
		return all
	}
	for i := range h.rules {
		if r := &h.rules[i]; r.Ends(last) {
			all = append(all, r)
		}
	}
	if len(h.byEnd) < maxFolded {
		h.byEnd[last] = all
	}
	return all
}
