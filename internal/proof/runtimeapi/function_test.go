//go:build unix

package runtimeapi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/proof/runtimeapi"
)

// The function under test is this test's own binary, started with this in its environment.
const asFunction = "RUNTIMEAPI_TEST_FUNCTION"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "extension" {
		runExtension()
	}
	switch os.Getenv(asFunction) {
	case "":
		os.Exit(m.Run())
	case "exits":
		os.Exit(3)
	case "reports":
		report("init/error", `{"errorType":"Config","errorMessage":"no table"}`)
		os.Exit(1)
	case "answers":
		report("invocation/1/response", "")
		<-time.After(time.Hour) // until it is ended
	}
	var lived atomic.Int64 // milliseconds in which this process got time, at least
	go func() {
		for range time.Tick(time.Millisecond) {
			lived.Add(1)
		}
	}()
	registered := registerInternal()
	tellOfSIGTERM()
	var invocations atomic.Int64
	lambda.Start(func(ctx context.Context, command string) (string, error) {
		invocations.Add(1)
		do, argument, _ := strings.Cut(command, " ")
		switch do {
		case "echo":
			return argument, nil
		case "count":
			return fmt.Sprint(invocations.Load()), nil
		case "lived":
			return fmt.Sprint(lived.Load()), nil
		case "env":
			return os.Getenv(argument), nil
		case "left":
			deadline, ok := ctx.Deadline()
			return fmt.Sprint(ok && time.Until(deadline) > 4*time.Minute && time.Until(deadline) <= 5*time.Minute), nil
		case "registered":
			return registered, nil
		case "register":
			_, err := register(argument, "")
			return fmt.Sprint(err), nil
		case "fail":
			return "", errors.New(argument)
		case "panic":
			panic(argument)
		case "exit":
			os.Exit(4)
		case "hang":
			select {}
		case "get":
			_, err := http.Get(argument)
			return "", err
		}
		return "", errors.New("unknown command")
	})
}

// report posts to the runtime API, and waits for the answer.
func report(path, body string) {
	url := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/" + path
	if answer, err := http.Post(url, "application/json", strings.NewReader(body)); err == nil {
		_, _ = io.Copy(io.Discard, answer.Body)
	}
}

func newFunction(t *testing.T, change func(*runtimeapi.Config)) *runtimeapi.Function {
	t.Helper()
	binary, err := os.Executable()
	require.NoError(t, err)
	c := runtimeapi.Config{
		Bootstrap: binary, Env: []string{asFunction + "=yes"}, Timeout: 5 * time.Minute, InitLimit: 5 * time.Minute,
	}
	if change != nil {
		change(&c)
	}
	f := runtimeapi.New(c)
	t.Cleanup(f.Close)
	return f
}

func call(t *testing.T, f *runtimeapi.Function, command string) (string, runtimeapi.Result) {
	t.Helper()
	r, err := f.Invoke(t.Context(), []byte(fmt.Sprintf("%q", command)))
	require.NoError(t, err)
	return strings.Trim(strings.TrimSpace(string(r.Payload)), `"`), r
}

func failure(t *testing.T, f *runtimeapi.Function, command string) *runtimeapi.Error {
	t.Helper()
	_, err := f.Invoke(t.Context(), []byte(fmt.Sprintf("%q", command)))
	var e *runtimeapi.Error
	require.ErrorAs(t, err, &e)
	return e
}

func TestAContainerIsUsedAgain(t *testing.T) {
	f := newFunction(t, func(c *runtimeapi.Config) { c.Env = append(c.Env, "TABLE=flags") })
	got, r := call(t, f, "echo hello")
	assert.Equal(t, "hello", got)
	assert.True(t, r.Cold)
	assert.Positive(t, r.Init)
	assert.Positive(t, r.Took)
	for command, want := range map[string]string{
		"env AWS_LAMBDA_FUNCTION_NAME": "function", "env AWS_REGION": "eu-west-1", "env TABLE": "flags", "left": "true",
	} {
		got, r := call(t, f, command)
		assert.Equal(t, want, got, command)
		assert.False(t, r.Cold)
		assert.Equal(t, 1, r.Container)
	}
	got, _ = call(t, f, "count")
	assert.Equal(t, "6", got)
	f.Recycle(t.Context())
	got, r = call(t, f, "count")
	assert.Equal(t, "1", got)
	assert.Equal(t, 2, r.Container)
	f.Close()
	_, err := f.Invoke(t.Context(), nil)
	assert.ErrorIs(t, err, runtimeapi.ErrClosed)
}

