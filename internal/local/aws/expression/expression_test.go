package expression_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/warmflags/warmflags/internal/local/aws/expression"
)

func s(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }
func n(v string) types.AttributeValue { return &types.AttributeValueMemberN{Value: v} }
func ss(v ...string) types.AttributeValue {
	return &types.AttributeValueMemberSS{Value: v}
}
func list(v ...types.AttributeValue) types.AttributeValue {
	return &types.AttributeValueMemberL{Value: v}
}
func object(v expression.Item) types.AttributeValue { return &types.AttributeValueMemberM{Value: v} }

// sample is what most tests are about.
func sample() expression.Item {
	return expression.Item{
		"version": n("5"), "str": s("héllo"), "ss": ss("p", "q"), "list": list(s("x"), n("1")), "yes": &types.AttributeValueMemberBOOL{Value: true},
		"map": object(expression.Item{"k": s("v"), "deep": object(expression.Item{"z": n("3")})}),
	}
}

var (
	allNames  = map[string]string{"#m": "map", "#l": "list", "#k": "key"}
	allValues = expression.Item{
		":n5": n("5.0"), ":n1": n("1"), ":n9": n("9"), ":s": s("hé"), ":x": s("x"), ":S": s("S"), ":l": list(s("new")), ":ss": ss("p"), ":yes": &types.AttributeValueMemberBOOL{Value: true},
	}
)

// params takes of the names and values above what the text mentions.
func params(t require.TestingT, text string) *expression.Params {
	names, values := maps.Clone(allNames), maps.Clone(allValues)
	maps.DeleteFunc(names, func(name, _ string) bool { return !strings.Contains(text, name) })
	maps.DeleteFunc(values, func(name string, _ types.AttributeValue) bool {
		return !strings.Contains(strings.NewReplacer(",", " ", ")", " ").Replace(text)+" ", name+" ")
	})
	p, err := expression.NewParams(names, values)
	require.NoError(t, err)
	return p
}

func TestConditions(t *testing.T) {
	for text, want := range map[string]bool{
		"version = :n5": true, "version <> :n5": false, "version < :n9": true, "version <= :n5": true, "version > :n9": false, "version >= :n5": true,
		"absent = :x": false, "absent <> :x": true, "absent < :n9": false, "str < :n9": false, "str <> :n9": true,
		"version BETWEEN :n1 AND :n9": true, "version between :n1 and :n1": false, "str IN (:x, :s)": false, "version in (:x, :n5)": true,
		"attribute_exists(str)": true, "attribute_not_exists(str)": false, "attribute_exists(#m.deep.z)": true, "attribute_exists(#m.deep.y)": false,
		"attribute_exists(#l[1])": true, "attribute_exists(#l[2])": false, "attribute_type(str, :S)": true, "attribute_type(version, :S)": false,
		"begins_with(str, :s)": true, "begins_with(str, :x)": false, "contains(str, :s)": true, "contains(ss, :x)": false, "contains(#l, :x)": true, "contains(#l, :n1)": true,
		"size(str) = :n5": true, "size(#l) > :n1": true, "size(version) > :n1": false, "yes = :yes": true,
		"NOT version = :n5": false, "NOT absent = :x AND version = :n5": true,
		"version = :n5 OR version = :n1 AND str = :x": true, "(version = :n5 OR version = :n1) AND str = :x": false, "not (version = :n1)": true,
	} {
		t.Run(text, func(t *testing.T) {
			p := params(t, text)
			c, err := p.Condition("ConditionExpression", &text)
			require.NoError(t, err)
			require.NoError(t, p.Unused())
			assert.Equal(t, want, c.Met(sample()))
		})
	}
	assert.True(t, expression.Condition(nil).Met(nil), "no condition is met")
}

