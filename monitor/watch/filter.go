package watch

import (
	"encoding/json"
	"path"
	"slices"
	"strings"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
)

// entryFilter selects entries: those that fit each list that is not empty. In
// subjects and uids "*" stands for any run of characters.
type entryFilter struct {
	Issuers []string `yaml:"issuers"`
	// Types are typ, or the word in it: record, observation, ...
	Types    []string `yaml:"types"`
	Subjects []string `yaml:"subjects"`
	// The others are about the event that the statement speaks of.
	Kinds      []string `yaml:"kinds"`
	Actions    []string `yaml:"actions"`
	UIDs       []string `yaml:"uids"` // of an asset or a configuration
	EventCodes []string `yaml:"event_codes"`
}

// matchAny is true of an empty list.
func matchAny(patterns []string, texts ...string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool {
		return slices.ContainsFunc(texts, func(text string) bool { return match(p, text) })
	})
}

// match reports whether text fits a pattern, in which "*" stands for any run of
// characters, separators too.
func match(pattern, text string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, head)
	for ok {
		part, next, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(text, part)
		}
		// Each middle part is taken at its first place: no later one can help.
		_, text, ok = strings.Cut(text, part)
		rest = next
	}
	return false
}

func oneOf(list []string, word string) bool { return len(list) == 0 || slices.Contains(list, word) }

// statement reports whether the statement itself fits.
func (f entryFilter) statement(s *scitt.Statement) bool {
	return oneOf(f.Issuers, s.Issuer) && oneOf(f.Types, s.Type) && matchAny(f.Subjects, s.Subject)
}

// needsEvent says that the statement does not tell.
func (f entryFilter) needsEvent() bool {
	return len(f.Kinds)+len(f.Actions)+len(f.UIDs)+len(f.EventCodes) > 0
}

// event reports whether what the statement speaks of fits.
func (f entryFilter) event(e eventFacts) bool {
	return oneOf(f.EventCodes, e.code) && oneOf(f.Kinds, string(e.kind)) && oneOf(f.Actions, string(e.action)) &&
		matchAny(f.UIDs, e.uids...)
}

// eventFacts are what filters ask of an event.
type eventFacts struct {
	code   string
	kind   monitor.Kind
	action monitor.Action
	uids   []string
}

// factsOf reads the content behind a statement. What is not a record of this
// project's has at most a code.
func factsOf(content []byte) eventFacts {
	var raw struct {
		Metadata struct {
			Code string `json:"event_code"`
		} `json:"metadata"`
	}
	if json.Unmarshal(content, &raw) != nil {
		return eventFacts{}
	}
	out := eventFacts{code: raw.Metadata.Code}
	e, err := monitor.ParseEvent(content)
	if err != nil {
		return out
	}
	out.kind, out.action = e.Kind, e.Action
	out.uids = slices.Clone(e.Assets)
	for _, c := range e.Configurations {
		out.uids = append(out.uids, c.UID)
	}
	return out
}

// shortType is the word in one of this project's types.
func shortType(typ string) string {
	word := strings.TrimSuffix(path.Base(typ), "+cose")
	return strings.TrimPrefix(word, "vnd.conmotion.")
}
