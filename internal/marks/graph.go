package main

import (
	"maps"
	"slices"
	"strings"
)

const module = "github.com/conmotion/conmotion/"

// ours says which of our packages a package may import. Tests may import more.
// Whoever is not here is a program and may import everything.
var ours = map[string][]string{
	"scitt":            {"scitt/did", "scitt/internal/pubkey"},
	"scitt/did":        {"scitt/internal/pubkey", "internal/jsonx"},
	"scitt/client":     {"scitt"},
	"scitt/inspect":    {"scitt", "scitt/did", "tiles", "internal/printable"},
	"tiles":            {"scitt", "scitt/client", "internal/parallel", "internal/jsonx", "internal/plain"},
	"policy":           {"scitt", "scitt/did", "policy/ocsf", "internal/jsonx"},
	"policy/ocsf":      {"internal/jsonx"},
	"storage":          {"scitt", "tiles", "internal/durable"},
	"storage/posix":    {"scitt", "tiles", "storage", "internal/durable"},
	"storage/aws":      {"tiles", "storage", "storage/artifact", "storage/internal/cloud", "internal/loopback"},
	"storage/gcp":      {"tiles", "storage", "storage/artifact", "storage/internal/cloud"},
	"storage/index":    {"scitt", "tiles", "storage/internal/projection"},
	"storage/artifact": {"storage/artifact/reader", "internal/content", "internal/durable", "internal/loopback"},
	"storage/search":   {"scitt", "tiles", "policy/ocsf", "storage/artifact/reader", "storage/internal/projection", "internal/content", "internal/firsts", "internal/jsonx", "internal/parallel"},

	"storage/internal/cloud":      {"scitt", "tiles", "storage"},
	"storage/internal/projection": {"scitt", "tiles", "internal/durable", "internal/parallel"},

	"keys":        {"scitt", "scitt/did", "internal/plain"},
	"keys/helper": {"keys"},
	"keys/pkcs11": {"keys"},
	"keys/awskms": {"keys"},
	"keys/gcpkms": {"keys"},

	"personality":       {"scitt", "tiles", "internal/content"},
	"monitor":           {"monitor/disclosure", "monitor/identity", "scitt", "tiles", "policy/ocsf", "storage/artifact/reader", "internal/firsts", "internal/parallel", "internal/jsonx", "internal/plural", "internal/printable"},
	"monitor/importer":  {"monitor/disclosure", "monitor/identity", "policy/ocsf", "internal/jsonx", "internal/parallel", "internal/plain"},
	"monitor/identity":  {},
	"monitor/party":     {"scitt", "scitt/did", "scitt/client", "tiles", "monitor", "monitor/disclosure", "witness", "storage/artifact/reader", "internal/durable", "internal/parallel", "internal/plain", "internal/plural", "internal/printable"},
	"monitor/verify":    {"scitt", "scitt/did", "scitt/client", "tiles", "monitor/disclosure", "monitor/party", "witness", "witness/audit", "storage/artifact/reader", "internal/plural", "internal/printable"},
	"monitor/watch":     {"scitt", "scitt/client", "tiles", "policy", "policy/ocsf", "monitor", "monitor/party", "witness", "witness/audit", "internal/durable", "internal/plain", "internal/plural", "internal/printable"},
	"monitor/report":    {"scitt", "scitt/inspect", "tiles", "monitor", "monitor/party", "witness", "internal/durable", "internal/jsonx", "internal/plain", "internal/plural"},
	"witness":           {"scitt"},
	"witness/ask":       {"scitt", "tiles", "witness"},
	"witness/audit":     {"scitt", "tiles", "policy", "storage/artifact/reader", "internal/durable", "internal/firsts", "internal/jsonx", "internal/parallel", "internal/plural", "internal/printable"},
	"internal/bench":    {"scitt"},
	"internal/content":  {"scitt"},
	"internal/durable":  {"internal/plain"},
	"internal/jsonx":    {},
	"internal/firsts":   {"scitt"},
	"internal/parallel": {},
	"internal/vectors":  {"scitt", "monitor/disclosure"},

	"monitor/disclosure":      {"internal/jsonx", "internal/plural"},
	"storage/artifact/reader": {"scitt", "scitt/client", "internal/durable", "internal/plain"},
	"witness/mirror":          {"scitt", "tiles", "witness", "storage/artifact/reader", "internal/durable", "internal/parallel", "internal/plain", "internal/plural", "internal/printable"},
	"witness/cosigner":        {"scitt", "witness", "internal/content", "internal/plural"},
	"witness/cosigner/store":  {"witness/cosigner", "internal/durable"},
	"witness/keeper":          {"scitt", "tiles", "witness", "witness/audit", "witness/cosigner", "witness/mirror", "storage/artifact/reader", "internal/content", "internal/durable", "internal/plain", "internal/plural"},
	"witness/conformance":     {"scitt", "witness", "internal/durable"},
	"internal/plain":          {},
	"internal/plural":         {},
	"internal/printable":      {},
}

// heavy may not be behind what a Relying Party imports, or runs.
var heavy = []string{
	"github.com/transparency-dev/tessera", "modernc.org/sqlite",
	"github.com/aws/", "github.com/go-sql-driver/", "cloud.google.com/", "google.golang.org/grpc", "go.opentelemetry.io/otel/sdk",
}

// light are what a Relying Party imports, or runs.
var light = []string{"scitt", "scitt/did", "scitt/inspect", "tiles", "policy", "policy/ocsf", "scitt/client", "keys", "keys/helper", "keys/pkcs11", "storage/artifact/reader", "witness", "witness/ask", "witness/audit", "witness/conformance", "witness/mirror", "monitor", "monitor/party", "monitor/verify", "monitor/watch", "monitor/report", "cmd/conmotion"}

// graph returns what breaks the import graph.
func graph(pkgs []goPackage) (broken []string) {
	missing := maps.Clone(ours)
	for _, p := range pkgs {
		name := strings.TrimPrefix(p.ImportPath, module)
		allowed, limited := ours[name]
		delete(missing, name)
		for _, i := range p.Imports {
			if i, own := strings.CutPrefix(i, module); own && limited && !slices.Contains(allowed, i) {
				broken = append(broken, name+" imports "+i)
			}
		}
		for _, d := range p.Deps {
			isHeavy := slices.ContainsFunc(heavy, func(h string) bool { return strings.HasPrefix(d, h) })
			if slices.Contains(light, name) && isHeavy || name == "scitt" && d == "net/http" {
				broken = append(broken, name+" depends on "+d)
			}
		}
	}
	for name := range missing {
		broken = append(broken, name+" is in the import graph (internal/marks/graph.go) and not in the module")
	}
	return broken
}
