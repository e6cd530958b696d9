package localaws

import (
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
	Condition map[string]map[string]any
}

func parsePolicy(text string) (policy, error) {
	var p policy
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return p, fmt.Errorf("parse policy: %w", err)
	}
	return p, nil
}

// allowsTopic says whether SNS may send a topic's messages: a statement allows it, and none denies it.
func (p policy) allowsTopic(topicARN string) bool {
	allowed := false
	for _, s := range p.Statement {
		if !s.isAbout(topicARN) {
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

// holds evaluates one condition for a message of the topic. An operator or key that it does not know does not hold.
func holds(operator, key string, values any, topicARN string) bool {
	facts := map[string]string{"aws:sourcearn": topicARN, "aws:sourceaccount": accountID, "aws:securetransport": "true"}
	fact, known := facts[strings.ToLower(key)]
	if !known {
		return false
	}
	negative := strings.Contains(operator, "Not")
	switch strings.Replace(strings.TrimSuffix(operator, "IfExists"), "Not", "", 1) {
	case "ArnEquals", "ArnLike", "StringEquals", "StringLike", "Bool":
		return matches(values, fact, false) != negative
	}
	return false
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
