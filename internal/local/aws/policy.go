package aws

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path"
	"strings"
)

// policy is a resource policy, as far as it decides whether a topic may send to a queue
// (https://docs.aws.amazon.com/sns/latest/dg/subscribe-sqs-queue-to-sns-topic.html).
type policy struct {
	Statement []statement
}

type statement struct {
	Effect    string
	Principal any
	Action    any
	Resource  any
	Condition map[string]map[string]any
}

func parsePolicy(text string) (policy, error) {
	var p policy
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return p, fmt.Errorf("parse policy: %w", err)
	}
	for i, s := range p.Statement {
		if s.Effect != "Allow" && s.Effect != "Deny" || s.Principal == nil || s.Action == nil || s.Resource == nil {
			return p, fmt.Errorf("statement %d: Effect, Principal, Action and Resource are required", i)
		}
		for operator, keys := range s.Condition {
			for key := range keys {
				if !operators[baseOperator(operator)] || facts("")[strings.ToLower(key)] == "" {
					return p, fmt.Errorf("statement %d: localaws does not know condition %s of %s", i, operator, key)
				}
			}
		}
	}
	return p, nil
}

// allowsTopic says whether SNS may send a topic's messages to a queue: a statement allows it, and none denies it.
func (p policy) allowsTopic(topicARN, queueARN string) bool {
	allowed := false
	for _, s := range p.Statement {
		if !s.isAbout(topicARN) || !matches(s.Resource, queueARN, false) {
			continue
		}
		if s.Effect == "Deny" {
			return false
		}
		allowed = allowed || s.Effect == "Allow"
	}
	return allowed
}

func (s statement) isAbout(topicARN string) bool {
	principal := s.Principal
	if named, ok := principal.(map[string]any); ok {
		principal = append(list(named["Service"]), list(named["AWS"])...)
	}
	if !matches(principal, "sns.amazonaws.com", false) || !matches(s.Action, "sqs:sendmessage", true) {
		return false
	}
	for operator, keys := range s.Condition {
		for key, values := range keys {
			if !holds(operator, key, values, topicARN) {
				return false
			}
		}
	}
	return true
}

// operators are those that are known, without "Not" and "IfExists".
var operators = map[string]bool{"ArnEquals": true, "ArnLike": true, "StringEquals": true, "StringLike": true, "Bool": true}

func baseOperator(operator string) string {
	return strings.Replace(strings.TrimSuffix(operator, "IfExists"), "Not", "", 1)
}

// facts are what is known of a message of a topic.
func facts(topicARN string) map[string]string {
	return map[string]string{"aws:sourcearn": cmp.Or(topicARN, "-"), "aws:sourceaccount": accountID, "aws:securetransport": "true"}
}

// holds evaluates one condition, which parsePolicy knew, for a message of the topic.
func holds(operator, key string, values any, topicARN string) bool {
	return matches(values, facts(topicARN)[strings.ToLower(key)], false) != strings.Contains(operator, "Not")
}

// matches says whether one of the patterns, a string or a list of them, matches.
func matches(patterns any, s string, fold bool) bool {
	for _, v := range list(patterns) {
		pattern := fmt.Sprint(v)
		if fold {
			pattern = strings.ToLower(pattern)
		}
		if ok, err := path.Match(pattern, s); pattern == "*" || err == nil && ok {
			return true
		}
	}
	return false
}

func list(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{v}
}
