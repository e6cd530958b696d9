package operate

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/warmflags/warmflags/internal/flagsync"
	"github.com/warmflags/warmflags/internal/parameter"
)

// CheckState is the result of a [Check].
type CheckState string

// The results of checks.
const (
	CheckOK      CheckState = "ok"
	CheckProblem CheckState = "problem"
	CheckSkipped CheckState = "skipped"   // it does not apply, or what it needs is not named
	CheckUnknown CheckState = "not known" // it could not be made, or it is too early to judge
)

// Check is one thing that a [Doctor] examined.
type Check struct {
	Name  string     `json:"name"`
	State CheckState `json:"state"`
	Found string     `json:"found"`
	Fix   string     `json:"fix,omitempty"` // a command; empty: there is none, or nothing is wrong
}

// defaultCheckLimit is longer than what LaunchDarkly may take to answer (see [flagsync.Timeout]).
const defaultCheckLimit = 20 * time.Second

// Doctor examines a deployment. It writes nothing, except that it sends one unsigned request to the webhook.
type Doctor struct {
	AWS   aws.Config // required
	Stack Stack      // what is known of the deployment: without a Name, at least a Table or a TopicARN
	// NoStack is why the stack of that Name could not be described. Nil: it was, or there is no Name.
	NoStack error
	// Limit is how long each check may take. Zero: 20 seconds.
	Limit time.Duration
	// HTTP sends the request to the webhook. Nil: http.DefaultClient.
	HTTP *http.Client
	// Now is the local clock. Nil: time.Now.
	Now func() time.Time
}

// Examine makes all checks at the same time, and returns them in a fixed order. What one check finds, or fails at, does
// not affect the others.
func (d Doctor) Examine(ctx context.Context) []Check {
	if d.Limit <= 0 {
		d.Limit = defaultCheckLimit
	}
	if d.HTTP == nil {
		d.HTTP = http.DefaultClient
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	examined, cancel := context.WithTimeout(ctx, d.Limit)
	defer cancel()
	return runChecks(examined, newExamination(examined, d).checks())
}

// runChecks makes all checks at the same time.
func runChecks(ctx context.Context, checks []check) []Check {
	results := make([][]Check, len(checks))
	var running sync.WaitGroup
	for i, c := range checks {
		if c.skip != "" {
			results[i] = []Check{{Name: c.name, State: CheckSkipped, Found: c.skip}}
			continue
		}
		running.Go(func() {
			results[i] = c.run(ctx)
			for n := range results[i] {
				if results[i][n].Name == "" {
					results[i][n].Name = c.name
				}
			}
		})
	}
	running.Wait()
	var all []Check
	for _, r := range results {
		all = append(all, r...)
	}
	return all
}

// check is a check that was not made yet. Its run respects the context, and returns at least one result, whose name is
// the check's if it is empty.
type check struct {
	name string
	skip string // why it is not made; empty: it is made
	run  func(ctx context.Context) []Check
}

// one makes a check's run of a function with one result.
func one(f func(ctx context.Context) Check) func(ctx context.Context) []Check {
	return func(ctx context.Context) []Check { return []Check{f(ctx)} }
}

// examination is one call of Examine: the clients, and what several checks read, which is read once.
type examination struct {
	Doctor
	fixes     commands
	db        *dynamodb.Client
	lambda    *lambda.Client
	scheduler *scheduler.Client
	ssm       parameter.Client
	topics    *sns.Client
	identity  func() (*sts.GetCallerIdentityOutput, error)
	table     func() (*dynamodbtypes.TableDescription, error)
	keys      func() (map[string]string, error)
	requests  func() (map[string]string, error) // the request queue's attributes
	failures  func() (map[string]string, error) // the stream failure queue's attributes
}

func newExamination(ctx context.Context, d Doctor) *examination {
	e := &examination{
		Doctor: d, fixes: commands{region: d.AWS.Region}, db: dynamodb.NewFromConfig(d.AWS),
		lambda:    lambda.NewFromConfig(d.AWS),
		scheduler: scheduler.NewFromConfig(d.AWS), ssm: ssm.NewFromConfig(d.AWS), topics: sns.NewFromConfig(d.AWS),
	}
	e.identity = sync.OnceValues(func() (*sts.GetCallerIdentityOutput, error) {
		return sts.NewFromConfig(d.AWS).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	})
	e.table = sync.OnceValues(func() (*dynamodbtypes.TableDescription, error) {
		out, err := e.db.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &d.Stack.Table})
		if err != nil {
			return nil, err
		}
		return out.Table, nil
	})
	e.keys = sync.OnceValues(func() (map[string]string, error) {
		return flagsync.ParameterKeys(e.ssm, d.Stack.Parameters["SdkKeyParameter"])(ctx, true)
	})
	e.requests = sync.OnceValues(func() (map[string]string, error) { return e.queue(ctx, d.Stack.RequestQueueURL) })
	e.failures = sync.OnceValues(
		func() (map[string]string, error) { return e.queue(ctx, d.Stack.StreamFailureQueueURL) },
	)
	return e
}

