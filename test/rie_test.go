//go:build unix

package test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
	"github.com/launchdarkly/go-server-sdk/v7/testhelpers/ldtestdata"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/journal"
	"github.com/warmflags/warmflags/test/emulator"
)

// AWS's Runtime Interface Emulator checks what internal/proof/runtimeapi assumes about extensions. It does not freeze a
// function. It runs functions of Managed Instances only from /var/task, so these are not tested with it.

// rieEvents is the variable that turns this test's binary into a function that sends its events to its value.
const rieEvents = "TEST_RIE_EVENTS"

type unsunk struct{}

func (unsunk) Invalidate(...change.Change) {}
func (unsunk) InvalidateAll()              {}

// emptyTable is a table without a journal.
type emptyTable struct{}

func (emptyTable) GetItem(
	context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options),
) (*dynamodb.GetItemOutput, error) {
	return &dynamodb.GetItemOutput{}, nil
}

// rieFunction is the function: LaunchDarkly's client, which sends its events only when it is flushed.
func rieFunction(events string) {
	data := ldtestdata.DataSource()
	data.Update(data.Flag("flag").BooleanFlag())
	config := ld.Config{
		DataSource: data, Events: ldcomponents.SendEvents().FlushInterval(24 * time.Hour), DiagnosticOptOut: true,
		Logging: ldcomponents.Logging().MinLevel(ldlog.Error),
	}
	config.ServiceEndpoints.Events = events
	client, err := ld.MakeCustomClient("sdk", config, time.Minute)
	if err != nil {
		panic(err)
	}
	follower := journal.Follow("flags", unsunk{}, journal.Client(emptyTable{}), journal.Region("eu-west-1"),
		journal.FlushBudget(time.Hour), journal.FlushInterval(1), journal.Logger(slog.New(slog.DiscardHandler)))
	if err := follower.FlushEvents(context.Background(), client); err != nil {
		panic(err)
	}
	lambda.Start(journal.Wrap(follower, func(_ context.Context, user string) (bool, error) {
		return client.BoolVariation("flag", ldcontext.New(user), false)
	}))
}

// rie is a running emulator with its function.
type rie struct {
	process *exec.Cmd
	url     string
	exited  chan struct{}
}

func startRIE(t *testing.T, env ...string) *rie { return startRIEWith(t, "", env...) }

// startRIEWith starts the emulator in Linux namespaces of its own, so that all processes end with it. The folder,
// unless it is empty, is mounted as /opt.
func startRIEWith(t *testing.T, opt string, env ...string) *rie {
	programs, err := filepath.Glob(filepath.Join(emulator.Home(), "aws-lambda-rie-*"))
	require.NoError(t, err)
	require.NotEmpty(t, programs, "run make integration, which installs it")
	binary, err := os.Executable()
	require.NoError(t, err)
	address := reserveAddress(t)
	r := &rie{url: "http://" + address + "/2015-03-31/functions/function/invocations", exited: make(chan struct{})}
	command := []string{
		programs[len(programs)-1],
		"--runtime-interface-emulator-address",
		address,
		"--runtime-api-address",
		reserveAddress(t),
		binary,
	}
	if opt != "" {
		command = append(
			[]string{
				"unshare",
				"--mount",
				"--pid",
				"--fork",
				"--kill-child",
				"sh",
				"-c",
				`mount --bind "$0" /opt && exec "$@"`,
				opt,
			},
			command...)
	}
	r.process = exec.Command(command[0], command[1:]...)
	r.process.Env = append(append(os.Environ(), "AWS_LAMBDA_FUNCTION_TIMEOUT=900", "LOG_LEVEL=warn"), env...)
	r.process.Stdout, r.process.Stderr = t.Output(), t.Output()
	r.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, r.process.Start())
	go func() { _ = r.process.Wait(); close(r.exited) }()
	t.Cleanup(func() {
		_ = syscall.Kill(-r.process.Process.Pid, syscall.SIGKILL)
		<-r.exited
	})
	for connection, err := net.Dial("tcp", address); ; connection, err = net.Dial("tcp", address) {
		if err == nil {
			require.NoError(t, connection.Close())
			return r
		}
		select {
		case <-r.exited:
			t.Fatal("the emulator exited in its start")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (r *rie) invoke(t *testing.T) string {
	answer, err := http.Post(r.url, "application/json", strings.NewReader(`"ada"`))
	if !assert.NoError(t, err) {
		return ""
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	assert.NoError(t, err)
	return string(bytes.TrimSpace(body))
}

// The emulator accepts the extension and sends it each INVOKE event, and an invocation lasts until the extension asks
// for the next event. (Unlike Lambda, the emulator returns the answer only then.)
func TestRIERunsTheExtension(t *testing.T) {
	posts := make(chan struct{}, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		posts <- struct{}{}
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(server.Close)
	r := startRIE(t, rieEvents+"="+server.URL)
	for n := range 3 {
		assert.Equal(t, "true", r.invoke(t))
		assert.Len(t, posts, n+1, "the events of each invocation are sent before it ends")
	}
}
