// Package expression is DynamoDB's data model without the tables: attribute values, with their size, order and
// numbers, and the expressions over them (condition, filter, key condition, update and projection expressions).
//
// A request's expressions are parsed with its [Params], which resolve #names and :values and know in the end
// which were never used. What is parsed is immutable; applying it to an item never changes that item.
//
// Every error's text is DynamoDB's own, as far as it is known, so that the caller can return it as the message of
// a ValidationException. The languages are described at
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html.
package expression
