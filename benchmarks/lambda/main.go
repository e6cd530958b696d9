//go:build unix

// Command lambda measures what the journal adds to a Lambda function, in real processes that are frozen between
// invocations: with the journal and without it in turns, on the same table, over DynamoDB's protocol on loopback.
//
//	go -C benchmarks run ./lambda
//
// It prints a table in Markdown. An invocation's time is from its event's delivery to its answer. An invocation is
// late if it evaluated an old version because its poll took longer than the budget.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldbuilders"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"

	"github.com/warmflags/warmflags/benchmarks"
	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/dynamostore"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/internal/proof/runtimeapi"
	"github.com/warmflags/warmflags/journal"
)

const (
	tableName = "flags"
	region    = "eu-west-1"
	always    = "1ns"     // an interval in which each invocation polls
	never     = "100000h" // an interval in which none does
)

// latencies are the times the table takes to answer: DynamoDB takes one to several milliseconds. If answers came at
// once, the AWS SDK would lose some of them together with their connections, and retry
// (https://github.com/aws/aws-sdk-go-v2/issues/2737).
var latencies = []time.Duration{time.Millisecond, 5 * time.Millisecond}

func main() {
	invocations := flag.Int("invocations", 1000, "how many invocations of each function in each row")
	starts := flag.Int("starts", 25, "how many cold starts of each function")
	flag.Parse()
	folder, err := os.MkdirTemp("", "warmflags-lambda-")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	if err := measure(folder, *invocations, *starts); err != nil {
		_ = os.RemoveAll(folder)
		log.Fatal(err)
	}
}

func measure(folder string, invocations, starts int) error {
	bootstrap := filepath.Join(folder, "bootstrap")
	build := exec.Command(
		"go",
		"build",
		"-trimpath",
		"-tags=lambda.norpc",
		"-ldflags=-s -w",
		"-o",
		bootstrap,
		"./lambda/function",
	)
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the function: %w: %s", err, out)
	}
	fmt.Println(
		"| the table answers in | an invocation | without, p50 | with, p50 | added, p50 | added, p99 | with, late |",
	)
	fmt.Println("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
	for _, latency := range latencies {
		for _, row := range []struct {
			name, interval string
			before         func(*lab) error // each invocation
			n              int
		}{
			{"process start to first answer", journal.DefaultInterval.String(), nil, starts},
			{"no poll is due", never, nil, invocations},
			{"a poll, nothing changed", always, nil, invocations},
			{"a poll, a flag changed", always, (*lab).flip, invocations},
			{"a poll, but the table does not answer", always, (*lab).hang, invocations / 10},
			{"a poll, but the connection is refused", always, (*lab).refuse, invocations / 10},
		} {
			l, err := newLab(bootstrap, row.interval, latency)
			if err != nil {
				return err
			}
			without, with, err := l.measure(row.n, row.before, strings.HasPrefix(row.name, "process"))
			l.close()
			if err != nil {
				return fmt.Errorf("%s: %w", row.name, err)
			}
			fmt.Printf(
				"| %v | %s | %s | %s | %s | %s | %d of %d |\n",
				latency,
				row.name,
				ms(p(without, 50)),
				ms(p(with, 50)),
				ms(p(with, 50)-p(without, 50)),
				ms(p(with, 99)-p(without, 99)),
				l.late,
				row.n,
			)
		}
	}
	return nil
}

// lab is a table and the two functions.
type lab struct {
	cloud         *localaws.Cloud
	server        *httptest.Server
	store         *dynamostore.Store
	writer        *journal.Writer
	without, with *runtimeapi.Function
	version       int // version of the flag that changes
	late          int // invocations with the journal that evaluated an older version
}

