package expression

import (
	"bytes"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Item is an item of a table, or a part of one.
type Item = map[string]types.AttributeValue

// Copy returns a deep copy of an item; nil for nil.
func Copy(item Item) Item {
	if item == nil {
		return nil
	}
	c := make(Item, len(item))
	for name, v := range item {
		c[name] = copyValue(v)
	}
	return c
}

func copyValue(v types.AttributeValue) types.AttributeValue {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return &types.AttributeValueMemberS{Value: v.Value}
	case *types.AttributeValueMemberN:
		return &types.AttributeValueMemberN{Value: v.Value}
	case *types.AttributeValueMemberB:
		return &types.AttributeValueMemberB{Value: append([]byte{}, v.Value...)}
	case *types.AttributeValueMemberBOOL:
		return &types.AttributeValueMemberBOOL{Value: v.Value}
	case *types.AttributeValueMemberNULL:
		return &types.AttributeValueMemberNULL{Value: v.Value}
	case *types.AttributeValueMemberM:
		return &types.AttributeValueMemberM{Value: Copy(v.Value)}
	case *types.AttributeValueMemberL:
		c := make([]types.AttributeValue, len(v.Value))
		for i, e := range v.Value {
			c[i] = copyValue(e)
		}
		return &types.AttributeValueMemberL{Value: c}
	case *types.AttributeValueMemberSS:
		return &types.AttributeValueMemberSS{Value: slices.Clone(v.Value)}
	case *types.AttributeValueMemberNS:
		return &types.AttributeValueMemberNS{Value: slices.Clone(v.Value)}
	case *types.AttributeValueMemberBS:
		c := make([][]byte, len(v.Value))
		for i, b := range v.Value {
			c[i] = append([]byte{}, b...)
		}
		return &types.AttributeValueMemberBS{Value: c}
	}
	return v
}

