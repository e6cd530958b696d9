package warmflags_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go"
	ldevents "github.com/launchdarkly/go-sdk-events/v3"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags"
	"github.com/warmflags/warmflags/cachedstore"
	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/journal"
)

const day = 24 * time.Hour

// A service sees each flip within one and a half intervals. Its TTL is a day, so only polls can show a flip this
// soon.
func TestAServicePollsOnATimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStack(t)
		flags := s.open(warmflags.Cache(cachedstore.TTL(day)))
		require.False(t, evaluate(t, flags))
		for i := range 20 {
			on := i%2 == 0
			<-time.After(journal.DefaultInterval * time.Duration(i) / 20)
			s.flip(on)
			<-time.After(journal.DefaultInterval * 3 / 2)
			synctest.Wait()
			require.Equal(t, on, evaluate(t, flags), "round %d", i)
		}
		require.NoError(t, flags.Close(t.Context()))
		require.NoError(t, flags.Close(t.Context()), "twice")
		polls := flags.Stats().Journal
		<-time.After(time.Minute)
		assert.Equal(t, polls, flags.Stats().Journal, "no polls after Close")
	})
}

// A source of changes, such as subscriber.Queue, can deliver to Flags before the timer fires.
func TestFlagsIsASink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStack(t)
		flags := s.open(warmflags.Cache(cachedstore.TTL(day)), warmflags.Journal(journal.Interval(time.Hour)))
		defer flags.Close(t.Context())
		require.False(t, evaluate(t, flags))
		s.flip(true)
		require.False(t, evaluate(t, flags))
		flags.InvalidateAll()
		require.True(t, evaluate(t, flags))
		s.flip(false)
		flags.Invalidate(change.Change{Kind: change.KindFeatures, Key: key})
		require.False(t, evaluate(t, flags))
		assert.Equal(t, 1, flags.Stats().Cache.Invalidations)
	})
}

// An evaluation in OnChange sees the new value.
func TestOnChange(t *testing.T) {
	asLambda(t)
	s := newStack(t)
	var flags *warmflags.Flags
	var seen []string
	flags = s.open(warmflags.OnChange(func(changes ...change.Change) {
		if flags != nil { // the journal's first poll comes before Open returns
			seen = append(seen, fmt.Sprintf("%d changes: %t", len(changes), evaluate(t, flags)))
		}
	}), warmflags.Journal(journal.Interval(1)))
	defer flags.Close(t.Context())
	require.False(t, evaluate(t, flags))
	s.flip(true)
	require.NoError(t, flags.Refresh(t.Context()))
	s.flip(false)
	flags.InvalidateAll()
	flags.Invalidate()
	assert.Equal(t, []string{"1 changes: true", "0 changes: false"}, seen)
}

// asLambda makes this process a Lambda function that is frozen between invocations.
func asLambda(t *testing.T) {
	t.Setenv("AWS_LAMBDA_FUNCTION_NAME", "checkout")
	t.Setenv("AWS_LAMBDA_MAX_CONCURRENCY", "")
}

// In Lambda nothing runs between invocations: the invocation polls, at most once in each interval.
func TestALambdaFunctionPollsInItsInvocations(t *testing.T) {
	asLambda(t)
	synctest.Test(t, func(t *testing.T) {
		s := newStack(t)
		flags := s.open(warmflags.Cache(cachedstore.TTL(day)))
		defer flags.Close(t.Context())
		handler := flags.Handler(func(context.Context) (bool, error) { return evaluate(t, flags), nil })
		invoke := func() string {
			answer, err := handler.Invoke(t.Context(), nil)
			require.NoError(t, err)
			return string(answer)
		}
		require.Equal(t, "false", invoke())
		require.Equal(t, "false", invoke())
		assert.Equal(t, 1, flags.Stats().Journal.Polls, "Open's poll is less than an interval old")
		for i := range 10 {
			on := i%2 == 0
			s.flip(on)
			<-time.After(time.Minute)
			require.Equal(t, 1+i, flags.Stats().Journal.Polls, "no timer polls")
			want := "false"
			if on {
				want = "true"
			}
			require.Equal(t, want, invoke())
		}
		assert.Empty(t, s.log.String())
	})
}

func TestHandlerTakesWhatLambdaStartTakes(t *testing.T) {
	s := newStack(t)
	flags := s.open()
	defer flags.Close(t.Context())
	answer, err := flags.Handler(func(name string) (string, error) { return "hello " + name, nil }).Invoke(t.Context(),
		[]byte(`"Ada"`))
	require.NoError(t, err)
	assert.JSONEq(t, `"hello Ada"`, string(answer))
	_, err = flags.Handler(func() error { return errors.New("refused") }).Invoke(t.Context(), nil)
	require.EqualError(t, err, "refused")
	answer, err = flags.Handler(flags.Handler(func() {})).Invoke(t.Context(), nil)
	require.NoError(t, err, "Handler also wraps a lambda.Handler")
	assert.Equal(t, "null", string(answer))
}