func newLab(bootstrap, interval string, latency time.Duration) (*lab, error) {
	l := &lab{cloud: localaws.New()}
	l.cloud.CreateFlagTable(tableName)
	l.writer = &journal.Writer{Client: l.cloud.DynamoDB, Table: tableName, Region: region}
	l.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(latency)
		l.cloud.DynamoDB.ServeHTTP(w, r)
	}))
	var err error
	if l.store, err = dynamostore.DataStore(tableName).Client(l.cloud.DynamoDB).Open(context.Background()); err != nil {
		return nil, err
	}
	features := ldstoretypes.SerializedCollection{Kind: ldstoreimpl.Features()}
	for i := range benchmarks.FlagCount {
		features.Items = append(
			features.Items,
			ldstoretypes.KeyedSerializedItemDescriptor{Key: benchmarks.FlagKey(i), Item: item(i, 1)},
		)
	}
	if err := l.store.Init([]ldstoretypes.SerializedCollection{features}); err != nil {
		return nil, err
	}
	if err := l.flip(); err != nil { // creates the journal
		return nil, err
	}
	environment := []string{
		"TABLE_NAME=" + tableName,
		"AWS_ENDPOINT_URL_DYNAMODB=" + l.server.URL,
		"AWS_EC2_METADATA_DISABLED=true",
		"PATH=" + os.Getenv("PATH"),
	}
	config := runtimeapi.Config{Bootstrap: bootstrap, Env: environment, Timeout: time.Minute}
	l.without = runtimeapi.New(config)
	config.Env = append(slices.Clone(environment), "INTERVAL="+interval)
	l.with = runtimeapi.New(config)
	return l, nil
}

func (l *lab) close() {
	l.without.Close()
	l.with.Close()
	l.server.CloseClientConnections()
	l.server.Close()
	l.cloud.Close()
}

// item is a flag whose value is its version.
func item(flag, version int) ldstoretypes.SerializedItemDescriptor {
	f := ldbuilders.NewFlagBuilder(
		benchmarks.FlagKey(flag),
	).Version(
		version,
	).OffVariation(
		0,
	).Variations(
		ldvalue.Int(version),
	).Build()
	return ldstoretypes.SerializedItemDescriptor{
		Version:        version,
		SerializedItem: ldstoreimpl.Features().Serialize(ldstoretypes.ItemDescriptor{Version: version, Item: &f}),
	}
}

// flip changes a flag and appends the change to the journal.
func (l *lab) flip() error {
	l.version++
	if _, err := l.store.Upsert(ldstoreimpl.Features(), benchmarks.FlagKey(0), item(0, l.version)); err != nil {
		return err
	}
	return l.writer.Append(context.Background(), []change.Message{{Changes: []change.Change{
		{Kind: change.KindFeatures, Key: benchmarks.FlagKey(0), Version: l.version, Time: time.Now()},
	}}})
}

// hang makes the table never answer again.
func (l *lab) hang() error {
	l.cloud.Intercept(func(ctx context.Context, _ string, _ any) error {
		<-ctx.Done()
		return ctx.Err()
	})
	return nil
}

// refuse closes the table's port.
func (l *lab) refuse() error {
	_ = l.server.Listener.Close() // the second call finds it closed
	l.server.CloseClientConnections()
	return nil
}

// measure invokes both functions n times, in turns.
func (l *lab) measure(n int, before func(*lab) error, cold bool) (without, with []time.Duration, err error) {
	for i := range n + 1 {
		if i > 0 && before != nil {
			if err := before(l); err != nil {
				return nil, nil, err
			}
		}
		a, errA := l.invoke(l.without, cold)
		b, errB := l.invoke(l.with, cold)
		if err := errors.Join(errA, errB); err != nil {
			return nil, nil, err
		}
		if i > 0 { // the first one warmed up
			without, with = append(without, a), append(with, b)
		}
	}
	return without, with, nil
}

// invoke returns how long an invocation took; for a cold start, the time since the start of the process.
func (l *lab) invoke(f *runtimeapi.Function, cold bool) (time.Duration, error) {
	if cold {
		f.Recycle(context.Background())
	}
	result, err := f.Invoke(context.Background(), []byte(`{}`))
	if err != nil {
		return 0, err
	}
	version, err := strconv.Atoi(strings.TrimSpace(string(result.Payload)))
	if err != nil {
		return 0, fmt.Errorf("read the function's answer: %w", err)
	}
	if f == l.with && version < l.version {
		l.late++
	}
	return result.Init + result.Took, nil
}

// p returns the n-th percentile.
func p(times []time.Duration, n int) time.Duration {
	slices.Sort(times)
	return times[min(len(times)-1, len(times)*n/100)]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d)/1e6) }
