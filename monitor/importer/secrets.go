package importer

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
