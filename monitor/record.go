package monitor

import (
	"encoding/json"

	"github.com/conmotion/conmotion/internal/jsonx"
	"github.com/conmotion/conmotion/policy/ocsf"
	"github.com/conmotion/conmotion/scitt"
)

// ContentType is the media type of every payload of this package.
const ContentType = "application/json"

// Record is an event that can be signed.
type Record struct {
	Event   *Event
	Payload []byte // the event in JCS form, with its event code: the artifact, or the inline payload
}

// NewRecord makes a record of a valid OCSF event and sets metadata.event_code.
// Where action is "" it comes from the activity of an Entity Management event
// (3004), or from the event code that is there. A code that is there must be
// the same. Errors wrap ErrEvent or ErrMalformed.
//
// The payload is the JCS form, so that the same event is the same artifact
// however it was spelled.
func NewRecord(event []byte, kind Kind, action Action) (*Record, error) {
	t, err := ocsf.Parse(event)
	if err != nil {
		return nil, badEvent("%w", err)
	}
	defer t.Free()
	report := ocsf.Default().CheckTree(t, true)
	if !report.OK() {
		return nil, badEvent("%s", problems(report))
	}
	return recordOf(event, t, report, kind, action)
}

// ValidRecord is NewRecord of an event that has been found valid, as those of package importer are.
func ValidRecord(event []byte, kind Kind, action Action) (*Record, error) {
	t, err := ocsf.Parse(event)
	if err != nil {
		return nil, badEvent("%w", err)
	}
	defer t.Free()
	return recordOf(event, t, ocsf.Report{Summary: ocsf.SummaryOf(t)}, kind, action)
}

// KnownRecord is the record that a log has with these bytes as its payload. Its Event has what the record is about, and
// nothing that it says of that.
func KnownRecord(payload []byte) (*Record, error) {
	t, err := jsonx.ParseLoose(payload) // it has been read strictly
	if err != nil {
		return nil, badEvent("%w", err)
	}
	defer t.Free()
	e, err := readEvent(rawEvent{t, true}, ocsf.Report{Summary: ocsf.SummaryOf(t)})
	return &Record{e, payload}, err
}

func recordOf(event []byte, t *jsonx.Tree, report ocsf.Report, kind Kind, action Action) (r *Record, err error) {
	if code := report.EventCode; code != "" {
		k, a, ok := parseCode(code)
		if !ok || k != kind || action != "" && a != action {
			return nil, badEvent("it already has the metadata.event_code %.40q", code)
		}
		action = a
	}
	if action == "" && report.ClassUID == classEntity {
		if action, err = activityAction(report.ActivityID); err != nil {
			return nil, err
		}
	}
	if action == "" {
		return nil, badEvent("nothing reports whether it creates, modifies or deletes: name the action, or set metadata.event_code")
	}
	r = &Record{}
	if code := eventCode(kind, action); report.EventCode == code {
		r.Payload, err = rawEvent{Tree: t}.canonical(0)
	} else {
		report.EventCode = code
		r.Payload, err = setCode(event, code)
	}
	if err != nil {
		return nil, err
	}
	// A code that is one of ours makes no valid event invalid, and the payload
	// says the rest of what the event says.
	r.Event, err = readEvent(rawEvent{Tree: t}, report)
	return r, err
}

// Canonical is the form in which JSON is a payload: JCS (RFC 8785). It is for
// events of other classes, such as findings. Errors wrap ErrMalformed.
func Canonical(data []byte) ([]byte, error) { return canonical(data) }

// setCode sets metadata.event_code and gives the JCS form.
func setCode(event []byte, code string) ([]byte, error) {
	var members, metadata map[string]json.RawMessage
	if err := json.Unmarshal(event, &members); err != nil {
		return nil, badEvent("%w", err)
	}
	if err := json.Unmarshal(members["metadata"], &metadata); err != nil {
		return nil, badEvent("metadata: %w", err)
	}
	var err error
	if metadata["event_code"], err = json.Marshal(code); err != nil {
		return nil, err
	}
	if members["metadata"], err = json.Marshal(metadata); err != nil {
		return nil, err
	}
	return marshal(members)
}

// ToSign is the payload, and what it is signed with but for the time, by which
// lateness is measured, and the issuer. An observation is scitt.TypeObservation in
// place of scitt.TypeRecord.
func (r *Record) ToSign() ([]byte, scitt.SignOptions, error) {
	return r.Payload, toSign(scitt.TypeRecord, r.Event.Subject()), nil
}

func toSign(typ, subject string) scitt.SignOptions {
	return scitt.SignOptions{Type: typ, Subject: subject, ContentType: ContentType}
}
