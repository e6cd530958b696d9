// Package dynamoclient creates DynamoDB clients without github.com/aws/aws-sdk-go-v2/config. That package imports the
// clients of five more services, which would double the cold-start time of a Lambda function.
package dynamoclient

import (
	"errors"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// New returns a client configured with cfg, or from Lambda's environment variables if cfg is nil. New makes no call.
// The client's connections are shared by all of its users.
//
// From the environment variables it takes
//   - the region: AWS_REGION, or AWS_DEFAULT_REGION;
//   - credentials: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or the endpoint in
//     AWS_CONTAINER_CREDENTIALS_FULL_URI (with AWS_CONTAINER_AUTHORIZATION_TOKEN), which Lambda sets instead in a
//     process that it restores from a snapshot;
//   - the endpoint: AWS_ENDPOINT_URL_DYNAMODB or AWS_ENDPOINT_URL;
//   - the kind of endpoint: AWS_USE_FIPS_ENDPOINT and AWS_USE_DUALSTACK_ENDPOINT, if they are "true".
//
// It returns an error if the region or the credentials are missing.
func New(cfg *aws.Config) (*dynamodb.Client, error) {
	if cfg == nil {
		return fromEnvironment()
	}
	if cfg.Region == "" {
		return nil, errors.New("the aws.Config has no region: set AWS_REGION, or a region in its profile")
	}
	return dynamodb.NewFromConfig(*cfg), nil
}

func fromEnvironment() (*dynamodb.Client, error) {
	options := dynamodb.Options{
		Region: first("AWS_REGION", "AWS_DEFAULT_REGION"), Credentials: provider(), HTTPClient: newHTTPClient(),
	}
	var problems []error
	if options.Region == "" {
		problems = append(problems, errors.New("AWS_REGION is not set"))
	}
	if options.Credentials == nil {
		problems = append(problems, errors.New("AWS_ACCESS_KEY_ID is not set"))
	}
	if problems != nil {
		problems = append(problems, errors.New(
			"outside of Lambda, which sets both variables, pass an aws.Config, "+
				"for example from config.LoadDefaultConfig"))
		return nil, errors.Join(problems...)
	}
	if endpoint := first("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL"); endpoint != "" {
		options.BaseEndpoint = &endpoint
	}
	if os.Getenv("AWS_USE_FIPS_ENDPOINT") == "true" {
		options.EndpointOptions.UseFIPSEndpoint = aws.FIPSEndpointStateEnabled
	}
	if os.Getenv("AWS_USE_DUALSTACK_ENDPOINT") == "true" {
		options.EndpointOptions.UseDualStackEndpoint = aws.DualStackEndpointStateEnabled
	}
	return dynamodb.New(options), nil
}

// provider returns the credentials from the environment variables, or nil if there are none. Credentials from an
// endpoint expire, so they are fetched again before that.
func provider() aws.CredentialsProvider {
	key, secret := os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY")
	if key != "" && secret != "" {
		return credentials.NewStaticCredentialsProvider(key, secret, os.Getenv("AWS_SESSION_TOKEN"))
	}
	if endpoint := os.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI"); endpoint != "" {
		return aws.NewCredentialsCache(endpointcreds.New(endpoint, func(o *endpointcreds.Options) {
			o.AuthorizationToken = os.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN")
		}))
	}
	return nil
}

// first returns the value of the first variable that is set, or "".
func first(variables ...string) string {
	for _, variable := range variables {
		if value := os.Getenv(variable); value != "" {
			return value
		}
	}
	return ""
}
