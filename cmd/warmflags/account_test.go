package main

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/internal/local/launchdarkly"
	"github.com/warmflags/warmflags/internal/operate"
)

const (
	testKey = "sdk-secret-1"
	region  = "eu-west-1"
)

// account is an AWS account and a LaunchDarkly.
type account struct {
	ctx       context.Context // of the commands that a specification runs
	exit      int             // the exit code of the last of them
	real      bool            // they call AWS itself, or what AWS_ENDPOINT_URL names
	topic     string          // its ARN
	cloud     *localaws.Cloud
	ld        *launchdarkly.Environment
	parameter string
}

func newAccount(t *testing.T, flags int) *account {
	a := startAccount(flags)
	t.Cleanup(a.close)
	t.Setenv(keyVariable, testKey)
	return a
}

// startAccount has a table "flags", and a stack "flags" of it and a topic. Close it.
func startAccount(flags int) *account {
	a := &account{cloud: localaws.New(), ld: launchdarkly.Start(testKey, flags, 1), parameter: testKey}
	a.cloud.CreateFlagTable("flags")
	a.ctx = context.Background()
	topic, err := a.cloud.SNS.CreateTopic(a.ctx, &sns.CreateTopicInput{Name: aws.String("changes")})
	if err != nil {
		panic(err) // the engine is in memory
	}
	a.topic = *topic.TopicArn
	return a
}

func (a *account) GetParameter(_ context.Context, in *ssm.GetParameterInput, _ ...func(*ssm.Options)) (*ssm.GetParameterOutput, error) {
	if *in.Name != "/warmflags/sdk-key" {
		return nil, &types.ParameterNotFound{}
	}
	return &ssm.GetParameterOutput{Parameter: &types.Parameter{Value: aws.String(a.parameter)}}, nil
}

func (a *account) connect(context.Context, string) (clients, error) {
	return clients{aws: aws.Config{Region: region}, describe: a.describe, db: a.cloud.DynamoDB, parameters: a, queues: a.cloud.SQS, topics: a.cloud.SNS}, nil
}

func (a *account) close() { a.ld.Close(); a.cloud.Close() }

func (a *account) describe(_ context.Context, name string) (*operate.Stack, error) {
	if name != "flags" {
		return nil, operate.ErrNoStack
	}
	return &operate.Stack{Name: name, Region: region, Table: "flags", TopicARN: a.topic,
		Parameters: map[string]string{"SdkKeyParameter": "/warmflags/sdk-key", "StreamUri": a.ld.URL(), "MaxRemovals": "0"}}, nil
}
