package main

import (
	"context"
	"strconv"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/internal/local/launchdarkly"
	"github.com/warmflags/warmflags/internal/operate"
	"github.com/warmflags/warmflags/internal/proof/deployment"
)

const (
	testKey = "sdk-secret-1"
	region  = "eu-west-1"
)

// account is an AWS account and a LaunchDarkly.
type account struct {
	ctx       context.Context        // of the commands that a specification runs
	exit      int                    // the exit code of the last of them
	real      bool                   // they call AWS itself, or what AWS_ENDPOINT_URL names
	topic     string                 // its ARN
	queue     string                 // the URL of the queue that subscribe made
	stack     *deployment.Deployment // does not announce changes
	cloud     *localaws.Cloud        // the stack's
	ld        *launchdarkly.Environment
	parameter string // the content of the SDK key parameter; empty: it does not exist
}

func newAccount(t *testing.T, flags int) *account {
	a := startAccount(flags)
	t.Cleanup(a.close)
	t.Setenv(keyVariable, testKey)
	return a
}

// startAccount has a table "flags", and a stack "flags" of it and a topic. Close it.
func startAccount(flags int) *account {
	a := &account{stack: deployment.Start(), ld: launchdarkly.Start(testKey, flags, 1), parameter: testKey}
	a.stack.StopPublishing()
	a.cloud, a.topic = a.stack.Cloud, a.stack.Stack.TopicARN
	a.ctx = context.Background()
	a.cloud.NoDeadlines = true // the limits of calls are on the real clock
	a.stack.Stack.Region, a.stack.Account.Parameters = region, a
	return a
}

func (a *account) GetParameter(
	_ context.Context, in *ssm.GetParameterInput, _ ...func(*ssm.Options),
) (*ssm.GetParameterOutput, error) {
	if *in.Name != "/warmflags/sdk-key" || a.parameter == "" {
		return nil, &types.ParameterNotFound{}
	}
	return &ssm.GetParameterOutput{Parameter: &types.Parameter{Value: aws.String(a.parameter)}}, nil
}

func (a *account) connect(context.Context, string) (clients, error) {
	return clients{
		aws: aws.Config{Region: region}, describe: a.describe, account: a.stack.Account,
	}, nil
}

func (a *account) close() { a.ld.Close(); a.stack.Close() }

func (a *account) describe(_ context.Context, name string) (*operate.Stack, error) {
	if name != "flags" {
		return nil, operate.ErrNoStack
	}
	a.stack.Stack.Parameters = map[string]string{
		"SdkKeyParameter": "/warmflags/sdk-key", "StreamUri": a.ld.URL(), "MaxRemovals": "0",
		"Sync": strconv.FormatBool(a.parameter != ""),
	}
	stack := a.stack.Stack
	return &stack, nil
}
