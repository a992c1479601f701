package importer

import (
	"encoding/json"
	"io"
	"iter"
	"maps"
	"strconv"
)

// readProwler converts Prowler's OCSF output, Detection Findings (2004) and Compliance Findings (2003) in an array or as
// JSON lines, of OCSF 1.x. A finding passes through as it is, with metadata.version 1.5.0, with metadata.uid where it
// has none, and with what policy/ocsf calls an error put right: a time in seconds becomes milliseconds, type_uid is
// computed, and an attribute that OCSF 1.5.0 does not know, or does not allow this value, is taken out. The original
// value of each change is in unmapped.original under its JSON path. What cannot be put right that way, such as a
// required attribute that is missing, is a Problem.
//
// With Options.Inventory each resource of a finding gives an inventory event too: Prowler saw it at the finding's time.
func readProwler(r io.Reader, o Options) iter.Seq2[Item, error] {
	return convert(r, o, layout{}, prowlerItem)
}

var prowlerFormat = Format{
	Name: "prowler", Short: "Register Prowler's findings", Read: readProwler, Findings: true,
	Long: `Prowler's OCSF findings are registered as statements about finding/UID, in no
chain, unless the policy requires one. With --inventory the resources that they
name become inventory records too.`,
	Tool: "prowler PROVIDER --output-formats json-ocsf",
}

func prowlerItem(m object, o Options) []draft {
	class, _ := m["class_uid"].(json.Number)
	if class != "2004" && class != "2003" {
		return problemf("class_uid %.20q is no Detection Finding (2004) or Compliance Finding (2003)", class)
	}
	return finding(m, o, "prowler")
}

// older gives events of Prowler's that lack what OCSF requires the attributes that they have elsewhere: before 4.5 the
// time is event_time, without an offset and meant in UTC; compliance findings of 5.x have the cloud in unmapped.
func (f *repairer) older() {
	if t, ok := f.event["event_time"].(string); ok && f.event["time"] == nil {
		at, offset := millis(t)
		if !offset {
			at, offset = millis(t + "Z")
		}
		if offset {
			f.event["time"] = json.Number(strconv.FormatInt(at, 10))
		}
	}
	unmapped, _ := f.event["unmapped"].(object)
	if cloud, ok := unmapped["cloud"].(object); ok && f.event["cloud"] == nil {
		f.event["cloud"] = maps.Clone(cloud)
	}
}
