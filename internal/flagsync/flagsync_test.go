package flagsync_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldbuilders"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/launchdarkly/go-server-sdk/v7/testhelpers/ldservices"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/flagsync"
	"github.com/warmflags/warmflags/internal/table"
)

func TestSyncWritesOnlyTheDifference(t *testing.T) {
	b := newBench(t)
	b.ld.set(sdkKey, many(500)...)
	r, err := b.sync(t)
	require.NoError(t, err)
	assert.Len(t, r.Added, 501)
	assert.Equal(t, int64(1), r.Token)
	assert.Len(t, b.flags(t, ""), 500)
	assert.True(t, b.initialized(t))

	before, queries, gets := b.writes(), b.cloud.Calls("Query"), b.cloud.Calls("GetItem")
	r, err = b.sync(t)
	require.NoError(t, err)
	assert.Equal(t, 2, b.cloud.Calls("Query")-queries, "flags and segments")
	assert.Equal(t, 1, b.cloud.Calls("GetItem")-gets, "the marker")
	assert.False(t, r.Changed())
	assert.Zero(t, r.Transactions)
	assert.Len(t, r.Unchanged, 501)
	assert.Equal(t, 2, b.writes()-before, "the token and the time of the sync")

	b.ld.set(sdkKey, many(500, "flag-007:2")...)
	before = b.writes()
	r, err = b.sync(t)
	require.NoError(t, err)
	assert.Equal(t, []table.Entry{{Kind: "features", Key: "flag-007", Version: 2, Was: 1}}, bare(r.Updated))
	assert.Equal(t, 1, r.Transactions)
	assert.Equal(t, 3, b.writes()-before)
	assert.Equal(t, 2, b.cloud.Calls("GetItem")-gets)

	b.ld.set(sdkKey, many(499, "new:1")...)
	r, err = b.sync(t, flagsync.Linger(time.Millisecond))
	require.NoError(t, err)
	assert.Equal(t, [][]string{{"new"}, {"flag-499"}}, [][]string{keys(r.Added), keys(r.Removed)})
	assert.Equal(t, []string{"flag-007"}, keys(r.HeldBack), "its version is lower now")

	lines := b.log.lines(t, "flags synced")
	require.Len(t, lines, 4, "one line per sync")
	assert.Len(t, lines[0]["added"], 20, "the line stays readable")
	assert.EqualValues(t, 481, lines[0]["added_more"])
	assert.Equal(t, map[string]any{
		"table": tableName, "prefix": "", "fencing_token": 4.0, "level": "WARN", "msg": "flags synced",
		"added": []any{"features/new"}, "removed": []any{"features/flag-499"}, "held_back": []any{"features/flag-007"},
		"Prefix": "-", "ItemsAdded": 1.0, "ItemsUpdated": 0.0, "ItemsRemoved": 1.0, "ItemsUnchanged": 499.0,
		"ItemsRefused": 0.0, "ItemsHeldBack": 1.0, "ItemsKept": 0.0, "ItemsUnparsable": 0.0,
		"GuardEmpty": 0.0, "GuardRemovals": 0.0,
		"TokensLost": 0.0, "KeysRefused": 0.0, "SyncFailures": 0.0, "SyncTransactions": 1.0,
	}, without(lines[3], "time", "SyncDuration", "_aws"))
}

// The line of a failed sync has a count for the cause, so that it can be queried.
func TestCountsOfFailures(t *testing.T) {
	b := newBench(t)
	b.ld.set(sdkKey, many(30)...)
	_, err := b.sync(t)
	require.NoError(t, err)
	failed := func() map[string]any {
		_, err := b.sync(t)
		require.Error(t, err)
		lines := b.log.lines(t, "flags not synced")
		return lines[len(lines)-1]
	}
	names := []string{"GuardEmpty", "GuardRemovals", "TokensLost", "KeysRefused", "SyncFailures"}
	check := func(one string, line map[string]any) {
		for _, name := range names {
			want := 0
			if name == one || name == "SyncFailures" {
				want = 1
			}
			assert.EqualValues(t, want, line[name], "%s: %s", one, name)
		}
	}
	b.ld.set(sdkKey, many(10)...)
	line := failed()
	check("GuardRemovals", line)
	assert.NotContains(t, line, "_aws", "SyncDuration is a metric of syncs that succeeded")
	assert.EqualValues(t, 20, line["ItemsRemoved"])
	assert.Len(t, line["removed"], 20, "the line names the items")
	b.ld.set(sdkKey)
	check("GuardEmpty", failed())
	b.ld.remove(sdkKey)
	check("KeysRefused", failed())
	b.ld.set(sdkKey, many(30)...)
	b.cloud.Intercept(func(ctx context.Context, operation string, _ any) error {
		if operation == "Query" {
			_, err := b.environment("").TakeToken(ctx)
			return err
		}
		return nil
	})
	check("TokensLost", failed())
}

