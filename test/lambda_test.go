//go:build unix

package test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/dynamostore"
	"github.com/warmflags/warmflags/internal/proof/runtimeapi"
	"github.com/warmflags/warmflags/journal"
	"github.com/warmflags/warmflags/test/emulator"
)

// processFlips is smaller than pathFlips: a sync lingers for two seconds, and a change may wait for the next sync.
const processFlips = 12

// The whole path again, with the functions of sam/ as Lambda runs them: as processes that are frozen between
// invocations.
func TestWholePathInFrozenProcesses(t *testing.T) {
	h := build(t)
	wholePath(t, startPathOf(t, h.functions), processFlips)
	for name, f := range h.all {
		assert.Positive(t, f.Started(), name)
	}
}

// A container of examples/lambda is fresh in the first invocation after each thaw, because of the journal that
// sam/streamhandler writes. The TTL of its cache is the default, five minutes, and it receives no messages.
func TestTheExampleIsFreshAfterAThaw(t *testing.T) {
	h := build(t)
	p := startPathOf(t, h.functions)
	const prefix = "shop"
	store, err := dynamostore.DataStore(p.table).Prefix(prefix).Client(emulator.DynamoDB()).Open(t.Context())
	require.NoError(t, err)
	version := 0
	flip := func(on bool) {
		version++
		_, err := store.Upsert(
			features,
			"new-checkout",
			st.SerializedItemDescriptor{Version: version, SerializedItem: fmt.Appendf(
				nil,
				`{"key":"new-checkout","version":%d,"on":%t,"offVariation":1,"fallthrough":{"variation":0},`+
					`"variations":[true,false],"salt":"s"}`,
				version,
				on,
			)},
		)
		require.NoError(t, err)
	}
	flip(false)
	j := &journalRow{p, "shop:$journal/" + emulator.Region + "/0", ""}
	j.awaitNext()
	c := &customer{t: t}
	c.example = h.start("lambda", t.Output(), "TABLE_NAME="+p.table, "PREFIX="+prefix)
	require.Equal(t, false, c.evaluate())
	for i := range 4 {
		if i == 2 {
			h.all["streamhandler"].Recycle(
				t.Context(),
			) // the next container starts cold and appends to the same journal
		}
		on := i%2 == 0
		flip(on)
		j.awaitNext()
		c.freeze()
		c.requireFresh(on)
	}

	h.losing.Store(true)
	flip(true)
	receive(t, h.lost, "lost record")
	h.losing.Store(false)
	c.freeze()
	require.Equal(t, false, c.evaluate(), "nothing has invalidated the flag")
	expired := h.start("streamfailure", t.Output(), "TABLE_NAME="+p.table, "TOPIC_ARN="+p.topic, "JOURNAL_COPIES=1")
	_, err = invoke[events.SQSEvent, any](
		expired,
	)(
		t.Context(),
		events.SQSEvent{Records: []events.SQSMessage{{MessageId: "1", Body: `{"version":"1.0",` +
			`"requestContext":{"condition":"RecordAgeExpired"},"DDBStreamBatchInfo":{"shardId":"shardId-1",` +
			`"startSequenceNumber":"1","endSequenceNumber":"9","batchSize":9}}`}}},
	)
	require.NoError(t, err)
	j.awaitNext()
	c.freeze()
	c.requireFresh(true)
	assert.Equal(t, 1, c.example.Started(), "every invocation ran in one container")
}

// customer invokes the function of examples/lambda.
type customer struct {
	t       *testing.T
	example *runtimeapi.Function
	took    time.Duration // duration of the latest invocation
}

func (c *customer) evaluate() bool {
	result, err := c.example.Invoke(c.t.Context(), []byte(`"ada"`))
	require.NoError(c.t, err)
	c.took = result.Took
	return strings.Contains(string(result.Payload), "the new checkout")
}

// freeze keeps the container frozen for an interval, so that the next invocation polls the journal.
func (c *customer) freeze() { <-time.After(journal.DefaultInterval) }

// requireFresh requires the current value from the first invocation whose poll is within its budget. On a busy machine
// some polls take longer, and then the invocation also takes longer than the budget, because it waited for the poll.
func (c *customer) requireFresh(want bool) {
	c.t.Helper()
	for late := time.After(patience); c.evaluate() != want; c.freeze() {
		require.GreaterOrEqual(
			c.t,
			c.took,
			journal.DefaultBudget,
			"the flag was stale although the poll was within its budget",
		)
		select {
		case <-late:
			require.FailNow(c.t, "no poll was within its budget")
		default:
		}
	}
}

// house has the built functions of this repository.
type house struct {
	t      *testing.T
	folder string
	all    map[string]*runtimeapi.Function
	losing atomic.Bool   // drop batches instead of invoking streamhandler, as if the records had expired
	lost   chan struct{} // receives a value for each dropped batch
}

