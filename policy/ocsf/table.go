package ocsf

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// readTable reads the package's own table. Its lines are words between spaces:
//
//	version V
//	type NAME [base=TYPE] [max_len=N] [range=LOW,HIGH] [values=JSON,JSON] [regex=REST OF LINE]
//	attr NAME TYPE|@OBJECT[[]] [sibling=NAME] [deprecated=V] [enum=VALUE=CAPTION | VALUE=CAPTION ...]
//	class NAME uid=N category_uid=N [deprecated=V]
//	object NAME [deprecated=V]
//
// and, indented under a class or an object:
//
//	at_least_one|just_one|profiles|required|recommended|optional NAME...
//	attr ...
//
// An attribute means what its top-level attr line says, except where its owner has an attr line of its own.
func readTable(text string) (*rawSchema, error) {
	raw := &rawSchema{
		Classes: map[string]*rawItem{}, Objects: map[string]*rawItem{}, Types: map[string]*rawType{},
	}
	common := map[string]rawAttr{}
	var it *rawItem
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimRight(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		body, indented := strings.CutPrefix(line, "  ")
		word, rest, _ := strings.Cut(body, " ")
		var err error
		switch {
		case indented && it != nil:
			err = it.line(word, rest, common)
		case word == "version":
			raw.Version = rest
		case word == "type":
			var name string
			name, rest, _ = strings.Cut(rest, " ")
			raw.Types[name], err = tableType(rest)
		case word == "attr":
			var name string
			name, rest, _ = strings.Cut(rest, " ")
			common[name] = tableAttr(rest)
		case word == "class" || word == "object":
			var name string
			name, rest, _ = strings.Cut(rest, " ")
			it = &rawItem{Attributes: map[string]*rawAttr{}}
			if err = it.head(rest); word == "class" {
				raw.Classes[name] = it
			} else {
				raw.Objects[name] = it
			}
		default:
			err = fmt.Errorf("unknown word %q", word)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return raw, nil
}

func (it *rawItem) head(rest string) (err error) {
	for word := range strings.FieldsSeq(rest) {
		switch key, v, _ := strings.Cut(word, "="); key {
		case "uid":
			it.UID, err = strconv.ParseInt(v, 10, 64)
		case "category_uid":
			it.CategoryUID, err = strconv.ParseInt(v, 10, 64)
		case "deprecated":
			it.Deprecated = since(v)
		default:
			err = fmt.Errorf("unknown word %q", key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (it *rawItem) line(word, rest string, common map[string]rawAttr) error {
	switch word {
	case "at_least_one", "just_one":
		if it.Constraints == nil {
			it.Constraints = map[string][]string{}
		}
		it.Constraints[word] = strings.Fields(rest)
	case "profiles":
		it.Profiles = strings.Fields(rest)
	case "required", "recommended", "optional":
		for name := range strings.FieldsSeq(rest) {
			a, ok := common[name]
			if !ok {
				return fmt.Errorf("attribute %s has no attr line", name)
			}
			a.Requirement = word
			it.Attributes[name] = &a
		}
	case "attr":
		name, rest, _ := strings.Cut(rest, " ")
		old := it.Attributes[name]
		if old == nil {
			return fmt.Errorf("attribute %s is not in a list above", name)
		}
		a := tableAttr(rest)
		a.Requirement = old.Requirement
		it.Attributes[name] = &a
	default:
		return fmt.Errorf("unknown word %q", word)
	}
	return nil
}

func tableAttr(rest string) (a rawAttr) {
	rest, enum, _ := strings.Cut(rest, " enum=")
	for i, word := range strings.Fields(rest) {
		if i == 0 {
			word, a.IsArray = strings.CutSuffix(word, "[]")
			if a.Type = word; word[0] == '@' {
				a.Type, a.ObjectType = objectType, word[1:]
			}
			continue
		}
		switch key, v, _ := strings.Cut(word, "="); key {
		case "sibling":
			a.Sibling = v
		case "deprecated":
			a.Deprecated = since(v)
		}
	}
	if enum == "" {
		return a
	}
	a.Enum = map[string]rawEnum{}
	for pair := range strings.SplitSeq(enum, " | ") {
		value, caption, _ := strings.Cut(pair, "=")
		a.Enum[value] = rawEnum{Caption: caption}
	}
	return a
}

func tableType(rest string) (*rawType, error) {
	t := &rawType{}
	rest, t.Regex, _ = strings.Cut(" "+rest, " regex=")
	for word := range strings.FieldsSeq(rest) {
		switch key, v, _ := strings.Cut(word, "="); key {
		case "base":
			t.Type = v
		case "max_len":
			var err error
			if t.MaxLen, err = strconv.Atoi(v); err != nil {
				return nil, err
			}
		case "range":
			for s := range strings.SplitSeq(v, ",") {
				t.Range = append(t.Range, json.Number(s))
			}
		case "values":
			for s := range strings.SplitSeq(v, ",") {
				t.Values = append(t.Values, json.RawMessage(s))
			}
		default:
			return nil, fmt.Errorf("unknown word %q", key)
		}
	}
	return t, nil
}