// Normalize returns a deep copy of an item with its numbers as DynamoDB stores them, or says what is invalid in it.
func Normalize(item Item) (Item, error) {
	c := Copy(item)
	for name, v := range c {
		if name == "" {
			return nil, says("Empty attribute name")
		}
		if err := normalizeValue(v); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// normalizeValue checks and normalizes v in place.
func normalizeValue(v types.AttributeValue) error {
	switch v := v.(type) {
	case nil:
		return says("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
	case *types.AttributeValueMemberN:
		return normalizeNumber(&v.Value)
	case *types.AttributeValueMemberNULL:
		if !v.Value {
			return invalidParameter("Null attribute value types must have the value of true")
		}
	case *types.AttributeValueMemberM:
		for _, e := range v.Value {
			if err := normalizeValue(e); err != nil {
				return err
			}
		}
	case *types.AttributeValueMemberL:
		for _, e := range v.Value {
			if err := normalizeValue(e); err != nil {
				return err
			}
		}
	case *types.AttributeValueMemberNS:
		for i := range v.Value {
			if err := normalizeNumber(&v.Value[i]); err != nil {
				return err
			}
		}
		if err := checkSet(v.Value, "An number set  may not be empty"); len(v.Value) == 0 || err == nil {
			return err
		}
		return says("Input collection contains duplicates")
	case *types.AttributeValueMemberSS:
		return checkSet(v.Value, "An string set  may not be empty")
	case *types.AttributeValueMemberBS:
		return checkSet(elements(v), "Binary sets should not be empty")
	}
	return nil
}

func invalidParameter(text string) error {
	return says("One or more parameter values were invalid: %s", text)
}

func normalizeNumber(s *string) error {
	n, err := parseNumber(*s)
	*s = n.String()
	return err
}

func checkSet(set []string, empty string) error {
	if len(set) == 0 {
		return invalidParameter(empty)
	}
	seen := make(map[string]bool, len(set))
	for _, e := range set {
		if seen[e] {
			return invalidParameter("Input collection [" + strings.Join(set, ", ") + "] contains duplicates.")
		}
		seen[e] = true
	}
	return nil
}

// elements are a set's elements as strings; nil when v is no set.
func elements(v types.AttributeValue) []string {
	switch v := v.(type) {
	case *types.AttributeValueMemberSS:
		return v.Value
	case *types.AttributeValueMemberNS:
		return v.Value
	case *types.AttributeValueMemberBS:
		set := make([]string, len(v.Value))
		for i, b := range v.Value {
			set[i] = string(b)
		}
		return set
	}
	return nil
}

// TypeOf is a value's type as DynamoDB writes it, such as "S" or "BOOL".
func TypeOf(v types.AttributeValue) string {
	switch v.(type) {
	case *types.AttributeValueMemberS:
		return "S"
	case *types.AttributeValueMemberN:
		return "N"
	case *types.AttributeValueMemberB:
		return "B"
	case *types.AttributeValueMemberBOOL:
		return "BOOL"
	case *types.AttributeValueMemberNULL:
		return "NULL"
	case *types.AttributeValueMemberM:
		return "M"
	case *types.AttributeValueMemberL:
		return "L"
	case *types.AttributeValueMemberSS:
		return "SS"
	case *types.AttributeValueMemberNS:
		return "NS"
	case *types.AttributeValueMemberBS:
		return "BS"
	}
	return ""
}

// Size is an item's size in bytes by DynamoDB's rule
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html).
func Size(item Item) int {
	size := 0
	for name, v := range item {
		size += len(name) + sizeOf(v)
	}
	return size
}

func sizeOf(v types.AttributeValue) int {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return len(v.Value)
	case *types.AttributeValueMemberN:
		return numberSize(v.Value)
	case *types.AttributeValueMemberB:
		return len(v.Value)
	case *types.AttributeValueMemberBOOL, *types.AttributeValueMemberNULL:
		return 1
	case *types.AttributeValueMemberM:
		return 3 + len(v.Value) + Size(v.Value)
	case *types.AttributeValueMemberL:
		size := 3 + len(v.Value)
		for _, e := range v.Value {
			size += sizeOf(e)
		}
		return size
	case *types.AttributeValueMemberNS:
		size := 0
		for _, e := range v.Value {
			size += numberSize(e)
		}
		return size
	}
	return len(strings.Join(elements(v), ""))
}

func numberSize(s string) int {
	n, err := parseNumber(s)
	if err != nil {
		return len(s)
	}
	size := (len(n.digits)+1)/2 + 1
	if n.negative {
		size++
	}
	return size
}

// Equal says whether two values are equal: numbers by value, sets in any order.
func Equal(a, b types.AttributeValue) bool {
	if a == nil || b == nil || TypeOf(a) != TypeOf(b) {
		return a == nil && b == nil
	}
	switch a := a.(type) {
	case *types.AttributeValueMemberBOOL:
		return a.Value == b.(*types.AttributeValueMemberBOOL).Value
	case *types.AttributeValueMemberNULL:
		return true
	case *types.AttributeValueMemberM:
		return EqualItems(a.Value, b.(*types.AttributeValueMemberM).Value)
	case *types.AttributeValueMemberL:
		return slices.EqualFunc(a.Value, b.(*types.AttributeValueMemberL).Value, Equal)
	}
	if set := elements(a); set != nil {
		return slices.Equal(slices.Sorted(slices.Values(set)), slices.Sorted(slices.Values(elements(b))))
	}
	c, ok := compare(a, b)
	return ok && c == 0
}

// EqualItems says whether two items have the same attributes with equal values.
func EqualItems(a, b Item) bool {
	if len(a) != len(b) {
		return false
	}
	for name, v := range a {
		if w, ok := b[name]; !ok || !Equal(v, w) {
			return false
		}
	}
	return true
}

// compare orders two strings, numbers or binaries; ok is false for other types, or when they differ.
func compare(a, b types.AttributeValue) (c int, ok bool) {
	switch a := a.(type) {
	case *types.AttributeValueMemberS:
		if b, ok := b.(*types.AttributeValueMemberS); ok {
			return strings.Compare(a.Value, b.Value), true
		}
	case *types.AttributeValueMemberB:
		if b, ok := b.(*types.AttributeValueMemberB); ok {
			return bytes.Compare(a.Value, b.Value), true
		}
	case *types.AttributeValueMemberN:
		if b, ok := b.(*types.AttributeValueMemberN); ok {
			return strings.Compare(OrderKey(a), OrderKey(b)), true
		}
	}
	return 0, false
}

// OrderKey is a string that orders key values of one type (S, N or B) as DynamoDB orders them; equal values, equal keys.
func OrderKey(v types.AttributeValue) string {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return v.Value
	case *types.AttributeValueMemberB:
		return string(v.Value)
	case *types.AttributeValueMemberN:
		n, err := parseNumber(v.Value)
		if err != nil {
			return v.Value
		}
		return n.orderKey()
	}
	return ""
}
