package ocsf

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/conmotion/conmotion/internal/jsonx"
)

// version is a semantic version; pre is what follows the hyphen.
type version struct {
	major, minor, patch int
	pre                 string
}

func parseVersion(s string) (v version, ok bool) {
	core, pre, hasPre := strings.Cut(s, "-")
	parts := strings.Split(core, ".")
	if len(parts) != 3 || hasPre && pre == "" {
		return v, false
	}
	v.pre = pre
	for i, dst := range []*int{&v.major, &v.minor, &v.patch} {
		n, err := strconv.ParseUint(parts[i], 10, 31)
		if err != nil || strconv.FormatUint(n, 10) != parts[i] {
			return v, false
		}
		*dst = int(n)
	}
	return v, true
}

func (v version) compare(w version) int {
	pre := strings.Compare(v.pre, w.pre)
	if v.pre == "" || w.pre == "" {
		pre = -pre // a release comes after its prereleases
	}
	return cmp.Or(cmp.Compare(v.major, w.major), cmp.Compare(v.minor, w.minor), cmp.Compare(v.patch, w.patch), pre)
}

// version grades metadata.version as the OCSF server does: an event of an earlier release can be checked against a
// later schema, one of a later release cannot.
func (c *checker) version() {
	n := c.d.Find("metadata", "version")
	if n == 0 || c.d.Kind(n) != jsonx.String || c.d.Text(n) == c.s.version {
		return // the schema's own, or reported as missing or as a wrong type
	}
	c.push("metadata")
	c.push("version")
	defer func() { c.pop(); c.pop() }()
	v, ok := parseVersion(c.d.Text(n))
	order := v.compare(c.s.parsed)
	switch {
	case !ok:
		c.errorf(CodeVersionMalformed, "version %s is not MAJOR.MINOR.PATCH", jsonx.Quote(c.d.Text(n), quoted))
	case order > 0:
		c.errorf(CodeVersionLater, "version %s is later than the schema's, %s", jsonx.Quote(c.d.Text(n), quoted), c.s.version)
	case order < 0 && v.major == 0:
		c.errorf(CodeVersionInitial, "version %s is from before OCSF 1.0.0 and not compatible with %s", jsonx.Quote(c.d.Text(n), quoted), c.s.version)
	case order < 0 && v.pre != "":
		c.errorf(CodeVersionPrerelease, "version %s is a prerelease and not compatible with %s", jsonx.Quote(c.d.Text(n), quoted), c.s.version)
	case order < 0:
		c.warnf(CodeVersionEarlier, "version %s is earlier than the schema's, %s", jsonx.Quote(c.d.Text(n), quoted), c.s.version)
	}
}
