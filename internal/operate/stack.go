package operate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/smithy-go"
)

// ErrNoStack is the cause of [Describe]'s error when the account has no such stack in the region.
var ErrNoStack = errors.New("there is no such stack in this account and region")

// errNoOutputs is the cause of [Describe]'s error for a stack of something else, and after a first deployment that
// failed.
var errNoOutputs = errors.New("has no outputs TableName and TopicArn: " +
	"it is not a warmflags stack, or is not deployed completely")

// Stack is what a command needs to know of a deployment. Without a stack, a command fills in what its flags name;
// an empty field is not known.
type Stack struct {
	Name                  string            `json:"name,omitempty"`
	Region                string            `json:"region,omitempty"`
	Status                string            `json:"status,omitempty"` // CloudFormation's, such as UPDATE_COMPLETE
	Table                 string            `json:"table,omitempty"`
	TableStreamARN        string            `json:"table_stream_arn,omitempty"`
	TopicARN              string            `json:"topic_arn,omitempty"`
	WebhookURL            string            `json:"webhook_url,omitempty"`
	RequestQueueURL       string            `json:"request_queue_url,omitempty"`
	StreamFailureQueueURL string            `json:"stream_failure_queue_url,omitempty"`
	LogGroup              string            `json:"log_group,omitempty"`
	Parameters            map[string]string `json:"-"` // the template's parameters, such as SdkKeyParameter
	Resources             map[string]string `json:"-"` // physical by logical name, such as StreamhandlerFunction
	// Flags name the deployment on the command line, such as "--stack" and "flags". Hints have them.
	Flags []string `json:"-"`
}

// command returns a command line of warmflags for the deployment.
func (s *Stack) command(name string, flags ...string) string {
	return Command(name, slices.Concat(s.Flags, flags)...)
}

// Command returns a command line of warmflags, with flags and their values quoted for a shell. The name may be two
// words.
func Command(name string, flags ...string) string {
	words := []string{"warmflags", name}
	for _, flag := range flags {
		words = append(words, quote(flag))
	}
	return strings.Join(words, " ")
}

// Describe reads the stack's outputs, parameters and resources. It returns an error that wraps [ErrNoStack] if there is
// no such stack, and an error if the stack is not one of warmflags.
func Describe(ctx context.Context, cfg aws.Config, name string) (*Stack, error) {
	client := cloudformation.NewFromConfig(cfg)
	described, err := client.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &name})
	if err != nil {
		// CloudFormation has no error of its own for it:
		// https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html
		if problem := smithy.APIError(nil); errors.As(err, &problem) && problem.ErrorCode() == "ValidationError" &&
			strings.Contains(problem.ErrorMessage(), "does not exist") {
			err = ErrNoStack
		}
		return nil, fmt.Errorf("describe stack %q in region %q: %w", name, cfg.Region, err)
	}
	if len(described.Stacks) == 0 {
		return nil, fmt.Errorf("describe stack %q in region %q: %w", name, cfg.Region, ErrNoStack)
	}
	found := described.Stacks[0]
	s := &Stack{
		Name: name, Region: cfg.Region, Status: string(found.StackStatus),
		Parameters: map[string]string{}, Resources: map[string]string{},
	}
	outputs := map[string]*string{
		"TableName":             &s.Table,
		"TableStreamArn":        &s.TableStreamARN,
		"TopicArn":              &s.TopicARN,
		"WebhookUrl":            &s.WebhookURL,
		"RequestQueueUrl":       &s.RequestQueueURL,
		"StreamFailureQueueUrl": &s.StreamFailureQueueURL,
		"LogGroup":              &s.LogGroup,
	}
	for _, o := range found.Outputs {
		if field := outputs[aws.ToString(o.OutputKey)]; field != nil {
			*field = aws.ToString(o.OutputValue)
		}
	}
	if s.Table == "" || s.TopicARN == "" {
		return nil, fmt.Errorf("stack %q %w (%s)", name, errNoOutputs, s.Status)
	}
	for _, p := range found.Parameters {
		s.Parameters[aws.ToString(p.ParameterKey)] = aws.ToString(p.ParameterValue)
	}
	resources, err := client.DescribeStackResources(ctx, &cloudformation.DescribeStackResourcesInput{StackName: &name})
	if err != nil {
		return nil, fmt.Errorf("describe resources of stack %q: %w", name, err)
	}
	for _, r := range resources.StackResources {
		s.Resources[aws.ToString(r.LogicalResourceId)] = aws.ToString(r.PhysicalResourceId)
	}
	return s, nil
}

// Stacks returns the names of the region's stacks that look like warmflags: they have a table, its stream and a topic.
func Stacks(ctx context.Context, cfg aws.Config) (names []string, err error) {
	client := cloudformation.NewFromConfig(cfg)
	pages := cloudformation.NewDescribeStacksPaginator(client, &cloudformation.DescribeStacksInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("list stacks of region %q: %w", cfg.Region, err)
		}
		for _, s := range page.Stacks {
			outputs := map[string]bool{}
			for _, o := range s.Outputs {
				outputs[aws.ToString(o.OutputKey)] = true
			}
			if outputs["TableName"] && outputs["TableStreamArn"] && outputs["TopicArn"] {
				names = append(names, aws.ToString(s.StackName))
			}
		}
	}
	return names, nil
}
