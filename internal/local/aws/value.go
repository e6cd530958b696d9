package aws

import (
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// item is an item of a table, or a part of an item. Its attributes are strings, numbers and sets of strings.
type item = map[string]types.AttributeValue

// copyItem returns a deep copy; nil for nil.
func copyItem(i item) item {
	c := maps.Clone(i)
	for name, v := range c {
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			c[name] = &types.AttributeValueMemberS{Value: v.Value}
		case *types.AttributeValueMemberN:
			c[name] = &types.AttributeValueMemberN{Value: v.Value}
		case *types.AttributeValueMemberSS:
			c[name] = &types.AttributeValueMemberSS{Value: slices.Clone(v.Value)}
		}
	}
	return c
}

// normalize returns a deep copy with numbers in the form in which DynamoDB stores them. It refuses invalid values and
// other types.
func normalize(i item) (item, error) {
	c := copyItem(i)
	for name, v := range c {
		if name == "" {
			return nil, validation("Empty attribute name")
		}
		switch v := v.(type) {
		case nil:
			return nil, validation("Supplied AttributeValue is empty, must contain exactly one of the supported " +
				"datatypes")
		case *types.AttributeValueMemberN:
			n, err := parseNumber(v.Value)
			if err != nil {
				return nil, err
			}
			v.Value = formatNumber(n)
		case *types.AttributeValueMemberSS:
			if len(v.Value) == 0 {
				return nil, validation("One or more parameter values were invalid: An string set  may not be empty")
			}
			slices.Sort(v.Value) // a set has no order
		case *types.AttributeValueMemberS:
		default:
			return nil, unsupported("attributes of type %T", v)
		}
	}
	return c, nil
}

// decimal matches the numbers that this package supports: up to 38 digits, without an exponent.
var decimal = regexp.MustCompile(`^-?[0-9]{1,38}(\.[0-9]{1,38})?$`)

func parseNumber(s string) (*big.Rat, error) {
	if decimal.MatchString(s) {
		if n, ok := new(big.Rat).SetString(s); ok {
			return n, nil
		}
	}
	return nil, validation("The parameter cannot be converted to a numeric value: " + s)
}

// formatNumber returns a number in DynamoDB's form: without leading or trailing zeros.
func formatNumber(n *big.Rat) string {
	if n.IsInt() {
		return n.Num().String()
	}
	return strings.TrimRight(n.FloatString(38), "0")
}

// typeOf returns a value's type as DynamoDB writes it, or "".
func typeOf(v types.AttributeValue) string {
	switch v.(type) {
	case *types.AttributeValueMemberS:
		return "S"
	case *types.AttributeValueMemberN:
		return "N"
	case *types.AttributeValueMemberSS:
		return "SS"
	}
	return ""
}

// textOf returns the text of a string, "" for other values.
func textOf(v types.AttributeValue) string {
	if s, ok := v.(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}

// equal reports whether two normalized values are equal. No value equals nil.
func equal(a, b types.AttributeValue) bool {
	switch a := a.(type) {
	case *types.AttributeValueMemberS:
		b, ok := b.(*types.AttributeValueMemberS)
		return ok && a.Value == b.Value
	case *types.AttributeValueMemberN:
		b, ok := b.(*types.AttributeValueMemberN)
		return ok && a.Value == b.Value
	case *types.AttributeValueMemberSS:
		b, ok := b.(*types.AttributeValueMemberSS)
		return ok && slices.Equal(a.Value, b.Value)
	}
	return false
}

// less reports whether a is less than b, for two numbers or two strings. It returns false for values of different
// types.
func less(a, b types.AttributeValue) bool {
	if typeOf(a) == "S" && typeOf(b) == "S" {
		return textOf(a) < textOf(b)
	}
	x, isNumber := a.(*types.AttributeValueMemberN)
	y, areBoth := b.(*types.AttributeValueMemberN)
	if !isNumber || !areBoth {
		return false
	}
	n, errN := parseNumber(x.Value)
	m, errM := parseNumber(y.Value)
	return errN == nil && errM == nil && n.Cmp(m) < 0
}

// ItemSize returns an item's size in bytes by DynamoDB's rule
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html).
func ItemSize(i item) int {
	size := 0
	for name, v := range i {
		size += len(name)
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			size += len(v.Value)
		case *types.AttributeValueMemberN:
			size += (len(strings.TrimRight(strings.Trim(v.Value, "-"), "0"))+1)/2 + 1
		case *types.AttributeValueMemberSS:
			size += len(strings.Join(v.Value, ""))
		}
	}
	return size
}
