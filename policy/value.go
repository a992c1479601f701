package policy

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"github.com/fxamacker/cbor/v2"

	"github.com/conmotion/conmotion/internal/jsonx"
)

// mapping is what a CEL map needs to know of its content. The order of keys
// is fixed: the maps of cel-go iterate in the random order of Go maps, and a
// rule must give the same answer each time.
type mapping interface {
	find(key ref.Val) (ref.Val, bool)
	len() int
	key(i int) ref.Val
}

// celMap makes a mapping a value of CEL.
type celMap struct{ mapping }

var _ traits.Mapper = (*celMap)(nil)

func (m *celMap) Find(key ref.Val) (ref.Val, bool) {
	if types.IsUnknownOrError(key) {
		return key, false
	}
	return m.find(key)
}

func (m *celMap) Get(key ref.Val) ref.Val {
	v, ok := m.Find(key)
	if !ok {
		return types.ValOrErr(v, "no such key: %v", key)
	}
	return v
}

func (m *celMap) Contains(key ref.Val) ref.Val {
	_, ok := m.Find(key)
	return types.Bool(ok)
}

func (m *celMap) Size() ref.Val     { return types.Int(m.len()) }
func (m *celMap) IsZeroValue() bool { return m.len() == 0 }
func (m *celMap) Type() ref.Type    { return types.MapType }
func (m *celMap) Value() any        { return m.mapping }

func (m *celMap) Equal(other ref.Val) ref.Val {
	o, ok := other.(traits.Mapper)
	if !ok || m.Size() != o.Size() {
		return types.False
	}
	for i := range m.len() {
		k := m.key(i)
		theirs, found := o.Find(k)
		if !found || types.Equal(m.Get(k), theirs) != types.True {
			return types.False
		}
	}
	return types.True
}

func (m *celMap) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("a map cannot become a %v", t)
}

func (m *celMap) ConvertToType(t ref.Type) ref.Val {
	switch t {
	case types.MapType:
		return m
	case types.TypeType:
		return types.MapType
	}
	return types.NewErr("a map cannot become a %s", t.TypeName())
}

func (m *celMap) Iterator() traits.Iterator { return &keys{m: m} }

// keys iterates over the keys of a celMap.
type keys struct {
	m    *celMap
	next int
}

func (k *keys) HasNext() ref.Val { return types.Bool(k.next < k.m.len()) }

func (k *keys) Next() ref.Val {
	k.next++
	return k.m.key(k.next - 1)
}

func (k *keys) Type() ref.Type { return types.IteratorType }
func (k *keys) Value() any     { return nil }

func (k *keys) Equal(ref.Val) ref.Val            { return types.False }
func (k *keys) ConvertToType(t ref.Type) ref.Val { return types.NewErr("an iterator is not a value") }
func (k *keys) ConvertToNative(reflect.Type) (any, error) {
	return nil, errors.New("an iterator is not a value")
}

// content is a JSON text that rules read.
type content struct {
	*jsonx.Tree
	values map[int32]ref.Val // the arrays and objects that a rule has read
}

// jsonObject is an object of a JSON text; its members become CEL values when
// a rule asks for them.
type jsonObject struct {
	t     *content
	i     int32
	items []int32 // nil until a rule iterates over them
}

func (o *jsonObject) len() int { return o.t.Len(o.i) }

func (o *jsonObject) key(i int) ref.Val {
	if o.items == nil {
		o.items = o.t.items(o.i)
	}
	return types.String(o.t.Name(o.items[i]))
}

func (o *jsonObject) find(key ref.Val) (ref.Val, bool) {
	if s, ok := key.(types.String); ok {
		if m := o.t.Member(o.i, string(s)); m != 0 {
			return o.t.value(m), true
		}
	}
	return nil, false
}

// items are the elements of an array or the members of an object.
func (t *content) items(i int32) []int32 {
	out := make([]int32, 0, t.Len(i))
	for m := t.First(i); m != 0; m = t.Next(m) {
		out = append(out, m)
	}
	return out
}

// value is the CEL value of a value of the text. Arrays and objects are made once only: CEL
// counts reading a member as one step, however much is in it.
func (t *content) value(i int32) ref.Val {
	switch t.Kind(i) {
	case jsonx.Bool:
		return types.Bool(t.Text(i) == "true")
	case jsonx.Number:
		return fromNumber(number(t.Text(i)))
	case jsonx.String:
		return types.String(t.Text(i))
	case jsonx.Null:
		return types.NullValue
	}
	if v, ok := t.values[i]; ok {
		return v
	}
	var v ref.Val = &celMap{&jsonObject{t: t, i: i}}
	if t.Kind(i) == jsonx.Array {
		list := make([]ref.Val, 0, t.Len(i))
		for _, m := range t.items(i) {
			list = append(list, t.value(m))
		}
		v = types.NewRefValList(types.DefaultTypeAdapter, list)
	}
	if t.values == nil {
		t.values = map[int32]ref.Val{}
	}
	t.values[i] = v
	return v
}

func fromNumber(v any) ref.Val {
	switch v := v.(type) {
	case int64:
		return types.Int(v)
	case uint64:
		if v <= math.MaxInt64 {
			return types.Int(v)
		}
		return types.Uint(v)
	}
	return types.Double(v.(float64))
}