// If the function does not use Handler, one line says so.
func TestAnInvocationThatIsNotWrappedIsLoggedOnce(t *testing.T) {
	asLambda(t)
	s := newStack(t)
	flags := s.open()
	defer flags.Close(t.Context())
	evaluate(t, flags) // before lambda.Start: allowed
	require.Empty(t, s.log.String())
	t.Setenv("_X_AMZN_TRACE_ID", "Root=1-2-3") // as aws-lambda-go does before each invocation
	for range 3 {
		evaluate(t, flags)
		flags.Client.AllFlagsState(user)
	}
	assert.Equal(t, 1, strings.Count(s.log.String(), "use lambda.Start(flags.Handler(handle))"), s.log.String())

	s = newStack(t)
	wrapped := s.open()
	defer wrapped.Close(t.Context())
	_, err := wrapped.Handler(func() { evaluate(t, wrapped) }).Invoke(t.Context(), nil)
	require.NoError(t, err)
	evaluate(t, wrapped)
	assert.Empty(t, s.log.String())
}

func TestAllConfigurationProblemsAtOnce(t *testing.T) {
	for _, name := range []string{"TABLE_NAME", "PREFIX", "LD_SDK_KEY", "AWS_REGION", "AWS_DEFAULT_REGION",
		"AWS_ACCESS_KEY_ID", "AWS_CONTAINER_CREDENTIALS_FULL_URI"} {
		t.Setenv(name, "")
	}
	_, err := warmflags.Open(t.Context(),
		warmflags.LaunchDarkly(ld.Config{DataSource: ldcomponents.ExternalUpdatesOnly()}),
		warmflags.Cache(cachedstore.ReadLimit(-1)), warmflags.Journal(journal.Interval(-1)))
	for _, want := range []string{
		"TABLE_NAME is not set", "make a DynamoDB client: AWS_REGION is not set", "AWS_ACCESS_KEY_ID is not set",
		"pass an aws.Config",
		"DataSource must be nil", "ReadLimit(-1ns)", "Interval(-1ns)",
	} {
		assert.ErrorContains(t, err, want)
	}
	s := newStack(t)
	_, err = warmflags.Open(t.Context(), s.options(warmflags.AWSConfig(aws.Config{}))...)
	require.ErrorContains(t, err, "both set")
}

func TestTheEnvironmentIsTheDefault(t *testing.T) {
	t.Setenv("TABLE_NAME", table)
	t.Setenv("PREFIX", prefix)
	s := newStack(t)
	flags, err := warmflags.Open(t.Context(), s.options()[2:]...)
	require.NoError(t, err)
	defer flags.Close(t.Context())
	assert.False(t, evaluate(t, flags))
	require.NoError(t, flags.Ready(t.Context()))
}

// Each read lengthens a cold start. Open reads the journal, and the marker only if there is no journal.
func TestAStartReadsOnce(t *testing.T) {
	asLambda(t)
	s := newStack(t)
	before := s.Calls("GetItem")
	flags := s.open()
	defer flags.Close(t.Context())
	assert.Equal(t, 1, s.Calls("GetItem")-before)

	before = s.Calls("GetItem")
	withoutJournal := s.open(warmflags.Journal(journal.Region("us-east-1")))
	defer withoutJournal.Close(t.Context())
	assert.Equal(t, 2, s.Calls("GetItem")-before)
}

// The first poll opens the connection while LaunchDarkly's client starts.
func TestTheConnectionOpensWhileTheClientStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStack(t)
		polling, made := make(chan struct{}), make(chan struct{})
		s.Intercept(func(ctx context.Context, _ string, _ any) error {
			s.Intercept(nil) // only the first read waits
			close(polling)
			select {
			case <-made:
			case <-ctx.Done():
				t.Error("the client was not made while the first poll was open")
			}
			return nil
		})
		flags := s.open(warmflags.WrapDataStore(func(store subsystems.DataStore) subsystems.DataStore {
			<-polling // otherwise the client could be made before the poll begins
			close(made)
			return store
		}))
		require.NoError(t, flags.Close(t.Context()))
	})
}

func TestAPrefixWithoutDataIsAnError(t *testing.T) {
	s := newStack(t)
	for _, wrong := range []string{"staging", ""} {
		_, err := warmflags.Open(t.Context(), s.options(warmflags.Prefix(wrong))...)
		require.ErrorIs(t, err, cachedstore.ErrNoData)
		require.ErrorContains(t, err, `table "flags" holds no flags for prefix "`+wrong+`". hint: fill it`)
	}
	unprefixed, err := s.storeOf("")
	require.NoError(t, err)
	require.NoError(t, unprefixed.Init(nil))
	_, err = warmflags.Open(t.Context(), s.options(warmflags.Prefix("staging"))...)
	require.ErrorContains(t, err, "it holds flags without a prefix")
}

