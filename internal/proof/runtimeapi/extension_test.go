//go:build unix

package runtimeapi_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/proof/runtimeapi"
)

// The processes under test report each step as a request to this address. The test's process can block such a
// request.
const tellTo = "RUNTIMEAPI_TEST_TELL"

func tell(what string) {
	if answer, err := http.Get(os.Getenv(tellTo) + "/" + what); err == nil {
		_, _ = io.Copy(io.Discard, answer.Body)
	}
}

// api makes a request of Lambda's extensions API.
func api(method, path, header, value, body string) (*http.Response, error) {
	request, err := http.NewRequest(method, "http://"+os.Getenv("AWS_LAMBDA_RUNTIME_API")+"/2020-01-01/extension/"+path,
		strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set(header, value)
	answer, err := http.DefaultClient.Do(request)
	if err == nil && answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(answer.Body)
		return nil, errors.New(string(text))
	}
	return answer, err
}

// register returns an extension's identifier.
func register(name, events string) (string, error) {
	list := strings.Fields(events)
	body, _ := json.Marshal(map[string][]string{"events": append([]string{}, list...)})
	answer, err := api(http.MethodPost, "register", "Lambda-Extension-Name", name, string(body))
	if err != nil {
		return "", err
	}
	return answer.Header.Get("Lambda-Extension-Identifier"), nil
}

// next returns the type of an extension's next event.
func next(id string) (string, error) {
	answer, err := api(http.MethodGet, "event/next", "Lambda-Extension-Identifier", id, "")
	if err != nil {
		return "", err
	}
	var event struct{ EventType, RequestID string }
	return event.EventType, json.NewDecoder(answer.Body).Decode(&event)
}

// runExtension is an external extension. It reports each event, and exits after SHUTDOWN unless it is stubborn.
func runExtension() {
	id, err := register(filepath.Base(os.Args[0]), "INVOKE SHUTDOWN")
	for err == nil {
		var event string
		if event, err = next(id); err != nil {
			break
		}
		tell(event)
		switch {
		case event == "SHUTDOWN" && len(os.Args) < 3:
			os.Exit(0)
		case event == "INVOKE" && len(os.Args) == 3 && os.Args[2] == "crashes":
			os.Exit(7)
		}
	}
	panic(err)
}

// registerInternal registers internal extensions, as the environment says: "name=EVENT EVENT,name=". It returns what
// came of it. Each asks for events until one fails.
func registerInternal() string {
	var outcomes []string
	for extension := range strings.SplitSeq(os.Getenv("RUNTIMEAPI_TEST_REGISTER"), ",") {
		name, events, ok := strings.Cut(extension, "=")
		if !ok {
			continue
		}
		id, err := register(name, events)
		outcomes = append(outcomes, fmt.Sprint(err))
		if err == nil {
			go func() {
				for event, err := next(id); err == nil; event, err = next(id) {
					tell(name + "-" + event)
				}
			}()
		}
	}
	return strings.Join(outcomes, "|")
}

// tellOfSIGTERM makes the runtime report SIGTERM and exit, if there is an address to report to.
func tellOfSIGTERM() {
	if os.Getenv(tellTo) == "" {
		return
	}
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	go func() {
		<-terminated
		tell("SIGTERM")
		os.Exit(0)
	}()
}

// ear receives the reports of the processes.
type ear struct {
	heard chan string // unbuffered: a process waits until it is heard
	url   string
}

func newEar(t *testing.T) ear {
	e := ear{heard: make(chan string)}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case e.heard <- strings.TrimPrefix(r.URL.Path, "/"):
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(server.Close)
	e.url = server.URL
	return e
}

func newExtended(t *testing.T, e ear, change func(*runtimeapi.Config)) *runtimeapi.Function {
	return newFunction(t, func(c *runtimeapi.Config) {
		c.Env, c.PatientShutdown = append(c.Env, tellTo+"="+e.url), true
		change(c)
	})
}

func external(arguments string) func(*runtimeapi.Config) {
	return func(c *runtimeapi.Config) { c.Extensions = []string{c.Bootstrap + " extension" + arguments} }
}

func internal(extensions string) func(*runtimeapi.Config) {
	return func(c *runtimeapi.Config) { c.Env = append(c.Env, "RUNTIMEAPI_TEST_REGISTER="+extensions) }
}

