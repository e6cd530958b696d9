package operate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/flagsync"
	"github.com/warmflags/warmflags/internal/parameter"
	"github.com/warmflags/warmflags/internal/table"
)

var testFixes = commands{region: "eu-west-1"}

// judgment is a finding, and what it must say.
type judgment struct {
	name  string
	got   Check
	state CheckState
	found string // a part of it
	fix   string // all of it
}

func assertJudgments(t *testing.T, all []judgment) {
	for _, j := range all {
		t.Run(j.name, func(t *testing.T) {
			assert.Equal(t, j.state, j.got.State, j.got.Found)
			assert.Contains(t, j.got.Found, j.found)
			assert.Equal(t, j.fix, j.got.Fix)
		})
	}
}

func TestDoctorJudgesAccountRegionAndClock(t *testing.T) {
	identity := func(account string) *sts.GetCallerIdentityOutput {
		return &sts.GetCallerIdentityOutput{Account: aws.String(account), Arn: aws.String("arn:aws:iam::" + account +
			":user/ada")}
	}
	s := Stack{TopicARN: "arn:aws:sns:eu-west-1:111122223333:changes",
		TableStreamARN: "arn:aws:dynamodb:eu-west-1:111122223333:table/flags/stream/1"}
	elsewhere := Stack{TableStreamARN: "arn:aws:dynamodb:us-east-1:111122223333:table/flags/stream/1"}
	noon := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	const ntp = "sudo timedatectl set-ntp true"
	assertJudgments(t, []judgment{
		{"the account", judgeAccount(identity("111122223333"), s), CheckOK,
			`account "111122223333", as "arn:aws:iam::111122223333:user/ada"`, ""},
		{"another account", judgeAccount(identity("999"), s), CheckProblem,
			`of account "999", and the topic is in account "111122223333"`, "aws configure list-profiles"},
		{"the region", judgeRegion("eu-west-1", s), CheckOK, `"eu-west-1"`, ""},
		{"another region", judgeRegion("eu-west-1", elsewhere), CheckProblem, `the table's stream is in "us-east-1"`,
			"export AWS_REGION=us-east-1"},
		{"a clock that is right", judgeClock(noon.Add(time.Minute), noon), CheckOK, "1m0s ahead", ""},
		{"a fast clock", judgeClock(noon.Add(61*time.Second), noon), CheckProblem, "1m1s ahead of AWS's", ntp},
		{"a slow clock", judgeClock(noon.Add(-2*time.Minute), noon), CheckProblem, "2m0s behind AWS's", ntp},
	})
}

func TestDoctorJudgesTheStacksStatus(t *testing.T) {
	judge := func(status string) Check { return judgeStatus(Stack{Name: "flags", Status: status}, testFixes) }
	const events = "aws cloudformation describe-stack-events --region eu-west-1 --stack-name flags"
	assertJudgments(t, []judgment{
		{"created", judge("CREATE_COMPLETE"), CheckOK, `stack "flags" is CREATE_COMPLETE`, ""},
		{"updated", judge("UPDATE_COMPLETE"), CheckOK, "UPDATE_COMPLETE", ""},
		{"imported", judge("IMPORT_COMPLETE"), CheckOK, "IMPORT_COMPLETE", ""},
		{
			"an update that was rolled back",
			judge("UPDATE_ROLLBACK_COMPLETE"),
			CheckProblem,
			"the last deployment failed",
			events,
		},
		{"an update that failed", judge("UPDATE_FAILED"), CheckProblem, "the last deployment failed", events},
		{"a rollback that failed", judge("UPDATE_ROLLBACK_FAILED"), CheckProblem, "of two versions",
			"aws cloudformation continue-update-rollback --region eu-west-1 --stack-name flags"},
		{"an update", judge("UPDATE_IN_PROGRESS"), CheckUnknown, "when the deployment has ended", ""},
		{
			"the end of an update",
			judge("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"),
			CheckUnknown,
			"when the deployment has ended",
			"",
		},
	})
}

