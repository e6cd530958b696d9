package test

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/interfaces/flagstate"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/dynamostore"
	"github.com/warmflags/warmflags/internal/proof/spy"
	"github.com/warmflags/warmflags/internal/proof/testenv"
	flagtable "github.com/warmflags/warmflags/internal/table"
	"github.com/warmflags/warmflags/test/emulator"
)

// step is one command for python/sdk.py, which documents the members.
type step map[string]any

// python runs steps with LaunchDarkly's Python SDK on DynamoDB Local. It decodes each answer into the element of into
// at the same index, unless that is nil.
func python(t *testing.T, steps []step, into ...any) {
	t.Helper()
	request, err := json.Marshal(map[string]any{
		"endpoint": emulator.DynamoDBEndpoint(),
		"region":   emulator.Region,
		"key":      emulator.AccessKey,
		"secret":   emulator.SecretKey,
		"steps":    steps,
	})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, emulator.Python(), "python/sdk.py")
	var errs bytes.Buffer
	command.Stdin, command.Stderr = bytes.NewReader(request), &errs
	output, err := command.Output()
	require.NoError(t, err, "python: %s", errs.String())
	var answers []json.RawMessage
	require.NoError(t, json.Unmarshal(output, &answers))
	require.Len(t, answers, len(steps))
	for i := range min(len(into), len(answers)) {
		if into[i] != nil {
			require.NoError(t, json.Unmarshal(answers[i], into[i]), "step %d", i)
		}
	}
}

// state holds all flags of an environment, evaluated for one context, in the form for JavaScript SDKs.
type state = map[string]any

// goStates evaluates with LaunchDarkly's Go SDK on dynamostore, with big segments only on request.
func goStates(t *testing.T, table, prefix string, contexts []ldcontext.Context, bigSegments bool) []state {
	t.Helper()
	config := ld.Config{
		DataSource:       ldcomponents.ExternalUpdatesOnly(),
		Events:           ldcomponents.NoEvents(),
		DiagnosticOptOut: true,
		DataStore: ldcomponents.PersistentDataStore(
			dynamostore.DataStore(table).Prefix(prefix).Client(emulator.DynamoDB()),
		).CacheForever(),
		Logging: ldcomponents.Logging().MinLevel(ldlog.None),
	}
	if bigSegments {
		config.BigSegments = ldcomponents.BigSegments(
			dynamostore.BigSegmentStore(table).Prefix(prefix).Client(emulator.DynamoDB()),
		)
	}
	client, err := ld.MakeCustomClient("sdk-key", config, time.Second)
	require.NoError(t, err)
	defer func() { _ = client.Close() }()
	states := make([]state, len(contexts))
	for i, c := range contexts {
		data, err := json.Marshal(client.AllFlagsState(c, flagstate.OptionWithReasons()))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(data, &states[i]))
	}
	return states
}

func openStore(t *testing.T, table, prefix string) *dynamostore.Store {
	t.Helper()
	s, err := dynamostore.DataStore(table).Prefix(prefix).Client(emulator.DynamoDB()).Open(t.Context())
	require.NoError(t, err)
	return s
}

// differences are the flags, by environment, that LaunchDarkly's own SDKs evaluate differently although they read the
// same data. A flag that both evaluate the same must be removed from the table.
var (
	evaluatedOtherwise = map[string]string{
		"targeting/needs-none":     "a prerequisite that does not exist is listed by Python, and not by Go",
		"deleted/needs-gone":       "as targeting/needs-none",
		"targeting/cycle-1":        "a flag that is its own prerequisite lists prerequisites otherwise",
		"targeting/cycle-2":        "as targeting/cycle-1",
		"rollouts/rollout-none":    "without the rollout's kind, Python takes the first variation, even if its weight is 0",
		"segments/in-half-of-orgs": "a context without the rule's kind is in Python's segment, and not in Go's",
	}
)

// Every environment, written by dynamostore and by the Python SDK, is read and evaluated the same by both SDKs.
func TestPythonEvaluatesTheSame(t *testing.T) {
	table := newFlagTable(t)
	for _, e := range append(testenv.Small(), testenv.Large()...) {
		t.Run(e.Name, func(t *testing.T) {
			contexts := testenv.Contexts()
			if len(e.Flags) > 1000 {
				contexts = contexts[:3]
			}
			ours, theirs := "ours-"+e.Name, "theirs-"+e.Name
			require.NoError(t, openStore(t, table, ours).Init(e.Collections()))
			steps := []step{{"do": "state", "table": table, "prefix": ours, "contexts": contexts}}
			pythonWrites := e.Name != "heavy" // it writes spaces between values, which makes an item too long
			if pythonWrites {
				wire, err := e.JSON()
				require.NoError(t, err)
				steps = append(steps,
					step{"do": "init", "table": table, "prefix": theirs, "data": json.RawMessage(wire)},
					step{"do": "state", "table": table, "prefix": theirs, "contexts": contexts})
			}
			var ofOurs, ofTheirs []state
			python(t, steps, &ofOurs, nil, &ofTheirs)

			want := goStates(t, table, ours, contexts, false)
			same(t, "Python on what we wrote", e, want, ofOurs, evaluatedOtherwise)
			if !pythonWrites {
				return
			}
			same(t, "Go on what Python wrote", e, want, goStates(t, table, theirs, contexts, false), nil)
			same(t, "Python on what Python wrote", e, ofOurs, ofTheirs, nil)
			client := spy.On(emulator.DynamoDB())
			client.Alter = func(in *dynamodb.TransactWriteItemsInput) {
				for _, i := range in.TransactItems {
					if i.Put == nil || i.Put.Item["item"] == nil { // a tombstone that is removed, or the marker
						continue
					}
					item, err := flagtable.ParseRow(i.Put.Item)
					assert.NoError(t, err)
					assert.True(t, item.IsTombstone(), "we would write %q over it, which is no tombstone", item.Key)
				}
			}
			store, err := dynamostore.DataStore(table).Prefix(theirs).Client(client).Open(t.Context())
			require.NoError(t, err)
			require.NoError(t, store.Init(e.Collections()))
			same(t, "Go after our Init on what Python wrote", e, want, goStates(t, table, theirs, contexts, false), nil)
		})
	}
}

