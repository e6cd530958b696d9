package agent_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/agent"
	"github.com/warmflags/warmflags/journal"
)

const ada = `{"context":{"targetingKey":"ada"}}`

func TestEvaluateOneFlag(t *testing.T) {
	s := newSystem(t)
	for key, c := range map[string]struct {
		value           any // nil: the program uses its default
		variant, reason string
		metadata        map[string]any // besides the flag's version
	}{
		"on":      {true, "0", "STATIC", map[string]any{"launchdarklyReason": "FALLTHROUGH"}},
		"off":     {false, "1", "DISABLED", map[string]any{"launchdarklyReason": "OFF"}},
		"nothing": {nil, "", "DISABLED", map[string]any{"launchdarklyReason": "OFF"}},
		"text":    {"bé", "1", "STATIC", map[string]any{"launchdarklyReason": "FALLTHROUGH"}},
		"number":  {1.5, "0", "STATIC", map[string]any{"launchdarklyReason": "FALLTHROUGH"}},
		"object": {map[string]any{"a": []any{1.0, nil, map[string]any{"b": "c"}}}, "0", "STATIC",
			map[string]any{"launchdarklyReason": "FALLTHROUGH"}},
		"target": {2.0, "1", "TARGETING_MATCH", map[string]any{"launchdarklyReason": "TARGET_MATCH"}},
		"rule": {2.0, "1", "TARGETING_MATCH",
			map[string]any{"launchdarklyReason": "RULE_MATCH", "ruleIndex": 0.0, "ruleId": "r1"}},
		"rule-rollout": {2.0, "1", "SPLIT",
			map[string]any{"launchdarklyReason": "RULE_MATCH", "ruleIndex": 0.0, "ruleId": "r1"}},
		"rollout": {2.0, "1", "SPLIT", map[string]any{"launchdarklyReason": "FALLTHROUGH"}},
		"needs-off": {2.0, "1", "DISABLED",
			map[string]any{"launchdarklyReason": "PREREQUISITE_FAILED", "prerequisiteKey": "off"}},
	} {
		t.Run(key, func(t *testing.T) {
			c.metadata["flagVersion"] = 1.0
			want := map[string]any{"key": key, "reason": c.reason, "variant": c.variant, "metadata": c.metadata}
			if c.value != nil {
				want["value"] = c.value
			}
			a := s.evaluate(key, `{"context":{"targetingKey":"ada","plan":"gold"}}`)
			assert.Equal(t, 200, a.status)
			assert.Equal(t, want, a.body)
		})
	}
	assert.EqualValues(t, 12, s.events.evaluations.Load(), "one per flag, and one for the prerequisite")
}

// OpenFeature for Python escapes all characters outside of ASCII.
func TestEscapedContextsAreParsed(t *testing.T) {
	s := newSystem(t)
	assert.Equal(t, "1", s.evaluate("key", `{"context":{"targetingKey":"\ud83d\udd11"}}`).body["variant"])
	assert.Equal(t, "0", s.evaluate("key", ada).body["variant"])
}

func TestEvaluationsThatFail(t *testing.T) {
	s := newSystem(t)
	for name, c := range map[string]struct {
		key, body string
		status    int
		code      string
	}{
		"unknown flag":          {"unknown", ada, 404, "FLAG_NOT_FOUND"},
		"unknown, with a slash": {"a/b", ada, 404, "FLAG_NOT_FOUND"},
		"malformed flag":        {"malformed", ada, 400, "PARSE_ERROR"},
		"no JSON":               {"on", `{"context":`, 400, "PARSE_ERROR"},
		"no object":             {"on", `[]`, 400, "PARSE_ERROR"},
		"more than JSON":        {"on", ada + ada, 400, "PARSE_ERROR"},
		"empty":                 {"on", "", 400, "PARSE_ERROR"},
		"no context":            {"on", `{}`, 400, "TARGETING_KEY_MISSING"},
		"context is no object":  {"on", `{"context":"ada"}`, 400, "INVALID_CONTEXT"},
		"no targetingKey":       {"on", `{"context":{"plan":"gold"}}`, 400, "TARGETING_KEY_MISSING"},
		"empty targetingKey":    {"on", `{"context":{"targetingKey":""}}`, 400, "TARGETING_KEY_MISSING"},
		"kind with a space":     {"on", `{"context":{"targetingKey":"ada","kind":"a b"}}`, 400, "INVALID_CONTEXT"},
		"too large": {"on", `{"context":{"targetingKey":"` + strings.Repeat("a", 1<<20) + `"}}`, 413,
			"INVALID_CONTEXT"},
	} {
		t.Run(name, func(t *testing.T) {
			a := s.evaluate(c.key, c.body)
			assert.Equal(t, c.status, a.status)
			assert.Equal(t, c.key, a.body["key"], "OpenFeature for Node.js requires it")
			assert.Equal(t, c.code, a.body["errorCode"])
			assert.NotEmpty(t, a.body["errorDetails"], "OpenFeature for Python requires it")
		})
	}
}

