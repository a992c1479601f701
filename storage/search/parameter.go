package search

import (
	"encoding/base64"
	"encoding/hex"
	"math"
	"strconv"
	"strings"

	"github.com/conmotion/conmotion/scitt"
)

// parameters are all parameters but those of fields.
var parameters = map[string]func(q *Query, param, value string) error{
	"entry": func(q *Query, param, value string) error {
		id, err := scitt.ParseEntryID(value)
		if err != nil {
			return bad(param, "it is not an entry id (64 lowercase hexadecimal characters)")
		}
		return q.add(param, term{kindEntry, "", string(id[:])})
	},
	"iss":          exactly(kindIssuer),
	"sub":          exactly(kindSubject),
	"typ":          exactly(kindType),
	"content_type": exactly(kindContentType),
	"event_code":   exactly(kindEventCode),
	"kid":          (*Query).keyID,
	"policy": func(q *Query, param, value string) error {
		id, err := scitt.ParseEntryID(value)
		q.policy = &id
		if err != nil {
			return bad(param, "it is not the entry id of a policy (64 lowercase hexadecimal characters)")
		}
		return nil
	},
	"artifact": func(q *Query, param, value string) error {
		digest, err := hex.DecodeString(strings.TrimPrefix(value, "sha256:"))
		if err != nil || len(digest) < 32 || len(digest) > 64 {
			return bad(param, "it is not a digest in hexadecimal")
		}
		return q.add(param, term{kindArtifact, "", string(digest)})
	},
	"chain": func(q *Query, param, value string) error {
		terms := []term{{kindChain, "", value}}
		// A name may itself end in a colon and a number: it can be either.
		if at := strings.LastIndexByte(value, ':'); at > 0 {
			if seq, err := parseUint(value[at+1:]); err == nil {
				terms = append(terms, chainTerm(value[:at], seq))
			}
		}
		return q.add(param, terms...)
	},
	"class_uid": func(q *Query, param, value string) error {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || strconv.FormatInt(n, 10) != value {
			return bad(param, "it is not a whole number")
		}
		return q.add(param, term{kindClass, "", value})
	},
	"asset": func(q *Query, param, value string) error {
		var terms []term
		for _, path := range assetPaths {
			terms = append(terms, term{kindText, path, value})
		}
		return q.add(param, terms...)
	},
	"from":       (*Query).eventTime,
	"to":         (*Query).eventTime,
	"index_from": func(q *Query, param, value string) error { return place(param, value, &q.from) },
	"index_to": func(q *Query, param, value string) error {
		if err := place(param, value, &q.to); err != nil || q.to > 0 {
			return err
		}
		return bad(param, "nothing is before index 0")
	},
	"q": (*Query).words,
	"order": func(q *Query, param, value string) error {
		q.order = order(value)
		switch q.order {
		case ascending, descending, byTime, byTimeDescending:
			return nil
		}
		return bad(param, "it is asc, desc, time-asc or time-desc")
	},
	"limit": func(q *Query, param, value string) error {
		n, err := parseUint(value)
		if err != nil || n < 1 || n > maxLimit {
			return bad(param, "it is a number from 1 to %d", maxLimit)
		}
		q.limit = int(n)
		return nil
	},
	"after": func(q *Query, param, value string) error {
		c, err := parseCursor(value)
		if err != nil {
			return bad(param, "it is not what an answer gave as next")
		}
		q.after = &c
		return nil
	},
}

// assetPaths are where an OCSF event names the assets that it is about.
var assetPaths = []string{
	"resources.uid", "resources.uid_alt", "device.uid", "device.uid_alt", "entity.uid", "entity.uid_alt",
	"unmapped.conmotion.configuration.assets",
}

// add adds a condition. It never fails: the error is for its callers' ease.
func (q *Query) add(param string, terms ...term) error {
	q.conditions = append(q.conditions, condition{param: param, terms: terms})
	return nil
}

func exactly(k kind) func(q *Query, param, value string) error {
	return func(q *Query, param, value string) error { return q.add(param, term{k, "", value}) }
}

// keyID takes both ways in which key ids are written; some text is both.
func (q *Query) keyID(param, value string) error {
	var terms []term
	if id, err := base64.RawURLEncoding.Strict().DecodeString(value); err == nil {
		terms = append(terms, term{kindKeyID, "", string(id)})
	}
	if id, err := hex.DecodeString(value); err == nil {
		terms = append(terms, term{kindKeyID, "", string(id)})
	}
	if terms == nil {
		return bad(param, "it is neither hexadecimal nor unpadded base64url")
	}
	return q.add(param, terms...)
}

func (q *Query) eventTime(param, value string) error {
	ms, err := parseTime(value)
	if err != nil {
		if n, nerr := strconv.ParseInt(value, 10, 64); nerr == nil {
			ms, err = float64(n), nil
		}
	}
	if err != nil {
		return bad(param, "it is neither an RFC 3339 time nor a number of milliseconds since 1970")
	}
	s := span{kind: kindEventTime, low: ms, high: math.Inf(1)}
	if param == "to" {
		s.low, s.high = math.Inf(-1), math.Nextafter(ms, math.Inf(-1))
	}
	q.conditions = append(q.conditions, condition{param: param, spans: []span{s}})
	return nil
}

func place(param, value string, to *uint64) (err error) {
	if *to, err = parseUint(value); err != nil {
		return bad(param, "it is not an index")
	}
	return nil
}

func parseUint(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err == nil && strconv.FormatUint(n, 10) != s {
		return 0, strconv.ErrSyntax
	}
	return n, err
}

func (q *Query) words(param, value string) error {
	found := map[string]bool{}
	eachWord(value, func(word string) {
		if !found[word] {
			found[word] = true
			_ = q.add(param, term{kindWord, "", word})
		}
	})
	if len(found) == 0 {
		return bad(param, "it has no word in it")
	}
	return nil
}

// field reads the condition [OP]VALUE on a field of the payload.
func (q *Query) field(param, path, value string) error {
	if len(path) > maxPath {
		return bad(cut(param), "the path is longer than %d bytes", maxPath)
	}
	op := ""
	for _, candidate := range []string{">=", "<=", ">", "<", "="} {
		if rest, ok := strings.CutPrefix(value, candidate); ok {
			op, value = candidate, rest
			break
		}
	}
	c := condition{param: param}
	if op == "" || op == "=" {
		c.terms, c.spans = equal(path, value)
		q.conditions = append(q.conditions, c)
		return nil
	}
	kinds := []kind{kindNumber}
	n, ok := parseNumber(value)
	if !ok {
		var err error
		if n, err = parseTime(value); err != nil {
			return bad(cut(param), "behind %s stands neither a number nor an RFC 3339 time", op)
		}
		kinds = []kind{kindNumber, kindTime}
	}
	low, high := math.Inf(-1), math.Inf(1)
	switch op {
	case ">=":
		low = n
	case "<=":
		high = n
	case ">":
		low = math.Nextafter(n, math.Inf(1))
	case "<":
		high = math.Nextafter(n, math.Inf(-1))
	}
	for _, k := range kinds {
		c.spans = append(c.spans, span{k, path, low, high})
	}
	q.conditions = append(q.conditions, c)
	return nil
}
