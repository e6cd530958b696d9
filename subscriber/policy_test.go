package subscriber_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// policy is a queue's policy as this package writes it. Decoding a policy of another form is an error.
type policy struct {
	Statement []struct {
		Effect    string
		Principal any // "*", or {"Service": one or several}
		Action    string
		Resource  string
		Condition map[string]map[string]string
	}
}

// send is an attempt to send to a queue.
type send struct {
	principal string // the service that sends; empty for a user of the account
	source    string // aws:SourceArn; empty for a user of the account
	tls       bool   // aws:SecureTransport
}

// allows evaluates a queue's policy by AWS's rules: a matching Deny refuses, and otherwise an Allow must match. It is
// written from AWS's "Policy evaluation logic", independently of the code under test.
func allows(text, queueARN string, s send) (bool, error) {
	if text == "" {
		return false, nil // a queue without a policy
	}
	var p policy
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return false, fmt.Errorf("read policy %q: %w", text, err)
	}
	allowed := false
	for _, statement := range p.Statement {
		matches := statement.Resource == queueARN &&
			slices.Contains([]string{"sqs:*", "sqs:SendMessage"}, statement.Action) &&
			(statement.Principal == "*" || slices.Contains(services(statement.Principal), s.principal))
		for operator, keys := range statement.Condition {
			for key, want := range keys {
				values := map[string]string{"aws:SourceArn": s.source, "aws:SecureTransport": fmt.Sprint(s.tls)}
				have, known := values[key]
				if !known {
					return false, fmt.Errorf("condition key %q is not supported", key)
				}
				switch operator {
				case "ArnEquals", "Bool":
					matches = matches && have == want
				case "ArnNotEquals":
					matches = matches && have != want
				default:
					return false, fmt.Errorf("condition operator %q is not supported", operator)
				}
			}
		}
		switch {
		case matches && statement.Effect == "Deny":
			return false, nil
		case matches && statement.Effect == "Allow":
			allowed = true
		}
	}
	return allowed, nil
}

// services returns the services that a principal names.
func services(principal any) (names []string) {
	named, _ := principal.(map[string]any)
	switch of := named["Service"].(type) {
	case string:
		return []string{of}
	case []any:
		for _, name := range of {
			names = append(names, name.(string))
		}
	}
	return names
}

func TestPolicyEvaluator(t *testing.T) {
	const queue, own = "arn:aws:sqs:us-east-1:000000000000:q", topic
	allow := fmt.Sprintf(`{"Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},"Action":"sqs:SendMessage",`+
		`"Resource":%q,"Condition":{"ArnEquals":{"aws:SourceArn":%q}}}`, queue, own)
	deny := fmt.Sprintf(`{"Effect":"Deny","Principal":"*","Action":"sqs:*","Resource":%q,`+
		`"Condition":{"Bool":{"aws:SecureTransport":"false"}}}`, queue)
	for name, c := range map[string]struct {
		statements string
		send       send
		want       bool
	}{
		"no statement":      {"", send{"sns.amazonaws.com", own, true}, false},
		"allowed":           {allow, send{"sns.amazonaws.com", own, true}, true},
		"another principal": {allow, send{"events.amazonaws.com", own, true}, false},
		"another topic":     {allow, send{"sns.amazonaws.com", own + "2", true}, false},
		"a deny wins":       {allow + "," + deny, send{"sns.amazonaws.com", own, false}, false},
		"only a deny":       {deny, send{"sns.amazonaws.com", own, true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := allows(`{"Statement":[`+c.statements+`]}`, queue, c.send)
			require.NoError(t, err)
			assert.Equal(t, c.want, got)
		})
	}
	_, err := allows(`{"Statement":[`+strings.ReplaceAll(allow, "ArnEquals", "IpAddress")+`]}`, queue,
		send{"sns.amazonaws.com", own, true})
	require.Error(t, err, "the evaluator refuses what it does not support")
}
