// Package importer turns real exports into OCSF 1.5.0 events: each of [Formats] is that of a cloud, a scanner or a tool,
// and a file of this package. A conversion is pure and streaming: it reads one item at a time, keeps nothing of it
// and asks no clock, so the same input gives the same bytes on every run.
//
// # What becomes what
//
// An asset's existence is a Cloud Resources Inventory Info (5023) with metadata.event_code inventory.create,
// inventory.modify or inventory.delete. Its configuration is a 5023 too, with configuration.create, configuration.modify
// or configuration.delete: Device Config State Change (5019) requires a device, which a bucket, a role or a network is
// not, and has no attribute for the configuration itself, which 5023 has in resources[0].data. In both, resources[0].uid
// is the asset. unmapped.configuration_uid, the asset's uid with "#" and the configuration's name, tells an asset's
// configurations apart: AWS Config has one ("configuration"), Cloud Asset Inventory several ("resource", "iamPolicy",
// ...). For package monitor the first of these is the asset's own configuration, and the others are named by
// unmapped.conmotion.configuration.uid. Of a deleted asset the configurations go first, then the asset.
//
// The action is create only where the source says so. A source that states an asset as it is (a snapshot, an export, a
// scan) gives modify, also where it is the first that anybody hears of the asset. activity_id is 1 (Log) for AWS Config
// and for Cloud Asset Inventory's feeds and histories, 2 (Collect) for its exports and for what Prowler saw.
//
// metadata.uid is computed from the source item alone, so an item that comes twice gives the same event twice, byte for
// byte. What an item has and OCSF has no attribute for is in unmapped under its own name. Members that are null say
// nothing and are left out; the envelope of an item (the headers of a file or message, signatures, the difference to
// the item before) is no part of the item.
//
// # What is not lost
//
// Every item of the input gives at least one [Item] or one [*Problem] with the item's position, except those that are
// about nothing that there is, as a format's documentation says. Every Event is valid by policy/ocsf. After an item that cannot be mapped the next one is read. Behind a line that is not JSON, that is the
// next line that begins with an object or array. Only input that cannot be divided into items any more, such as an array
// with an element that is not JSON or has a string larger than MaxItem, ends the sequence, with an error that is no
// *Problem, after all items before it. A sequence can be ranged over once, since it consumes its reader.
package importer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/conmotion/conmotion/internal/jsonx"
	"github.com/conmotion/conmotion/internal/parallel"
	"github.com/conmotion/conmotion/policy/ocsf"
)

// The values of Item.Kind.
const (
	Inventory     = "inventory"
	Configuration = "configuration"
	Finding       = "finding"
)

// The values of Item.Action for inventory and configuration. A finding's action is create, update or close, after OCSF's
// activity_id, or other.
const (
	actionCreate = "create"
	actionModify = "modify"
	actionDelete = "delete"
)

// defaultMaxItem is the largest source item in bytes where Options does not say.
const defaultMaxItem = 16 << 20

// ErrInput is wrapped by the errors that end a sequence because of the input's form: it stops in the middle of an item,
// or an array of items is not JSON. An error of the reader is wrapped as it is.
var ErrInput = jsonx.ErrStream

// Item is one event. Its fields are exported for encoding/gob, with which [Sorted] keeps items in a file.
type Item struct {
	Event     []byte    // JSON: no white space, members sorted by name, numbers as in the source
	Kind      string    // Inventory, Configuration or Finding
	Action    string    // create, modify or delete
	AssetUID  string    // resources[0].uid of the event, or device.uid or entity.uid; of a finding without resources ""
	ConfigUID string    // unmapped.configuration_uid; "" where Kind is not Configuration, and of OCSF of other writers
	File      string    // Options.File
	Time      time.Time // the event's time, UTC
	Position  Position  // where the source item begins
	// Disclosures show the values that Options.Redact hid in the event and that can be shown.
	Disclosures []string
	// Repairs say for people what was put right in the source's event, each kind once; the originals are in
	// unmapped.original. Of several items of one event the first has them.
	Repairs []string
	Known   bool // Options.Known says so: nothing more was looked at
}

// Position is a place in the input, after decompression.
type Position = jsonx.Place

// Problem says of a source item, or of a part of it, that it is in no event.
type Problem struct {
	Position Position
	Reason   string
	File     string // Options.File
	// More says that nothing is wrong with the items, and that the source has more of them than are in the input.
	More bool
	page page
}

func (p *Problem) Error() string { return p.Position.String() + ": " + p.Reason }

