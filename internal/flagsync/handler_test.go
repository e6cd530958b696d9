package flagsync_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/flagsync"
)

// parameter is an SSM client with one parameter. It counts the reads.
type parameter struct {
	mu    sync.Mutex // guards value and reads
	value *string
	err   error
	reads int
}

func (p *parameter) GetParameter(_ context.Context, in *ssm.GetParameterInput,
	_ ...func(*ssm.Options)) (*ssm.GetParameterOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reads++
	if !aws.ToBool(in.WithDecryption) || aws.ToString(in.Name) != "/warmflags/key" {
		return nil, errors.New("wrong request")
	}
	return &ssm.GetParameterOutput{Parameter: &types.Parameter{Value: p.value}}, p.err
}

// one returns a batch of one request, as Lambda delivers it.
func one(id, body string) events.SQSEvent {
	return events.SQSEvent{Records: []events.SQSMessage{{MessageId: id, Body: body}}}
}

const (
	forAll     = `{"reason":"webhook","cause":"1"}`
	forStaging = `{"reason":"webhook","prefix":"staging","cause":"1"}`
)

func (b *bench) handler(p *parameter, more ...flagsync.Option) *flagsync.Handler {
	return flagsync.NewHandler(b.cloud.DynamoDB, tableName, flagsync.ParameterKeys(p, "/warmflags/key"),
		b.options(more...)...)
}

// lineOf returns the last log line of the event's request. Other requests can be handled at the same time, and their
// lines can come after it.
func (b *bench) lineOf(t *testing.T, e events.SQSEvent) map[string]any {
	t.Helper()
	require.Len(t, e.Records, 1)
	lines := b.log.lines(t, "request handled")
	lines = slices.DeleteFunc(lines, func(line map[string]any) bool {
		return line["message_id"] != e.Records[0].MessageId
	})
	require.NotEmpty(t, lines)
	return lines[len(lines)-1]
}

// requireDone handles a request, requires that it is acknowledged, and returns its log line.
func (b *bench) requireDone(t *testing.T, h *flagsync.Handler, e events.SQSEvent) map[string]any {
	t.Helper()
	response, err := h.Handle(t.Context(), e)
	require.NoError(t, err)
	require.Empty(t, response.BatchItemFailures)
	return b.lineOf(t, e)
}

func TestARequestIsForOneEnvironment(t *testing.T) {
	b := newBench(t)
	b.ld.set("sdk-1", "a:1")
	b.ld.set("sdk-2", "a:7")
	p := &parameter{value: aws.String(`{"production": "sdk-1", "staging": "sdk-2"}`)}
	h := b.handler(p)
	b.requireDone(t, h, one("m1", forStaging))
	assert.Equal(t, map[string]int{"a": 7}, b.flags(t, "staging"))
	assert.Empty(t, b.flags(t, "production"))
	lines := b.log.lines(t, "flags synced")
	require.Len(t, lines, 1)
	line := b.requireDone(t, h, one("m2", `{"reason":"webhook","prefix":"production","cause":"1"}`))
	assert.Equal(t, map[string]int{"a": 1}, b.flags(t, "production"))
	assert.Equal(t, 1, p.reads)
	assert.Equal(t, map[string]any{
		"level": "INFO", "msg": "request handled", "reason": "webhook", "message_id": "m2", "prefix": "production",
		"RequestsHeld": 0.0, "RequestsFailed": 0.0, "RequestsUnreadable": 0.0,
	}, without(line, "time", "_aws"))
}

// A stack with one environment syncs it without another request.
func TestOneEnvironmentIsSyncedRightAway(t *testing.T) {
	for _, body := range []string{forAll, "first", `{"reason":"webhook","sha256":"of an earlier version"}`} {
		b := newBench(t)
		b.ld.set("sdk-1", "a:1")
		line := b.requireDone(t, b.handler(&parameter{value: aws.String("sdk-1")}), one("m1", body))
		assert.Equal(t, map[string]int{"a": 1}, b.flags(t, ""))
		assert.Contains(t, line, "OldestSyncAge")
		assert.Zero(t, b.cloud.Calls("SendMessageBatch"))
	}
}

func TestARotatedKeyNeedsNoDeployment(t *testing.T) {
	b := newBench(t)
	b.ld.set("sdk-old", "a:1")
	p := &parameter{value: aws.String("sdk-old")}
	h := b.handler(p)
	b.requireDone(t, h, one("m1", forAll))

	b.ld.remove("sdk-old")
	b.ld.set("sdk-new", "a:2")
	p.value = aws.String("sdk-new\n")
	b.requireDone(t, h, one("m2", forAll))
	assert.Equal(t, map[string]int{"a": 2}, b.flags(t, ""))
	assert.Equal(t, 2, p.reads)
}

