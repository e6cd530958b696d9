// Package suite holds stores for go-client.v4 to what that SDK expects of a feature store, and to sharing their table
// with dynamostore, which LaunchDarkly's SDK v7 reads it through. The cases are run on localaws by v4store's tests, and
// on DynamoDB Local by the module test.
package suite
