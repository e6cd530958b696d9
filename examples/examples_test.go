//go:build unix

// Package examples_test builds each example as it is deployed, and runs it as a process of its own over an embedded
// DynamoDB. The example queue needs SNS and SQS too: ../test runs it.
package examples_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/dynamostore"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/internal/proof/runtimeapi"
	"github.com/warmflags/warmflags/journal"
)

// patience is how long a busy machine may take for one step.
const patience = 2 * time.Minute

var folder string // where the examples were built

func TestMain(m *testing.M) {
	var err error
	if folder, err = os.MkdirTemp("", "warmflags-examples-"); err != nil {
		panic(err)
	}
	build := exec.Command(
		"go",
		"build",
		"-tags=lambda.norpc",
		"-o",
		folder+"/",
		"./lambda",
		"./service",
		"./queue",
		"./openfeature",
	)
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Println(string(out))
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(folder)
	os.Exit(code)
}

// table is a flag table behind DynamoDB's protocol. It holds new-checkout, which is off, for the prefix shop.
type table struct {
	t       *testing.T
	url     string
	store   *dynamostore.Store
	writer  *journal.Writer
	version int
}

func newTable(t *testing.T) *table {
	cloud := localaws.New()
	cloud.CreateFlagTable("flags")
	server := httptest.NewServer(cloud.DynamoDB)
	t.Cleanup(server.Close)
	store, err := dynamostore.DataStore("flags").Prefix("shop").Client(cloud.DynamoDB).Open(t.Context())
	require.NoError(t, err)
	b := &table{
		t:      t,
		url:    server.URL,
		store:  store,
		writer: &journal.Writer{Client: cloud.DynamoDB, Table: "flags", Region: "eu-west-1"},
	}
	require.NoError(t, store.Init(nil))
	b.flip(false)
	return b
}

func (b *table) flip(on bool) {
	b.version++
	_, err := b.store.Upsert(
		ldstoreimpl.Features(),
		"new-checkout",
		st.SerializedItemDescriptor{Version: b.version, SerializedItem: fmt.Appendf(
			nil,
			`{"key":"new-checkout","version":%d,"on":%t,"offVariation":1,"fallthrough":{"variation":0},`+
				`"variations":[true,false],"salt":"s"}`,
			b.version,
			on,
		)},
	)
	require.NoError(b.t, err)
	require.NoError(b.t, b.writer.Append(b.t.Context(), []change.Message{{
		Prefix: "shop", Changes: []change.Change{{Kind: change.KindFeatures, Key: "new-checkout", Version: b.version}},
	}}))
}

// environment returns an example's environment variables.
func (b *table) environment(more ...string) []string {
	return append([]string{
		"TABLE_NAME=flags", "PREFIX=shop", "AWS_ENDPOINT_URL=" + b.url,
		"AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local",
	}, more...)
}

// function runs an example as Lambda does.
func (b *table) function(example string, output io.Writer, more ...string) *runtimeapi.Function {
	f := runtimeapi.New(runtimeapi.Config{
		Bootstrap: filepath.Join(
			folder,
			example,
		),
		Env:       b.environment(more...),
		Timeout:   patience,
		InitLimit: patience,
		Output:    output,
	})
	b.t.Cleanup(f.Close)
	return f
}

func invoke(t *testing.T, f *runtimeapi.Function) string {
	t.Helper()
	r, err := f.Invoke(t.Context(), []byte(`"ada"`))
	require.NoError(t, err)
	return string(r.Payload)
}

// await calls get until it returns want.
func await(t *testing.T, want string, get func() string) {
	t.Helper()
	var got string
	for late := time.After(patience); ; {
		if got = get(); got == want {
			return
		}
		select {
		case <-late:
			require.Equal(t, want, got)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestLambdaFunctions(t *testing.T) {
	for _, example := range []string{"lambda", "openfeature"} {
		t.Run(example, func(t *testing.T) {
			b := newTable(t)
			f := b.function(example, t.Output())
			require.JSONEq(t, `"the checkout that you know"`, invoke(t, f))
			b.flip(true)
			await(t, `"the new checkout"`, func() string { return invoke(t, f) })
			assert.Equal(t, 1, f.Started(), "in the same container")
		})
	}
}

func TestService(t *testing.T) {
	b := newTable(t)
	command := exec.Command(filepath.Join(folder, "service"))
	command.Env = b.environment("ADDRESS=127.0.0.1:0")
	log, err := command.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	var url string
	ended := make(chan struct{})
	lines := bufio.NewScanner(log)
	for url == "" && lines.Scan() {
		if _, address, ok := strings.Cut(lines.Text(), "listening on "); ok {
			url = "http://" + address + "/?user=ada"
		}
	}
	require.NotEmpty(t, url)
	go func() {
		defer close(ended)
		_, _ = io.Copy(t.Output(), log)
	}()
	get := func() string {
		response, err := http.Get(url)
		require.NoError(t, err)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return string(body)
	}
	require.Equal(t, "false\n", get())
	b.flip(true)
	await(t, "true\n", get)
	require.NoError(t, command.Process.Signal(syscall.SIGTERM))
	<-ended
	require.NoError(t, command.Wait())
}

// Open fails if the table has no flags for the prefix.
func TestAWrongPrefixEndsTheStart(t *testing.T) {
	var output bytes.Buffer
	f := newTable(t).function("lambda", &output, "PREFIX=production")
	_, err := f.Invoke(t.Context(), []byte(`"ada"`))
	require.Error(t, err)
	f.Close()
	assert.Contains(t, output.String(), `table "flags" holds no flags for prefix "production". hint: `)
}

// Every request to LaunchDarkly goes through a proxy, which never answers.
func TestOnlyEventsAreSentToLaunchDarkly(t *testing.T) {
	var requests atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		<-r.Context().Done()
	}))
	defer proxy.Close()
	f := newTable(t).function("lambda", t.Output(), "LD_SDK_KEY=sdk", "HTTPS_PROXY="+proxy.URL)
	invoke(t, f)
	f.Close()
	assert.LessOrEqual(t, requests.Load(), int64(1), "the invocation's events")
}

func TestExamplesAreShort(t *testing.T) {
	programs, err := filepath.Glob("*/main.go")
	require.NoError(t, err)
	require.Len(t, programs, 4)
	for _, program := range programs {
		text, err := os.ReadFile(program)
		require.NoError(t, err)
		assert.Less(t, bytes.Count(text, []byte("\n")), 60, program)
	}
}