// A failure that no retry can fix is acknowledged, logged and counted once. The next request syncs again.
func TestWhatNoRetryCanFixIsHeld(t *testing.T) {
	const held = `{"reason":"webhook","prefix":"","cause":"1"}`
	for name, c := range map[string]struct {
		body string
		set  func(b *bench)
		says string // in the one line of level WARN or ERROR
		line string // the message of that line
	}{
		"a guard": {held, func(b *bench) { b.ld.set("sdk-1") }, "no flags", "flags not synced"},
		"a refused key": {held, func(b *bench) { b.ld.remove("sdk-1") }, "refused the SDK key",
			"flags not synced"},
		"a wrong address": {held, func(b *bench) { b.ld.setStatus("sdk-1", 404) },
			"404 Not Found: check the stream URI", "flags not synced"},
		"a lower version": {held, func(b *bench) { b.ld.set("sdk-1", "a:1") }, "features/a", "flags synced"},
		"an environment without a key": {forStaging, func(*bench) {}, "there is no SDK key for prefix \\\"staging\\\"",
			"request handled"},
		"a guard, in a request for all": {forAll, func(b *bench) { b.ld.set("sdk-1") }, "no flags", "flags not synced"},
		"an item that is too large": {held, func(b *bench) { b.ld.setLarge("sdk-1") },
			"features/large", "flags synced"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.ld.set("sdk-1", "a:2")
			h := b.handler(&parameter{value: aws.String("sdk-1")})
			b.requireDone(t, h, one("m1", forAll))
			b.log.reset()
			c.set(b)
			line := b.requireDone(t, h, one("m2", c.body))
			assert.EqualValues(t, 1, line["RequestsHeld"])
			assert.EqualValues(t, 0, line["RequestsFailed"])
			loud := b.log.loud(t)
			require.Len(t, loud, 1, "one cause, one line: %s", b.log)
			assert.Contains(t, loud[0], c.says)
			assert.Contains(t, loud[0], `"msg":"`+c.line+`"`)

			b.ld.set("sdk-1", "a:3")
			if line = b.requireDone(t, h, one("m3", held)); assert.EqualValues(t, 0, line["RequestsHeld"]) {
				assert.Equal(t, map[string]int{"a": 3}, b.flags(t, ""))
			}
		})
	}
}

// An environment that was removed from the parameter is in cached keys for a few minutes, so the schedule's request for
// all environments still includes it. That needs no person.
func TestAScheduledRequestForARemovedEnvironmentIsDone(t *testing.T) {
	b := newBench(t)
	h := b.handler(&parameter{value: aws.String("sdk-1")})
	line := b.requireDone(t, h, one("m1", strings.Replace(forStaging, "webhook", "schedule", 1)))
	assert.EqualValues(t, 0, line["RequestsHeld"])
	assert.Equal(t, true, line["removed"])
	assert.Equal(t, "INFO", line["level"])
	assert.Zero(t, b.cloud.Calls("UpdateItem"))
}

// A request is held or failed, not both: a retried request that also has a held item is counted once it is
// acknowledged.
func TestAFailedRequestIsNotHeld(t *testing.T) {
	b := newBench(t)
	b.ld.set("sdk-1", "a:2")
	h := b.handler(&parameter{value: aws.String("sdk-1")})
	b.requireDone(t, h, one("m1", forAll))
	b.ld.set("sdk-1", "a:1", "b:1")
	b.beforeTransaction(1, func(*dynamodb.TransactWriteItemsInput) error { return errors.New("throttled") })
	response, err := h.Handle(t.Context(), one("m2", forAll))
	require.NoError(t, err)
	assert.Len(t, response.BatchItemFailures, 1)
	line := b.lineOf(t, one("m2", forAll))
	assert.EqualValues(t, 1, line["RequestsFailed"])
	assert.EqualValues(t, 0, line["RequestsHeld"])
}

func TestUnreadableRequestsAreAcknowledgedAndCounted(t *testing.T) {
	b := newBench(t)
	h := b.handler(&parameter{value: aws.String("sdk-1")})
	line := b.requireDone(t, h, one("m1", "poison"))
	assert.EqualValues(t, 1, line["RequestsUnreadable"])
	assert.EqualValues(t, 0, line["RequestsFailed"])
	assert.Equal(t, "ERROR", line["level"])
	assert.Zero(t, b.cloud.Calls("UpdateItem"))
}

