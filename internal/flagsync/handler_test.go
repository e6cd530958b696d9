package flagsync_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/flagsync"
)

// parameter is an SSM parameter that counts its reads.
type parameter struct {
	mu    sync.Mutex // guards value and reads
	value *string
	err   error
	reads int
}

func (p *parameter) GetParameter(_ context.Context, in *ssm.GetParameterInput, _ ...func(*ssm.Options)) (*ssm.GetParameterOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reads++
	if !aws.ToBool(in.WithDecryption) || aws.ToString(in.Name) != "/warmflags/key" {
		return nil, errors.New("wrong request")
	}
	return &ssm.GetParameterOutput{Parameter: &types.Parameter{Value: p.value}}, p.err
}

func batch(ids ...string) (e events.SQSEvent) {
	for _, id := range ids {
		e.Records = append(e.Records, events.SQSMessage{MessageId: id, Body: `{"reason":"webhook"}`})
	}
	return e
}

func (b *bench) handler(p *parameter) *flagsync.Handler {
	return flagsync.NewHandler(b.cloud.DynamoDB, tableName, flagsync.ParameterKeys(p, "/warmflags/key"), b.options()...)
}

func TestABatchIsOneSyncOfEachEnvironment(t *testing.T) {
	b := newBench(t)
	b.ld.set("sdk-1", "a:1")
	b.ld.set("sdk-2", "a:7")
	p := &parameter{value: aws.String(`{"production": "sdk-1", "staging": "sdk-2"}`)}
	h := b.handler(p)
	for range 2 {
		response, err := h.Handle(t.Context(), batch("m1", "m2", "m3"))
		require.NoError(t, err)
		assert.Empty(t, response.BatchItemFailures)
	}
	assert.Equal(t, map[string]int{"a": 1}, b.flags(t, "production"))
	assert.Equal(t, map[string]int{"a": 7}, b.flags(t, "staging"))
	assert.Len(t, b.log.lines(t, "flags synced"), 4)
	assert.Equal(t, 1, p.reads)
}

func TestOneEnvironmentThatFailsDoesNotStopTheOthers(t *testing.T) {
	b := newBench(t)
	b.ld.set("sdk-1", "a:1")
	b.ld.set("sdk-3", "a:3")
	p := &parameter{value: aws.String(`{"production": "sdk-1", "staging": "sdk-revoked", "test": "sdk-3"}`)}
	h := b.handler(p)
	response, err := h.Handle(t.Context(), batch("m1", "m2"))
	require.ErrorIs(t, err, flagsync.ErrUnauthorized)
	require.ErrorContains(t, err, `sync prefix "staging"`)
	assert.NotContains(t, err.Error()+b.log.String(), "sdk-")
	assert.Equal(t, []events.SQSBatchItemFailure{{ItemIdentifier: "m1"}, {ItemIdentifier: "m2"}}, response.BatchItemFailures)
	assert.Equal(t, map[string]int{"a": 1}, b.flags(t, "production"))
	assert.Equal(t, map[string]int{"a": 3}, b.flags(t, "test"))
	assert.Empty(t, b.flags(t, "staging"))
	assert.Equal(t, 2, p.reads, "a refused key is read again, once")
}

func TestARotatedKeyNeedsNoDeployment(t *testing.T) {
	b := newBench(t)
	b.ld.set("sdk-old", "a:1")
	p := &parameter{value: aws.String("sdk-old")}
	h := b.handler(p)
	_, err := h.Handle(t.Context(), batch("m1"))
	require.NoError(t, err)

	b.ld.remove("sdk-old")
	b.ld.set("sdk-new", "a:2")
	p.value = aws.String("sdk-new\n")
	_, err = h.Handle(t.Context(), batch("m2"))
	require.NoError(t, err)
	assert.Equal(t, map[string]int{"a": 2}, b.flags(t, ""))
	assert.Equal(t, 2, p.reads)
}

func TestKeysThatCannotBeReadFailTheBatch(t *testing.T) {
	b := newBench(t)
	p := &parameter{err: errors.New("access denied")}
	h := b.handler(p)
	response, err := h.Handle(t.Context(), batch("m1"))
	require.ErrorContains(t, err, `read parameter "/warmflags/key": access denied`)
	assert.Len(t, response.BatchItemFailures, 1)
	p.err, p.value = nil, aws.String("sdk-1")
	b.ld.set("sdk-1", "a:1")
	_, err = h.Handle(t.Context(), batch("m1"))
	require.NoError(t, err, "a failure is not remembered")
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

// FuzzParseKeys looks for a panic, for a key that no header could carry, and for a value that an error quotes.
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