// Options of a conversion. The zero value is ready to use.
type Options struct {
	// maxItem is the largest source item in bytes, 0 for defaultMaxItem. A larger one is a Problem, and its bytes are
	// not kept. Memory use grows with the largest item, not with the input. An array of items that is a member of an
	// object begins within as many bytes of it.
	maxItem int

	// Inventory adds to each of Prowler's findings an inventory event for each of its resources. One resource that
	// stands in several findings of one scan gives the same event, byte for byte, with each of them.
	Inventory bool

	// Time is that of items for which their source gives none; a zero one makes each of these a Problem.
	Time time.Time

	// Collected says that the input is a scan: an item that says how an asset is, and not that something happened to it,
	// was collected.
	Collected bool

	// Redact takes fields out of each item before anything is made of it, its digest
	// included; nil takes out none.
	Redact *Redactor

	// Known reports whether an event is registered already. Such an event is not checked again, and [Sorted] gives it as
	// soon as it is met. It is called by several goroutines at a time; nil knows none.
	Known func(event []byte) bool

	File  string            // name of the input, for items and problems
	Flags map[string]string // values of Format.Flags by their names

	text bool // the item was JSON in a string
}

// Format is a source's form of export.
type Format struct {
	Name        string // such as aws-config
	Short, Long string // what becomes of it
	Tool        string // the command of the source's own tool that makes the file
	Findings    bool   // it has findings: Options.Inventory makes a difference
	Flags       []Flag
	Check       func(flags map[string]string) error // of their values; nil where there is nothing to check
	Read        func(io.Reader, Options) iter.Seq2[Item, error]
}

// Flag is what only one source asks for.
type Flag struct {
	Name, Usage string
	Required    bool
	File        bool // its value is what is in the file of that name
}

// Formats are all that there are: the one list of them.
func Formats() []Format {
	return []Format{awsFormat, gcpFormat, azureFormat, kubernetesFormat, ocsfFormat, prowlerFormat, rowsFormat, terraformFormat, cyclonedxFormat}
}

// draft is an event before its check, or the reason why there is none.
type draft struct {
	event                         []byte
	checked                       bool // and found valid
	time                          int64
	kind, action, asset, configID string
	problem                       string
	repairs                       []string
	values                        []any // that stand in the event as pending
}

func problemf(format string, args ...any) []draft {
	return []draft{{problem: fmt.Sprintf(format, args...)}}
}

// convert runs one format's conversion over the items of r.
func convert(r io.Reader, o Options, l layout, one func(object, Options) []draft) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		read := func(t time.Time) {
			if o.Time.IsZero() {
				o.Time = t
			}
		}
		type source struct {
			Raw
			Options
			err error
		}
		sources := func(yield func(source) bool) {
			for raw, err := range items(r, o, l, read) {
				raw.JSON = bytes.Clone(raw.JSON)
				if !yield(source{raw, o, err}) {
					return
				}
			}
		}
		type result struct {
			Item
			err error
		}
		for all := range parallel.Map(sources, itemsAhead*parallel.CPUs(), func(s source) (out []result) {
			if s.err != nil {
				if p, ok := errors.AsType[*Problem](s.err); ok {
					p.File = s.File
				}
				return []result{{Item{}, s.err}}
			}
			for _, d := range drafts(s.JSON, s.Options, one) {
				item, reason := d.finish(s.Options)
				if reason != "" {
					out = append(out, result{Item{}, &Problem{Position: s.Position, Reason: reason, File: s.File}})
					continue
				}
				item.Position, item.File = s.Position, s.File
				out = append(out, result{item, nil})
			}
			return out
		}) {
			for _, r := range all {
				if !yield(r.Item, r.err) {
					return
				}
			}
		}
	}
}

// itemsAhead is how many items are on their way for each processor.
const itemsAhead = 4

func drafts(raw []byte, opt Options, one func(object, Options) []draft) []draft {
	m, err := decode(raw)
	if err != nil {
		return problemf("%v", err)
	}
	if s, ok := m.(string); ok { // AWS Config's SelectResourceConfig has each result as JSON in a string
		m, opt.text = embedded(s), true
	}
	o, ok := m.(object)
	if !ok {
		return problemf("not a JSON object")
	}
	values, err := opt.Redact.redact(o)
	if err != nil {
		return problemf("%v", err)
	}
	out := one(o, opt)
	for i := range out {
		out[i].values = values
	}
	return out
}

// finish checks an event.
func (d *draft) finish(o Options) (Item, string) {
	if d.problem != "" {
		return Item{}, d.problem
	}
	var disclosures []string
	if len(d.values) > 0 {
		var err error
		if disclosures, err = d.seal(o.Redact.secret); err != nil {
			return Item{}, fmt.Sprintf("%s of %.256q: %v", d.kind, d.asset, err)
		}
	}
	known := o.Known != nil && o.Known(d.event)
	if !d.checked && !known {
		rep, err := ocsf.Default().Errors(d.event)
		if err != nil {
			return Item{}, fmt.Sprintf("%s of %.256q is not valid: %v", d.kind, d.asset, err)
		}
		if !rep.OK() {
			return Item{}, fmt.Sprintf("%s of %.256q is not valid: %s", d.kind, d.asset, rep.Errors[0])
		}
	}
	return Item{
		Event: d.event, Kind: d.kind, Action: d.action, AssetUID: strings.Clone(d.asset), ConfigUID: d.configID,
		Time: time.UnixMilli(d.time).UTC(), Disclosures: disclosures, Repairs: d.repairs, Known: known,
	}, ""
}