// A stack that cannot be described is a finding: what fails then is what doctor is called for.
func TestDoctorJudgesAStackThatCannotBeDescribed(t *testing.T) {
	judge := func(err error) Check { return judgeNoStack("flags", fmt.Errorf("describe: %w", err), testFixes) }
	assertJudgments(t, []judgment{
		{"none", judge(ErrNoStack), CheckProblem, "there is no such stack",
			"aws cloudformation list-stacks --region eu-west-1"},
		{"a first deployment that failed", judge(errNoOutputs), CheckProblem, "is not deployed completely",
			"aws cloudformation describe-stack-events --region eu-west-1 --stack-name flags"},
		{"no permission", judge(apiError("AccessDenied")), CheckUnknown, `stack "flags" cannot be described`, ""},
	})
	e := newExamination(t.Context(), Doctor{Stack: Stack{Name: "flags"}, NoStack: ErrNoStack})
	for _, c := range e.checks() {
		switch c.name {
		case "credentials", "region", "clock", "stack":
			assert.Empty(t, c.skip, c.name)
		default:
			assert.NotEmpty(t, c.skip, c.name)
		}
	}
}

// apiError is an answer of AWS.
func apiError(code string) error { return &smithy.GenericAPIError{Code: code, Message: "no"} }

func TestDoctorJudgesParameters(t *testing.T) {
	wrong := func(err error) error { return fmt.Errorf("read parameter %q: %w: %w", "/key", parameter.ErrWrong, err) }
	const fix = "aws ssm put-parameter --region eu-west-1 --name /key --type SecureString --overwrite --value file://sdk-key.txt"
	judge := func(err error) Check { return judgeParameter("/key", err, testFixes.putSecret("/key", "sdk-key.txt")) }
	assertJudgments(t, []judgment{
		{"none", judge(wrong(apiError("ParameterNotFound"))), CheckProblem, `parameter "/key" does not exist`, fix},
		{
			"malformed",
			judge(wrong(errors.New("the value has no SDK key"))),
			CheckProblem,
			"the value has no SDK key",
			fix,
		},
		{
			"no permission",
			judge(wrong(apiError("AccessDeniedException"))),
			CheckUnknown,
			"AccessDeniedException: no",
			"",
		},
		{"throttled", judge(apiError("ThrottlingException")), CheckUnknown, "ThrottlingException: no", ""},
		{
			"a secret of Secrets Manager",
			problem("", testFixes.putSecret("/aws/reference/secretsmanager/ld/key",
				"sdk-key.txt")),
			CheckProblem,
			"",
			"aws secretsmanager put-secret-value --region eu-west-1 --secret-id ld/key --secret-string file://sdk-key.txt",
		},
	})
}

func TestDoctorJudgesSDKKeys(t *testing.T) {
	s := Stack{
		Parameters: map[string]string{"SdkKeyParameter": "/key", "StreamUri": "https://stream.eu.launchdarkly.com"},
	}
	items := []table.Collection{{Kind: "segments"}, {Kind: "features", Items: make([]table.Item, 2)}}
	refused := fmt.Errorf("fetch: HTTP status 401: %w", flagsync.ErrUnauthorized)
	assertJudgments(t, []judgment{
		{"accepted", judgeKey(items, nil, s, testFixes), CheckOK,
			"https://stream.eu.launchdarkly.com accepts it and sent 0 segments and 2 features", ""},
		{"accepted without a URI", judgeKey(items, nil, Stack{}, testFixes), CheckOK, "LaunchDarkly accepts it", ""},
		{
			"refused",
			judgeKey(nil, refused, s, testFixes),
			CheckProblem,
			"HTTP status 401: LaunchDarkly refused the SDK key",
			"aws ssm put-parameter --region eu-west-1 --name /key --type SecureString --overwrite --value file://sdk-key.txt",
		},
		{"no answer", judgeKey(nil, errors.New("no answer"), s, testFixes), CheckUnknown, "no answer", ""},
	})
}

