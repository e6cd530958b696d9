package expression

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// KeyCondition is a key condition expression: one partition, and a range of its sort keys.
type KeyCondition struct {
	// Partition is the partition key's value.
	Partition types.AttributeValue
	// Sort says whether a sort key's value is in the range; nil accepts all.
	Sort func(types.AttributeValue) bool
}

// clause is one attribute's part of a key condition.
type clause struct {
	attribute string
	op        string // a comparison's sign, "BETWEEN" or "begins_with"
	values    []types.AttributeValue
}

// KeyCondition parses a key condition for a table with these key attributes; sortKey is "" if it has none.
func (p *Params) KeyCondition(text, partitionKey, sortKey string) (KeyCondition, error) {
	var k KeyCondition
	err := p.parse("KeyConditionExpression", text, func(ps *parser) {
		clauses := ps.clauses()
		seen := map[string]bool{}
		for _, c := range clauses {
			if seen[c.attribute] {
				refuse("KeyConditionExpressions must only contain one condition per key")
			}
			c.checkEmpty()
			seen[c.attribute] = true
			switch {
			case c.attribute == partitionKey && c.op == "=":
				k.Partition = c.values[0]
			case c.attribute == partitionKey:
				refuse("Query key condition not supported")
			case c.attribute == sortKey:
				k.Sort = c.accepts
			}
		}
		switch {
		case k.Partition == nil:
			refuse("Query condition missed key schema element: %s", partitionKey)
		case len(clauses) == 2 && k.Sort == nil && sortKey != "":
			refuse("Query condition missed key schema element: %s", sortKey)
		case len(clauses) > 2 || len(clauses) == 2 && k.Sort == nil:
			refuse("Query key condition not supported")
		}
	})
	return k, err
}

// refuse ends the parse with an error that is not about the syntax.
func refuse(format string, args ...any) { panic(syntaxError{fmt.Errorf(format, args...)}) }

// refuseOperator refuses what other conditions have and key conditions do not.
func refuseOperator(operator string) {
	refuse("Invalid operator used in KeyConditionExpression: %s", operator)
}

// clauses parses clause [AND clause], each of them in parentheses or not.
func (ps *parser) clauses() []clause {
	if _, ok := ps.sign("("); ok {
		list := ps.clauses()
		ps.mustSign(")")
		return ps.more(list)
	}
	return ps.more([]clause{ps.clause()})
}

func (ps *parser) more(list []clause) []clause {
	if ps.keyword("OR") {
		refuseOperator("OR")
	}
	if ps.keyword("AND") {
		list = append(list, ps.clauses()...)
	}
	return list
}

func (ps *parser) clause() clause {
	if ps.keyword("NOT") {
		refuseOperator("NOT")
	}
	if ps.peek().kind == value {
		return ps.reversed()
	}
	if f, ok := ps.function(); ok {
		if f != "begins_with" {
			refuseOperator(f)
		}
		c := clause{attribute: ps.keyName(), op: f}
		ps.mustSign(",")
		c.values = append(c.values, ps.keyValue())
		ps.checkPrefix(operand{constant: c.values[0]})
		ps.mustSign(")")
		return c
	}
	c := clause{attribute: ps.keyName()}
	if op, ok := ps.sign("=", "<>", "<", "<=", ">", ">="); ok {
		if op == "<>" {
			refuseOperator("<>")
		}
		c.op, c.values = op, []types.AttributeValue{ps.keyValue()}
		return c
	}
	if ps.keyword("IN") {
		refuseOperator("IN")
	}
	if !ps.keyword("BETWEEN") {
		ps.unexpected()
	}
	low := ps.keyValue()
	if !ps.keyword("AND") {
		ps.unexpected()
	}
	high := ps.keyValue()
	ps.checkBounds(operand{constant: low}, operand{constant: high})
	return clause{c.attribute, "BETWEEN", []types.AttributeValue{low, high}}
}

// reversed parses :value < name.
func (ps *parser) reversed() clause {
	v := ps.value()
	op, ok := ps.sign("=", "<", "<=", ">", ">=")
	if !ok {
		ps.unexpected()
	}
	turned := map[string]string{"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
	return clause{ps.keyName(), turned[op], []types.AttributeValue{v}}
}

// checkEmpty refuses what no key attribute can be.
func (c clause) checkEmpty() {
	for _, v := range c.values {
		if t := TypeOf(v); OrderKey(v) == "" && (t == "S" || t == "B") {
			refuse("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty %s value. Key: %s",
				map[string]string{"S": "string", "B": "binary"}[t], c.attribute)
		}
	}
}

func (ps *parser) keyName() string {
	p := ps.path()
	if len(p) > 1 {
		ps.fail("KeyConditionExpressions cannot have conditions on nested attributes")
	}
	return p[0].(string)
}

func (ps *parser) keyValue() types.AttributeValue {
	if ps.peek().kind != value {
		ps.unexpected()
	}
	return ps.value()
}

func (c clause) accepts(v types.AttributeValue) bool {
	switch c.op {
	case "begins_with":
		return beginsWith(v, c.values[0])
	case "BETWEEN":
		return compareBy(">=", v, c.values[0]) && compareBy("<=", v, c.values[1])
	}
	return compareBy(c.op, v, c.values[0])
}