func TestATableThatCannotBeReadAsConfiguredIsAnError(t *testing.T) {
	s := newStack(t)
	_, err := warmflags.Open(t.Context(), s.options(warmflags.Table("flgas"))...)
	require.ErrorContains(t, err, `table "flgas" cannot be read`)
	require.ErrorContains(t, err, "hint: check TABLE_NAME, the AWS region")
	s.Intercept(func(context.Context, string, any) error {
		return &smithy.GenericAPIError{Code: "AccessDeniedException", Message: "not authorized"}
	})
	_, err = warmflags.Open(t.Context(), s.options()...)
	require.ErrorContains(t, err, "hint: allow dynamodb:GetItem and dynamodb:Query")
}

// A table that does not answer delays Open by at most three seconds, and is used as soon as it answers.
func TestATableThatCannotBeReachedIsLogged(t *testing.T) {
	for name, down := range map[string]func(ctx context.Context) error{
		"connection refused": func(context.Context) error { return errors.New("connection refused") },
		"no answer":          func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStack(t)
				var up atomic.Bool
				s.Intercept(func(ctx context.Context, _ string, _ any) error {
					if up.Load() {
						return nil
					}
					return down(ctx)
				})
				began := time.Now()
				flags := s.open()
				defer flags.Close(t.Context())
				assert.LessOrEqual(t, time.Since(began), 3*time.Second, "in virtual time")
				<-time.After(10 * time.Second) // several polls
				synctest.Wait()
				assert.Equal(t, 1, strings.Count(s.log.String(), "level=WARN"), s.log.String())
				_, err := flags.Client.BoolVariation(key, user, false)
				require.Error(t, err)
				up.Store(true)
				<-time.After(time.Minute)
				synctest.Wait()
				assert.False(t, evaluate(t, flags))
			})
		})
	}
}

// Without a journal, Open reads the marker. If that fails, Open logs a warning and succeeds.
func TestAMarkerThatCannotBeReadIsLogged(t *testing.T) {
	s := newStack(t)
	s.Intercept(func(_ context.Context, _ string, input any) error {
		if in, ok := input.(*dynamodb.GetItemInput); ok && aws.ToBool(in.ConsistentRead) {
			return errors.New("connection reset")
		}
		return nil
	})
	flags := s.open(warmflags.Journal(journal.Region("us-east-1")))
	defer flags.Close(t.Context())
	assert.Equal(t, 1, strings.Count(s.log.String(), "the flag table cannot be read"), s.log.String())
}

// hangingEvents simulates a LaunchDarkly that does not accept events: closing a client waits for it.
type hangingEvents struct {
	ldevents.EventProcessor
	release chan struct{}
}

func (h hangingEvents) Build(c subsystems.ClientContext) (_ ldevents.EventProcessor, err error) {
	h.EventProcessor, err = ldcomponents.NoEvents().Build(c)
	return h, err
}

func (h hangingEvents) Close() error { <-h.release; return nil }

func TestCloseWaitsNoLongerThanItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		flags := newStack(t).open(warmflags.LaunchDarkly(ld.Config{Logging: ldcomponents.NoLogging(),
			Events: hangingEvents{release: release}}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, flags.Close(ctx), context.DeadlineExceeded)
		close(release)
		require.NoError(t, flags.Close(t.Context()))
	})
}

// Each import lengthens the cold start of every Lambda function.
func TestOpenImportsNoSourceThatItDoesNotUse(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, line := range strings.Split(string(out), "\n") {
		for _, tooMuch := range []string{"/service/sns", "/service/sqs", "/service/sts", "/aws-sdk-go-v2/config",
			"warmflags/subscriber"} {
			assert.False(t, strings.HasSuffix(line, tooMuch), line)
		}
	}
}

func TestRefreshBringsAChangeWithoutAnInvocation(t *testing.T) {
	asLambda(t)
	synctest.Test(t, func(t *testing.T) {
		s := newStack(t)
		flags := s.open(warmflags.Cache(cachedstore.TTL(day)))
		defer flags.Close(t.Context())
		require.False(t, evaluate(t, flags))
		s.flip(true)
		require.NoError(t, flags.Refresh(t.Context()))
		require.False(t, evaluate(t, flags), "the last poll is not an interval old")
		<-time.After(journal.DefaultInterval)
		require.NoError(t, flags.Refresh(t.Context()))
		require.True(t, evaluate(t, flags))
	})
}