func TestEvaluateAllFlags(t *testing.T) {
	s := newSystem(t)
	a := s.evaluate(all, `{"context":{"targetingKey":"ada","plan":"gold"}}`)
	require.Equal(t, 200, a.status)
	listed := a.body["flags"].([]any)
	require.Len(t, listed, len(flags))
	keys := make([]string, 0, len(flags))
	for _, entry := range listed {
		entry := entry.(map[string]any)
		key := entry["key"].(string)
		keys = append(keys, key)
		if key == "malformed" {
			assert.Equal(t,
				map[string]any{"key": key, "errorCode": "PARSE_ERROR",
					"errorDetails": `flag "malformed" is malformed`}, entry)
			continue
		}
		assert.Equal(t, s.evaluate(key, `{"context":{"targetingKey":"ada","plan":"gold"}}`).body, entry)
	}
	assert.IsIncreasing(t, keys)

	evaluated := s.events.evaluations.Load()
	s.evaluate(all, ada)
	assert.Equal(t, evaluated, s.events.evaluations.Load(), "the bulk endpoint records no events")
	assert.Equal(t, 400, s.evaluate(all, `{"context":{}}`).status)
}

func TestETagCoversFlagsAndContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		defer s.opened.Close(t.Context())
		tag := s.evaluate(all, ada).header.Get("ETag")
		require.Regexp(t, `^"[\w-]+"$`, tag)

		same := s.evaluate(all, ada, "If-None-Match", `"other", W/`+tag)
		assert.Equal(t, 304, same.status)
		assert.Equal(t, tag, same.header.Get("ETag"))
		assert.Empty(t, same.body)

		other := s.evaluate(all, `{"context":{"targetingKey":"bob"}}`, "If-None-Match", tag)
		assert.Equal(t, 200, other.status, "another context")
		unused := s.evaluate(all, `{"context":{"targetingKey":"ada","unused":1}}`, "If-None-Match", tag)
		assert.Equal(t, 200, unused.status, "an attribute that no flag uses")

		s.put("on", `"on":false,"offVariation":1,"fallthrough":{"variation":0},"variations":[true,false]`)
		<-time.After(journal.DefaultInterval)
		changed := s.evaluate(all, ada, "If-None-Match", tag)
		assert.Equal(t, 200, changed.status, "another flag")
	})
}

// LaunchDarkly's values and contexts are maps, which Go iterates in random order.
func TestTheETagOfEqualRequestsIsEqual(t *testing.T) {
	s := newSystem(t)
	defer s.opened.Close(t.Context())
	s.put("object", `"on":true,"fallthrough":{"variation":0},"variations":[{"a":1,"b":2.50,"c":3,"d":{"e":4,"f":5}}]`)
	tags := map[string]bool{}
	for range 50 {
		a := s.evaluate(all, `{"context":{"kind":"multi","user":{"targetingKey":"ada","a":1,"b":2,"c":3,"d":4,`+
			`"e":{"x":1,"y":2,"z":3}},"org":{"key":"acme"},"device":{"key":"1"}}}`)
		require.Equal(t, 200, a.status)
		tags[a.header.Get("ETag")] = true
	}
	assert.Len(t, tags, 1)
}

// An evaluation is at most one interval old although neither an invocation nor a timer polls the journal, as in a
// Lambda environment that was frozen.
func TestEachEvaluationIsAtMostTheIntervalOld(t *testing.T) {
	t.Setenv("AWS_LAMBDA_FUNCTION_NAME", "function")
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		defer s.opened.Close(t.Context())
		value := func() any { return s.evaluate("text", ada).body["value"] }
		require.Equal(t, "bé", value())
		for i := range 5 {
			s.put("text", `"on":true,"fallthrough":{"variation":0},"variations":["`+string(rune('0'+i))+`"]`)
			<-time.After(journal.DefaultInterval)
			synctest.Wait()
			require.Equal(t, string(rune('0'+i)), value(), "the first evaluation after the interval")
		}
	})
}

