package benchmarks_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/benchmarks"
)

// BenchmarkColdStart is the median from process start to the first evaluated flag, over DynamoDB's protocol on the loopback
// interface, without TLS. It also reports the binary's size, and what its packages' init functions take.
func BenchmarkColdStart(b *testing.B) {
	server := httptest.NewServer(serve(benchmarks.NewTable(0)))
	defer server.Close()
	environment := append(os.Environ(),
		"AWS_LAMBDA_FUNCTION_NAME=function", "AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=key", "AWS_SECRET_ACCESS_KEY=secret",
		"AWS_ENDPOINT_URL_DYNAMODB="+server.URL, "AWS_EC2_METADATA_DISABLED=true")
	folder := b.TempDir()
	build := exec.Command("go", "build", "-trimpath", "-tags=lambda.norpc", "-ldflags=-s -w", "-o", folder+"/", "./coldstart/...")
	out, err := build.CombinedOutput()
	require.NoError(b, err, string(out))
	for _, program := range []string{"nothing get", "launchdarkly get", "warmflags get", "launchdarkly preload",
		"warmflags preload", "launchdarkly client", "warmflags client"} {
		name, mode, _ := strings.Cut(program, " ")
		binary := filepath.Join(folder, name)
		b.Run(mode+"/"+name, func(b *testing.B) {
			var times []time.Duration
			for b.Loop() {
				took, _ := run(b, environment, binary, mode)
				times = append(times, took)
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2].Nanoseconds()), "ns/op") // the median
			info, err := os.Stat(binary)
			require.NoError(b, err)
			b.ReportMetric(float64(info.Size()), "B/binary")
			_, trace := run(b, append(environment, "GODEBUG=inittrace=1"), binary, mode)
			b.ReportMetric(float64(initTime(b, trace).Nanoseconds()), "init-ns")
		})
	}
}

// run starts a program, and returns when it has said ok.
func run(b *testing.B, environment []string, binary, mode string) (took time.Duration, trace string) {
	var errors strings.Builder
	command := exec.Command(binary, mode)
	command.Env, command.Stderr = environment, &errors
	stdout, err := command.StdoutPipe()
	require.NoError(b, err)
	began := time.Now()
	require.NoError(b, command.Start())
	said, err := bufio.NewReader(stdout).ReadString('\n')
	took = time.Since(began)
	require.NoError(b, err)
	require.Equal(b, "ok\n", said)
	require.NoError(b, command.Wait())
	return took, errors.String()
}

var initLine = regexp.MustCompile(`(?m)^init (\S+) @\S+ ms, (\S+) ms clock, (\d+) bytes`)

// initTime adds up what GODEBUG=inittrace=1 says.
func initTime(b *testing.B, trace string) time.Duration {
	var total float64
	for _, m := range initLine.FindAllStringSubmatch(trace, -1) {
		ms, err := strconv.ParseFloat(m[2], 64)
		require.NoError(b, err)
		total += ms
	}
	return time.Duration(total * float64(time.Millisecond))
}

// serve speaks as much of DynamoDB's protocol as a reader needs.
func serve(table *benchmarks.Table) http.Handler {
	type attribute = map[string]string
	row := func(kind ldstoretypes.DataKind, key string, item ldstoretypes.SerializedItemDescriptor) map[string]attribute {
		return map[string]attribute{
			"namespace": {"S": kind.GetName()}, "key": {"S": key},
			"version": {"N": strconv.Itoa(item.Version)}, "item": {"S": string(item.SerializedItem)},
		}
	}
	answers := map[string]map[string]any{} // to a Query of each namespace
	for _, kind := range ldstoreimpl.AllKinds() {
		found, _ := table.GetAll(kind)
		rows := make([]any, len(found))
		for i, item := range found {
			rows[i] = row(kind, item.Key, item.Item)
		}
		answers[kind.GetName()] = map[string]any{"Items": rows, "Count": len(rows), "ScannedCount": len(rows)}
	}
	encoded := map[string][]byte{}
	for namespace, answer := range answers {
		encoded[namespace], _ = json.Marshal(answer)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var input struct {
			Key                       map[string]attribute
			ExpressionAttributeValues map[string]attribute
			KeyConditions             map[string]struct{ AttributeValueList []attribute }
		}
		if err := json.NewDecoder(r.Body).Decode(&input); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".GetItem") {
			for _, kind := range ldstoreimpl.AllKinds() {
				if key := input.Key["key"]["S"]; kind.GetName() == input.Key["namespace"]["S"] {
					item, _ := table.Get(kind, key)
					_ = json.NewEncoder(w).Encode(map[string]any{"Item": row(kind, key, item)})
				}
			}
			return
		}
		for _, value := range input.ExpressionAttributeValues {
			_, _ = w.Write(encoded[value["S"]])
		}
	})
}
