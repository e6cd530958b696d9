package sam_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// anyResource are the actions without resource-level permissions, according to AWS's service authorization reference.
var anyResource = []string{
	"dynamodb:ListStreams", "sns:GetSubscriptionAttributes", "sns:Unsubscribe", "xray:PutTelemetryRecords",
	"xray:PutTraceSegments",
}

// Each role has exactly the permissions for the calls of its function (calls.json, which make e2e compares with the
// calls that it records), for the calls of Lambda and SSM on its behalf, and for its log. Depending on parameters, it
// also has permissions for the KMS key, X-Ray and the journal's rows. No permission covers more than the stack's own
// resources.
func TestPoliciesMatchTheCalls(t *testing.T) {
	data, err := os.ReadFile("calls.json")
	require.NoError(t, err)
	var list map[string]struct{ Calls, Several, ByLambda, BySSM, Journal, NoJournal []string }
	require.NoError(t, json.Unmarshal(data, &list))
	all := readTemplate(t)
	for name, r := range all.Resources {
		if r.Type != "AWS::Serverless::Function" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			require.Contains(t, list, name)
			role := at(r.Properties, "Role", "Fn::GetAtt")
			require.Equal(t, strings.TrimSuffix(name, "Function")+"Role.Arn", role)
			granted, conditional := grants(t, all.Resources[strings.TrimSuffix(role.(string), ".Arn")])
			its := list[name]
			want := slices.Concat(its.Calls, its.Several, its.ByLambda, its.BySSM,
				[]string{"logs:CreateLogStream", "logs:PutLogEvents"})
			assert.ElementsMatch(t, want, granted)
			may := []string{"kms:Decrypt", "kms:GenerateDataKey", "xray:PutTraceSegments", "xray:PutTelemetryRecords"}
			journal := slices.Concat(its.Journal, its.NoJournal)
			assert.Subset(t, slices.Concat(may, journal), conditional)
			assert.Subset(t, conditional, journal)
			if slices.Contains(granted, "sns:Publish") || slices.Contains(granted, "sqs:SendMessage") {
				assert.Contains(t, conditional, "kms:GenerateDataKey", "messages are encrypted")
			}
			assert.Contains(t, conditional, "kms:Decrypt")
		})
	}
	assert.Len(t, list, 4)
}

// grants returns the actions that a role always has, and those that it has under a condition. It checks their
// resources.
func grants(t *testing.T, role resource) (always, conditional []string) {
	t.Helper()
	require.Equal(t, "AWS::IAM::Role", role.Type)
	assert.Nil(t, role.Properties["ManagedPolicyArns"], "AWS's managed policies grant more")
	for _, policy := range role.Properties["Policies"].([]any) {
		for _, statement := range at(policy, "PolicyDocument", "Statement").([]any) {
			into := &always
			if choice := at(statement, "Fn::If"); choice != nil {
				require.Equal(t, map[string]any{"Ref": "AWS::NoValue"}, at(choice, 2))
				statement, into = at(choice, 1), &conditional
			}
			assert.Equal(t, "Allow", at(statement, "Effect"))
			for _, action := range texts(at(statement, "Action")) {
				assert.NotContains(t, action, "*")
				resource := fmt.Sprint(at(statement, "Resource"))
				if slices.Contains(anyResource, action) {
					assert.Equal(t, "*", resource, action)
				} else {
					assert.NotEqual(t, "*", resource, action)
				}
				*into = append(*into, action)
			}
		}
	}
	return always, conditional
}

// texts returns a string, or a list of strings, as a list.
func texts(value any) (all []string) {
	if one, ok := value.(string); ok {
		return []string{one}
	}
	for _, v := range value.([]any) {
		all = append(all, v.(string))
	}
	return all
}

