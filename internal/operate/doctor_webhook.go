package operate

import (
	"context"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	schedulertypes "github.com/aws/aws-sdk-go-v2/service/scheduler/types"
)

// unsignedBody is the body of doctor's request without a signature. The function logs the hash of a body, by which
// status recognizes the request: it is not a webhook that was refused.
const unsignedBody = `{"kind":"warmflags doctor"}`

// checkWebhook sends a request without a signature, which must be refused.
func (e *examination) checkWebhook(ctx context.Context) Check {
	answer, err := PostWebhook(ctx, e.HTTP, e.Stack.WebhookURL, nil, []byte(unsignedBody))
	if err != nil {
		return problem(brief(err), "curl --verbose --request POST "+quote(e.Stack.WebhookURL))
	}
	return judgeWebhook(answer, e.Stack, e.fixes)
}

// judgeWebhook judges the answer to a request without a signature.
func judgeWebhook(a WebhookAnswer, s Stack, fixes commands) Check {
	found := fmt.Sprintf("%q answers %d to a request without a signature", s.WebhookURL, a.Status)
	switch {
	case a.Status == http.StatusUnauthorized:
		return checkOK(found)
	case a.Status/100 == 2:
		return problem(found+": it accepts requests that LaunchDarkly did not sign",
			fixes.aws("lambda get-function", "--function-name", s.Resources["WebhookFunction"]))
	case a.Status == http.StatusNotFound || a.Status == http.StatusForbidden:
		return problem(found+": the API has no route to the function",
			fixes.aws("apigatewayv2 get-routes", "--api-id", s.Resources["WebhookApi"]))
	case a.Status == http.StatusTooManyRequests:
		return problem(found+": the API limits requests", fixes.aws("apigatewayv2 get-stages", "--api-id",
			s.Resources["WebhookApi"]))
	}
	return problem(found+" in place of 401", fixes.logs(s))
}

// scheduleInput is the body of the schedule's requests, as in template.yaml.
const scheduleInput = `{"reason":"schedule","cause":"<aws.scheduler.execution-id>"}`

func (e *examination) checkSchedule(ctx context.Context) Check {
	queue, err := e.requests()
	if err != nil {
		return unknown(fmt.Sprintf("queue %q cannot be described", e.Stack.RequestQueueURL), err)
	}
	name, group := e.Stack.Resources["Schedule"], e.Stack.Resources["ScheduleGroup"]
	want := schedule{
		name:       name,
		group:      group,
		expression: e.Stack.Parameters["SyncSchedule"],
		queue:      queue[attributeARN],
	}
	if a, err := arn.Parse(want.queue); err == nil {
		want.role = arn.ARN{Partition: a.Partition, Service: "iam", AccountID: a.AccountID, Resource: "role/" +
			e.Stack.Resources["ScheduleRole"]}.String()
	}
	found, err := e.scheduler.GetSchedule(ctx, &scheduler.GetScheduleInput{Name: &name, GroupName: &group})
	if err != nil && !HasCode(err, "ResourceNotFoundException") {
		return unknown(fmt.Sprintf("schedule %q cannot be read", name), err)
	}
	return want.judge(found, e.fixes)
}

// schedule is the schedule as the template makes it.
type schedule struct{ name, group, expression, queue, role string }

// judge judges what was found; nil: there is no such schedule.
func (s schedule) judge(found *scheduler.GetScheduleOutput, fixes commands) Check {
	text := fmt.Sprintf("schedule %q of group %q", s.name, s.group)
	if found == nil {
		return problem(text+" does not exist: a change whose webhook is lost stays unnoticed",
			fixes.putSchedule("create-schedule", s))
	}
	fix := fixes.putSchedule("update-schedule", s)
	if found.State == schedulertypes.ScheduleStateDisabled {
		return problem(text+" is disabled: a change whose webhook is lost stays unnoticed", fix)
	}
	if expression := aws.ToString(found.ScheduleExpression); expression != s.expression {
		return problem(fmt.Sprintf("%s runs at %q, and the stack's parameter SyncSchedule is %q", text, expression,
			s.expression), fix)
	}
	if target := found.Target; target == nil || aws.ToString(target.Arn) != s.queue ||
		aws.ToString(target.Input) != scheduleInput {
		return problem(fmt.Sprintf("%s does not send %s to queue %q", text, scheduleInput, s.queue), fix)
	}
	return checkOK(text+" is enabled", fmt.Sprintf("at %q", s.expression))
}

// putSchedule creates or replaces the schedule: both operations take all properties.
func (c commands) putSchedule(operation string, s schedule) string {
	return c.aws("scheduler "+operation, "--name", s.name, "--group-name", s.group, "--state", "ENABLED",
		"--schedule-expression", s.expression, "--flexible-time-window", "Mode=OFF", "--target", toJSON(map[string]any{
			"Arn":           s.queue,
			"RoleArn":       s.role,
			"Input":         scheduleInput,
			"SqsParameters": map[string]any{"MessageGroupId": "all"},
		}))
}
