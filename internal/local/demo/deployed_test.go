package demo_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/local/demo"
)

// cloudFormation answers DescribeStacks with a status and a body, and notes what it was asked.
func cloudFormation(t *testing.T, status int, body string) (cfg aws.Config, asked *http.Request) {
	t.Helper()
	asked = &http.Request{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.NoError(t, r.ParseForm())
		*asked = *r
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, body)
	}))
	t.Cleanup(server.Close)
	known := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "id", SecretAccessKey: "secret"}, nil
	})
	return aws.Config{Region: "eu-west-1", BaseEndpoint: &server.URL, Credentials: known}, asked
}

// What is measured of a stack that is one, make e2e tests.
func TestStacksThatCannotBeMeasured(t *testing.T) {
	for name, c := range map[string]struct {
		status     int
		body, want string
	}{
		"none": {http.StatusBadRequest,
			`<ErrorResponse><Error><Code>ValidationError</Code><Message>Stack with id mine does not ` +
				`exist</Message></Error></ErrorResponse>`, "Stack with id mine does not exist"},
		"another stack": {http.StatusOK,
			`<DescribeStacksResponse><DescribeStacksResult><Stacks><member/></Stacks></DescribeStacksResult>` +
				`</DescribeStacksResponse>`, "deploy it from template.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, asked := cloudFormation(t, c.status, c.body)
			_, err := demo.RunDeployed(t.Context(), demo.DeployedDefaults(), "mine", cfg)
			require.ErrorContains(t, err, c.want)
			assert.Equal(t, "mine", asked.PostForm.Get("StackName"))
			assert.Contains(t, asked.Header.Get("Authorization"), "/eu-west-1/cloudformation/aws4_request")
		})
	}
	t.Run("wrong options, all at once, before anything is asked", func(t *testing.T) {
		c := demo.DeployedDefaults()
		c.Changes, c.Sabotage = 0, demo.DropMessage
		_, err := demo.RunDeployed(t.Context(), c, "mine", aws.Config{})
		require.ErrorContains(t, err, "--changes 0")
		require.ErrorContains(t, err, "--sabotage with --stack")
	})
}