// A parameter's name may refer to a secret of Secrets Manager, which SSM reads with the role's permissions. Then the
// role may read this secret. Otherwise the role names a secret that cannot exist.
func TestSecretsThatParametersReferTo(t *testing.T) {
	all := readTemplate(t)
	parameters := map[string]string{"WebhookRole": "WebhookSecretParameter", "FlagsyncRole": "SdkKeyParameter"}
	for role, parameter := range parameters {
		statements := at(all.Resources[role].Properties, "Policies", 0, "PolicyDocument", "Statement").([]any)
		found := slices.IndexFunc(statements, func(s any) bool {
			return at(s, "Action") == "secretsmanager:GetSecretValue"
		})
		require.GreaterOrEqual(t, found, 0)
		for name, want := range map[string]string{
			"/aws/reference/secretsmanager/prod/sdk-key": "prod/sdk-key",
			all.Parameters[parameter].Default.(string):   "~none", // a secret's name has no ~
		} {
			values := map[string]string{
				"AWS::Partition": "aws", "AWS::Region": "r", "AWS::AccountId": "1", parameter: name,
			}
			got := resolve(t, at(statements[found], "Resource"), values)
			assert.Equal(t, "arn:aws:secretsmanager:r:1:secret:"+want+"-??????", got)
		}
	}
}

// resolve evaluates a string as CloudFormation does, with its functions Select, Split and Sub.
func resolve(t *testing.T, value any, values map[string]string) string {
	t.Helper()
	if text, ok := value.(string); ok {
		return text
	}
	if i := at(value, "Fn::Select", 0); i != nil {
		split := at(value, "Fn::Select", 1, "Fn::Split")
		return strings.Split(resolve(t, at(split, 1), values), at(split, 0).(string))[i.(int)]
	}
	text, more := at(value, "Fn::Sub"), map[string]any{}
	if list, ok := text.([]any); ok {
		text, more = list[0], list[1].(map[string]any)
	}
	return os.Expand(text.(string), func(name string) string {
		if v, ok := more[name]; ok {
			return resolve(t, v, values)
		}
		require.Contains(t, values, name)
		return values[name]
	})
}

// The managed policies have the permissions that the packages document.
func TestManagedPolicies(t *testing.T) {
	all := readTemplate(t)
	for name, want := range map[string][]string{
		"ReaderPolicy": {"dynamodb:GetItem", "dynamodb:Query"},
		"SubscriberPolicy": {
			"sqs:CreateQueue", "sqs:DeleteQueue", "sqs:GetQueueAttributes", "sqs:SetQueueAttributes", "sqs:TagQueue",
			"sqs:ReceiveMessage", "sqs:DeleteMessage", "sns:Subscribe", "sns:Unsubscribe",
			"sns:GetSubscriptionAttributes",
		},
	} {
		policy := all.Resources[name]
		require.Equal(t, "AWS::IAM::ManagedPolicy", policy.Type)
		as := resource{Type: "AWS::IAM::Role", Properties: map[string]any{"Policies": []any{policy.Properties}}}
		granted, _ := grants(t, as)
		assert.ElementsMatch(t, want, granted, name)
	}
}

// The functions that write the journal cannot write LaunchDarkly's rows.
func TestFunctionsWriteOnlyTheJournalsRows(t *testing.T) {
	for _, role := range []string{"StreamhandlerRole", "StreamFailureRole"} {
		properties := readTemplate(t).Resources[role].Properties
		statements := at(properties, "Policies", 0, "PolicyDocument", "Statement").([]any)
		found := slices.IndexFunc(statements, func(s any) bool { return at(s, "Fn::If", 0) == "HasJournal" })
		require.GreaterOrEqual(t, found, 0)
		assert.Equal(t, []any{"$journal/*", "*:$journal/*"},
			at(statements[found], "Fn::If", 1, "Condition", "ForAllValues:StringLike", "dynamodb:LeadingKeys"))
	}
}

// Queues and topics refuse requests without TLS.
func TestOnlyTLS(t *testing.T) {
	all := readTemplate(t)
	covered := map[string]bool{}
	for _, r := range all.Resources {
		if r.Type != "AWS::SQS::QueuePolicy" && r.Type != "AWS::SNS::TopicPolicy" {
			continue
		}
		for _, statement := range at(r.Properties, "PolicyDocument", "Statement").([]any) {
			plain := at(statement, "Condition", "Bool", "aws:SecureTransport") == "false"
			if plain && at(statement, "Effect") == "Deny" {
				for _, target := range append(list(r.Properties["Queues"]), list(r.Properties["Topics"])...) {
					covered[fmt.Sprint(at(target, "Ref"))] = true
				}
			}
		}
	}
	for name, r := range all.Resources {
		if r.Type == "AWS::SQS::Queue" || r.Type == "AWS::SNS::Topic" {
			assert.True(t, covered[name], name)
		}
	}
}

func list(value any) []any {
	l, _ := value.([]any)
	return l
}