func TestAFrozenContainerGetsNoTime(t *testing.T) {
	lived := func(f *runtimeapi.Function) (ms int) {
		got, _ := call(t, f, "lived")
		_, err := fmt.Sscan(got, &ms)
		require.NoError(t, err)
		return ms
	}
	f := newFunction(t, nil)
	before := lived(f)
	<-time.After(3 * time.Second) // the freeze is what is tested
	assert.Less(t, lived(f)-before, 1500)

	awake := newFunction(t, func(c *runtimeapi.Config) { c.Awake = true })
	for start := lived(awake); lived(awake) < start+100; { // it gets time by itself, sooner or later
		<-time.After(time.Millisecond)
	}
}

func TestFailures(t *testing.T) {
	f := newFunction(t, nil)
	call(t, f, "count")
	assert.Equal(t, "no such flag", failure(t, f, "fail no such flag").Message)
	got, _ := call(t, f, "count")
	assert.Equal(t, "3", got, "an error is no reason to end a container")
	assert.Equal(t, "boom", failure(t, f, "panic boom").Message)
	got, _ = call(t, f, "count")
	assert.Equal(t, "1", got, "a panic is")
	e := failure(t, f, "exit")
	assert.Equal(t, runtimeapi.TypeExit, e.Type)
	assert.Contains(t, e.Error(), "exit status 4")
	got, _ = call(t, f, "count")
	assert.Equal(t, "1", got)
	assert.Equal(t, 3, f.Started())
}

func TestAnInvocationPastItsDeadlineEndsItsContainer(t *testing.T) {
	f := newFunction(t, func(c *runtimeapi.Config) { c.Timeout = 50 * time.Millisecond })
	assert.Equal(t, runtimeapi.TypeTimeout, failure(t, f, "hang").Type)

	f = newFunction(t, nil)
	call(t, f, "count")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := f.Invoke(ctx, []byte(`"hang"`))
	require.ErrorIs(t, err, context.Canceled)
	_, r := call(t, f, "count")
	assert.True(t, r.Cold)
}

func TestFailuresOfTheStart(t *testing.T) {
	for how, want := range map[string]runtimeapi.Error{
		"exits":   {Type: runtimeapi.TypeExit, Message: "the process exited in its start: exit status 3", Init: true},
		"reports": {Type: "Config", Message: "no table", Init: true},
		"answers": {Type: "Runtime.UnexpectedAnswer", Message: "an answer before it asked for an event", Init: true},
	} {
		f := newFunction(t, func(c *runtimeapi.Config) { c.Env = []string{asFunction + "=" + how} })
		assert.Equal(t, &want, failure(t, f, "echo"), how)
	}
	f := newFunction(t, func(c *runtimeapi.Config) { c.Bootstrap = "/does/not/exist" })
	_, err := f.Invoke(t.Context(), nil)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestInvocationsAtTheSameTimeHaveContainersOfTheirOwn(t *testing.T) {
	const n = 3
	var arrived sync.WaitGroup
	arrived.Add(n)
	meeting := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived.Done()
		arrived.Wait() // until all are here
	}))
	defer meeting.Close()
	f := newFunction(t, nil)
	var calls sync.WaitGroup
	for range n {
		calls.Go(func() { call(t, f, "get "+meeting.URL) })
	}
	calls.Wait()
	assert.Equal(t, n, f.Started())
	for range n {
		_, r := call(t, f, "count")
		assert.False(t, r.Cold)
	}
}

func Example() {
	f := runtimeapi.New(runtimeapi.Config{
		Bootstrap: os.Args[0], Env: []string{asFunction + "=yes"}, Timeout: time.Minute, InitLimit: time.Minute,
	})
	defer f.Close()
	r, err := f.Invoke(context.Background(), []byte(`"echo hello"`))
	fmt.Println(string(r.Payload), r.Cold, err)
	// Output: "hello" true <nil>
}
