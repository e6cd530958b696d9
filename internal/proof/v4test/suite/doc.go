// Package suite tests stores for go-client.v4: whether they do what that SDK expects of a feature store, and whether
// they can share their table with dynamostore, through which LaunchDarkly's SDK v7 reads it. v4store's tests run the
// cases on localaws, and the module test runs them on DynamoDB Local.
package suite