// same compares the values of each context, flag by flag. Flags that are known to differ must differ.
func same(t *testing.T, who string, e testenv.Environment, want, got []state, different map[string]string) {
	t.Helper()
	require.Len(t, got, len(want), who)
	seen := map[string]bool{}
	for i, context := range testenv.Contexts()[:len(want)] {
		for _, f := range e.Flags {
			of := func(s state) []any { return []any{s[f.Key], s["$flagsState"].(map[string]any)[f.Key]} }
			name := e.Name + "/" + f.Key
			if _, known := different[name]; !known {
				assert.Equal(t, of(want[i]), of(got[i]), "%s: flag %q for %s", who, f.Key, context)
			} else if !assert.ObjectsAreEqual(of(want[i]), of(got[i])) {
				seen[name] = true
			}
		}
		assert.Len(t, got[i], len(want[i]), "%s: flags of %s", who, context)
	}
	for name, why := range different {
		if strings.HasPrefix(name, e.Name+"/") {
			assert.True(t, seen[name], "%s: %s agrees now: take it out of the table (%s)", who, name, why)
		}
	}
}

// Both SDKs write flags, segments and deletions over each other's; the newer version wins, and each prefix is separate.
func TestPythonSharesTheTable(t *testing.T) {
	for name, prefix := range map[string]string{"no prefix": "", "prefix": "prod"} {
		t.Run(name, func(t *testing.T) {
			table := newFlagTable(t)
			s, other := openStore(t, table, prefix), openStore(t, table, "other")
			at := func(do string, more step) step {
				all := step{"do": do, "table": table, "prefix": prefix, "kind": "features", "key": "a"}
				maps.Copy(all, more)
				return all
			}
			var inited bool
			python(t, []step{at("initialized", nil)}, &inited)
			assert.False(t, inited)
			data := func(flags string) json.RawMessage {
				return json.RawMessage(`{"flags": {` + flags + `}, "segments": {"s": {"key": "s", "version": 1}}}`)
			}
			require.NoError(t, other.Init(environment("a:70", "z:1")))
			require.NoError(t, s.Init(environment("a:5", "b:5")))
			fenced := &flagtable.Environment{Client: emulator.DynamoDB(), Table: table, Prefix: prefix}
			token, err := fenced.TakeToken(t.Context())
			require.NoError(t, err)

			var a, deleted any
			var all, segments, after map[string]any
			python(t, []step{
				at("initialized", nil), at("get", nil), at("all", step{"kind": "segments"}),
				at("upsert", step{"item": step{"key": "b", "version": 4}}), // older: ignored
				at("upsert", step{"item": step{"key": "a", "version": 6}}),
				at("delete", step{"key": "b", "version": 7}),
				at("get", step{"key": "b"}), at("all", nil),
			}, &inited, &a, &segments, nil, nil, nil, &deleted, &all)
			assert.True(t, inited, "the Python SDK accepts the marker")
			assert.InDelta(t, 5, a.(map[string]any)["version"], 0)
			assert.Equal(t, []string{"s"}, slices.Sorted(maps.Keys(segments)))
			assert.Nil(t, deleted)
			assert.Equal(t, []string{"a"}, slices.Sorted(maps.Keys(all)))
			assert.Equal(t, map[string]string{"a": "6", "b": "7 deleted"}, read(t, s))

			older, err := s.Upsert(features, "b", item("b", 6))
			require.NoError(t, err)
			assert.False(t, older, "Python's deletion is newer")
			_, err = s.Upsert(features, "a", tombstone(8))
			require.NoError(t, err)
			python(t, []step{
				at("get", nil), at("upsert", step{"item": step{"key": "a", "version": 7}}), at("get", nil),
				at("init", step{"data": data(`"c": {"key": "c", "version": 1}`)}), at("all", nil),
			}, &deleted, nil, &a, nil, &after)
			assert.Nil(t, deleted, "our deletion")
			assert.Nil(t, a, "dynamostore's deletion is newer")
			assert.Equal(t, []string{"c"}, slices.Sorted(maps.Keys(after)))
			assert.Equal(t, map[string]string{"c": "1"}, read(t, s))
			require.NoError(t, s.Init(environment("d:1")))
			python(t, []step{at("all", nil)}, &after)
			assert.Contains(t, after, "d")

			next, err := fenced.TakeToken(t.Context())
			require.NoError(t, err)
			assert.Equal(t, token+1, next, "Python's Init does not change the fencing token")
			assert.Equal(t, map[string]string{"a": "70", "z": "1"}, read(t, other), "another prefix")
		})
	}
}