func TestEvaluationsShareAPoll(t *testing.T) {
	t.Setenv("AWS_LAMBDA_FUNCTION_NAME", "function")
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		defer s.opened.Close(t.Context())
		s.evaluate("on", ada)
		<-time.After(journal.DefaultInterval)
		before := s.Calls("GetItem")
		for range 100 {
			s.evaluate("on", ada)
		}
		assert.Equal(t, before+1, s.Calls("GetItem"), "one poll, and the flag is in memory")
	})
}

// With an interval of 0, an evaluation sees what the journal held when the evaluation began, and evaluations share
// polls.
func TestIntervalZeroPollsAtEachEvaluation(t *testing.T) {
	t.Setenv("AWS_LAMBDA_FUNCTION_NAME", "function")
	synctest.Test(t, func(t *testing.T) {
		s := newSystemWith(t, 0)
		defer s.opened.Close(t.Context())
		for i := range 5 {
			value := string(rune('0' + i))
			s.put("text", `"on":true,"fallthrough":{"variation":0},"variations":["`+value+`"]`)
			require.Equal(t, value, s.evaluate("text", ada).body["value"])
		}
		synctest.Wait() // the cache reads the marker in the background
		before, polling, release := s.Calls("GetItem"), make(chan struct{}), make(chan struct{})
		s.Intercept(func(_ context.Context, operation string, _ any) error {
			if operation == "GetItem" {
				polling <- struct{}{}
				<-release
			}
			return nil
		})
		answers := make(chan answer, 101)
		go func() { answers <- s.evaluate("text", ada) }()
		<-polling
		for range 100 {
			go func() { answers <- s.evaluate("text", ada) }()
		}
		synctest.Wait() // the evaluations wait for the next poll
		release <- struct{}{}
		<-polling
		release <- struct{}{}
		for range 101 {
			require.Equal(t, 200, (<-answers).status)
		}
		assert.Equal(t, before+2, s.Calls("GetItem"))
	})
}

func TestStatus(t *testing.T) {
	t.Setenv("AWS_LAMBDA_FUNCTION_NAME", "function")
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		defer s.opened.Close(t.Context())
		start := time.Now()
		s.evaluate("on", ada)
		s.evaluate("off", ada)
		<-time.After(time.Minute)
		s.put("on", flags["off"])
		s.evaluate("on", ada)
		status := s.opened.Status(t.Context())
		assert.Equal(t, time.Minute, status.LastPoll.Sub(start))
		assert.Equal(t, time.Minute, status.LastChange.Sub(start))
		status.LastPoll, status.LastChange = nil, nil
		queued := int64(3)
		assert.Equal(t,
			agent.Status{Ready: true, Table: table, Prefix: prefix, Evaluations: 3, Events: "sent", Queued: &queued},
			status)
		s.opened.Flush(t.Context())
		assert.Zero(t, *s.opened.Status(t.Context()).Queued)
		s.Intercept(func(context.Context, string, any) error { return errors.New("planted") })
		status = s.opened.Status(t.Context())
		assert.False(t, status.Ready)
		assert.Contains(t, status.Reason, "the table cannot be read")
	})
}

// A sidecar's client flushes on its own timer, so the agent does not know how many events are queued.
func TestASidecarsStatusHasNoQueue(t *testing.T) {
	t.Setenv("AWS_LAMBDA_FUNCTION_NAME", "")
	s := newSystem(t)
	defer s.opened.Close(t.Context())
	s.evaluate("on", ada)
	assert.Nil(t, s.opened.Status(t.Context()).Queued)
}

func TestAnOutageServesTheLastKnownValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		defer s.opened.Close(t.Context())
		require.Equal(t, true, s.evaluate("on", ada).body["value"])
		s.Intercept(func(context.Context, string, any) error { return errors.New("the table cannot be reached") })
		<-time.After(time.Minute)
		assert.Equal(t, true, s.evaluate("on", ada).body["value"])
		assert.Equal(t, 500, s.evaluate("off", ada).status, "a flag that was never read")
		s.Intercept(nil)
		<-time.After(time.Minute)
		assert.Equal(t, false, s.evaluate("off", ada).body["value"])
	})
}
