package expression

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Condition says whether an item, or nil for no item, meets a condition or filter expression. The nil Condition is
// always met.
type Condition func(Item) bool

// Met evaluates the condition.
func (c Condition) Met(item Item) bool { return c == nil || c(item) }

// Condition parses a condition expression; kind names it in errors, such as "ConditionExpression" or
// "FilterExpression". A nil text is no condition.
func (p *Params) Condition(kind string, text *string) (Condition, error) {
	if text == nil {
		return nil, nil
	}
	var c Condition
	err := p.parse(kind, *text, func(ps *parser) { c = ps.or() })
	return c, err
}

// or, and, not and comparison are the language's levels of precedence, the loosest first.
func (ps *parser) or() Condition {
	left := ps.and()
	for ps.keyword("OR") {
		l, r := left, ps.and()
		left = func(i Item) bool { return l(i) || r(i) }
	}
	return left
}

func (ps *parser) and() Condition {
	left := ps.not()
	for ps.keyword("AND") {
		l, r := left, ps.not()
		left = func(i Item) bool { return l(i) && r(i) }
	}
	return left
}

func (ps *parser) not() Condition {
	if ps.keyword("NOT") {
		c := ps.not()
		return func(i Item) bool { return !c(i) }
	}
	return ps.comparison()
}

func (ps *parser) comparison() Condition {
	if _, ok := ps.sign("("); ok {
		ps.checkRedundant()
		c := ps.or()
		ps.mustSign(")")
		return c
	}
	f, isFunction := ps.function()
	if isFunction && f != "size" {
		return ps.predicate(f)
	} else if isFunction {
		ps.next -= 2
	}
	left := ps.operand()
	if op, ok := ps.sign("=", "<>", "<", "<=", ">", ">="); ok {
		right := ps.operand()
		ps.checkOrdered(op, left, right)
		ps.checkDistinct(op, left, right)
		return func(i Item) bool { return compareBy(op, left.get(i), right.get(i)) }
	}
	if ps.keyword("BETWEEN") {
		low := ps.operand()
		if !ps.keyword("AND") {
			ps.unexpected()
		}
		high := ps.operand()
		ps.checkBounds(low, high)
		return func(i Item) bool {
			v := left.get(i)
			return compareBy(">=", v, low.get(i)) && compareBy("<=", v, high.get(i))
		}
	}
	if !ps.keyword("IN") {
		if isFunction {
			ps.fail("The function is not allowed to be used this way in an expression; function: %s", f)
		}
		ps.unexpected()
	}
	ps.mustSign("(")
	list := ps.operands()
	return func(i Item) bool {
		v := left.get(i)
		return slices.ContainsFunc(list, func(o operand) bool { return compareBy("=", v, o.get(i)) })
	}
}

// operands parses a list up to its ")", which is taken.
func (ps *parser) operands() []operand {
	list := []operand{ps.operand()}
	for {
		if _, ok := ps.sign(","); !ok {
			ps.mustSign(")")
			return list
		}
		list = append(list, ps.operand())
	}
}

// checkRedundant refuses ((...)) after its first "(".
func (ps *parser) checkRedundant() {
	if t := ps.peek(); t.kind != sign || t.text != "(" {
		return
	}
	depth := 0
	for i, t := range ps.list[ps.next:] {
		if t.kind != sign || t.text != "(" && t.text != ")" {
			continue
		}
		if t.text == "(" {
			depth++
		} else if depth--; depth == 0 {
			if after := ps.list[min(ps.next+i+1, len(ps.list)-1)]; after.kind == sign && after.text == ")" {
				ps.fail("The expression has redundant parentheses;")
			}
			return
		}
	}
}

// checkOrdered refuses constants of types without an order.
func (ps *parser) checkOrdered(op string, operands ...operand) {
	for _, o := range operands {
		t := TypeOf(o.constant)
		if op != "=" && op != "<>" && o.constant != nil && t != "S" && t != "N" && t != "B" {
			ps.fail("Incorrect operand type for operator or function; operator or function: %s, operand type: %s", op, t)
		}
	}
}

// checkDistinct refuses to compare an attribute with itself.
func (ps *parser) checkDistinct(op string, first, second operand) {
	if first.path != nil && slices.Equal(first.path, second.path) {
		ps.fail("The first operand must be distinct from the remaining operands for this operator or function; operator: %s, first operand: %s", op, first.path)
	}
}

// checkBounds refuses BETWEEN with constant bounds that no value can lie between.
func (ps *parser) checkBounds(low, high operand) {
	ps.checkOrdered("BETWEEN", low, high)
	if low.constant == nil || high.constant == nil {
		return
	}
	c, ok := compare(low.constant, high.constant)
	if !ok {
		ps.fail("The BETWEEN operator requires same data type for lower and upper bounds; lower bound operand: AttributeValue: %s, upper bound operand: AttributeValue: %s",
			describe(low.constant), describe(high.constant))
	}
	if c > 0 {
		ps.fail("The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: AttributeValue: %s, upper bound operand: AttributeValue: %s",
			describe(low.constant), describe(high.constant))
	}
}

func describe(v types.AttributeValue) string {
	if n, ok := v.(*types.AttributeValueMemberN); ok {
		return "{N:" + n.Value + "}"
	}
	return "{" + TypeOf(v) + ":" + OrderKey(v) + "}"
}

