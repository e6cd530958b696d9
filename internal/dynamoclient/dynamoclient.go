// Package dynamoclient creates DynamoDB clients without github.com/aws/aws-sdk-go-v2/config. That package imports the
// clients of five more services, which would double the cold-start time of a Lambda function.
package dynamoclient

import (
	"errors"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// ecsEndpoint is the address of the endpoint from which a container in ECS fetches its credentials. Only tests change
// it.
var ecsEndpoint = "http://169.254.170.2"

// New returns a client configured with cfg, or from Lambda's environment variables if cfg is nil. New makes no call.
// The client's connections are shared by all of its users.
//
// From the environment variables it takes
//   - the region: AWS_REGION, or AWS_DEFAULT_REGION;
//   - credentials: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or the endpoint in
//     AWS_CONTAINER_CREDENTIALS_RELATIVE_URI (set by ECS) or AWS_CONTAINER_CREDENTIALS_FULL_URI (set by EKS Pod
//     Identity, and by Lambda in a process that it restores from a snapshot). A request to the endpoint has the token
//     in AWS_CONTAINER_AUTHORIZATION_TOKEN, or in the file AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE;
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
		problems = append(problems, errors.New("AWS_ACCESS_KEY_ID is not set, and no variable names a credentials endpoint"))
	}
	if problems != nil {
		problems = append(problems, errors.New(
			"outside of Lambda, ECS and EKS Pod Identity, which provide both, pass an aws.Config, "+
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
	endpoint := os.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI")
	if path := os.Getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"); path != "" {
		endpoint = ecsEndpoint + path
	}
	if endpoint == "" {
		return nil
	}
	return aws.NewCredentialsCache(endpointcreds.New(endpoint, func(o *endpointcreds.Options) {
		o.AuthorizationToken = os.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN")
		if file := os.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); file != "" {
			o.AuthorizationTokenProvider = endpointcreds.TokenProviderFunc(func() (string, error) {
				token, err := os.ReadFile(file) //nolint:gosec // read at each request, because EKS replaces the token
				return strings.TrimSpace(string(token)), err
			})
		}
	}))
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
