package dynamoclient_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/dynamoclient"
)

// setenv sets the variables that New reads to exactly these.
func setenv(t *testing.T, variables map[string]string) {
	for _, name := range []string{
		"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_ENDPOINT_URL",
		"AWS_ENDPOINT_URL_DYNAMODB", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT",
	} {
		t.Setenv(name, variables[name])
	}
}

// table serves ListTables with an empty list. last has the headers of the latest request.
func table(t *testing.T) (url string, last *http.Header) {
	last = new(http.Header)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*last = r.Header
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		_, _ = fmt.Fprint(w, `{"TableNames":[]}`)
	}))
	t.Cleanup(server.Close)
	return server.URL, last
}

func TestLambdasEnvironment(t *testing.T) {
	url, last := table(t)
	for name, variables := range map[string]map[string]string{
		"DynamoDB's endpoint": {
			"AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL_DYNAMODB": url, "AWS_ENDPOINT_URL": "http://localhost:1",
		},
		"the general endpoint": {"AWS_DEFAULT_REGION": "eu-west-1", "AWS_ENDPOINT_URL": url},
	} {
		t.Run(name, func(t *testing.T) {
			variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"] = "AKID", "secret"
			variables["AWS_SESSION_TOKEN"] = "token"
			setenv(t, variables)
			client, err := dynamoclient.New(nil)
			require.NoError(t, err)
			_, err = client.ListTables(t.Context(), &dynamodb.ListTablesInput{})
			require.NoError(t, err)
			assert.Contains(t, last.Get("Authorization"), "Credential=AKID/")
			assert.Contains(t, last.Get("Authorization"), "/eu-west-1/dynamodb/")
			assert.Equal(t, "token", last.Get("X-Amz-Security-Token"), "temporary credentials need the token")
		})
	}
}

// In these processes no variable has the keys, because they expire. The endpoint's requests are checked by their path
// and their token.
func TestCredentialsFromAnEndpoint(t *testing.T) {
	url, last := table(t)
	var requests []string
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests = append(requests, r.URL.RequestURI()+" "+r.Header.Get("Authorization"))
		_, _ = fmt.Fprint(w, `{"AccessKeyId":"FETCHED","SecretAccessKey":"secret","Token":"fresh",
			"Expiration":"2999-01-01T00:00:00Z"}`)
	}))
	defer endpoint.Close()
	defer dynamoclient.SetECSEndpoint(endpoint.URL)()
	file := filepath.Join(t.TempDir(), "token")
	for name, c := range map[string]struct {
		variables map[string]string
		want      string
	}{
		"a process restored from a snapshot": {map[string]string{
			"AWS_CONTAINER_CREDENTIALS_FULL_URI": endpoint.URL + "/lambda",
			"AWS_CONTAINER_AUTHORIZATION_TOKEN":  "restored",
		}, "/lambda restored"},
		"ECS": {map[string]string{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/1?a=b"},
			"/v2/credentials/1?a=b "},
		"EKS Pod Identity": {map[string]string{
			"AWS_CONTAINER_CREDENTIALS_FULL_URI":     endpoint.URL + "/v1/credentials",
			"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": file,
		}, "/v1/credentials from a file"},
	} {
		t.Run(name, func(t *testing.T) {
			requests = nil
			c.variables["AWS_REGION"], c.variables["AWS_ENDPOINT_URL"] = "eu-west-1", url
			setenv(t, c.variables)
			require.NoError(t, os.WriteFile(file, []byte("replaced later"), 0o600))
			client, err := dynamoclient.New(nil)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(file, []byte("from a file\n"), 0o600))
			for range 2 {
				_, err = client.ListTables(t.Context(), &dynamodb.ListTablesInput{})
				require.NoError(t, err)
				assert.Contains(t, last.Get("Authorization"), "Credential=FETCHED/")
				assert.Equal(t, "fresh", last.Get("X-Amz-Security-Token"))
			}
			assert.Equal(t, []string{c.want}, requests)
		})
	}
}

func TestKindsOfEndpoints(t *testing.T) {
	setenv(t, map[string]string{
		"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret",
		"AWS_USE_FIPS_ENDPOINT": "true", "AWS_USE_DUALSTACK_ENDPOINT": "true",
	})
	client, err := dynamoclient.New(nil)
	require.NoError(t, err)
	assert.Equal(t, aws.FIPSEndpointStateEnabled, client.Options().EndpointOptions.UseFIPSEndpoint)
	assert.Equal(t, aws.DualStackEndpointStateEnabled, client.Options().EndpointOptions.UseDualStackEndpoint)
	assert.Nil(t, client.Options().BaseEndpoint)
}

func TestAllMissingVariablesAreReportedTogether(t *testing.T) {
	setenv(t, nil)
	_, err := dynamoclient.New(nil)
	for _, want := range []string{"AWS_REGION is not set", "AWS_ACCESS_KEY_ID is not set", "pass an aws.Config"} {
		assert.ErrorContains(t, err, want)
	}
	_, err = dynamoclient.New(&aws.Config{})
	require.ErrorContains(t, err, "no region")
	client, err := dynamoclient.New(&aws.Config{Region: "eu-west-1"})
	require.NoError(t, err)
	assert.Equal(t, "eu-west-1", client.Options().Region)
}

// The packages that a Lambda function imports do not import the packages that only a configuration file needs. make
// lint has the same check.
func TestConfigIsNotImported(t *testing.T) {
	list := exec.Command("go", "list", "-deps", "../../dynamostore", "../../journal", "../../cachedstore")
	out, err := list.CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, path := range []string{
		"/config", "/service/sts", "/service/sso", "/feature/ec2/imds", "/service/sns", "/service/sqs",
	} {
		assert.NotContains(t, strings.Split(string(out), "\n"), "github.com/aws/aws-sdk-go-v2"+path)
	}
}
