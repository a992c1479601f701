package personality

import "strings"

// noneMatch says that If-None-Match names this entity tag, so that the client
// has the content already.
//
// RFC 9110 section 13.1.2: the field is "*" or a list of entity tags, and "a
// recipient MUST use the weak comparison function": caches that compress on
// their own make tags weak.
func noneMatch(field, tag string) bool {
	for part := range strings.SplitSeq(field, ",") {
		part = strings.TrimSpace(part)
		if part == "*" || strings.TrimPrefix(part, "W/") == tag {
			return true
		}
	}
	return false
}
