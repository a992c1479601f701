package ocsf

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/conmotion/conmotion/internal/jsonx"
)

// ErrMalformed is wrapped by every error of Check and Parse: the bytes are not one JSON text that has a single
// meaning. That covers syntax, bytes after the text, invalid UTF-8, unpaired surrogates, a member name that occurs
// twice in one object, and nesting beyond jsonx.MaxDepth.
var ErrMalformed = errors.New("malformed JSON")

// Summary is what an event says of itself. A member that is missing or of the wrong type leaves the zero value.
type Summary struct {
	ClassUID   int64  // class_uid
	ActivityID int64  // activity_id
	Time       int64  // time, in milliseconds since the epoch in a valid event
	Version    string // metadata.version
	EventCode  string // metadata.event_code
	UID        string // metadata.uid
}

// Parse reads an event for CheckTree. The error wraps ErrMalformed.
func Parse(event []byte) (*jsonx.Tree, error) {
	d, err := jsonx.Parse(event)
	if err != nil {
		return nil, fmt.Errorf("ocsf: %w: %w", ErrMalformed, err)
	}
	return d, nil
}

// SummaryOf is what an event that was read says of itself. It is not checked.
func SummaryOf(d *jsonx.Tree) (s Summary) {
	text := func(n int32) string {
		if n == 0 || d.Kind(n) != jsonx.String {
			return ""
		}
		return strings.Clone(d.Text(n))
	}
	s.ClassUID, _ = integer(d, d.Member(0, "class_uid"))
	s.ActivityID, _ = integer(d, d.Member(0, "activity_id"))
	s.Time, _ = integer(d, d.Member(0, "time"))
	s.Version = text(d.Find("metadata", "version"))
	s.EventCode = text(d.Find("metadata", "event_code"))
	s.UID = text(d.Find("metadata", "uid"))
	return s
}

// integer returns the value of n and whether n is a JSON integer that fits 64 bits. 1.0 and 1e3 are not integers here,
// as in the OCSF server.
func integer(d *jsonx.Tree, n int32) (int64, bool) {
	if n == 0 || d.Kind(n) != jsonx.Number {
		return 0, false
	}
	v, err := strconv.ParseInt(d.Text(n), 10, 64)
	return v, err == nil
}

// checker is the state of one Check.
type checker struct {
	s        *Schema
	d        *jsonx.Tree
	rep      *Report
	quiet    bool // no warnings
	profiles uint64
	warned   int     // all warnings, those beyond the limit too
	missing  []int32 // the recommended attributes that are missing: where each one's path ends in paths
	paths    []byte
	*stacks
}

// stacks are used by one checker after the other.
type stacks struct {
	at    []segment
	slots []int32 // frames, one for each open object: the node of each attribute
}

// Check checks one event, a JSON object in UTF-8. The error wraps ErrMalformed and means that there is no event to
// check; everything else is in the report. Check keeps nothing of event.
func (s *Schema) Check(event []byte) (Report, error) { return s.check(event, false) }

// Errors is Check without the warnings, for whoever reads many events: it costs half.
func (s *Schema) Errors(event []byte) (Report, error) { return s.check(event, true) }

func (s *Schema) check(event []byte, quiet bool) (Report, error) {
	d, err := Parse(event)
	if err != nil {
		return Report{}, err
	}
	return s.CheckTree(d, quiet), nil
}

// CheckTree is Check, or Errors where it is to be quiet, of an event that its caller reads too.
func (s *Schema) CheckTree(d *jsonx.Tree, quiet bool) (rep Report) {
	own, _ := s.stacks.Get().(*stacks)
	if own == nil {
		own = &stacks{}
	}
	own.at, own.slots = own.at[:0], own.slots[:0]
	defer s.stacks.Put(own)
	c := checker{s: s, d: d, rep: &rep, quiet: quiet, stacks: own}
	if k := d.Kind(0); k != jsonx.Object {
		c.errorf(CodeNotObject, "an event is an object, not %s", k)
		return rep
	}
	rep.Summary = SummaryOf(d)
	if class := c.class(); class != nil {
		rep.Class = class.name
		if class.deprecated != "" {
			c.push("class_uid")
			c.warnf(CodeClassDeprecated, "class %s is deprecated since %s", class.name, class.deprecated)
			c.pop()
		}
		c.readProfiles()
		c.object(class, 0)
		c.version()
		c.typeUID()
		c.observables(class)
		if !quiet {
			c.addMissing()
		}
	}
	return rep
}