func build(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, folder: t.TempDir(), all: map[string]*runtimeapi.Function{}, lost: make(chan struct{}, 100)}
	command := exec.Command("go", "build", "-tags=lambda.norpc", "-o", h.folder+"/",
		"./sam/webhook", "./sam/flagsync", "./sam/streamhandler", "./sam/streamfailure")
	command.Dir = ".."
	out, err := command.CombinedOutput()
	require.NoError(t, err, string(out))
	command = exec.Command("go", "build", "-tags=lambda.norpc", "-o", h.folder+"/", "./lambda", "./queue")
	command.Dir = "../examples"
	out, err = command.CombinedOutput()
	require.NoError(t, err, string(out))
	return h
}

// start makes a function of a program. The program logs to output, and its containers end with the test.
func (h *house) start(program string, output io.Writer, env ...string) *runtimeapi.Function {
	f := runtimeapi.New(runtimeapi.Config{
		Bootstrap: filepath.Join(
			h.folder,
			program,
		),
		Name:      program,
		Env:       append(emulator.Environment(), env...),
		Timeout:   patience,
		InitLimit: patience,
		Output:    output,
	})
	h.t.Cleanup(f.Close)
	h.all[program] = f
	return f
}

// functions returns the functions of a path, which run in containers.
func (h *house) functions(p *path) functions {
	parameter := func(name, value string) string {
		_, err := emulator.SSM().PutParameter(h.t.Context(), &ssm.PutParameterInput{
			Name: aws.String(p.table + name), Value: &value, Type: ssmtypes.ParameterTypeSecureString,
		})
		require.NoError(h.t, err)
		return p.table + name
	}
	hook := h.start(
		"webhook",
		h.t.Output(),
		"QUEUE_URL="+p.queue,
		"WEBHOOK_SECRET_PARAMETER="+parameter("-secret", webhookSecret),
	)
	sync := h.start("flagsync", h.t.Output(), "TABLE_NAME="+p.table, "STREAM_URI="+p.ld.URL(), "QUEUE_URL="+p.queue,
		"SDK_KEY_PARAMETER="+parameter("-keys", fmt.Sprintf(`{%q:%q}`, pathPrefix, sdkKey)))
	stream := h.start("streamhandler", h.t.Output(), "TABLE_NAME="+p.table, "TOPIC_ARN="+p.topic, "JOURNAL_COPIES=1")
	return functions{
		webhook: gateway(invoke[events.APIGatewayV2HTTPRequest, events.APIGatewayV2HTTPResponse](hook)),
		sync:    invoke[events.SQSEvent, events.SQSEventResponse](sync),
		stream: func(ctx context.Context, e events.DynamoDBEvent) (events.DynamoDBEventResponse, error) {
			if h.losing.Load() {
				h.lost <- struct{}{}
				return events.DynamoDBEventResponse{}, nil
			}
			return invoke[events.DynamoDBEvent, events.DynamoDBEventResponse](stream)(ctx, e)
		},
	}
}

// invoke returns a Go function that invokes f with an event and decodes its answer.
func invoke[In, Out any](f *runtimeapi.Function) func(context.Context, In) (Out, error) {
	return func(ctx context.Context, in In) (out Out, err error) {
		event, err := json.Marshal(in)
		if err != nil {
			return out, err
		}
		result, err := f.Invoke(ctx, event)
		if err != nil {
			return out, err
		}
		return out, json.Unmarshal(result.Payload, &out)
	}
}

// gateway translates HTTP requests to events, as API Gateway's HTTP APIs do.
func gateway(
	call func(context.Context, events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error),
) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		e := events.APIGatewayV2HTTPRequest{Version: "2.0", Body: string(body), Headers: map[string]string{}}
		e.RequestContext.HTTP.Method = r.Method
		for name := range r.Header {
			e.Headers[strings.ToLower(name)] = r.Header.Get(name)
		}
		answer, err := call(r.Context(), e)
		if err != nil {
			answer.StatusCode = http.StatusBadGateway
		}
		w.WriteHeader(answer.StatusCode)
	})
}

// journalRow reads a journal's row.
type journalRow struct {
	*path
	namespace, seen string
}

// awaitNext waits until the journal differs from its state at the previous call.
func (j *journalRow) awaitNext() {
	j.t.Helper()
	for late := time.After(patience); ; {
		name := &types.AttributeValueMemberS{Value: j.namespace}
		out, err := emulator.DynamoDB().GetItem(j.t.Context(), &dynamodb.GetItemInput{
			TableName:      &j.table,
			Key:            map[string]types.AttributeValue{"namespace": name, "key": name},
			ConsistentRead: aws.Bool(true),
		})
		require.NoError(j.t, err)
		now := ""
		for _, attribute := range []string{"epoch", "seq"} {
			now += fmt.Sprintf("%+v ", out.Item[attribute])
		}
		if out.Item != nil && now != j.seen {
			j.seen = now
			return
		}
		select {
		case <-late:
			require.FailNow(j.t, "no append to the journal")
		case <-time.After(20 * time.Millisecond):
		}
	}
}