func TestDryRunWritesNothing(t *testing.T) {
	b := newBench(t)
	b.ld.set(sdkKey, "a:1")
	r, err := b.sync(t, flagsync.DryRun())
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "everyone"}, keys(r.Added))
	assert.Equal(t, 0, b.writes())
	assert.Len(t, b.log.lines(t, "flags compared"), 1)
}

func TestLaunchDarklyFails(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    string
		is      error
	}{
		"unauthorized":        {status(401), "HTTP status 401", flagsync.ErrUnauthorized},
		"forbidden":           {status(403), "HTTP status 403", flagsync.ErrUnauthorized},
		"is not LaunchDarkly": {status(404), "HTTP status 404 Not Found: check the stream URI", nil},
		"is down":             {status(503), "no answer from LaunchDarkly within 20ms", nil},
		"hangs": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			"check the network access (NAT, proxy, DNS)", nil},
		"sends no JSON": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("event: put\ndata: <html>\n\n"))
		}, "no answer from LaunchDarkly", nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.ld.set(sdkKey, "a:1")
			_, err := b.sync(t)
			require.NoError(t, err)
			server := httptest.NewServer(c.handler)
			t.Cleanup(server.Close)
			limit := time.Minute
			if strings.Contains(name, "is down") || name == "hangs" || name == "sends no JSON" {
				limit = 20 * time.Millisecond
			}
			before := b.cloud.Calls("TransactWriteItems")
			_, err = b.sync(t, flagsync.Timeout(limit), flagsync.StreamURI(server.URL))
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, `sync prefix "" of table "flags"`)
			assert.Equal(t, c.is != nil, errors.Is(err, flagsync.ErrUnauthorized))
			assert.Equal(t, before, b.cloud.Calls("TransactWriteItems"))
			assert.Len(t, b.log.lines(t, "flags not synced"), 1)
			assert.NotContains(t, b.log.String()+err.Error(), sdkKey)
		})
	}
}

func TestAShortOutageIsRetried(t *testing.T) {
	b := newBench(t)
	b.ld.set(sdkKey, "a:1")
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		b.ld.Config.Handler.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	r, err := b.sync(t, flagsync.StreamURI(server.URL))
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "everyone"}, keys(r.Added))
	assert.Equal(t, int32(2), calls.Load())
}

func TestGuards(t *testing.T) {
	share := flagsync.MaxRemovals
	for name, c := range map[string]struct {
		before, after []string
		held          string
		options       []flagsync.Option
	}{
		"no flags":                    {many(3), nil, "has no flags", nil},
		"no flags, nothing there":     {nil, nil, "", nil},
		"few removals":                {many(12), many(2), "", nil},
		"more than ten and a third":   {many(30), many(19), "lacks 11 of the 30 items of kind \"features\"", nil},
		"more than ten, just a third": {many(33), many(22), "", []flagsync.Option{share(0)}},
		"more than ten, just a half":  {many(22), many(11), "", []flagsync.Option{share(0.5)}},
		"more than a half":            {many(22), many(10), "lacks 12 of the 22", []flagsync.Option{share(0.5)}},
		"except one":                  {many(30), many(1), "", []flagsync.Option{share(1)}},
		"no flags, any share":         {many(3), nil, "has no flags", []flagsync.Option{share(1)}},
		"more than ten, not a third":  {many(60), many(40), "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			if c.before != nil {
				b.ld.set(sdkKey, c.before...)
				_, err := b.sync(t)
				require.NoError(t, err)
			}
			b.ld.set(sdkKey, c.after...)
			before := b.cloud.Calls("TransactWriteItems")
			r, err := b.sync(t, c.options...)
			if c.held == "" {
				require.NoError(t, err)
				assert.Len(t, r.Removed, len(c.before)-len(c.after))
				return
			}
			require.ErrorIs(t, err, flagsync.ErrGuard)
			require.ErrorContains(t, err, c.held)
			assert.Len(t, b.flags(t, ""), len(c.before))
			assert.Equal(t, before, b.cloud.Calls("TransactWriteItems"))
			_, err = b.sync(t, c.options...)
			require.ErrorIs(t, err, flagsync.ErrGuard, "the guard also holds the next sync")

			_, err = b.sync(t, flagsync.Force())
			require.NoError(t, err)
			assert.Len(t, b.flags(t, ""), len(c.after))
		})
	}
}

