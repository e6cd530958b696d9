package webhook_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/webhook"
)

// fakeSSM holds one parameter.
type fakeSSM struct {
	value string
	err   error
	calls int
	in    *ssm.GetParameterInput
	hangs bool
}

func (f *fakeSSM) GetParameter(ctx context.Context, in *ssm.GetParameterInput, _ ...func(*ssm.Options)) (*ssm.GetParameterOutput, error) {
	f.calls++
	f.in = in
	if f.hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &ssm.GetParameterOutput{Parameter: &types.Parameter{Value: &f.value}}, f.err
}

func TestParameterReadsLines(t *testing.T) {
	for value, want := range map[string][]string{
		"one":                  {"one"},
		"one\n":                {"one"},
		"old\nnew":             {"old", "new"},
		"\r\n old \r\n\nnew\r": {"old", "new"},
	} {
		client := &fakeSSM{value: value}
		got, err := webhook.Parameter(client, "/warmflags/webhook")(context.Background(), false)
		require.NoError(t, err)
		assert.Equal(t, want, got)
		assert.Equal(t, "/warmflags/webhook", *client.in.Name)
		assert.True(t, *client.in.WithDecryption)
	}
	for _, value := range []string{"", "\n", " \r\n\t"} {
		_, err := webhook.Parameter(&fakeSSM{value: value}, "/warmflags/webhook")(context.Background(), false)
		assert.ErrorContains(t, err, `"/warmflags/webhook": it holds no secret`)
	}
}

// A request whose sender has gone does not wait for its turn to read a parameter that hangs.
func TestWaitingForTheParameterEndsWithTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &fakeSSM{hangs: true}
		get := webhook.Parameter(client, "p")
		first := make(chan error, 1)
		go func() {
			_, err := get(context.Background(), false)
			first <- err
		}()
		synctest.Wait()
		ctx, gone := context.WithTimeout(t.Context(), time.Second)
		defer gone()
		_, err := get(ctx, false)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 1, client.calls)
		require.ErrorIs(t, <-first, context.DeadlineExceeded)
	})
}

func TestParameterIsCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &fakeSSM{value: "old"}
		get := webhook.Parameter(client, "p")
		read := func(refresh bool) []string {
			got, err := get(context.Background(), refresh)
			require.NoError(t, err)
			return got
		}
		for range 3 {
			assert.Equal(t, []string{"old"}, read(false))
		}
		assert.Equal(t, 1, client.calls)

		client.value = "new"
		assert.Equal(t, []string{"old"}, read(false))
		assert.Equal(t, []string{"new"}, read(true))
		assert.Equal(t, 2, client.calls)

		time.Sleep(5 * time.Minute) // virtual
		client.value = "newer"
		assert.Equal(t, []string{"newer"}, read(false), "an old secret is not accepted for ever")

		time.Sleep(5 * time.Minute)
		client.err = errors.New("throttled")
		_, err := get(context.Background(), false)
		assert.ErrorContains(t, err, "throttled")
	})
}
