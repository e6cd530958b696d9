package main

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/spf13/cobra"

	"github.com/warmflags/warmflags/internal/operate"
)

// targetFlags say which deployment a command works on. They belong to the root command, so that they are the same
// everywhere. Of the table and the topic, a flag comes first, then the stack, and then the environment variable:
// variables of one deployment, which the shell may have from anywhere, never change what a stack of another one is.
type targetFlags struct {
	program
	stack, region, table, topic string
	json                        bool
}

func (f *targetFlags) add(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.StringVar(&f.stack, "stack", f.getenv("WARMFLAGS_STACK"),
		"the CloudFormation stack: names table, topic, queues and parameters (WARMFLAGS_STACK)")
	flags.StringVar(&f.region, "region", "", "the AWS region; default: AWS_REGION, or the profile's")
	flags.StringVar(&f.table, "table", "",
		"the DynamoDB table; default: the stack's, or, without a stack, TABLE_NAME")
	flags.StringVar(&f.topic, "topic", "",
		"the ARN of the SNS topic; default: the stack's, or, without a stack, TOPIC_ARN")
	flags.BoolVar(&f.json, "json", false, "print JSON")
	complete(root, "stack", f.completeStacks)
}

// target is the deployment that a command works on, and the clients to reach it.
type target struct {
	clients
	operate.Stack
	now func() time.Time
}

// need is a value that a command cannot do without.
type need struct {
	name  string // as in an error: "table"
	flag  string // "--table (TABLE_NAME)"
	value func(*target) string
}

var (
	needTable = need{"table", "--table (TABLE_NAME)", func(t *target) string { return t.Table }}
	needTopic = need{"topic", "--topic (TOPIC_ARN)", func(t *target) string { return t.TopicARN }}
	needStack = need{"stack", "--stack (WARMFLAGS_STACK)", func(t *target) string { return t.Name }}
)

// named is what flags and variables name.
func (f *targetFlags) named() operate.Stack {
	if f.stack != "" {
		return operate.Stack{Name: f.stack, Table: f.table, TopicARN: f.topic}
	}
	return operate.Stack{
		Table: cmp.Or(f.table, f.getenv("TABLE_NAME")), TopicARN: cmp.Or(f.topic, f.getenv("TOPIC_ARN")),
	}
}

// missing returns an error for each value that neither a flag, a variable nor the stack names.
func (f *targetFlags) missing(needs ...need) (problems []error) {
	t := &target{Stack: f.named()}
	for _, n := range needs {
		if f.stack == "" && n.value(t) == "" {
			hint := "pass " + n.flag
			if n.name != needStack.name {
				hint = "pass --stack NAME (WARMFLAGS_STACK), or " + n.flag
			}
			problems = append(problems, withHint(errors.New("no "+n.name), "%s", hint))
		}
	}
	return problems
}

// open connects to AWS and finds out what the stack consists of. Everything that is missing is one usage error. If the
// stack cannot be described, the target of what flags name is returned with the error.
func (f *targetFlags) open(ctx context.Context, needs ...need) (*target, error) {
	if problems := f.missing(needs...); len(problems) > 0 {
		return nil, usageError{errors.Join(problems...)}
	}
	t := &target{now: time.Now, Stack: f.named()}
	region := f.region
	if topic, err := arn.Parse(t.TopicARN); err == nil {
		region = cmp.Or(region, topic.Region)
	} else if t.TopicARN != "" {
		return nil, usageError{
			withHint(errors.New("the topic is not an ARN: "+t.TopicARN), "it is the stack's output TopicArn"),
		}
	}
	var err error
	if t.clients, err = f.connect(ctx, region); err != nil {
		return nil, err
	}
	t.Region = cmp.Or(t.aws.Region, region)
	f.region = t.Region // for the hints of errors
	if f.stack == "" {
		return t, nil
	}
	stack, err := t.describe(ctx, f.stack)
	if err != nil {
		return t, err
	}
	t.Stack = *stack
	t.Table, t.TopicARN = cmp.Or(f.table, t.Table), cmp.Or(f.topic, t.TopicARN)
	return t, nil
}