func TestAnInvocationEndsWhenItsExtensionsAskForTheNextEvent(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*runtimeapi.Config)
		told   string
	}{
		"external": {external(""), "INVOKE"},
		"internal": {internal("inner=INVOKE,other="), "inner-INVOKE"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEar(t)
			f := newExtended(t, e, c.change)
			for n := range 3 {
				invocation := f.Begin(t.Context(), []byte(`"count"`))
				r, err := invocation.Answer(t.Context())
				require.NoError(t, err)
				assert.Equal(t, fmt.Sprintf("%q", fmt.Sprint(n+1)), strings.TrimSpace(string(r.Payload)))
				assert.False(t, invocation.Ended())
				assert.Equal(t, c.told, <-e.heard)
				_, err = invocation.End(t.Context())
				require.NoError(t, err)
			}
			assert.Equal(t, 1, f.Started())
		})
	}
}

func TestShutdown(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*runtimeapi.Config)
		told   []string
	}{
		"no extension":        {func(*runtimeapi.Config) {}, nil},
		"an internal one":     {internal("inner="), []string{"SIGTERM"}},
		"an external one":     {external(""), []string{"INVOKE", "SIGTERM", "SHUTDOWN"}},
		"a stubborn external": {external(" stubborn"), []string{"INVOKE", "SIGTERM", "SHUTDOWN"}},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEar(t)
			f := newExtended(t, e, func(config *runtimeapi.Config) {
				c.change(config)
				config.PatientShutdown = name != "a stubborn external" // which is killed after two seconds
			})
			var told []string
			done := make(chan struct{})
			go func() {
				defer close(done)
				for range c.told {
					told = append(told, <-e.heard)
				}
			}()
			call(t, f, "count")
			f.Recycle(t.Context())
			<-done
			assert.Equal(t, c.told, told)
		})
	}
}

func TestRegistration(t *testing.T) {
	e := newEar(t)
	f := newExtended(t, e, internal("a=,a=,=,b=SHUTDOWN,c=OTHER,d="))
	got, _ := call(t, f, "registered")
	outcomes := strings.Split(strings.ReplaceAll(got, `\"`, `"`), "|")
	require.Len(t, outcomes, 6)
	for i, want := range []string{
		"<nil>", "registered already", "InvalidExtensionState", "InvalidEventType", "InvalidEventType", "<nil>",
	} {
		assert.Contains(t, outcomes[i], want)
	}
	got, _ = call(t, f, "register late")
	assert.Contains(t, got, "closed already")

	managed := newExtended(t, e, func(c *runtimeapi.Config) {
		internal("a=INVOKE,b=")(c)
		c.Concurrency = 2
	})
	got, _ = call(t, managed, "registered")
	assert.Regexp(t, `InvalidEventType.*\|<nil>`, got)
}

func TestAnExtensionThatExitsEndsItsContainer(t *testing.T) {
	e := newEar(t)
	f := newExtended(t, e, external(" crashes"))
	go func() { <-e.heard }()
	_, err := f.Invoke(t.Context(), []byte(`"hang"`))
	var failure *runtimeapi.Error
	require.ErrorAs(t, err, &failure)
	assert.Equal(t, runtimeapi.TypeExit, failure.Type)
	assert.Contains(t, failure.Message, "exit status 7")
}

func TestManagedInstancesRunInvocationsAtTheSameTime(t *testing.T) {
	const n = 4
	var arrived sync.WaitGroup
	arrived.Add(n)
	meeting := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived.Done()
		arrived.Wait() // until all are here
	}))
	defer meeting.Close()
	f := newFunction(t, func(c *runtimeapi.Config) { c.Concurrency = n })
	var calls sync.WaitGroup
	for range n {
		calls.Go(func() { call(t, f, "get "+meeting.URL) })
	}
	calls.Wait()
	got, _ := call(t, f, "env AWS_LAMBDA_MAX_CONCURRENCY")
	assert.Equal(t, fmt.Sprint(n), got)
	assert.Equal(t, 1, f.Started())
	_, err := f.Invoke(t.Context(), []byte(`"exit"`))
	require.Error(t, err)
	got, _ = call(t, f, "count")
	assert.Equal(t, "1", got)
}