// A wrong parameter affects all environments, so the function returns an error: Lambda counts it, and may slow down
// all of them.
func TestWrongConfigurationFailsTheFunction(t *testing.T) {
	b := newBench(t)
	for value, says := range map[string]string{
		"":                       "the value has no SDK key",
		`{"SDK_KEY":"sdk-1"}`:    "store the SDK key itself, as plaintext, not as a key/value pair",
		`{"production":"sdk-1"`:  "is not a JSON object of prefix to SDK key",
		`{"production":{"a":1}}`: "is not a JSON object of prefix to SDK key",
	} {
		for _, body := range []string{forAll, forStaging} {
			response, err := b.handler(&parameter{value: &value}).Handle(t.Context(), one("m1", body))
			require.ErrorContains(t, err, says)
			require.ErrorContains(t, err, `read parameter "/warmflags/key"`)
			assert.Len(t, response.BatchItemFailures, 1)
			line := b.lineOf(t, one("m1", body))
			assert.Equal(t, "ERROR", line["level"])
			assert.Contains(t, line["error"], says)
			assert.EqualValues(t, 1, line["RequestsFailed"])
		}
	}
	h := b.handler(&parameter{value: aws.String("sdk-1")}, flagsync.Queue(nil, ""), flagsync.Force())
	_, err := h.Handle(t.Context(), one("m1", forAll))
	require.ErrorContains(t, err, "option Queue needs an SQS client")
	require.ErrorContains(t, err, "options Force and DryRun are for Sync")
}

func TestKeysThatCannotBeReadAreRetried(t *testing.T) {
	b := newBench(t)
	p := &parameter{err: errors.New("throttled")}
	h := b.handler(p)
	response, err := h.Handle(t.Context(), one("m1", forAll))
	require.NoError(t, err, "an error would slow down all environments")
	assert.Len(t, response.BatchItemFailures, 1)
	assert.Contains(t, b.lineOf(t, one("m1", forAll))["error"], `read parameter "/warmflags/key": throttled`)
	p.err, p.value = nil, aws.String("sdk-1")
	b.ld.set("sdk-1", "a:1")
	b.requireDone(t, h, one("m1", forAll))
}

// A batch of a FIFO queue belongs to one message group: requests after a failed one must not be acknowledged before
// it.
func TestWhatFollowsAFailedRequestFailsToo(t *testing.T) {
	b := newBench(t)
	b.ld.set("sdk-1", "a:1")
	b.cloud.Intercept(func(_ context.Context, operation string, _ any) error {
		if operation == "Query" && b.cloud.Calls("Query") > 2 {
			return errors.New("no such table")
		}
		return nil
	})
	h := b.handler(&parameter{value: aws.String("sdk-1")})
	e := events.SQSEvent{}
	for _, id := range []string{"m1", "m2", "m3"} {
		e.Records = append(e.Records, one(id, forAll).Records...)
	}
	response, err := h.Handle(t.Context(), e)
	require.NoError(t, err)
	assert.Equal(t, []events.SQSBatchItemFailure{{ItemIdentifier: "m2"}, {ItemIdentifier: "m3"}},
		response.BatchItemFailures)
}

func TestParseKeys(t *testing.T) {
	for value, want := range map[string]map[string]string{
		"sdk-secret":                      {"": "sdk-secret"},
		" sdk-secret\n":                   {"": "sdk-secret"},
		`{"": "sdk-secret"}`:              {"": "sdk-secret"},
		`{"p": "sdk-1", "q": "sdk-2"}`:    {"p": "sdk-1", "q": "sdk-2"},
		"":                                nil,
		"{}":                              nil,
		`{"p": ""}`:                       nil,
		`{"p": 1}`:                        nil,
		`{"p": "sdk-secret"`:              nil,
		`"sdk-secret"`:                    nil,
		"sdk-secret sdk-secret":           nil,
		`{"p": {"key": "sdk-secret"}}`:    nil,
		`{"p": "sdk-secret", "q": "a b"}`: nil,
		`{"sdk-secret": "production"}`:    nil,
		`{"sdk-secret": ""}`:              nil,
		`{"SDK_KEY": "sdk-secret"}`:       nil,
		`{"sdkKey":"sdk-secret"}`:         nil,
		`{"` + strings.Repeat("p", 513) + `": "sdk-secret"}`: nil,
	} {
		got, err := flagsync.ParseKeys(value)
		if want == nil {
			require.Error(t, err, value)
			assert.NotContains(t, err.Error(), "secret")
			continue
		}
		require.NoError(t, err, value)
		assert.Equal(t, want, got)
	}
}

// FuzzParseKeys looks for a panic, for a key that cannot be sent in a header, and for an error that quotes a key.
func FuzzParseKeys(f *testing.F) {
	for _, seed := range []string{"sdk-secret", `{"p": "sdk-1", "q": "sdk-2"}`, `{"p": ""}`, "{", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		keys, err := flagsync.ParseKeys("sdk-s3cr3t" + value)
		if err != nil {
			assert.NotContains(t, err.Error(), "s3cr3t")
			return
		}
		for _, key := range keys {
			assert.False(t, key == "" || strings.ContainsAny(key, " \r\n"))
		}
		if keys, err := flagsync.ParseKeys(value); err == nil {
			assert.NotEmpty(t, keys)
		}
	})
}
