package monitor

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/conmotion/conmotion/policy/ocsf"
)

// Kind is what a record is about.
type Kind string

// The kinds are also the names of the chains and the first part of subjects.
const (
	Inventory     Kind = "inventory"
	Configuration Kind = "configuration"
)

// Action is what a record says to have happened.
type Action string

// The actions: with the kind they make metadata.event_code.
const (
	Create Action = "create"
	Modify Action = "modify"
	Delete Action = "delete"
)

// OCSF classes that records can have.
const (
	classDeviceInventory = 5001
	classConfigChange    = 5019
	classCloudInventory  = 5023
	classEntity          = 3004
)

var (
	// ErrEvent is wrapped when an event cannot be a record.
	ErrEvent = errors.New("the event cannot be a record")
	// ErrOther is wrapped when an event is about something else than inventory
	// and configuration, such as a finding.
	ErrOther = errors.New("the event is about neither inventory nor configuration")
)

func badEvent(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrEvent, fmt.Errorf(format, args...))
}

// maxUID bounds the bytes of an asset's or configuration's uid.
const maxUID = 2048

// Event is what a record says.
type Event struct {
	Kind           Kind
	Action         Action
	Class          int64
	Time           int64    // when it happened: milliseconds since 1970
	Assets         []string // uids: what an inventory record is about
	Configurations []Config // what a configuration record is about
	// Correction says that it comes late: what it says holds at its own time, and not from its place in the log on.
	Correction bool

	about     []described // the assets that the event describes
	collected bool        // the source says how things are, not what happened
}

// of is what the event says of an asset; empty where it does not describe it.
func (e *Event) of(asset string) described {
	for _, d := range e.about {
		if d.uid == asset {
			return d
		}
	}
	return described{uid: asset}
}

// Config is a configuration as a record leaves it.
type Config struct {
	UID     string
	Assets  []string // uids of the assets that have it, sorted
	Content []byte   // JSON in JCS form; nil when it was deleted
}

// Subject is the sub of the record's statement: the kind, "/" and the uid of
// the one asset or configuration that it is about, or nothing behind the "/"
// when it is about several.
func (e *Event) Subject() string {
	sub := string(e.Kind) + "/"
	switch {
	case e.Kind == Inventory && len(e.Assets) == 1:
		sub += e.Assets[0]
	case e.Kind == Configuration && len(e.Configurations) == 1:
		sub += e.Configurations[0].UID
	}
	return sub
}

// Code is metadata.event_code.
func (e *Event) Code() string { return eventCode(e.Kind, e.Action) }

func eventCode(k Kind, a Action) string { return string(k) + "." + string(a) }

func parseCode(code string) (Kind, Action, bool) {
	kind, action, _ := strings.Cut(code, ".")
	k, a := Kind(kind), Action(action)
	return k, a, (k == Inventory || k == Configuration) && (a == Create || a == Modify || a == Delete)
}

// ParseEvent reads a record's event. It must be valid (policy/ocsf with OCSF
// 1.5.0) and have a metadata.event_code; docs/monitoring.md has the table of
// what each class says. Errors wrap ErrEvent, or ErrOther when the event is
// valid and about something else.
func ParseEvent(data []byte) (*Event, error) {
	t, err := ocsf.Parse(data)
	if err != nil {
		return nil, badEvent("%w", err)
	}
	defer t.Free()
	return readEvent(rawEvent{Tree: t}, ocsf.Default().CheckTree(t, true))
}

// readEvent reads an event that has been checked.
func readEvent(raw rawEvent, report ocsf.Report) (*Event, error) {
	kind, action, ok := parseCode(report.EventCode)
	if !ok && !strings.HasPrefix(report.EventCode, "inventory.") && !strings.HasPrefix(report.EventCode, "configuration.") || !recordClass(report.ClassUID) {
		return nil, fmt.Errorf("%w: class %d with metadata.event_code %.40q", ErrOther, report.ClassUID, report.EventCode)
	}
	if !report.OK() {
		return nil, badEvent("%s", problems(report))
	}
	if !ok {
		return nil, badEvent("metadata.event_code is %.40q: it is inventory or configuration, a dot, and create, modify or delete", report.EventCode)
	}
	e := &Event{Kind: kind, Action: action, Class: report.ClassUID, Time: report.Time}
	settings, err := raw.settings()
	if err != nil {
		return nil, err
	}
	if e.Correction, err = raw.correction(); err != nil {
		return nil, err
	}
	// OCSF 1.5.0, activity_id of the Discovery classes: 2 is Collect, "The discovered information is via a collection".
	e.collected = e.Class/1000 == 5 && report.ActivityID == 2
	if err := e.read(raw, settings, report.ActivityID); err != nil {
		return nil, err
	}
	for _, c := range e.Configurations {
		e.Assets = append(e.Assets, c.Assets...)
	}
	slices.Sort(e.Assets)
	all := len(e.Assets)
	e.Assets = slices.Compact(e.Assets)
	if kind == Inventory && len(e.Assets) != all {
		return nil, badEvent("the same asset uid stands twice in one event")
	}
	return e, e.checkUIDs()
}

func recordClass(class int64) bool {
	switch class {
	case classDeviceInventory, classConfigChange, classCloudInventory, classEntity:
		return true
	}
	return false
}

// problems is the first errors of a report in one line.
func problems(r ocsf.Report) string {
	var b strings.Builder
	for i, f := range r.Errors {
		if i == 3 {
			fmt.Fprintf(&b, "; and %d more", len(r.Errors)+r.MoreErrors-i)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(f.String())
	}
	return b.String()
}

func (e *Event) checkUIDs() error {
	for _, uid := range e.Assets {
		if err := checkUID(uid); err != nil {
			return err
		}
	}
	for i, c := range e.Configurations {
		for _, other := range e.Configurations[:i] {
			if other.UID == c.UID {
				return badEvent("the configuration %.80q stands twice in one event", c.UID)
			}
		}
		if err := checkUID(c.UID); err != nil {
			return err
		}
	}
	return nil
}

func checkUID(uid string) error {
	if uid == "" {
		return badEvent("an asset has no uid, and by nothing else is it told from others")
	}
	if len(uid) > maxUID {
		return badEvent("a uid has %d bytes; %d are allowed", len(uid), maxUID)
	}
	return nil
}
