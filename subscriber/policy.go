package subscriber

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
)

// errUnsupported means that SNS does not deliver from the topic's region to the queue's region.
var errUnsupported = errors.New("SNS does not deliver from one opt-in region to another: " +
	"use an SQS client of the topic's region")

// queuePolicy returns the policy that lets only the topic send to the queue, and only over TLS. Two of its statements
// are Deny statements, which permissions of an identity cannot override. See AWS, "Amazon SQS security best practices"
// and "Subscribing an Amazon SQS queue to an Amazon SNS topic".
func queuePolicy(queueARN string, topic arn.ARN) (string, error) {
	queue, err := arn.Parse(queueARN)
	if err != nil {
		return "", fmt.Errorf("read the ARN of queue %q: %w", queueARN, err)
	}
	principals, err := snsPrincipals(topic, queue.Region)
	if err != nil {
		return "", fmt.Errorf("let topic %q send to queue %q: %w", topic, queueARN, err)
	}
	type object = map[string]any
	b, err := json.Marshal(object{"Version": "2012-10-17", "Statement": []object{{
		"Sid": "TopicSends", "Effect": "Allow", "Principal": object{"Service": principals},
		"Action": "sqs:SendMessage", "Resource": queueARN,
		"Condition": object{"ArnEquals": object{"aws:SourceArn": topic.String()}},
	}, {
		"Sid": "NothingElseSends", "Effect": "Deny", "Principal": "*",
		"Action": "sqs:SendMessage", "Resource": queueARN,
		"Condition": object{"ArnNotEquals": object{"aws:SourceArn": topic.String()}},
	}, {
		"Sid": "OnlyTLS", "Effect": "Deny", "Principal": "*",
		"Action": "sqs:*", "Resource": queueARN,
		"Condition": object{"Bool": object{"aws:SecureTransport": "false"}},
	}}})
	return string(b), err
}

// defaultRegions are the regions of the partition "aws" that are enabled by default. The list does not grow; AWS says:
// "Opt-in Regions include any Regions launched after March 20, 2019". Osaka is an opt-in region for SNS.
var defaultRegions = []string{
	"us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1",
	"eu-central-1", "eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3",
	"ap-northeast-1", "ap-northeast-2", "ap-south-1", "ap-southeast-1", "ap-southeast-2",
}

// snsPrincipals returns the principals of SNS that a queue must accept for a topic. Within a region, SNS has the same
// principal everywhere. If the regions differ and one of them is an opt-in region, SNS uses that region's own
// principal. See AWS, "Sending Amazon SNS messages to an Amazon SQS queue or AWS Lambda function in a different
// Region".
func snsPrincipals(topic arn.ARN, queueRegion string) ([]string, error) {
	principals := []string{"sns.amazonaws.com"}
	if topic.Region == queueRegion || topic.Partition != "aws" {
		return principals, nil
	}
	for _, region := range []string{topic.Region, queueRegion} {
		if !slices.Contains(defaultRegions, region) {
			principals = append(principals, "sns."+region+".amazonaws.com")
		}
	}
	if len(principals) > 2 {
		return nil, errUnsupported
	}
	return principals, nil
}

// samePolicy reports whether two policies have the same meaning. AWS may replace a list of one value by the value, and
// the principal "*" by {"AWS": "*"}.
func samePolicy(a, b string) bool {
	var x, y any
	errs := errors.Join(json.Unmarshal([]byte(a), &x), json.Unmarshal([]byte(b), &y))
	return errs == nil && reflect.DeepEqual(simplify(x), simplify(y))
}

func simplify(v any) any {
	switch v := v.(type) {
	case []any:
		if len(v) == 1 {
			return simplify(v[0])
		}
		for i := range v {
			v[i] = simplify(v[i])
		}
	case map[string]any:
		if all, ok := v["AWS"]; ok && len(v) == 1 {
			return simplify(all)
		}
		for name := range v {
			v[name] = simplify(v[name])
		}
	}
	return v
}