func TestLowerVersionsAreHeldBackUnlessForced(t *testing.T) {
	b := newBench(t)
	b.ld.set(sdkKey, "a:5", "b:1")
	_, err := b.sync(t)
	require.NoError(t, err)
	b.ld.set(sdkKey, "a:4", "b:2")
	r, err := b.sync(t)
	require.NoError(t, err)
	assert.Equal(t, []table.Entry{{Kind: "features", Key: "a", Version: 4, Was: 5}}, bare(r.HeldBack))
	assert.Equal(t, map[string]int{"a": 5, "b": 2}, b.flags(t, ""))
	r, err = b.sync(t, flagsync.Force())
	require.NoError(t, err)
	assert.Equal(t, []string{"a"}, keys(r.Updated))
	assert.Equal(t, map[string]int{"a": 4, "b": 2}, b.flags(t, ""))
}

func TestTooLargeItemsAreRefusedByName(t *testing.T) {
	b := newBench(t)
	b.ld.set(sdkKey, "huge:1", "a:1")
	_, err := b.sync(t)
	require.NoError(t, err)
	huge := ldbuilders.NewFlagBuilder("huge").Version(2).AddTarget(0,
		strings.Split(strings.Repeat("member-1,", 50_000), ",")...).Build()
	b.ld.setData(sdkKey, ldservices.NewServerSDKData().Flags(huge, ldbuilders.NewFlagBuilder("a").Version(2).Build()))
	r, err := b.sync(t)
	require.NoError(t, err)
	require.Len(t, r.Refused, 1)
	assert.Equal(t, "huge", r.Refused[0].Key)
	assert.Contains(t, r.Refused[0].Reason, "DynamoDB's limit is 409600")
	assert.Equal(t, map[string]int{"huge": 1, "a": 2}, b.flags(t, ""))
	lines := b.log.lines(t, "flags synced")
	require.Len(t, lines, 2)
	require.Len(t, lines[1]["refused"], 1)
	assert.Contains(t, lines[1]["refused"].([]any)[0], "features/huge: it needs 550343 bytes")
	assert.Equal(t, 2, strings.Count(b.log.String(), "\n"), "the item has no line of its own")
}

// A missing marker is a difference: clients wait for it.
func TestAMissingMarkerIsADifference(t *testing.T) {
	b := newBench(t)
	b.ld.set(sdkKey, "a:1")
	r, err := b.sync(t)
	require.NoError(t, err)
	assert.True(t, r.Marker)
	r, err = b.sync(t)
	require.NoError(t, err)
	assert.False(t, r.Changed())
	_, err = b.cloud.DynamoDB.DeleteItem(t.Context(),
		&dynamodb.DeleteItemInput{TableName: aws.String(tableName), Key: table.Key("$inited", "$inited")})
	require.NoError(t, err)
	for _, dry := range []bool{true, false} {
		var options []flagsync.Option
		if dry {
			options = append(options, flagsync.DryRun())
		}
		r, err = b.sync(t, options...)
		require.NoError(t, err)
		assert.True(t, r.Marker)
		assert.True(t, r.Changed())
		assert.Len(t, r.Unchanged, 2)
	}
	assert.True(t, b.initialized(t))
}

