package parameter_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/parameter"
)

// store is an SSM client with one parameter. Tests use it from one goroutine at a time.
type store struct {
	value *string
	err   error
	hangs bool
	reads int
	in    *ssm.GetParameterInput
}

func (s *store) GetParameter(
	ctx context.Context, in *ssm.GetParameterInput, _ ...func(*ssm.Options),
) (*ssm.GetParameterOutput, error) {
	s.reads++
	s.in = in
	if s.hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &ssm.GetParameterOutput{Parameter: &types.Parameter{Value: s.value}}, s.err
}

func (s *store) set(value string) { s.value, s.err, s.hangs = &value, nil, false }

func upper(text string) (string, error) {
	if text == "" {
		return "", errors.New("the value is empty")
	}
	return strings.ToUpper(text), nil
}

func newParameter(stale bool) (*store, *parameter.Parameter[string]) {
	s := &store{}
	s.set("one")
	return s, parameter.New(s, "/name", stale, upper)
}

func TestAValueIsKeptForFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := newParameter(false)
		requireValue := func(want string, reads int, refresh bool) {
			t.Helper()
			got, err := p.Get(t.Context(), refresh)
			require.NoError(t, err)
			assert.Equal(t, want, got)
			assert.Equal(t, reads, s.reads)
		}
		requireValue("ONE", 1, false)
		assert.Equal(t, "/name", *s.in.Name)
		assert.True(t, *s.in.WithDecryption)
		s.set("two")
		time.Sleep(5*time.Minute - 1) // virtual
		requireValue("ONE", 1, false)
		time.Sleep(time.Nanosecond)
		requireValue("TWO", 2, false)
		s.set("three")
		requireValue("TWO", 2, false)
		requireValue("THREE", 3, true)
	})
}

func TestAfterAFailedRead(t *testing.T) {
	for _, stale := range []bool{false, true} {
		t.Run(fmt.Sprintf("stale=%v", stale), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, p := newParameter(stale)
				s.err = errors.New("throttled")
				_, err := p.Get(t.Context(), false)
				require.EqualError(t, err, `read parameter "/name": throttled`)
				require.NotErrorIs(t, err, parameter.ErrWrong)
				s.set("one")
				_, err = p.Get(t.Context(), false)
				require.NoError(t, err, "a failure is not cached")

				s.err = errors.New("throttled")
				_, err = p.Get(t.Context(), true)
				require.ErrorContains(t, err, "throttled", "a caller that needs another value must not get the old one")
				got, err := p.Get(t.Context(), false)
				require.NoError(t, err)
				assert.Equal(t, "ONE", got, "the known value is used until it is five minutes old")

				s.hangs = true
				time.Sleep(5 * time.Minute)
				began := time.Now()
				got, err = p.Get(t.Context(), false)
				assert.Equal(t, 5*time.Second, time.Since(began))
				if !stale {
					require.ErrorIs(t, err, context.DeadlineExceeded, "an old value is not used forever")
					return
				}
				require.NoError(t, err)
				assert.Equal(t, "ONE", got)
				reads := s.reads
				_, err = p.Get(t.Context(), false)
				require.NoError(t, err)
				assert.Equal(t, reads, s.reads, "a read that times out is repeated only after five minutes")
			})
		})
	}
}

func TestErrorsThatNoRetryCanFix(t *testing.T) {
	for _, code := range []string{"ParameterNotFound", "AccessDeniedException", "InvalidKeyId", "ValidationException"} {
		s, p := newParameter(false)
		s.err = fmt.Errorf("operation failed: %w", &smithy.GenericAPIError{Code: code, Message: "no"})
		_, err := p.Get(t.Context(), false)
		require.ErrorIs(t, err, parameter.ErrWrong, code)
		require.ErrorContains(t, err, `read parameter "/name"`)
		require.ErrorContains(t, err, code)
	}
	s, p := newParameter(false)
	s.value = nil
	_, err := p.Get(t.Context(), false)
	require.EqualError(t, err, `read parameter "/name": correct the parameter: the value is empty`)
	require.ErrorIs(t, err, parameter.ErrWrong)
	s.err = &smithy.GenericAPIError{Code: "ThrottlingException"}
	_, err = p.Get(t.Context(), false)
	require.NotErrorIs(t, err, parameter.ErrWrong)
}

// While a read blocks, another call ends when its context ends.
func TestWaitingEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := newParameter(false)
		s.hangs = true
		first := make(chan error, 1)
		go func() {
			_, err := p.Get(context.Background(), false)
			first <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := p.Get(ctx, false)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 1, s.reads)
		require.ErrorIs(t, <-first, context.DeadlineExceeded)
	})
}
