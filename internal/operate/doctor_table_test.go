package operate

import (
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	schedulertypes "github.com/aws/aws-sdk-go-v2/service/scheduler/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// flagTable is a table as DynamoDB describes it; its keys are of type S.
func flagTable(status dynamodbtypes.TableStatus, hash, sort string) *dynamodbtypes.TableDescription {
	return &dynamodbtypes.TableDescription{
		TableName: aws.String("flags"), TableStatus: status, LatestStreamArn: aws.String("arn:stream/2"),
		KeySchema: []dynamodbtypes.KeySchemaElement{
			{AttributeName: &hash, KeyType: dynamodbtypes.KeyTypeHash}, {AttributeName: &sort,
				KeyType: dynamodbtypes.KeyTypeRange},
		},
		AttributeDefinitions: []dynamodbtypes.AttributeDefinition{ // in any order
			{AttributeName: &sort, AttributeType: dynamodbtypes.ScalarAttributeTypeS}, {AttributeName: &hash,
				AttributeType: dynamodbtypes.ScalarAttributeTypeS},
		},
		StreamSpecification: &dynamodbtypes.StreamSpecification{StreamEnabled: aws.Bool(true),
			StreamViewType: dynamodbtypes.StreamViewTypeNewAndOldImages},
	}
}

func TestDoctorJudgesTheTable(t *testing.T) {
	numbered := flagTable("ACTIVE", "namespace", "key")
	numbered.AttributeDefinitions[0].AttributeType = dynamodbtypes.ScalarAttributeTypeN
	off, never := flagTable("ACTIVE", "namespace", "key"), flagTable("ACTIVE", "namespace", "key")
	viewed := func(view dynamodbtypes.StreamViewType) *dynamodbtypes.TableDescription {
		t := flagTable("ACTIVE", "namespace", "key")
		t.StreamSpecification.StreamViewType = view
		return t
	}
	off.StreamSpecification.StreamEnabled = aws.Bool(false)
	never.StreamSpecification = nil
	other := testFixes.createTable("flags-flags")
	const on = "aws dynamodb update-table --region eu-west-1 --table-name flags --stream-specification StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES"
	assert.Equal(
		t,
		"aws dynamodb create-table --region eu-west-1 --table-name flags-flags --billing-mode PAY_PER_REQUEST "+
			"--attribute-definitions AttributeName=namespace,AttributeType=S AttributeName=key,AttributeType=S "+
			"--key-schema AttributeName=namespace,KeyType=HASH AttributeName=key,KeyType=RANGE "+
			"--stream-specification StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES",
		other,
	)
	judge := func(t *dynamodbtypes.TableDescription) Check { return judgeTable(t, testFixes) }
	assertJudgments(t, []judgment{
		{"active", judge(flagTable("ACTIVE", "namespace", "key")), CheckOK,
			`table "flags" is ACTIVE, with the keys ["namespace (HASH, S)" "key (RANGE, S)"]`, ""},
		{"updating", judge(flagTable("UPDATING", "namespace", "key")), CheckOK, "UPDATING", ""},
		{"creating", judge(flagTable("CREATING", "namespace", "key")), CheckUnknown, "in a minute", ""},
		{"deleting", judge(flagTable("DELETING", "namespace", "key")), CheckProblem, `table "flags" is DELETING`,
			"aws dynamodb describe-table --region eu-west-1 --table-name flags"},
		{"other keys", judge(flagTable("ACTIVE", "id", "key")), CheckProblem,
			`has the keys ["id (HASH, S)" "key (RANGE, S)"]`, other},
		{"swapped keys", judge(flagTable("ACTIVE", "key", "namespace")), CheckProblem, "make another table", other},
		{"a number as key", judge(numbered), CheckProblem, `"key (RANGE, N)"`, other},
		{"stream on", judgeStream(flagTable("ACTIVE", "namespace", "key"), testFixes), CheckOK,
			`stream "arn:stream/2" is on, with NEW_AND_OLD_IMAGES`, ""},
		{"stream off", judgeStream(off, testFixes), CheckProblem, `the stream of table "flags" is off`, on},
		{"never a stream", judgeStream(never, testFixes), CheckProblem, "is off", on},
		{"stream with keys only", judgeStream(viewed("KEYS_ONLY"), testFixes), CheckOK,
			`stream "arn:stream/2" is on, with KEYS_ONLY: changes of existing items carry no versions`, ""},
		{"stream with new images", judgeStream(viewed("NEW_IMAGE"), testFixes), CheckOK, "carry no versions", ""},
		{"stream with old images", judgeStream(viewed("OLD_IMAGE"), testFixes), CheckOK, "carry no versions", ""},
	})
}

// streamWanted is the stream's mapping, and streamFound how Lambda describes it.
var streamWanted = streamMapping(Stack{Resources: map[string]string{"StreamhandlerFunction": "sh"}}, "arn:stream/2",
	"arn:failures")

func streamFound(change func(*types.EventSourceMappingConfiguration)) []types.EventSourceMappingConfiguration {
	m := types.EventSourceMappingConfiguration{
		UUID:                 aws.String("u1"),
		EventSourceArn:       aws.String("arn:stream/2"),
		State:                aws.String("Enabled"),
		LastProcessingResult: aws.String("OK"),
		BatchSize: aws.Int32(
			1000,
		),
		BisectBatchOnFunctionError: aws.Bool(true),
		MaximumRetryAttempts:       aws.Int32(-1),
		MaximumRecordAgeInSeconds:  aws.Int32(82800),
		FunctionResponseTypes:      []types.FunctionResponseType{"ReportBatchItemFailures"},
		DestinationConfig: &types.DestinationConfig{
			OnFailure: &types.OnFailure{Destination: aws.String("arn:failures")},
		},
		FilterCriteria: &types.FilterCriteria{Filters: []types.Filter{{Pattern: aws.String(streamFilter)}}},
	}
	if change != nil {
		change(&m)
	}
	return []types.EventSourceMappingConfiguration{m}
}

const mappingSettings = "--batch-size 1000 --function-response-types ReportBatchItemFailures --bisect-batch-on-function-error " +
	"--maximum-retry-attempts -1 --maximum-record-age-in-seconds 82800 --destination-config '{\"OnFailure\":{\"Destination\":\"arn:failures\"}}' " +
	`--filter-criteria '{"Filters":[{"Pattern":"{\"dynamodb\":{\"Keys\":{\"namespace\":{\"S\":[\"features\",\"segments\",{\"suffix\":\":features\"},{\"suffix\":\":segments\"}]}}}}"}]}'`

func TestDoctorJudgesTheStreamsMapping(t *testing.T) {
	type found = types.EventSourceMappingConfiguration
	s := Stack{Name: "flags", Table: "my flags", LogGroup: "/aws/lambda/flags"}
	judge := func(change func(*found)) Check { return judgeMapping(streamWanted, streamFound(change), s, testFixes) }
	const update = "aws lambda update-event-source-mapping --region eu-west-1 --uuid u1 "
	const create = "aws lambda create-event-source-mapping --region eu-west-1 --function-name sh --event-source-arn arn:stream/2 " +
		"--starting-position TRIM_HORIZON " + mappingSettings
	assertJudgments(t, []judgment{
		{"as it should be", judge(nil), CheckOK, `mapping "u1" of function "sh" on "arn:stream/2" is enabled`, ""},
		{"none", judgeMapping(streamWanted, nil, s, testFixes), CheckProblem,
			`function "sh" has no mapping on "arn:stream/2"`, create},
		{"on an old stream", judge(func(m *found) { m.EventSourceArn = aws.String("arn:stream/1") }), CheckProblem,
			`it has one on "arn:stream/1": deploy the stack again, with the current stream`,
			"sam build && sam deploy --region eu-west-1 --stack-name flags --parameter-overrides " +
				"'ExistingTableName=my flags' ExistingTableStreamArn=arn:stream/2"},
		{"disabled", judge(func(m *found) { m.State = aws.String("Disabled") }), CheckProblem, "is disabled", update +
			"--enabled"},
		{"being enabled", judge(func(m *found) { m.State = aws.String("Enabling") }), CheckUnknown, "is Enabling", ""},
		{
			"no filter",
			judge(func(m *found) { m.FilterCriteria = nil }),
			CheckProblem,
			`the filter "" in place of`,
			update +
				mappingSettings,
		},
		{
			"another filter",
			judge(func(m *found) { m.FilterCriteria.Filters[0].Pattern = aws.String("{}") }),
			CheckProblem,
			`the filter "{}" in place of`,
			update + mappingSettings,
		},
		{"no failure destination", judge(func(m *found) { m.DestinationConfig = nil }), CheckProblem,
			`the failure destination "" in place of "arn:failures"`, update + mappingSettings},
		{"another batch size", judge(func(m *found) { m.BatchSize = aws.Int32(100) }), CheckProblem,
			"batch size 100 in place of 1000", update + mappingSettings},
		{"another record age", judge(func(m *found) { m.MaximumRecordAgeInSeconds = aws.Int32(-1) }), CheckProblem,
			"record age -1 in place of 82800", update + mappingSettings},
		{"few retries", judge(func(m *found) { m.MaximumRetryAttempts = aws.Int32(2) }), CheckProblem,
			"retry attempts 2 in place of -1", update + mappingSettings},
		{"batches that are not split", judge(func(m *found) { m.BisectBatchOnFunctionError = nil }), CheckProblem,
			"splitting of failed batches", update + mappingSettings},
		{"no partial failures", judge(func(m *found) { m.FunctionResponseTypes = nil }), CheckProblem,
			"ReportBatchItemFailures false", update + mappingSettings},
		{"a failure", judge(func(m *found) { m.LastProcessingResult = aws.String("PROBLEM: Function call failed") }),
			CheckProblem,
			"PROBLEM: Function call failed", "aws logs tail --region eu-west-1 /aws/lambda/flags --since 15m"},
	})
}

func TestDoctorJudgesAQueuesMapping(t *testing.T) {
	want := queueMapping("fs", "arn:requests", requestBatch)
	found := types.EventSourceMappingConfiguration{UUID: aws.String("u2"), EventSourceArn: aws.String("arn:requests"),
		State:     aws.String("Enabled"),
		BatchSize: aws.Int32(1), FunctionResponseTypes: []types.FunctionResponseType{"ReportBatchItemFailures"}}
	larger := found
	larger.BatchSize = aws.Int32(10)
	judge := func(m ...types.EventSourceMappingConfiguration) Check {
		return judgeMapping(want, m, Stack{}, testFixes)
	}
	assertJudgments(t, []judgment{
		{"as it should be", judge(found), CheckOK, "is enabled", ""},
		{"none", judge(), CheckProblem, "has no mapping",
			"aws lambda create-event-source-mapping --region eu-west-1 --function-name fs " +
				"--event-source-arn arn:requests --batch-size 1 --function-response-types ReportBatchItemFailures"},
		{
			"larger batches",
			judge(larger),
			CheckProblem,
			"batch size 10 in place of 1",
			"aws lambda update-event-source-mapping --region eu-west-1 --uuid u2 --batch-size 1 --function-response-types ReportBatchItemFailures",
		},
	})
}

func TestDoctorJudgesTheSchedule(t *testing.T) {
	want := schedule{"s", "g", "rate(5 minutes)", "arn:requests", "arn:aws:iam::1:role/r"}
	found := func(change func(*scheduler.GetScheduleOutput)) Check {
		out := &scheduler.GetScheduleOutput{
			State:              schedulertypes.ScheduleStateEnabled,
			ScheduleExpression: aws.String("rate(5 minutes)"),
			Target: &schedulertypes.Target{
				Arn:   aws.String("arn:requests"),
				Input: aws.String(scheduleInput),
			},
		}
		change(out)
		return want.judge(out, testFixes)
	}
	const arguments = `--region eu-west-1 --name s --group-name g --state ENABLED --schedule-expression 'rate(5 minutes)' --flexible-time-window Mode=OFF ` +
		`--target '{"Arn":"arn:requests","Input":"{\"reason\":\"schedule\",\"cause\":\"<aws.scheduler.execution-id>\"}",` +
		`"RoleArn":"arn:aws:iam::1:role/r","SqsParameters":{"MessageGroupId":"all"}}'`
	const update = "aws scheduler update-schedule " + arguments
	assertJudgments(t, []judgment{
		{"enabled", found(func(*scheduler.GetScheduleOutput) {}), CheckOK,
			`schedule "s" of group "g" is enabled, at "rate(5 minutes)"`, ""},
		{"disabled", found(func(o *scheduler.GetScheduleOutput) { o.State = schedulertypes.ScheduleStateDisabled }),
			CheckProblem, "is disabled", update},
		{
			"at another rate",
			found(func(o *scheduler.GetScheduleOutput) { o.ScheduleExpression = aws.String("rate(1 day)") }),
			CheckProblem,
			`runs at "rate(1 day)", and the stack's parameter SyncSchedule is "rate(5 minutes)"`,
			update,
		},
		{"to another queue", found(func(o *scheduler.GetScheduleOutput) { o.Target.Arn = aws.String("arn:other") }),
			CheckProblem, `to queue "arn:requests"`, update},
		{"with another request", found(func(o *scheduler.GetScheduleOutput) { o.Target.Input = nil }), CheckProblem,
			"does not send", update},
		{
			"none",
			want.judge(nil, testFixes),
			CheckProblem,
			"does not exist",
			"aws scheduler create-schedule " + arguments,
		},
	})
}

func TestDoctorJudgesPolicies(t *testing.T) {
	judge := func(policy string) Check { return judgePolicy("topic", policy, "sns:publish", "fix") }
	deny := onlyTLS("sns:Publish", "arn:topic")
	assert.JSONEq(
		t,
		`{"Statement":[{"Action":"sns:Publish","Condition":{"Bool":{"aws:SecureTransport":"false"}},"Effect":"Deny","Principal":"*",`+
			`"Resource":"arn:topic","Sid":"OnlyTLS"}],"Version":"2012-10-17"}`,
		deny,
	)
	more := func(statement string) string { return deny[:14] + statement + "," + deny[14:] }
	assertJudgments(t, []judgment{
		{"only TLS", judge(deny), CheckOK, "refuses requests without TLS", ""},
		{
			"all actions, in lists",
			judge(
				`{"Statement":[{"Effect":"Deny","Principal":{"AWS":["*"]},"Action":["SNS:*"],"Condition":{"Bool":{"aws:SecureTransport":false}}}]}`,
			),
			CheckOK,
			"refuses requests without TLS",
			"",
		},
		{
			"another account too",
			judge(more(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::1:root"},"Action":"sns:Subscribe"}`)),
			CheckOK,
			"refuses",
			"",
		},
		{
			"SNS's own policy",
			judge(
				more(
					`{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sns:Publish","Condition":{"StringEquals":{"AWS:SourceOwner":"1"}}}`,
				),
			),
			CheckOK,
			"refuses",
			"",
		},
		{"none", judge(""), CheckProblem, "has no policy", "fix"},
		{"not JSON", judge("{"), CheckUnknown, "cannot be read", ""},
		{
			"public",
			judge(more(`{"Effect":"Allow","Principal":"*","Action":"sns:Publish"}`)),
			CheckProblem,
			"allows every principal",
			"fix",
		},
		{
			"public by a list",
			judge(more(`{"Effect":"Allow","Principal":{"AWS":["*"]},"Action":"sns:Publish"}`)),
			CheckProblem,
			"allows every principal",
			"fix",
		},
		{
			"another action",
			judge(onlyTLS("sns:Subscribe", "arn:topic")),
			CheckProblem,
			"does not refuse requests without TLS",
			"fix",
		},
		{
			"no condition",
			judge(`{"Statement":[{"Effect":"Deny","Principal":"*","Action":"sns:Publish"}]}`),
			CheckProblem,
			"does not refuse",
			"fix",
		},
	})
	assert.Equal(
		t,
		`aws sqs set-queue-attributes --region eu-west-1 --queue-url https://q --attributes '{"Policy":"{\"a\":1}"}'`,
		testFixes.setQueuePolicy("https://q", `{"a":1}`),
	)
}

// Doctor expects what template.yaml sets.
func TestDoctorKnowsTheTemplate(t *testing.T) {
	data, err := os.ReadFile("../../template.yaml")
	require.NoError(t, err)
	var template struct {
		Resources map[string]struct {
			Properties struct {
				Events map[string]struct {
					Properties map[string]any `yaml:"Properties"`
				} `yaml:"Events"`
				Target any `yaml:"Target"` // also of a route, which has a string
			} `yaml:"Properties"`
		} `yaml:"Resources"`
	}
	require.NoError(t, yaml.Unmarshal(data, &template))
	events := func(function, event string) map[string]any {
		return template.Resources[function].Properties.Events[event].Properties
	}
	stream := events("StreamhandlerFunction", "Stream")
	filter := map[string]any{"Filters": []any{map[string]any{"Pattern": streamFilter}}}
	report := []any{"ReportBatchItemFailures"}
	assert.Equal(t, []any{int(streamWanted.batch), int(streamWanted.maxAge), int(streamWanted.retries), true, filter,
		report, "TRIM_HORIZON"}, []any{
		stream["BatchSize"], stream["MaximumRecordAgeInSeconds"], stream["MaximumRetryAttempts"],
		stream["BisectBatchOnFunctionError"],
		stream["FilterCriteria"], stream["FunctionResponseTypes"], stream["StartingPosition"]})
	requests, failures := events("FlagsyncFunction", "Requests"), events("StreamFailureFunction", "Reports")
	assert.Equal(t, []any{requestBatch, report, failureBatch, report},
		[]any{requests["BatchSize"], requests["FunctionResponseTypes"], failures["BatchSize"],
			failures["FunctionResponseTypes"]})
	target, _ := template.Resources["Schedule"].Properties.Target.(map[string]any)
	assert.Equal(t, []any{scheduleInput, map[string]any{"MessageGroupId": "all"}}, []any{target["Input"],
		target["SqsParameters"]})
}

// The hint of each alarm is docs/alarms.md.
func TestThePageOfAlarmsHasAllAlarms(t *testing.T) {
	page, err := os.ReadFile("../../docs/alarms.md")
	require.NoError(t, err)
	for _, alarm := range alarmResources {
		assert.Contains(t, string(page), "| `"+alarm+"` |")
	}
}