// compareBy compares values as a condition does: a missing attribute, or another type, meets only <>.
func compareBy(op string, a, b types.AttributeValue) bool {
	switch op {
	case "=":
		return a != nil && Equal(a, b)
	case "<>":
		return a != nil && b != nil && !Equal(a, b) || (a == nil) != (b == nil)
	}
	c, ok := compare(a, b)
	if !ok {
		return false
	}
	switch op {
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	}
	return c >= 0
}

// operand is a path, a :value or size(path).
type operand struct {
	get      func(Item) types.AttributeValue
	constant types.AttributeValue // of a :value
	path     path                 // of a path
}

func (ps *parser) operand() operand {
	if ps.peek().kind == value {
		v := ps.value()
		return operand{get: func(Item) types.AttributeValue { return v }, constant: v}
	}
	if f, ok := ps.function(); ok {
		if f != "size" {
			ps.fail("Invalid function name; function: %s", f)
		}
		o := ps.operand()
		ps.mustSign(")")
		return operand{get: func(i Item) types.AttributeValue { return length(o.get(i)) }}
	}
	p := ps.path()
	return operand{get: p.get, path: p}
}

// length is what size() says: characters of a string, bytes of a binary, elements of a set, list or map; nil of others.
func length(v types.AttributeValue) types.AttributeValue {
	n := 0
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		n = utf8.RuneCountInString(v.Value)
	case *types.AttributeValueMemberB:
		n = len(v.Value)
	case *types.AttributeValueMemberM:
		n = len(v.Value)
	case *types.AttributeValueMemberL:
		n = len(v.Value)
	default:
		set := elements(v)
		if set == nil {
			return nil
		}
		n = len(set)
	}
	return &types.AttributeValueMemberN{Value: strconv.Itoa(n)}
}

// predicate parses the arguments of a function that is a condition by itself; its name and "(" are taken.
func (ps *parser) predicate(f string) Condition {
	counts := map[string]int{"attribute_exists": 1, "attribute_not_exists": 1, "attribute_type": 2, "begins_with": 2, "contains": 2}
	want, ok := counts[f]
	if !ok {
		ps.fail("Invalid function name; function: %s", f)
	}
	args := ps.operands()
	if _, compared := ps.sign("=", "<>", "<", "<=", ">", ">="); compared {
		ps.fail("The function is not allowed to be used this way in an expression; function: %s", f)
	}
	if len(args) != want {
		ps.fail("Incorrect number of operands for operator or function; operator or function: %s, number of operands: %d", f, len(args))
	}
	if strings.HasPrefix(f, "attribute_") && args[0].path == nil {
		ps.fail("Operator or function requires a document path; operator or function: %s", f)
	}
	if len(args) == 2 {
		ps.checkDistinct(f, args[0], args[1])
	}
	switch f {
	case "attribute_exists":
		return func(i Item) bool { return args[0].get(i) != nil }
	case "attribute_not_exists":
		return func(i Item) bool { return args[0].get(i) == nil }
	case "attribute_type":
		t, ok := args[1].constant.(*types.AttributeValueMemberS)
		if !ok {
			ps.fail("Incorrect operand type for operator or function; operator or function: attribute_type, operand type: %s", TypeOf(args[1].constant))
		}
		if !slices.Contains(typeCodes, t.Value) {
			ps.fail("Invalid attribute type name found; type: %s, valid types: {%s}", t.Value, strings.Join(typeCodes, ","))
		}
		return func(i Item) bool { return TypeOf(args[0].get(i)) == t.Value }
	case "begins_with":
		ps.checkPrefix(args[1])
		return func(i Item) bool { return beginsWith(args[0].get(i), args[1].get(i)) }
	}
	return func(i Item) bool { return contains(args[0].get(i), args[1].get(i)) }
}

// typeCodes are the names that attribute_type knows.
var typeCodes = []string{"N", "BS", "L", "B", "NULL", "M", "S", "SS", "NS", "BOOL"}

// checkPrefix refuses a constant that nothing can begin with.
func (ps *parser) checkPrefix(o operand) {
	if t := TypeOf(o.constant); o.constant != nil && t != "S" && t != "B" {
		ps.fail("Incorrect operand type for operator or function; operator or function: begins_with, operand type: %s", t)
	}
}

func beginsWith(v, prefix types.AttributeValue) bool {
	t := TypeOf(v)
	return (t == "S" || t == "B") && t == TypeOf(prefix) && strings.HasPrefix(OrderKey(v), OrderKey(prefix))
}

// contains: a substring of a string or binary, an element of a set or list.
func contains(v, part types.AttributeValue) bool {
	t := TypeOf(v)
	switch list, isList := v.(*types.AttributeValueMemberL); {
	case part == nil:
		return false
	case isList:
		return slices.ContainsFunc(list.Value, func(e types.AttributeValue) bool { return Equal(e, part) })
	case t == "S" || t == "B":
		return t == TypeOf(part) && strings.Contains(OrderKey(v), OrderKey(part))
	case t == TypeOf(part)+"S":
		element := OrderKey(part)
		if n, ok := part.(*types.AttributeValueMemberN); ok {
			element = n.Value
		}
		return slices.Contains(elements(v), element)
	}
	return false
}
