package importer

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/conmotion/conmotion/monitor/identity"
)

// readRows converts rows of tables, such as those of Steampipe and CloudQuery: JSON (an array, lines, or Steampipe's object
// with columns and rows), CSV with a line of names, or Apache Parquet. The flag mapping of Options.Flags says what the
// columns are (docs/monitoring.md). A row says how a resource is: modify, with activity_id 2. Its columns that are not
// mapped or left out are the asset's own configuration.
func readRows(r io.Reader, o Options) iter.Seq2[Item, error] {
	m, err := readMapping(o.Flags["mapping"])
	if err == nil {
		r, err = lines(r)
	}
	if err != nil {
		return func(yield func(Item, error) bool) { yield(Item{}, err) }
	}
	return convert(r, o, layout{containers: []string{"rows"}}, m.item)
}

var rowsFormat = Format{
	Name: "rows", Short: "Register rows of Steampipe, CloudQuery or another table", Read: readRows,
	Long: `Rows of tables become inventory and configuration records. --mapping names a file in
YAML or JSON that says which columns have the identity, the name, the account, the
region, the tags and the time: docs/monitoring.md has the form of it.`,
	Tool: `steampipe query --output json "select * from aws_s3_bucket"
  cloudquery sync aws.yml file.yml (a file destination with the format json, csv or parquet)`,
	Flags: []Flag{{Name: "mapping", Usage: "file in YAML or JSON that says what the columns are", Required: true, File: true}},
	Check: func(flags map[string]string) error { _, err := readMapping(flags["mapping"]); return err },
}

// mapping is the form of the file of --mapping: what the columns of tables are.
type mapping struct {
	Tables []table `json:"tables"`
}

// table says what the columns of one table are. Each member is the name of a column, or, behind "=", a value.
type table struct {
	Files     string   `json:"files"` // pattern of the names of its files or of their directories; "" for all
	Provider  string   `json:"provider"`
	Type      string   `json:"type"`
	UID       string   `json:"uid"`
	Name      string   `json:"name"`
	Account   string   `json:"account"`
	Region    string   `json:"region"`
	Namespace string   `json:"namespace"`
	Tags      string   `json:"tags"` // an object of strings
	Time      string   `json:"time"` // when it was so
	LeaveOut  []string `json:"leave_out"`
}

// readMapping reads YAML, of which JSON is a part, as the JSON that says the same.
func readMapping(text string) (mapping, error) {
	var m mapping
	var document any
	in := yaml.NewDecoder(strings.NewReader(text))
	err := in.Decode(&document)
	if err != nil {
		return m, fmt.Errorf("importer: mapping: %w", err)
	}
	data, err := json.Marshal(document)
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(data))
		d.DisallowUnknownFields()
		err = d.Decode(&m)
	}
	if err != nil {
		return m, fmt.Errorf("importer: mapping: %w", err)
	}
	if err := in.Decode(&document); err != io.EOF || len(m.Tables) == 0 {
		return m, errors.New("importer: mapping: it is one object with tables")
	}
	for i, t := range m.Tables {
		if t.UID == "" || t.Type == "" || t.Provider == "" {
			return m, fmt.Errorf("importer: mapping: table %d lacks provider, type or uid", i+1)
		}
		for _, p := range append(slices.Clone(t.LeaveOut), t.Files) {
			if _, err := path.Match(p, ""); err != nil {
				return m, fmt.Errorf("importer: mapping: table %d: %q: %w", i+1, p, err)
			}
		}
	}
	return m, nil
}

// of returns the table that a file has rows of.
func (m mapping) of(file string) *table {
	for i := range m.Tables {
		t := &m.Tables[i]
		for name := strings.ReplaceAll(file, `\`, "/"); ; name = path.Dir(name) {
			if ok, _ := path.Match(t.Files, path.Base(name)); ok || t.Files == "" {
				return t
			}
			if name == path.Dir(name) {
				break
			}
		}
	}
	return nil
}

func (m mapping) item(row object, o Options) []draft {
	t := m.of(o.File)
	if t == nil {
		return problemf("the mapping has no table for this file")
	}
	row = compact(maps.Clone(row))
	source, rest := digest(row), maps.Clone(row)
	column := func(name string) string {
		if value, ok := strings.CutPrefix(name, "="); ok {
			return value
		}
		delete(rest, name)
		return text(row, name)
	}
	s := identity.Source{Provider: column(t.Provider), Account: column(t.Account), Region: column(t.Region), Namespace: column(t.Namespace),
		Type: column(t.Type), UID: column(t.UID), Name: column(t.Name)}
	id := identity.Of(s)
	if id == "" || s.Provider == "" {
		return problemf("a row without the columns %q and %q that the mapping names", t.UID, t.Provider)
	}
	a := asset{
		format: "rows", own: "row", source: source, activity: 2,
		product:  object{"name": "Rows of a table", "vendor_name": s.Provider},
		cloud:    object{"provider": s.Provider},
		resource: object{"uid": id},
	}
	if id != s.UID {
		a.resource["uid_alt"] = s.UID
	}
	for name, value := range map[string]string{"name": s.Name, "type": s.Type, "region": s.Region, "namespace": s.Namespace} {
		set(a.resource, name, value)
	}
	set(a.cloud, "region", s.Region)
	if s.Account != "" {
		a.cloud["account"] = object{"uid": s.Account}
	}
	if reason := a.at(o, row[t.Time]); reason != "" {
		return problemf("%s", reason)
	}
	tags := row[t.Tags]
	if s, ok := tags.(string); ok {
		tags = embedded(s)
	}
	if tags, ok := pairs(tags); ok && len(tags) > 0 {
		a.resource["tags"] = tags
		delete(rest, t.Tags)
	}
	delete(rest, t.Time)
	maps.DeleteFunc(rest, func(name string, _ any) bool {
		return slices.ContainsFunc(t.LeaveOut, func(p string) bool { ok, _ := path.Match(p, name); return ok })
	})
	for name, v := range rest {
		if s, ok := v.(string); ok {
			rest[name] = embedded(s)
		}
	}
	if len(rest) == 0 {
		return a.events(actionModify, true, nil, nil)
	}
	return a.events(actionModify, true, []config{{name: a.own, data: object{a.own: rest}}}, nil)
}

// lines makes JSON lines of CSV, and leaves JSON as it is.
func lines(r io.Reader) (io.Reader, error) {
	r, err := unpacked(r)
	if err != nil {
		return nil, err
	}
	b := bufio.NewReader(r)
	for {
		switch first, err := b.Peek(1); {
		case err != nil || first[0] == '{' || first[0] == '[':
			return b, nil
		case strings.IndexByte(" \t\r\n", first[0]) < 0:
			c := csv.NewReader(b)
			names, err := c.Read()
			if err != nil {
				return nil, fmt.Errorf("importer: CSV: %w", err)
			}
			return &lined{next: func() (any, error) { return cells(c, names) }}, nil
		}
		if _, err := b.Discard(1); err != nil {
			return nil, fmt.Errorf("importer: %w", err)
		}
	}
}

// cells are the cells of a line of CSV that are not empty, by their names.
func cells(c *csv.Reader, names []string) (any, error) {
	record, err := c.Read()
	if err != nil {
		return nil, err
	}
	row := object{}
	for i, cell := range record {
		set(row, names[i], cell)
	}
	return row, nil
}