func TestRefusedConditions(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "The expression can not be empty",
		"version =":                       `Syntax error; token: "<EOF>"`,
		"version == :n1":                  `Syntax error; token: "="`,
		"version ? :n1":                   `Syntax error; token: "?"`,
		"version = :n1 version":           `Syntax error; token: "version"`,
		"key = :x":                        "reserved keyword: key",
		"version = :none":                 "attribute value: :none",
		"#none = :x":                      "attribute name: #none",
		"foo(version)":                    "Invalid function name; function: foo",
		"attribute_exists(:x)":            "requires a document path",
		"attribute_exists(str, str)":      "number of operands: 2",
		"attribute_type(str, :x)":         "Invalid attribute type name found; type: x",
		"begins_with(str, :n1)":           "begins_with, operand type: N",
		"contains(str, str)":              "first operand must be distinct",
		"version < :yes":                  "operand type: BOOL",
		"version BETWEEN :n9 AND :n1":     "lower bound operand: AttributeValue: {N:9}",
		"version BETWEEN :x AND :n1":      "requires same data type",
		"((version = :n1))":               "redundant parentheses",
		"size(str)":                       "not allowed to be used this way in an expression; function: size",
		"attribute_exists(str) = :yes":    "not allowed to be used this way",
		"version = :n1 AND (str = :x":     `Syntax error; token: "<EOF>"`,
		"list[x] = :n1":                   "reserved keyword: list",
		"#l[x] = :n1":                     `Syntax error; token: "x"`,
		"version = : OR version = :n1 OR": `Syntax error; token: ":"`,
	} {
		t.Run(text, func(t *testing.T) {
			_, err := params(t, text).Condition("ConditionExpression", &text)
			require.ErrorContains(t, err, "Invalid ConditionExpression: ")
			require.ErrorContains(t, err, want)
		})
	}
}

func TestUpdates(t *testing.T) {
	for text, want := range map[string]func(expression.Item){
		"SET version = :n9":                     func(i expression.Item) { i["version"] = n("9") },
		"SET version = version + :n1, str = :x": func(i expression.Item) { i["version"], i["str"] = n("6"), s("x") },
		"SET version = version - (:n1 + :n9)":   func(i expression.Item) { i["version"] = n("-5") },
		"SET a = if_not_exists(version, :n1)":   func(i expression.Item) { i["a"] = n("5") },
		"SET a = if_not_exists(a, :n1) + :n1":   func(i expression.Item) { i["a"] = n("2") },
		"SET a = str, str = :x":                 func(i expression.Item) { i["a"], i["str"] = s("héllo"), s("x") },
		"SET #l = list_append(#l, :l)":          func(i expression.Item) { i["list"] = list(s("x"), n("1"), s("new")) },
		"SET #l[0] = :n9, #l[7] = :x":           func(i expression.Item) { i["list"] = list(n("9"), n("1"), s("x")) },
		"SET #m.deep.y = :x REMOVE #m.k": func(i expression.Item) {
			i["map"] = object(expression.Item{"deep": object(expression.Item{"z": n("3"), "y": s("x")})})
		},
		"REMOVE #l[0], #l[1], str, absent":           func(i expression.Item) { i["list"] = list(); delete(i, "str") },
		"ADD version :n1, a :n1, ss :ss, b :ss":      func(i expression.Item) { i["version"], i["a"], i["b"] = n("6"), n("1"), ss("p") },
		"DELETE ss :ss, absent :ss":                  func(i expression.Item) { i["ss"] = ss("q") },
		"set str = :x remove version delete ss :ss ": func(i expression.Item) { i["str"], i["ss"] = s("x"), ss("q"); delete(i, "version") },
	} {
		t.Run(text, func(t *testing.T) {
			p := params(t, text)
			u, err := p.Update(&text)
			require.NoError(t, err)
			before, expected := sample(), sample()
			want(expected)
			got, err := u.Apply(before)
			require.NoError(t, err)
			assert.True(t, expression.EqualItems(expected, got), "%v", got)
			assert.Equal(t, sample(), before, "the item itself is left alone")
		})
	}
}