func TestDoctorJudgesTheWebhook(t *testing.T) {
	s := Stack{WebhookURL: "https://x/webhook", LogGroup: "/aws/lambda/flags",
		Resources: map[string]string{"WebhookApi": "a1", "WebhookFunction": "w1"}}
	judge := func(status int) Check { return judgeWebhook(WebhookAnswer{Status: status}, s, testFixes) }
	const routes = "aws apigatewayv2 get-routes --region eu-west-1 --api-id a1"
	const logs = "aws logs tail --region eu-west-1 /aws/lambda/flags --since 15m"
	assertJudgments(t, []judgment{
		{"refused", judge(401), CheckOK, `"https://x/webhook" answers 401`, ""},
		{"accepted", judge(202), CheckProblem, "it accepts requests that LaunchDarkly did not sign",
			"aws lambda get-function --region eu-west-1 --function-name w1"},
		{"no route", judge(404), CheckProblem, "no route", routes},
		{"forbidden", judge(403), CheckProblem, "no route", routes},
		{"limited", judge(429), CheckProblem, "limits requests",
			"aws apigatewayv2 get-stages --region eu-west-1 --api-id a1"},
		{
			"a function that fails",
			judge(500),
			CheckProblem,
			"answers 500 to a request without a signature in place of 401",
			logs,
		},
	})
}

// The request has no signature, and nothing else answers for the webhook.
func TestDoctorPostsToTheWebhookWithoutASignature(t *testing.T) {
	requests := make(chan *http.Request, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests <- r
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer server.Close()
	e := &examination{Doctor: Doctor{Stack: Stack{WebhookURL: server.URL + "/webhook"}, HTTP: server.Client()},
		fixes: testFixes}
	assert.Equal(t, CheckOK, e.checkWebhook(t.Context()).State)
	r := <-requests
	assert.Equal(t, "POST /webhook", r.Method+" "+r.URL.Path)
	assert.NotContains(t, r.Header, "X-Ld-Signature")
	e.HTTP = &http.Client{Transport: refusing{}}
	c := e.checkWebhook(t.Context())
	assert.Equal(t, CheckProblem, c.State)
	assert.Contains(t, c.Found, "connection refused")
	assert.Equal(t, "curl --verbose --request POST "+server.URL+"/webhook", c.Fix)
}

// refusing is a network on which nothing listens.
type refusing struct{}

func (refusing) RoundTrip(*http.Request) (*http.Response, error) { return nil, syscall.ECONNREFUSED }

// What one check finds, or fails at, does not affect the others, and all run at the same time.
func TestChecksAreIndependent(t *testing.T) {
	met := make(chan struct{})
	got := runChecks(t.Context(), []check{
		{"a", "", one(func(context.Context) Check { met <- struct{}{}; return problem("broken", "fix") })},
		{"b", "it needs the stack", nil},
		{"c", "", func(context.Context) []Check {
			<-met
			return []Check{checkOK("fine"), {Name: "c2", State: CheckUnknown}}
		}},
	})
	assert.Equal(t, []Check{
		{"a", CheckProblem, "broken", "fix"}, {"b", CheckSkipped, "it needs the stack", ""}, {"c", CheckOK, "fine", ""},
		{"c2", CheckUnknown, "", ""},
	}, got)
	assert.Equal(t, 1, CountChecks(got, CheckProblem))
}

// silent never answers.
type silent struct{}

func (silent) Do(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// A check that does not get an answer ends with the limit, and the others with their results.
func TestDoctorEndsAtItsLimit(t *testing.T) {
	d := Doctor{Limit: time.Millisecond, Stack: Stack{Table: "flags"}, AWS: aws.Config{
		Region: "eu-west-1", HTTPClient: silent{}, RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}, nil
		}),
	}}
	states := map[string]CheckState{}
	for _, c := range d.Examine(t.Context()) {
		states[c.Name] = c.State
	}
	require.Len(t, states, 17)
	for _, name := range []string{"credentials", "clock", "table", "table's stream"} {
		assert.Equal(t, CheckUnknown, states[name], name)
	}
	assert.Equal(t, CheckOK, states["region"])
	assert.Equal(t, CheckSkipped, states["stack"])
	assert.Equal(t, CheckSkipped, states["topic's policy"])
}

func TestQuote(t *testing.T) {
	for word, want := range map[string]string{"": "''", "a-b/c:1": "a-b/c:1", "it's": `'it'\''s'`,
		"rate(1 minute)": "'rate(1 minute)'", "$x": "'$x'"} {
		assert.Equal(t, want, quote(word))
	}
}