// queue reads a queue's ARN and policy.
func (e *examination) queue(ctx context.Context, url string) (map[string]string, error) {
	out, err := sqs.NewFromConfig(e.AWS).GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: queueAttributes,
	})
	if err != nil {
		return nil, err
	}
	return out.Attributes, nil
}

// checks are all checks, in the order in which they are reported.
func (e *examination) checks() []check {
	noStack, noTable, noTopic, noSync := "", "", "", ""
	noName := ""
	switch {
	case e.Stack.Name == "":
		noStack = "it needs the stack: pass --stack"
		noName = noStack
	case e.NoStack != nil:
		noStack = "it needs the stack, which could not be described"
	}
	if e.Stack.Table == "" {
		noTable = "it needs the table: pass --stack or --table"
	}
	if e.Stack.TopicARN == "" {
		noTopic = "it needs the topic: pass --stack or --topic"
	}
	if noSync = noStack; noSync == "" && e.Stack.Parameters["Sync"] == "false" {
		noSync = "the stack has no webhook, schedule or sync: its parameter Sync is false"
	}
	return []check{
		{"credentials", "", one(e.checkCredentials)},
		{"region", "", one(e.checkRegion)},
		{"clock", "", one(e.checkClock)},
		{"stack", noName, one(e.checkStack)},
		{"SDK key parameter", noSync, one(e.checkKeyParameter)},
		{"SDK key", noSync, e.checkKeys},
		{"webhook secret parameter", noSync, one(e.checkSecret)},
		{"webhook", noSync, one(e.checkWebhook)},
		{"schedule", noSync, one(e.checkSchedule)},
		{"request queue's mapping", noSync, one(e.checkRequestMapping)},
		{"table", noTable, one(e.checkTable)},
		{"table's stream", noTable, one(e.checkStream)},
		{"stream's mapping", noStack, one(e.checkStreamMapping)},
		{"stream failure queue's mapping", noStack, one(e.checkFailureMapping)},
		{"topic's policy", noTopic, one(e.checkTopicPolicy)},
		{"request queue's policy", noSync, one(e.checkRequestPolicy)},
		{"stream failure queue's policy", noStack, one(e.checkFailurePolicy)},
	}
}

// CountChecks returns how many checks have the state.
func CountChecks(checks []Check, state CheckState) int {
	n := 0
	for _, c := range checks {
		if c.State == state {
			n++
		}
	}
	return n
}

func checkOK(found ...string) Check { return Check{State: CheckOK, Found: strings.Join(found, ", ")} }

func problem(found, fix string) Check { return Check{State: CheckProblem, Found: found, Fix: fix} }

// Count returns "1 item" for 1 and "0 items" for 0, of a noun whose plural has an s.
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
