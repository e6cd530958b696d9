package aws

import (
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// expressions parses the expressions of one request:
//
//	condition  = and {"OR" and}
//	and        = not {"AND" not}
//	not        = ["NOT"] test
//	test       = ("attribute_exists" | "attribute_not_exists") "(" name ")"
//	           | "attribute_type" "(" name "," value ")"
//	           | name ("=" | "<>" | "<") value
//	key        = name "=" value
//	update     = "ADD" name value | "SET" name "=" value
//	projection = name
//
// A name is #name and a value is :value, from ExpressionAttributeNames and ExpressionAttributeValues. The rest of
// DynamoDB's syntax is refused as unsupported. The parsing methods store the first error and return zero values after
// it.
type expressions struct {
	names  map[string]string
	values item
	unused map[string]bool // names and values that no expression has used yet
	text   string          // the expression that is being parsed
	tokens []string        // its tokens that were not read yet
	err    error
}

// condition reports whether an item meets a condition; the item is nil if there is none. A nil condition is always
// met.
type condition func(item) bool

func (c condition) met(i item) bool { return c == nil || c(i) }

// newExpressions returns a parser with a request's names and values, which may be nil. used means that the request
// has an expression.
func newExpressions(names map[string]string, values item, used bool) *expressions {
	e := &expressions{names: names, unused: map[string]bool{}}
	e.values, e.err = normalize(values)
	switch {
	case e.err != nil:
	case !used && names != nil:
		e.err = validation("ExpressionAttributeNames can only be specified when using expressions")
	case !used && values != nil:
		e.err = validation("ExpressionAttributeValues can only be specified when using expressions: the expression " +
			"is null")
	case names != nil && len(names) == 0:
		e.err = validation("ExpressionAttributeNames must not be empty")
	case values != nil && len(values) == 0:
		e.err = validation("ExpressionAttributeValues must not be empty")
	}
	for name := range names {
		e.unused[name] = true
	}
	for name := range values {
		e.unused[name] = true
	}
	return e
}

// check returns the first error. A name or value that no parsed expression used is an error.
func (e *expressions) check() error {
	if e.err == nil && len(e.unused) > 0 {
		return validation("Value provided in ExpressionAttributeNames or ExpressionAttributeValues unused in " +
			"expressions: keys: {" +
			strings.Join(slices.Sorted(maps.Keys(e.unused)), ", ") + "}")
	}
	return e.err
}

var token = regexp.MustCompile(`\s*([#:]?\w+|<>|\S)`)

// parse parses a whole expression.
func (e *expressions) parse(text string, rule func()) {
	e.text, e.tokens = text, nil
	for _, t := range token.FindAllStringSubmatch(text, -1) {
		e.tokens = append(e.tokens, t[1])
	}
	rule()
	if len(e.tokens) > 0 {
		e.unsupported()
	}
}

func (e *expressions) unsupported() {
	if e.err == nil {
		e.err = unsupported("expression %q", e.text)
	}
}

// accept reads and returns the next token if it is one of the given ones.
func (e *expressions) accept(tokens ...string) (string, bool) {
	if len(e.tokens) == 0 || !slices.Contains(tokens, e.tokens[0]) {
		return "", false
	}
	found := e.tokens[0]
	e.tokens = e.tokens[1:]
	return found, true
}

func (e *expressions) expect(tokens ...string) string {
	found, ok := e.accept(tokens...)
	if !ok {
		e.unsupported()
	}
	return found
}

// reference reads a token that begins with a mark, # or :, and returns it with its value in the request.
func reference[V any](e *expressions, mark string, given map[string]V) (v V) {
	if len(e.tokens) == 0 || !strings.HasPrefix(e.tokens[0], mark) {
		e.unsupported()
		return v
	}
	name := e.tokens[0]
	e.tokens = e.tokens[1:]
	v, ok := given[name]
	if !ok && e.err == nil {
		e.err = validation("An expression attribute name or value used in expression is not defined: " + name)
	}
	delete(e.unused, name)
	return v
}

func (e *expressions) name() string                { return reference(e, "#", e.names) }
func (e *expressions) value() types.AttributeValue { return reference(e, ":", e.values) }

// condition parses a condition expression; nil for a nil text.
func (e *expressions) condition(text *string) (c condition) {
	if text != nil {
		e.parse(*text, func() { c = e.or() })
	}
	return c
}

func (e *expressions) or() condition {
	c := e.and()
	for {
		if _, ok := e.accept("OR"); !ok {
			return c
		}
		left, right := c, e.and()
		c = func(i item) bool { return left(i) || right(i) }
	}
}

func (e *expressions) and() condition {
	c := e.not()
	for {
		if _, ok := e.accept("AND"); !ok {
			return c
		}
		left, right := c, e.not()
		c = func(i item) bool { return left(i) && right(i) }
	}
}

func (e *expressions) not() condition {
	if _, ok := e.accept("NOT"); ok {
		c := e.test()
		return func(i item) bool { return !c(i) }
	}
	return e.test()
}

func (e *expressions) test() condition {
	if function, ok := e.accept("attribute_exists", "attribute_not_exists", "attribute_type"); ok {
		return e.function(function)
	}
	name, op, v := e.name(), e.expect("=", "<>", "<"), e.value()
	switch op {
	case "=":
		return func(i item) bool { return equal(i[name], v) }
	case "<>":
		return func(i item) bool { return !equal(i[name], v) }
	}
	return func(i item) bool { return less(i[name], v) }
}

func (e *expressions) function(function string) condition {
	e.expect("(")
	name, dataType := e.name(), ""
	if function == "attribute_type" {
		e.expect(",")
		dataType = textOf(e.value())
	}
	e.expect(")")
	switch function {
	case "attribute_exists":
		return func(i item) bool { return i[name] != nil }
	case "attribute_not_exists":
		return func(i item) bool { return i[name] == nil }
	}
	return func(i item) bool { return typeOf(i[name]) == dataType }
}

// key parses a key condition, which must be on the partition key, and returns its value.
func (e *expressions) key(text string, partitionKey string) (partition string) {
	e.parse(text, func() {
		name := e.name()
		e.expect("=")
		v := e.value()
		if name != partitionKey || typeOf(v) != "S" {
			e.unsupported()
		}
		partition = textOf(v)
	})
	return partition
}

// update parses an update expression. It returns the attribute, and a function that returns the attribute's new value
// for an item; the item is nil if there is none.
func (e *expressions) update(text string) (name string, next func(item) (types.AttributeValue, error)) {
	var v types.AttributeValue
	var action string
	e.parse(text, func() {
		action, name = e.expect("ADD", "SET"), e.name()
		if action == "SET" {
			e.expect("=")
		}
		if v = e.value(); action == "ADD" && typeOf(v) != "N" {
			e.unsupported()
		}
	})
	if action == "SET" {
		return name, func(item) (types.AttributeValue, error) { return v, nil }
	}
	return name, func(i item) (types.AttributeValue, error) { return add(i[name], v) }
}

// add adds a number to old, or to zero if old is nil.
func add(old, v types.AttributeValue) (types.AttributeValue, error) {
	sum := new(big.Rat)
	for _, one := range []types.AttributeValue{old, v} {
		if one == nil {
			continue
		}
		n, ok := one.(*types.AttributeValueMemberN)
		if !ok {
			return nil, validation("An operand in the update expression has an incorrect data type")
		}
		summand, err := parseNumber(n.Value)
		if err != nil {
			return nil, err
		}
		sum.Add(sum, summand)
	}
	return &types.AttributeValueMemberN{Value: formatNumber(sum)}, nil
}

// projection parses a projection expression and returns the one attribute that it keeps; "" for a nil text, which
// keeps all attributes.
func (e *expressions) projection(text *string) (name string) {
	if text != nil {
		e.parse(*text, func() { name = e.name() })
	}
	return name
}
