// Package sam has the Lambda functions, one in each folder, and the tests of template.yaml. They compare each role's
// policy with the calls in calls.json, and every parameter and variable with the table in docs/reference.md.
package sam