// class finds the event's class. Without it nothing else can be said.
func (c *checker) class() *item {
	c.push("class_uid")
	defer c.pop()
	n := c.d.Member(0, "class_uid")
	if n == 0 || c.d.Kind(n) == jsonx.Null {
		c.errorf(CodeRequiredMissing, "required attribute is missing; without the class nothing else was checked")
		return nil
	}
	uid, ok := integer(c.d, n)
	if !ok {
		c.wrongType(n, "integer_t (a 64-bit integer); without the class nothing else was checked")
		return nil
	}
	class := c.s.classes[uid]
	if class == nil {
		c.errorf(CodeClassUnknown, "class %d is not in this schema of OCSF %s; nothing else was checked", uid, c.s.version)
	}
	return class
}

// readProfiles collects metadata.profiles; its type is checked with the rest of the event.
func (c *checker) readProfiles() {
	list := c.d.Find("metadata", "profiles")
	if list == 0 || c.d.Kind(list) != jsonx.Array {
		return
	}
	i := 0
	for n := c.d.First(list); n != 0; n = c.d.Next(n) {
		if c.d.Kind(n) == jsonx.String {
			bit, ok := c.s.profiles[c.d.Text(n)]
			if c.profiles |= bit; !ok {
				c.at = append(c.at, segment{name: "metadata"}, segment{name: "profiles"}, segment{index: i})
				c.errorf(CodeProfileUnknown, "OCSF %s has no profile %s", c.s.version, jsonx.Quote(c.d.Text(n), quoted))
				c.at = c.at[:0]
			}
		}
		i++
	}
}

func (a *attr) allowedBy(profiles uint64) bool { return a.profiles == 0 || a.profiles&profiles != 0 }

// object checks the object n against a class or object of the schema.
func (c *checker) object(it *item, n int32) {
	if len(it.attrs) == 0 {
		return // the server's rule: an object without attributes in the schema, such as "object", takes any
	}
	frame := len(c.slots)
	c.slots = slices.Grow(c.slots, len(it.attrs))[:frame+len(it.attrs)]
	clear(c.slots[frame:])
	defer func() { c.slots = c.slots[:frame] }()

	for m := c.d.First(n); m != 0; m = c.d.Next(m) {
		i, ok := it.index[c.d.Name(m)]
		if !ok {
			c.unknown(it, m)
			continue
		}
		a := &it.attrs[i]
		c.push(a.name)
		if !a.allowedBy(c.profiles) {
			c.errorf(CodeProfileMissing, "%s has this attribute only under the profile %s, which metadata.profiles does not list", it.name, a.profileNames)
		} else if c.d.Kind(m) != jsonx.Null {
			c.slots[frame+int(i)] = m
			if a.deprecated != "" {
				c.warnf(CodeDeprecated, "attribute is deprecated since %s", a.deprecated)
			}
			c.attribute(a, m)
		}
		c.pop()
	}

	slots := c.slots[frame : frame+len(it.attrs)]
	for _, i := range it.enums {
		if slots[i] != 0 {
			c.siblings(&it.attrs[i], slots[i], &it.attrs[it.attrs[i].sibling], slots[it.attrs[i].sibling])
		}
	}
	for _, w := range it.wanted {
		if slots[w.attr] != 0 || w.profiles != 0 && w.profiles&c.profiles == 0 {
			continue
		}
		if !w.required {
			if c.quiet {
				continue
			}
			c.recommend(it.attrs[w.attr].name)
			continue
		}
		c.push(it.attrs[w.attr].name)
		c.errorf(CodeRequiredMissing, "required attribute is missing")
		c.pop()
	}
	for i := range it.constraints {
		c.constraint(&it.constraints[i], slots)
	}
}

func (c *checker) unknown(it *item, m int32) {
	name := c.d.Name(m)
	if !plainName(name) {
		name = jsonx.Quote(c.d.Name(m), quoted)
	}
	c.push(name)
	c.errorf(CodeUnknown, "%s has no such attribute in OCSF %s", it.name, c.s.version)
	c.pop()
}

