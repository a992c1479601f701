// Package identity gives one asset one identity, whoever names it: the ARN of AWS, the full resource name of Google
// Cloud, the resource id of Azure in lower case, and the cluster, namespace, kind and name of Kubernetes. It is a table
// for each cloud (tables.go) and a function of what a record says of the asset, nothing else. docs/monitoring.md has the
// rules in words.
package identity

import (
	"regexp"
	"slices"
	"strings"
)

// Source is what a record says of an asset. Members that it does not have are empty.
type Source struct {
	Provider  string // OCSF's cloud.provider; kubernetes
	Account   string // AWS account, Azure subscription, Google Cloud project, Kubernetes cluster
	Region    string
	Namespace string // of Kubernetes
	Type      string // as the source calls it
	UID       string
	Name      string
}

// Of returns the identity of an asset. A name that others have too is the same for all of them. Where the source has only
// a short id that no rule makes such a name of, the identity is that id qualified by provider, account, region and type
// (see [Local]): two accounts' assets are two, and nothing is guessed. An identity is its own identity. Of a provider
// without rules the uid is the identity, byte for byte.
func Of(s Source) string {
	if id := Canonical(s.UID); id != s.UID || global(id) {
		return id
	}
	provider := strings.ToLower(s.Provider)
	rule, ok := rules[provider]
	if !ok || s.UID == "" || Local(s.UID) {
		return s.UID
	}
	if id := rule(s); id != "" {
		return id
	}
	if s.Account == "" {
		return s.UID
	}
	return strings.Join([]string{provider, s.Account, s.Region, s.Type, s.UID}, "/")
}

// Aliases returns the identities that an asset would have of a source that knows it by a short id alone, by its uid or by
// alt, OCSF's uid_alt: in order, without its identity, and without names that others have too. Those are never aliases.
func Aliases(s Source, alt string) (names []string) {
	id := Of(s)
	for _, short := range []string{s.UID, alt} {
		if short == "" || global(Canonical(short)) {
			continue
		}
		names = append(names, short)
		for _, typ := range words(s) {
			names = append(names, Of(Source{Provider: s.Provider, Account: s.Account, Region: s.Region, Namespace: s.Namespace, Type: typ, UID: short}))
		}
	}
	names = slices.DeleteFunc(names, func(name string) bool { return name == id || global(name) })
	slices.Sort(names)
	return slices.Compact(names)
}

// Local reports whether an identity is a short id that was qualified: another source may name the same asset otherwise.
func Local(id string) bool {
	provider, rest, _ := strings.Cut(id, "/")
	_, ok := rules[provider]
	return ok && strings.Count(rest, "/") >= 3
}

// global reports whether a name is one that needs no other attribute.
func global(id string) bool {
	for _, p := range []string{"arn:", "//", "/subscriptions/", kubernetes} {
		if strings.HasPrefix(id, p) {
			return true
		}
	}
	return false
}

// kubernetes begins the identities of Kubernetes' objects.
const kubernetes = "k8s://"

var (
	// https://cloud.google.com/apis/design/resource_names: "https://{API}/{version}/{name}" of one resource; older APIs
	// have one host and their name behind it.
	ownHost   = regexp.MustCompile(`^https://(?:www\.)?([a-z0-9-]+)\.googleapis\.com/(?:[a-z]+/)?(?:v|beta|alpha)[0-9a-z]*/(.+)$`)
	commonAPI = regexp.MustCompile(`^https://www\.googleapis\.com/([a-z]+)/(?:v|beta|alpha)[0-9a-z]*/(.+)$`)
)

// Canonical returns the one spelling of a name that says by itself what it names: an Azure resource id in lower case, a
// self link of Google Cloud as a full resource name. Any other name is returned as it is.
func Canonical(name string) string {
	if len(name) > 15 && strings.EqualFold(name[:15], "/subscriptions/") {
		return strings.TrimSuffix(strings.ToLower(name), "/")
	}
	if !strings.HasPrefix(name, "https://") {
		return name
	}
	m := commonAPI.FindStringSubmatch(name)
	if m == nil {
		m = ownHost.FindStringSubmatch(name)
	}
	if m == nil {
		return name
	}
	api, path := m[1], m[2]
	if api == "storage" {
		path = strings.TrimPrefix(path, "b/")
	}
	return "//" + api + ".googleapis.com/" + path
}