func TestFailedUpdates(t *testing.T) {
	for text, want := range map[string]string{
		"SET version = absent":           "attribute that does not exist in the item",
		"SET version = str + :n1":        "incorrect data type",
		"SET a = list_append(str, :l)":   "incorrect data type",
		"ADD str :n1":                    "incorrect data type",
		"DELETE version :ss":             "incorrect data type",
		"SET #m.fresh.x = :x":            "document path provided in the update expression is invalid",
		"REMOVE absent.x":                "document path provided in the update expression is invalid",
		"SET str = :x, str = :s":         "Two document paths overlap",
		"SET #m.k = :x REMOVE #m":        "Two document paths overlap",
		"SET str = :x SET version = :n1": `"SET" section can only be used once`,
		"FOO str":                        `Syntax error; token: "FOO"`,
		"SET str = size(str)":            "not allowed in an update expression; function: size",
		"SET str = foo(str)":             "Invalid function name; function: foo",
		"SET version = version + :x":     "operator or function: +, operand type: S",
		"ADD str :x":                     "operand type: STRING, typeSet: ALLOWED_FOR_ADD_OPERAND",
		"SET a = if_not_exists(:x, :n1)": "requires a document path",
		"SET a = :n1 + :n1 + :n1":        `Syntax error; token: "+"`,
		"SET a = list_append(:x, :l)":    "list_append, operand type: S",
	} {
		t.Run(text, func(t *testing.T) {
			u, err := params(t, text).Update(&text)
			if err == nil {
				_, err = u.Apply(sample())
			}
			require.ErrorContains(t, err, want)
		})
	}
}

func TestProjections(t *testing.T) {
	for text, want := range map[string]expression.Item{
		"str, absent":        {"str": s("héllo")},
		"#m.deep.z, #l[1]":   {"map": object(expression.Item{"deep": object(expression.Item{"z": n("3")})}), "list": list(n("1"))},
		"#m.absent, #l[9].x": {},
	} {
		p, err := params(t, text).Projection(&text)
		require.NoError(t, err)
		assert.Equal(t, want, p.Apply(sample()), text)
	}
	_, err := params(t, "#m.k, #m").Projection(aws.String("#m.k, #m"))
	require.ErrorContains(t, err, "Two document paths overlap")
	assert.Equal(t, sample(), expression.Projection(nil).Apply(sample()))
}

func TestKeyConditions(t *testing.T) {
	sorts := []string{"a", "h", "hé", "héllo", "x", "y"}
	for text, want := range map[string]string{
		"str = :x": "a h hé héllo x y", "str = :x AND #k = :x": "x", "str = :x AND #k < :x": "a h hé héllo", "str = :x AND :x <= #k": "x y",
		"(str = :x) AND (begins_with(#k, :s))": "hé héllo", "#k BETWEEN :s AND :x AND str = :x": "hé héllo x",
	} {
		k, err := params(t, text).KeyCondition(text, "str", "key")
		require.NoError(t, err, text)
		assert.Equal(t, s("x"), k.Partition)
		var got []string
		for _, v := range sorts {
			if k.Sort == nil || k.Sort(s(v)) {
				got = append(got, v)
			}
		}
		assert.Equal(t, want, strings.Join(got, " "), text)
	}
	for text, want := range map[string]string{
		"#k = :x": "missed key schema element", "str > :x": "Query key condition not supported", "str = :x AND a = :x": "missed key schema element", "str = :x AND str = :x": "one condition per key",
		"str = :x OR #k = :x": "OR", "str = :x AND NOT #k = :x": "NOT", "str = :x AND #k <> :x": "<>", "str = :x AND #k IN (:x)": "IN", "str = :x AND contains(#k, :x)": "contains", "str = str": "Syntax error",
	} {
		_, err := params(t, text).KeyCondition(text, "str", "key")
		require.ErrorContains(t, err, want, text)
	}
}

func TestParams(t *testing.T) {
	_, err := expression.NewParams(map[string]string{"x": "y"}, nil)
	require.ErrorContains(t, err, "ExpressionAttributeNames contains invalid key")
	_, err = expression.NewParams(nil, expression.Item{"x": s("y")})
	require.ErrorContains(t, err, "ExpressionAttributeValues contains invalid key")
	_, err = expression.NewParams(nil, expression.Item{":x": n("y")})
	require.ErrorContains(t, err, "for key :x")
	p, err := expression.NewParams(map[string]string{"#b": "b", "#a": "a"}, expression.Item{":c": s("")})
	require.NoError(t, err)
	require.ErrorContains(t, p.Unused(), "unused in expressions: keys: {#a, #b}")
}

