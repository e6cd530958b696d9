package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
)

// describeTimeout limits the one call to CloudFormation.
const describeTimeout = 20 * time.Second

// stackOutputs returns a stack's outputs, of which TableName and TopicArn are not empty.
func stackOutputs(ctx context.Context, cfg aws.Config, stack string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	described, err := cloudformation.NewFromConfig(cfg).DescribeStacks(ctx,
		&cloudformation.DescribeStacksInput{StackName: &stack})
	if err != nil {
		return nil, fmt.Errorf("describe stack %q: %w", stack, err)
	}
	outputs := map[string]string{}
	for _, s := range described.Stacks {
		for _, o := range s.Outputs {
			outputs[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
		}
	}
	if outputs["TableName"] == "" || outputs["TopicArn"] == "" {
		return nil, fmt.Errorf("stack %q has no outputs TableName and TopicArn: deploy it from template.yaml", stack)
	}
	return outputs, nil
}
