package expression

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Params are one request's ExpressionAttributeNames and ExpressionAttributeValues. Not safe for concurrent use.
type Params struct {
	names      map[string]string
	values     Item
	usedNames  map[string]bool
	usedValues map[string]bool
}

// NewParams takes a request's names and values; both may be nil. Its error says which value is invalid.
func NewParams(names map[string]string, values map[string]types.AttributeValue) (*Params, error) {
	for _, n := range slices.Sorted(maps.Keys(names)) {
		if list, bad := tokens(n); bad != "" || len(list) != 2 || list[0].kind != name {
			return nil, fmt.Errorf("ExpressionAttributeNames contains invalid key: Syntax error; key: %q", n)
		}
	}
	for _, v := range slices.Sorted(maps.Keys(values)) {
		if list, bad := tokens(v); bad != "" || len(list) != 2 || list[0].kind != value {
			return nil, fmt.Errorf("ExpressionAttributeValues contains invalid key: Syntax error; key: %q", v)
		}
	}
	normal := Item{}
	for _, v := range slices.Sorted(maps.Keys(values)) {
		one, err := Normalize(Item{v: values[v]})
		if err != nil {
			return nil, fmt.Errorf("ExpressionAttributeValues contains invalid value: %w for key %s", err, v)
		}
		normal[v] = one[v]
	}
	return &Params{names, normal, map[string]bool{}, map[string]bool{}}, nil
}

// Unused is an error if a name or value was in no expression that was parsed, as DynamoDB wants it.
func (p *Params) Unused() error {
	if list := unused(p.names, p.usedNames); list != "" {
		return says("Value provided in ExpressionAttributeNames unused in expressions: keys: {%s}", list)
	}
	if list := unused(p.values, p.usedValues); list != "" {
		return says("Value provided in ExpressionAttributeValues unused in expressions: keys: {%s}", list)
	}
	return nil
}

func unused[V any](given map[string]V, used map[string]bool) string {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(given)) {
		if !used[k] {
			list = append(list, k)
		}
	}
	return strings.Join(list, ", ")
}

// says makes an error of DynamoDB's own words, with their capitals and periods.
func says(format string, args ...any) error { return fmt.Errorf(format, args...) }

// path is an attribute, or a place inside of one: its steps are string (a map's key) or int (a list's index).
type path []any

// String is the path as DynamoDB writes it in errors.
func (p path) String() string {
	parts := make([]string, len(p))
	for i, step := range p {
		parts[i] = fmt.Sprint(step)
		if n, ok := step.(int); ok {
			parts[i] = fmt.Sprintf("[%d]", n)
		}
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// path parses name(.name|[index])*.
func (ps *parser) path() path {
	p := path{ps.pathName()}
	for {
		if _, ok := ps.sign("."); ok {
			p = append(p, ps.pathName())
		} else if _, ok := ps.sign("["); ok {
			t := ps.peek()
			n, err := strconv.Atoi(t.text)
			if t.kind != index || err != nil {
				ps.unexpected()
			}
			ps.take()
			ps.mustSign("]")
			p = append(p, n)
		} else {
			return p
		}
	}
}

func (ps *parser) pathName() string {
	t := ps.peek()
	switch t.kind {
	case name:
		ps.take()
		resolved, ok := ps.params.names[t.text]
		if !ok {
			ps.fail("An expression attribute name used in the document path is not defined; attribute name: %s", t.text)
		}
		ps.params.usedNames[t.text] = true
		return resolved
	case word:
		ps.take()
		if reserved()[strings.ToUpper(t.text)] {
			ps.fail("Attribute name is a reserved keyword; reserved keyword: %s", t.text)
		}
		return t.text
	}
	ps.unexpected()
	return ""
}

func (ps *parser) value() types.AttributeValue {
	t := ps.take()
	v, ok := ps.params.values[t.text]
	if !ok {
		ps.fail("An expression attribute value used in expression is not defined; attribute value: %s", t.text)
	}
	ps.params.usedValues[t.text] = true
	return v
}

// get is what item holds at the path, or nil.
func (p path) get(item Item) types.AttributeValue {
	var v types.AttributeValue = &types.AttributeValueMemberM{Value: item}
	for _, step := range p {
		switch parent := v.(type) {
		case *types.AttributeValueMemberM:
			key, ok := step.(string)
			if !ok {
				return nil
			}
			v = parent.Value[key]
		case *types.AttributeValueMemberL:
			i, ok := step.(int)
			if !ok || i >= len(parent.Value) {
				return nil
			}
			v = parent.Value[i]
		default:
			return nil
		}
	}
	return v
}

// overlaps says whether one path is the other, or leads to it.
func (p path) overlaps(q path) bool {
	n := min(len(p), len(q))
	return slices.Equal(p[:n], q[:n])
}