func (c *checker) constraint(con *constraint, slots []int32) {
	count := 0
	for i := range con.attrs {
		n := slots[con.attrs[i].attr]
		for _, name := range con.attrs[i].below {
			if n != 0 {
				n = c.d.Member(n, name)
			}
		}
		if n == 0 || c.d.Kind(n) == jsonx.Null {
			continue
		}
		if count++; !con.justOne {
			return
		}
	}
	if count != 1 {
		c.errorf(CodeConstraint, con.message)
	}
}

// attribute checks a value that is not null.
func (c *checker) attribute(a *attr, n int32) {
	if !a.array {
		c.element(a, n)
		return
	}
	if c.d.Kind(n) != jsonx.Array {
		c.wrongType(n, "an array of "+a.typeName())
		return
	}
	i := 0
	for e := c.d.First(n); e != 0; e = c.d.Next(e) {
		c.at = append(c.at, segment{index: i})
		c.element(a, e)
		c.pop()
		i++
	}
}

func (a *attr) typeName() string {
	if a.object != nil {
		return "object " + a.object.name
	}
	return a.scalar.name + " (" + primitive(a.scalar.base) + ")"
}

func (c *checker) element(a *attr, n int32) {
	if a.object == nil {
		c.scalar(a, n)
		return
	}
	if c.d.Kind(n) != jsonx.Object {
		c.wrongType(n, a.typeName())
		return
	}
	if a.object.deprecated != "" {
		c.warnf(CodeObjectDeprecated, "object %s is deprecated since %s", a.object.name, a.object.deprecated)
	}
	c.object(a.object, n)
}

func (c *checker) wrongType(n int32, want string) {
	k := c.d.Kind(n)
	got := k.String()
	switch k {
	case jsonx.Number:
		got += " " + jsonx.Cut(c.d.Text(n), bare)
	case jsonx.String:
		got += " " + jsonx.Quote(c.d.Text(n), quoted)
	}
	c.errorf(CodeWrongType, "expected %s, got %s", want, got)
}

// typeUID checks "class_uid * 100 + activity_id", the definition of type_uid.
func (c *checker) typeUID() {
	class, ok1 := integer(c.d, c.d.Member(0, "class_uid"))
	activity, ok2 := integer(c.d, c.d.Member(0, "activity_id"))
	n := c.d.Member(0, "type_uid")
	got, ok3 := integer(c.d, n)
	if want := class*100 + activity; ok1 && ok2 && ok3 && got != want {
		c.push("type_uid")
		c.errorf(CodeTypeUID, "expected %d (class_uid %d * 100 + activity_id %d), got %d", want, class, activity, got)
		c.pop()
	}
}

// observables checks that each observable's name is the path of an attribute of the class.
func (c *checker) observables(class *item) {
	list := c.d.Member(0, "observables")
	if list == 0 || c.d.Kind(list) != jsonx.Array {
		return
	}
	i := 0
	for o := c.d.First(list); o != 0; o = c.d.Next(o) {
		n := c.d.Member(o, "name")
		if n != 0 && c.d.Kind(n) == jsonx.String && !c.refers(class, c.d.Text(n)) {
			c.at = append(c.at, segment{name: "observables"}, segment{index: i}, segment{name: "name"})
			c.errorf(CodeObservable, "%s is not the path of an attribute of %s", jsonx.Quote(c.d.Text(n), quoted), class.name)
			c.at = c.at[:0]
		}
		i++
	}
}

// refers resolves a path such as resources[0].owner.name or resources[].owner.name in the schema. Below a free-form
// object any path goes.
func (c *checker) refers(it *item, path string) bool {
	for path != "" {
		var name string
		var more bool
		name, path, more = strings.Cut(path, ".")
		name, _, indexed := strings.Cut(name, "[")
		i, ok := it.index[name]
		if !ok || !it.attrs[i].allowedBy(c.profiles) || indexed && !it.attrs[i].array {
			return false
		}
		if !more {
			return true
		}
		if it = it.attrs[i].object; it == nil {
			return false
		}
		if len(it.attrs) == 0 {
			return true
		}
	}
	return false
}
