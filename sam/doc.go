// Package sam holds the Lambda functions, one a folder, and the tests that hold template.yaml to them: each role's policy
// to the calls in calls.json, and every parameter and variable to the table in docs/reference.md.
package sam