// The stream may be later than the webhook: patches that arrive after the payload are written at once, under the same
// fencing token.
func TestLateChanges(t *testing.T) {
	b := newBench(t)
	b.ld.set(sdkKey, "a:1", "b:1")
	_, err := b.sync(t)
	require.NoError(t, err)
	b.ld.set(sdkKey, "a:2", "b:1")

	ctx, done := context.WithCancel(t.Context())
	next := map[int]func(){
		1: func() { b.ld.patch(sdkKey, "a:3", false) }, // while the first payload is being written
		2: func() { b.ld.patch(sdkKey, "new:1", false) },
		3: func() { b.ld.patch(sdkKey, "b:2", true) },
		4: func() { b.ld.patch(sdkKey, "new:2", false) },
		5: done, // before this transaction
	}
	count := 0 // of transactions; one sync makes them one after the other
	queries, gets := b.cloud.Calls("Query"), b.cloud.Calls("GetItem")
	b.cloud.Intercept(func(_ context.Context, operation string, _ any) error {
		if operation == "TransactWriteItems" {
			count++
			next[count]()
		}
		return nil
	})
	r, err := flagsync.New(b.environment(""), oneKey(sdkKey), b.options(flagsync.Linger(time.Hour))...).Sync(ctx)
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, 2, b.cloud.Calls("Query")-queries, "the payload: one query for flags, one for segments")
	assert.Equal(t, 1+4, b.cloud.Calls("GetItem")-gets, "the marker, and one row for each patch")
	assert.Equal(t, int64(2), r.Token)
	assert.Equal(t, []string{"new"}, keys(r.Added))
	assert.Equal(t, []string{"a", "b"}, keys(r.Updated))
	assert.Equal(t, []string{"everyone"}, keys(r.Unchanged))
	b.cloud.Intercept(nil)
	assert.Equal(t, map[string]int{"a": 3, "b": -2, "new": 1}, b.flags(t, ""))
}

// A sync with an old payload that is paused while a newer sync completes fails, and undoes nothing.
func TestAnOldPayloadCannotUndoANewerOne(t *testing.T) {
	paused := func(t *testing.T, fault func(*dynamodb.TransactWriteItemsInput)) (map[string]int, error) {
		b := newBench(t)
		b.ld.set(sdkKey, "a:1", "gone:1")
		_, err := b.sync(t)
		require.NoError(t, err)
		b.ld.set(sdkKey, "a:2", "gone:2") // the old payload
		first := true
		b.cloud.Intercept(func(_ context.Context, _ string, input any) error {
			in, ok := input.(*dynamodb.TransactWriteItemsInput)
			if !ok {
				return nil
			}
			fault(in)
			if !first {
				return nil
			}
			first = false
			b.ld.set(sdkKey, "a:3") // the newer payload
			_, err := b.sync(t)
			return err
		})
		r, err := b.sync(t)
		assert.Equal(t, int64(2), r.Token)
		b.cloud.Intercept(nil)
		return b.flags(t, ""), err
	}
	got, err := paused(t, func(*dynamodb.TransactWriteItemsInput) {})
	require.ErrorIs(t, err, table.ErrTokenLost)
	assert.Equal(t, map[string]int{"a": 3}, got)

	got, err = paused(t, func(in *dynamodb.TransactWriteItemsInput) {
		in.TransactItems = in.TransactItems[:len(in.TransactItems)-1]
	})
	require.ErrorIs(t, err, table.ErrTokenLost,
		"planted fault: transactions do not check the token, only the sync's end does, which is too late")
	assert.Equal(t, map[string]int{"a": 3, "gone": 2}, got,
		"a removed flag is written again, which the assertion above notices")
}

func TestAnotherProgramsNewerItemIsKept(t *testing.T) {
	b := newBench(t)
	b.ld.set(sdkKey, "a:1")
	_, err := b.sync(t)
	require.NoError(t, err)
	b.ld.set(sdkKey, "a:2", "b:1")
	b.beforeTransaction(1, func(*dynamodb.TransactWriteItemsInput) error {
		flag := ldbuilders.NewFlagBuilder("a").Version(9).Build()
		kind := ldstoreimpl.Features()
		json := kind.Serialize(st.ItemDescriptor{Version: 9, Item: &flag})
		_, err := b.environment("").Upsert(t.Context(), "features",
			table.Item{Key: "a", Version: 9, JSON: string(json)})
		return err
	})
	r, err := b.sync(t)
	require.NoError(t, err)
	assert.Equal(t, []string{"a"}, keys(r.Kept))
	assert.Equal(t, []string{"b"}, keys(r.Added))
	b.cloud.Intercept(nil)
	assert.Equal(t, map[string]int{"a": 9, "b": 1}, b.flags(t, ""))
}
