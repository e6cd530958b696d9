package expression

import (
	"cmp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// What applying an update can fail with, in DynamoDB's words.
var (
	errNoAttribute = says("The provided expression refers to an attribute that does not exist in the item")
	errBadOperand  = says("An operand in the update expression has an incorrect data type")
	errBadPath     = says("The document path provided in the update expression is invalid for update")
)

// Update is an update expression. The nil Update changes nothing.
type Update struct {
	actions []action
}

// action is one change at one path. It returns the path's new value, or nil to remove it, from the item as it was
// before the update.
type action struct {
	section string
	path    path
	value   func(Item) (types.AttributeValue, error)
}

// Update parses an update expression; a nil text is no update.
func (p *Params) Update(text *string) (*Update, error) {
	if text == nil {
		return nil, nil
	}
	u := &Update{}
	err := p.parse("UpdateExpression", *text, func(ps *parser) {
		seen := map[string]bool{}
		for ps.peek().kind != end {
			section := strings.ToUpper(ps.peek().text)
			parse := map[string]func(*parser) action{"SET": (*parser).setAction, "REMOVE": (*parser).removeAction, "ADD": (*parser).addAction, "DELETE": (*parser).deleteAction}[section]
			if parse == nil || ps.take().kind != word {
				ps.unexpected()
			}
			if seen[section] {
				ps.fail("The %q section can only be used once in an update expression;", section)
			}
			seen[section] = true
			for more := true; more; _, more = ps.sign(",") {
				a := parse(ps)
				a.section = section
				u.add(ps, a)
			}
		}
	})
	return u, err
}

func (u *Update) add(ps *parser, a action) {
	for _, other := range u.actions {
		if a.path.overlaps(other.path) {
			ps.fail("Two document paths overlap with each other; must remove or rewrite one of these paths; path one: %s, path two: %s", other.path, a.path)
		}
	}
	u.actions = append(u.actions, a)
}

// Touches says whether the update is about a top-level attribute, or a part of it.
func (u *Update) Touches(name string) bool {
	return u != nil && slices.ContainsFunc(u.actions, func(a action) bool { return a.path[0] == name })
}

// Touched returns a copy of the item's top-level attributes with what the update's paths lead to; nil for none.
func (u *Update) Touched(item Item) Item {
	if u == nil {
		return nil
	}
	touched := Item{}
	for _, a := range u.actions {
		if a.path.get(item) != nil {
			name := a.path[0].(string)
			touched[name] = copyValue(item[name])
		}
	}
	if len(touched) == 0 {
		return nil
	}
	return touched
}

// Apply returns a changed copy of item. Every operand is the value before the update.
func (u *Update) Apply(item Item) (Item, error) {
	changed := Copy(item)
	if u == nil {
		return changed, nil
	}
	var removals []path
	for _, a := range u.actions {
		v, err := a.value(item)
		switch {
		case err != nil:
			return nil, err
		case v == nil:
			removals = append(removals, a.path)
		default:
			if err := set(changed, a.path, copyValue(v)); err != nil {
				return nil, err
			}
		}
	}
	// Later places of a list first, so that no removal moves another's place.
	slices.SortFunc(removals, func(a, b path) int { return -comparePaths(a, b) })
	for _, p := range removals {
		if err := remove(changed, p); err != nil {
			return nil, err
		}
	}
	return changed, nil
}

func comparePaths(a, b path) int {
	for i := range min(len(a), len(b)) {
		x, isIndex := a[i].(int)
		y, alsoIndex := b[i].(int)
		if isIndex && alsoIndex && x != y {
			return cmp.Compare(x, y)
		}
		if a[i] != b[i] {
			return strings.Compare(a.String(), b.String())
		}
	}
	return cmp.Compare(len(a), len(b))
}

// set puts v at the path; all but its last step must exist. An index after a list's end appends.
func set(item Item, p path, v types.AttributeValue) error {
	last := p[len(p)-1]
	switch parent := p[:len(p)-1].get(item).(type) {
	case *types.AttributeValueMemberM:
		if key, ok := last.(string); ok {
			parent.Value[key] = v
			return nil
		}
	case *types.AttributeValueMemberL:
		if i, ok := last.(int); ok {
			if i >= len(parent.Value) {
				parent.Value = append(parent.Value, v)
			} else {
				parent.Value[i] = v
			}
			return nil
		}
	}
	return errBadPath
}

// remove takes away what is at the path, if anything is.
func remove(item Item, p path) error {
	last := p[len(p)-1]
	switch parent := p[:len(p)-1].get(item).(type) {
	case *types.AttributeValueMemberM:
		if key, ok := last.(string); ok {
			delete(parent.Value, key)
			return nil
		}
	case *types.AttributeValueMemberL:
		if i, ok := last.(int); ok {
			if i < len(parent.Value) {
				parent.Value = slices.Delete(parent.Value, i, i+1)
			}
			return nil
		}
	}
	return errBadPath
}

func (ps *parser) removeAction() action {
	return action{path: ps.path(), value: func(Item) (types.AttributeValue, error) { return nil, nil }}
}

func (ps *parser) setAction() action {
	p := ps.path()
	ps.mustSign("=")
	return action{path: p, value: ps.sum().get}
}

// term is an operand of SET, which must exist when it is evaluated.
type term struct {
	get      func(Item) (types.AttributeValue, error)
	constant types.AttributeValue // of a :value
}

// sum parses term [+ term] or term [- term].
func (ps *parser) sum() term {
	left := ps.term()
	op, ok := ps.sign("+", "-")
	if !ok {
		return left
	}
	right := ps.term()
	ps.checkConstants(op, "N", left, right)
	return term{get: func(i Item) (types.AttributeValue, error) {
		a, err := left.get(i)
		if err != nil {
			return nil, err
		}
		b, err := right.get(i)
		if err != nil {
			return nil, err
		}
		return sum(a, b, op)
	}}
}

// checkConstants refuses operands that can only be of the wrong type.
func (ps *parser) checkConstants(operator, want string, terms ...term) {
	for _, t := range terms {
		if got := TypeOf(t.constant); t.constant != nil && got != want {
			ps.fail("Incorrect operand type for operator or function; operator or function: %s, operand type: %s", operator, got)
		}
	}
}

func sum(a, b types.AttributeValue, op string) (types.AttributeValue, error) {
	x, ok := a.(*types.AttributeValueMemberN)
	y, also := b.(*types.AttributeValueMemberN)
	if !ok || !also {
		return nil, errBadOperand
	}
	m, err := parseNumber(x.Value)
	if err != nil {
		return nil, err
	}
	n, err := parseNumber(y.Value)
	if err != nil {
		return nil, err
	}
	sign := int64(1)
	if op == "-" {
		sign = -1
	}
	m, err = m.plus(n, sign)
	return &types.AttributeValueMemberN{Value: m.String()}, err
}

// term parses a path, a :value, if_not_exists(path, term), list_append(term, term) or a sum in parentheses.
func (ps *parser) term() term {
	if f, ok := ps.function(); ok {
		return term{get: ps.termFunction(f)}
	}
	if _, ok := ps.sign("("); ok {
		t := ps.sum()
		ps.mustSign(")")
		return t
	}
	o := ps.operand()
	return term{constant: o.constant, get: func(i Item) (types.AttributeValue, error) {
		if v := o.get(i); v != nil {
			return v, nil
		}
		return nil, errNoAttribute
	}}
}

func (ps *parser) termFunction(f string) func(Item) (types.AttributeValue, error) {
	switch f {
	case "if_not_exists":
		if k := ps.peek().kind; k != word && k != name {
			ps.fail("Operator or function requires a document path; operator or function: if_not_exists")
		}
		p := ps.path()
		ps.mustSign(",")
		otherwise := ps.term()
		ps.mustSign(")")
		return func(i Item) (types.AttributeValue, error) {
			if v := p.get(i); v != nil {
				return v, nil
			}
			return otherwise.get(i)
		}
	case "list_append":
		first := ps.term()
		ps.mustSign(",")
		second := ps.term()
		ps.mustSign(")")
		ps.checkConstants(f, "L", first, second)
		return func(i Item) (types.AttributeValue, error) { return appendLists(i, first, second) }
	case "size", "attribute_exists", "attribute_not_exists", "attribute_type", "begins_with", "contains":
		ps.fail("The function is not allowed in an update expression; function: %s", f)
	}
	ps.fail("Invalid function name; function: %s", f)
	return nil
}

func appendLists(i Item, terms ...term) (types.AttributeValue, error) {
	var all []types.AttributeValue
	for _, t := range terms {
		v, err := t.get(i)
		if err != nil {
			return nil, err
		}
		list, ok := v.(*types.AttributeValueMemberL)
		if !ok {
			return nil, errBadOperand
		}
		all = append(all, list.Value...)
	}
	return &types.AttributeValueMemberL{Value: all}, nil
}

// addAction adds a number to a number, or elements to a set; what is missing counts as 0 or empty.
func (ps *parser) addAction() action {
	p, v := ps.pathAndValue("ADD", "N", "SS", "NS", "BS")
	return action{path: p, value: func(i Item) (types.AttributeValue, error) {
		switch old := p.get(i); {
		case old == nil:
			return v, nil
		case TypeOf(old) != TypeOf(v):
			return nil, errBadOperand
		case TypeOf(v) == "N":
			return sum(old, v, "+")
		default:
			return setOf(v, slices.Concat(elements(old), without(v, old))), nil
		}
	}}
}

// deleteAction takes elements out of a set; an empty set is removed.
func (ps *parser) deleteAction() action {
	p, v := ps.pathAndValue("DELETE", "SS", "NS", "BS")
	return action{path: p, value: func(i Item) (types.AttributeValue, error) {
		old := p.get(i)
		if old == nil {
			return nil, nil
		}
		if TypeOf(old) != TypeOf(v) {
			return nil, errBadOperand
		}
		if rest := without(old, v); len(rest) > 0 {
			return setOf(v, rest), nil
		}
		return nil, nil
	}}
}

func (ps *parser) pathAndValue(operator string, allowed ...string) (path, types.AttributeValue) {
	p := ps.path()
	if ps.peek().kind != value {
		ps.unexpected()
	}
	v := ps.value()
	if t := TypeOf(v); !slices.Contains(allowed, t) {
		ps.fail("Incorrect operand type for operator or function; operator: %s, operand type: %s, typeSet: ALLOWED_FOR_%s_OPERAND", operator, typeNames[t], operator)
	}
	return p, v
}

// typeNames are types as update expressions' errors write them.
var typeNames = map[string]string{"S": "STRING", "N": "NUMBER", "B": "BINARY", "BOOL": "BOOLEAN", "NULL": "NULL", "M": "MAP", "L": "LIST"}

// without is the set's elements that are not in the other set.
func without(set, other types.AttributeValue) []string {
	taken := elements(other)
	return slices.DeleteFunc(slices.Clone(elements(set)), func(e string) bool { return slices.Contains(taken, e) })
}

// setOf makes a set of the same type as like.
func setOf(like types.AttributeValue, set []string) types.AttributeValue {
	switch like.(type) {
	case *types.AttributeValueMemberSS:
		return &types.AttributeValueMemberSS{Value: set}
	case *types.AttributeValueMemberNS:
		return &types.AttributeValueMemberNS{Value: set}
	}
	bs := make([][]byte, len(set))
	for i, e := range set {
		bs[i] = []byte(e)
	}
	return &types.AttributeValueMemberBS{Value: bs}
}
