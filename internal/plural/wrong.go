package plural

import "regexp"

// onePlural is a one before a plural. The words that end like one and are none are verbs, and "less", "always" and their like.
var onePlural = regexp.MustCompile(`(?:^|[^\w.,:/+%=-]) ?1 ([a-z]{3,}s)\b`)

// singular are words that end in s and may follow a one.
var singular = map[string]bool{"was": true, "comes": true, "has": true, "does": true, "says": true, "less": true, "this": true, "its": true, "access": true, "always": true, "class": true}

// Wrong finds in text where one thing is counted as if it were several, such as "1 entries". Tests hold output to it.
func Wrong(text string) (found []string) {
	for _, m := range onePlural.FindAllStringSubmatch(text, -1) {
		if !singular[m[1]] {
			found = append(found, m[0])
		}
	}
	return found
}
