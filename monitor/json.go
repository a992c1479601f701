package monitor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/conmotion/conmotion/internal/jsonx"
)

// ErrMalformed is wrapped by errors about bytes that are not in one of this
// package's formats.
var ErrMalformed = errors.New("malformed")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrMalformed, fmt.Errorf(format, args...))
}

// canonical is the JCS form (RFC 8785) of a JSON text.
func canonical(data []byte) ([]byte, error) {
	out, err := jsonx.Canonical(data)
	if err != nil {
		return nil, malformed("%w", err)
	}
	return out, nil
}

// marshal is the JCS form of a value.
func marshal(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return canonical(data)
}

// unmarshal reads what marshal wrote and nothing else: the bytes must be the
// canonical form of what was understood. So there are no unknown, repeated or
// differently spelled members and no second spelling of the same document.
func unmarshal(data []byte, v any) error {
	if err := json.Unmarshal(data, v); err != nil {
		return malformed("%w", err)
	}
	again, err := marshal(v)
	if err != nil {
		return err
	}
	if !bytes.Equal(data, again) {
		paths, _ := differences(data, again)
		return malformed("not the canonical form (RFC 8785) of this document: look at %s", strings.Join(paths, ", "))
	}
	return nil
}

// maxPaths is how many differences are listed; more are counted.
const maxPaths = 32

// differences lists the JSON paths at which two JSON texts differ, in the
// order of the members' names, and how many there are beyond maxPaths.
func differences(a, b []byte) (paths []string, more int) { return jsonx.Diff(a, b, maxPaths) }
