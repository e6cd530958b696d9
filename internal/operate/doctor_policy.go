package operate

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sns"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// The attributes of queues and topics that are read.
const (
	attributeARN    = string(sqstypes.QueueAttributeNameQueueArn)
	attributePolicy = string(sqstypes.QueueAttributeNamePolicy) // of topics too
)

var queueAttributes = []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameQueueArn,
	sqstypes.QueueAttributeNamePolicy}

func (e *examination) checkTopicPolicy(ctx context.Context) Check {
	topic := e.Stack.TopicARN
	out, err := e.topics.GetTopicAttributes(ctx, &sns.GetTopicAttributesInput{TopicArn: &topic})
	if HasCode(err, "NotFound", "NotFoundException") {
		return problem(fmt.Sprintf("topic %q does not exist", topic), e.fixes.aws("sns list-topics"))
	}
	if err != nil {
		return unknown(fmt.Sprintf("topic %q cannot be described", topic), err)
	}
	return judgePolicy(fmt.Sprintf("topic %q", topic), out.Attributes[attributePolicy], "sns:publish",
		e.fixes.setTopicPolicy(topic, onlyTLS("sns:Publish", topic)))
}

func (e *examination) checkRequestPolicy(context.Context) Check {
	return e.checkQueuePolicy(e.Stack.RequestQueueURL, e.requests)
}

func (e *examination) checkFailurePolicy(context.Context) Check {
	return e.checkQueuePolicy(e.Stack.StreamFailureQueueURL, e.failures)
}

func (e *examination) checkQueuePolicy(url string, read func() (map[string]string, error)) Check {
	attributes, err := read()
	if HasCode(err, "AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist") {
		return problem(fmt.Sprintf("queue %q does not exist", url), e.fixes.stackEvents(e.Stack.Name))
	}
	if err != nil {
		return unknown(fmt.Sprintf("queue %q cannot be described", url), err)
	}
	return judgePolicy(fmt.Sprintf("queue %q", url), attributes[attributePolicy], "sqs:sendmessage",
		e.fixes.setQueuePolicy(url, onlyTLS("sqs:*", "*")))
}

// onlyTLS is the policy that template.yaml gives a topic or queue: it refuses requests without TLS, also of the account
// itself. Who may use the topic or queue is in the policies of roles.
func onlyTLS(action, resource string) string {
	return toJSON(map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{
		"Sid": "OnlyTLS", "Effect": "Deny", "Principal": "*", "Action": action, "Resource": resource,
		"Condition": map[string]any{"Bool": map[string]any{"aws:SecureTransport": "false"}},
	}}})
}

// statement is a policy's statement. What can be one value or a list is a list here.
type statement struct {
	Effect    string
	Principal any
	Action    words
	Condition map[string]map[string]any
}

// words are one string or a list of strings in JSON.
type words []string

// UnmarshalJSON implements [json.Unmarshaler].
func (w *words) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '[' {
		return json.Unmarshal(text, (*[]string)(w))
	}
	*w = words{""}
	return json.Unmarshal(text, &(*w)[0])
}

// judgePolicy requires that a policy refuses requests without TLS and allows no principal that is not named. The action
// is in lower case: IAM ignores case there.
func judgePolicy(name, policy, action, fix string) Check {
	if policy == "" {
		return problem(name+" has no policy: requests without TLS are not refused", fix)
	}
	var document struct{ Statement []statement }
	if err := json.Unmarshal([]byte(policy), &document); err != nil {
		return unknown("the policy of "+name+" cannot be read", err)
	}
	if slices.ContainsFunc(document.Statement, statement.isPublic) {
		return problem(name+" has a policy that allows every principal, without a condition", fix)
	}
	if !slices.ContainsFunc(document.Statement, func(s statement) bool { return s.refusesPlain(action) }) {
		return problem(name+" has a policy that does not refuse requests without TLS", fix)
	}
	return checkOK(name + " refuses requests without TLS, and its policy allows no other principal")
}

// isPublic reports whether a statement allows every principal.
func (s statement) isPublic() bool {
	return s.Effect == "Allow" && len(s.Condition) == 0 && s.isForAll()
}

// isForAll reports whether the principal is every principal: "*", or AWS: "*".
func (s statement) isForAll() bool {
	switch p := s.Principal.(type) {
	case string:
		return p == "*"
	case map[string]any:
		text, _ := json.Marshal(p["AWS"]) // it came from JSON
		return strings.Contains(string(text), `"*"`)
	}
	return false
}

// refusesPlain reports whether a statement refuses every principal the action without TLS.
func (s statement) refusesPlain(action string) bool {
	covered := slices.ContainsFunc(s.Action, func(a string) bool {
		a = strings.ToLower(a)
		return a == action || a == "*" || a == action[:4]+"*"
	})
	return s.Effect == "Deny" && covered && s.isForAll() &&
		fmt.Sprint(s.Condition["Bool"]["aws:SecureTransport"]) == "false"
}