// number gives an integral literal that fits as int64 or uint64, and every
// other number as float64.
func number(text string) any {
	if !strings.ContainsAny(text, ".eE") {
		if i, err := strconv.ParseInt(text, 10, 64); err == nil {
			return i
		}
		if u, err := strconv.ParseUint(text, 10, 64); err == nil {
			return u
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil { // out of range: the parser has checked the form
		f = math.Copysign(math.Inf(1), f)
	}
	return f
}

// pairs is a CBOR map, sorted by its keys.
type pairs struct {
	keys, values []ref.Val
	index        map[ref.Val]int
}

func (p *pairs) len() int          { return len(p.keys) }
func (p *pairs) key(i int) ref.Val { return p.keys[i] }

func (p *pairs) find(key ref.Val) (ref.Val, bool) {
	switch k := key.(type) {
	case types.String, types.Int, types.Bool:
	case types.Uint:
		if k <= math.MaxInt64 {
			key = types.Int(k)
		}
	case types.Double:
		if k == types.Double(int64(k)) {
			key = types.Int(k)
		}
	default:
		return nil, false
	}
	if i, ok := p.index[key]; ok {
		return p.values[i], true
	}
	return nil, false
}

// fromCBOR makes a CEL value of what the CBOR decoder gives. A tag becomes the
// map {"tag": number, "value": content}, a tagged time its RFC 3339 text.
func fromCBOR(v any) (ref.Val, error) {
	switch v := v.(type) {
	case nil:
		return types.NullValue, nil
	case bool:
		return types.Bool(v), nil
	case int64, uint64, float64:
		return fromNumber(v), nil
	case string:
		return types.String(v), nil
	case []byte:
		return types.Bytes(v), nil
	case time.Time:
		return types.String(v.UTC().Format(time.RFC3339Nano)), nil
	case []any:
		list := make([]ref.Val, len(v))
		for i := range v {
			var err error
			if list[i], err = fromCBOR(v[i]); err != nil {
				return nil, err
			}
		}
		return types.NewRefValList(types.DefaultTypeAdapter, list), nil
	case map[any]any:
		return fromCBORMap(v)
	case cbor.Tag:
		return fromCBORMap(map[any]any{"tag": v.Number, "value": v.Content})
	case big.Int:
		if v.IsUint64() {
			return fromNumber(v.Uint64()), nil
		}
		return nil, errors.New("an integer of more than 64 bits")
	}
	return nil, fmt.Errorf("a CBOR value that rules cannot read (%T)", v)
}

func fromCBORMap(m map[any]any) (ref.Val, error) {
	p := &pairs{index: make(map[ref.Val]int, len(m))}
	values := make(map[ref.Val]ref.Val, len(m))
	for k, v := range m {
		key, err := fromCBOR(k)
		if err != nil {
			return nil, err
		}
		switch key.(type) {
		case types.String, types.Int, types.Uint, types.Bool:
		default:
			return nil, fmt.Errorf("a map key of type %s", key.Type().TypeName())
		}
		if values[key], err = fromCBOR(v); err != nil {
			return nil, err
		}
		p.keys = append(p.keys, key)
	}
	slices.SortFunc(p.keys, func(a, b ref.Val) int {
		if c := cmp.Compare(a.Type().TypeName(), b.Type().TypeName()); c != 0 {
			return c
		}
		return int(a.(traits.Comparer).Compare(b).(types.Int))
	})
	for i, k := range p.keys {
		p.index[k] = i
		p.values = append(p.values, values[k])
	}
	return &celMap{p}, nil
}

// parseContent reads the statement's content as a CEL value, if its media type
// is JSON or CBOR.
func (e *evaluation) parseContent(data []byte) (ref.Val, error) {
	switch contentFormat(e.s.ContentType) {
	case "json":
		t, err := e.parseJSON(data)
		if err != nil {
			return nil, err
		}
		return (&content{Tree: t}).value(0), nil
	case "cbor":
		v, err := jsonx.CBOR(data)
		if err != nil {
			return nil, fmt.Errorf("not one CBOR item with a single meaning: %w", err)
		}
		return fromCBOR(v)
	}
	return nil, fmt.Errorf("content of type %s is neither JSON nor CBOR", quote(e.s.ContentType))
}

// parseJSON parses the statement's content once, for the OCSF check and for
// all rules.
func (e *evaluation) parseJSON(data []byte) (*jsonx.Tree, error) {
	if e.tree == nil && e.treeErr == nil {
		if e.tree, e.treeErr = jsonx.Parse(bytes.Clone(data)); e.treeErr != nil {
			e.treeErr = fmt.Errorf("not one JSON text with a single meaning: %w", e.treeErr)
		}
	}
	return e.tree, e.treeErr
}

// contentFormat says how content of a media type can be read: "json", "cbor"
// or "". Numbers are CoAP Content-Formats (RFC 7252 section 12.3, RFC 8949
// section 9.4).
func contentFormat(mediaType string) string {
	t := baseType(mediaType)
	switch {
	case t == "application/json", t == "50", strings.HasSuffix(t, "+json"):
		return "json"
	case t == "application/cbor", t == "60", strings.HasSuffix(t, "+cbor"):
		return "cbor"
	}
	return ""
}

// baseType is a media type without its parameters, in lower case (RFC 9110
// section 8.3.1: type and subtype are case-insensitive).
func baseType(mediaType string) string {
	t, _, _ := strings.Cut(mediaType, ";")
	return strings.ToLower(strings.TrimSpace(t))
}

// bytesEqual is bytes.Equal that treats nil as equal to nothing.
func bytesEqual(a, b []byte) bool { return a != nil && b != nil && bytes.Equal(a, b) }
