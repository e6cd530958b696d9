package sam_test

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// These properties of the stack make AWS sync each environment independently of the others.
func TestNoEnvironmentWaitsForAnother(t *testing.T) {
	all := readTemplate(t)
	function := all.Resources["FlagsyncFunction"].Properties
	source := at(function, "Events", "Requests", "Properties")
	assert.Equal(t, map[string]any{
		"Queue": map[string]any{"Fn::GetAtt": "RequestQueue.Arn"}, "BatchSize": 1,
		"FunctionResponseTypes": []any{"ReportBatchItemFailures"},
	}, source, "without a ScalingConfig, all environments with requests are synced at once")
	for name, r := range all.functions() {
		assert.NotContains(t, r.Properties, "ReservedConcurrentExecutions", name)
	}
	queue := all.Resources["RequestQueue"].Properties
	assert.Equal(t, true, queue["FifoQueue"])
	assert.Equal(t, 3600, queue["MessageRetentionPeriod"], "the queue empties by itself")
	assert.Greater(t, queue["VisibilityTimeout"], function["Timeout"])
	for name, r := range all.Resources {
		if r.Type == "AWS::SQS::Queue" {
			assert.NotContains(t, r.Properties, "RedrivePolicy", "%s: dead letters need an operator", name)
		}
	}
}

func TestRequestsOfTheStack(t *testing.T) {
	all := readTemplate(t)
	target := at(all.Resources["Schedule"].Properties, "Target")
	assert.JSONEq(t, `{"reason":"schedule","cause":"<aws.scheduler.execution-id>"}`, at(target, "Input").(string),
		"the queue would drop a repeated body")
	assert.Equal(t, "all", at(target, "SqsParameters", "MessageGroupId"))
	first := at(all.Outputs["FirstSync"], "Value", "Fn::Sub").(string)
	for _, part := range []string{
		"--message-group-id all", `--message-body '{"reason":"first"}'`, "--message-deduplication-id first-$(date +%s)",
	} {
		assert.Contains(t, first, part)
	}
	assert.Equal(t, "POST /webhook", all.Resources["WebhookRoute"].Properties["RouteKey"])
	assert.Equal(t, "POST /webhook/{proxy+}", all.Resources["WebhookPrefixRoute"].Properties["RouteKey"])
	source := at(all.Resources["WebhookPermission"].Properties, "SourceArn", "Fn::Sub").(string)
	assert.True(t, strings.HasSuffix(source, "/*/POST/webhook*"), source)
}

// Only this stack's schedule may assume the role.
func TestTheScheduleHasAGroup(t *testing.T) {
	all := readTemplate(t)
	assert.Equal(t, map[string]any{"Ref": "ScheduleGroup"}, all.Resources["Schedule"].Properties["GroupName"])
	trust := at(all.Resources["ScheduleRole"].Properties, "AssumeRolePolicyDocument", "Statement", 0)
	assert.Equal(t, map[string]any{
		"aws:SourceAccount": map[string]any{"Ref": "AWS::AccountId"},
		"aws:SourceArn":     map[string]any{"Fn::GetAtt": "ScheduleGroup.Arn"},
	}, at(trust, "Condition", "StringEquals"))
}

// CloudFormation replaces a managed policy whose description changes, and refuses to do so while another stack imports
// its ARN. So the descriptions of the first release must never change.
func TestManagedPoliciesKeepTheirARN(t *testing.T) {
	all := readTemplate(t)
	for name, description := range map[string]string{
		"ReaderPolicy":     "Reads the flag table, as clients in daemon mode do",
		"SubscriberPolicy": "Makes, reads and removes a queue that hears what changed, as subscriber.Queue does",
	} {
		properties := all.Resources[name].Properties
		assert.Equal(t, description, properties["Description"])
		assert.NotContains(t, properties, "ManagedPolicyName", "a change of its name or path replaces it too")
		assert.NotContains(t, properties, "Path")
		assert.NotNil(t, at(all.Outputs[name+"Arn"], "Export"))
	}
}

func TestSubscriptionsAreResources(t *testing.T) {
	subscriptions := 0
	for name, r := range readTemplate(t).Resources {
		if r.Type == "AWS::SNS::Topic" {
			assert.NotContains(t, r.Properties, "Subscription", name)
		}
		if r.Type == "AWS::SNS::Subscription" {
			subscriptions++
		}
	}
	assert.Equal(t, 1, subscriptions)
}

// The log group is under /aws/lambda/, where sam logs and operators look for it.
func TestTheLogOfAllFunctions(t *testing.T) {
	all := readTemplate(t)
	name := all.Resources["Logs"].Properties["LogGroupName"]
	assert.Equal(t, map[string]any{"Fn::Sub": "/aws/lambda/${AWS::StackName}"}, name)
	assert.Equal(t, map[string]any{"Ref": "Logs"}, at(all.Globals, "Function", "LoggingConfig", "LogGroup"))
	assert.Equal(t, map[string]any{"Ref": "Logs"}, at(all.Outputs["LogGroup"], "Value"))
	for name, r := range all.functions() {
		assert.NotContains(t, r.Properties, "LoggingConfig", name)
	}
}

func TestConsoleURLsOfEveryPartition(t *testing.T) {
	all := readTemplate(t)
	for _, partition := range []string{"aws", "aws-cn", "aws-us-gov", "aws-eusc", "aws-iso", "aws-iso-b"} {
		assert.NotEmpty(t, at(all.Mappings, "Console", partition, "Domain"), partition)
	}
	data, err := os.ReadFile("../template.yaml")
	require.NoError(t, err)
	assert.NotRegexp(t, `https://[^"]*console\.aws`, string(data), "the console of a single partition")
	assert.LessOrEqual(t, strings.Count(string(data), "\n"), 1065-250, "250 lines shorter than in the first release")
}

var processor = regexp.MustCompile(`(?m)^ *Architectures: \[(\w+)\]`)

// The functions are built for the processor that is deployed: the Makefile reads it from the template.
func TestOnePlaceNamesTheProcessor(t *testing.T) {
	for folder, c := range map[string]struct{ template, makefile, target string }{
		"..":          {"template.yaml", "sam/Makefile", "build-WebhookFunction"},
		"../examples": {"consumer/template.yaml", "Makefile", "build-EvaluateFunction"},
	} {
		data, err := os.ReadFile(folder + "/" + c.template)
		require.NoError(t, err)
		assert.Len(t, processor.FindAllStringSubmatch(string(data), -1), 1, folder)
		assert.NotContains(t, string(data), "Ref Architecture", folder)
		file := t.TempDir() + "/template.yaml"
		for architecture, want := range map[string]string{
			"[arm64]": "GOARCH=arm64", "[x86_64]": "GOARCH=amd64", "[riscv]": "must have",
			"[!Ref Processor]": "must have",
		} {
			text := strings.Replace(string(data), "Architectures: [arm64]", "Architectures: "+architecture, 1)
			require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
			command := exec.Command("make", "--dry-run", "--makefile", c.makefile, c.target, "ARTIFACTS_DIR=out",
				"TEMPLATE="+file)
			command.Dir = folder
			output, err := command.CombinedOutput()
			assert.Equal(t, want == "must have", err != nil, fmt.Sprint(err))
			assert.Contains(t, string(output), want, architecture)
		}
	}
}