func TestNumbers(t *testing.T) {
	for given, want := range map[string]string{
		"0": "0", "-0": "0", "007": "7", "1.50": "1.5", "+3": "3", "1e3": "1000", "12E-3": "0.012", "-00.5": "-0.5", "1e-130": "0." + strings.Repeat("0", 129) + "1",
		"12345678901234567890123456789012345678": "12345678901234567890123456789012345678",
	} {
		got, err := expression.Normalize(expression.Item{"n": n(given)})
		require.NoError(t, err)
		assert.Equal(t, n(want), got["n"])
	}
	for given, want := range map[string]string{
		"": "cannot be converted", "x": "cannot be converted", "1e": "cannot be converted", "--1": "cannot be converted", "1e126": "overflow", "1e-131": "underflow",
		"123456789012345678901234567890123456789": "38 significant digits",
	} {
		_, err := expression.Normalize(expression.Item{"n": n(given)})
		require.ErrorContains(t, err, want)
	}
}

func TestNumbersOrderAndAdd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Int64Range(-1e15, 1e15).Draw(t, "a"), rapid.Int64Range(-1e15, 1e15).Draw(t, "b")
		scale := rapid.IntRange(-20, 20).Draw(t, "scale")
		number := func(v int64) types.AttributeValue { return n(fmt.Sprintf("%de%d", v, scale)) }
		less := expression.OrderKey(number(a)) < expression.OrderKey(number(b))
		assert.Equal(t, a < b, less)
		assert.Equal(t, a == b, expression.Equal(number(a), number(b)))
		p, err := expression.NewParams(nil, expression.Item{":b": number(b)})
		require.NoError(t, err)
		u, err := p.Update(aws.String("SET v = v + :b"))
		require.NoError(t, err)
		got, err := u.Apply(expression.Item{"v": number(a)})
		require.NoError(t, err)
		assert.True(t, expression.Equal(number(a+b), got["v"]), "%v", got["v"])
	})
}

func TestSizes(t *testing.T) {
	for name, test := range map[string]struct {
		value types.AttributeValue
		want  int // with one byte for the name
	}{
		"string": {s("hé"), 4}, "number": {n("100"), 3}, "digits": {n("12345"), 5}, "negative": {n("-1"), 4}, "bool": {&types.AttributeValueMemberBOOL{}, 2},
		"null": {&types.AttributeValueMemberNULL{Value: true}, 2}, "binary": {&types.AttributeValueMemberB{Value: []byte{1, 2}}, 3}, "set": {ss("ab", "c"), 4},
		"empty list": {list(), 4}, "list": {list(s("ab"), n("1")), 10}, "map": {object(expression.Item{"k": s("v")}), 7},
	} {
		assert.Equal(t, test.want, expression.Size(expression.Item{"a": test.value}), name)
	}
}

func TestEqualityAndSets(t *testing.T) {
	assert.True(t, expression.Equal(ss("a", "b"), ss("b", "a")))
	assert.False(t, expression.Equal(ss("a"), ss("a", "b")))
	assert.False(t, expression.Equal(s("1"), n("1")))
	assert.True(t, expression.Equal(list(n("1.0")), list(n("1"))))
	for want, v := range map[string]types.AttributeValue{
		"contains duplicates": ss("a", "a"), "may not be empty": ss(), "must have the value of true": &types.AttributeValueMemberNULL{}, "AttributeValue is empty": nil,
		"Input collection contains": &types.AttributeValueMemberNS{Value: []string{"1", "1.0"}},
	} {
		_, err := expression.Normalize(expression.Item{"a": object(expression.Item{"b": list(v)})})
		require.ErrorContains(t, err, want)
	}
}

func ExampleParams_Condition() {
	p, err := expression.NewParams(nil, expression.Item{":new": n("2")})
	if err != nil {
		fmt.Println(err)
		return
	}
	unlessNewer, err := p.Condition("ConditionExpression", aws.String("attribute_not_exists(version) OR version < :new"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(unlessNewer.Met(nil), unlessNewer.Met(expression.Item{"version": n("2")}))
	// Output: true false
}
