//go:build linux

// Agent measures the agent as a process: its binary, its start, its memory, and its evaluations over loopback. The
// table is the embedded engine, which answers at once. Over a network, the start also takes the time of DynamoDB's
// answers.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/dynamostore"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/journal"
)

const (
	table  = "flags"
	region = "eu-west-1"
	starts = 11
	warmup = 500
	counts = 10_000
	body   = `{"context":{"targetingKey":"user-1","plan":"gold"}}`
)

func main() {
	log.SetFlags(0)
	folder, err := os.MkdirTemp("", "agent")
	if err == nil {
		err = errors.Join(measure(folder), os.RemoveAll(folder))
	}
	if err != nil {
		log.Fatal("error: ", err)
	}
}

func measure(folder string) error {
	binary := filepath.Join(folder, "warmflags-agent")
	build := exec.Command(
		"go",
		"build",
		"-trimpath",
		"-tags=lambda.norpc",
		"-ldflags=-s -w",
		"-o",
		binary,
		"github.com/warmflags/warmflags/cmd/warmflags-agent",
	)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build agent: %w: %s", err, output)
	}
	info, err := os.Stat(binary)
	if err != nil {
		return err
	}
	fmt.Printf("agent: binary %.1f MB\n", float64(info.Size())/1e6)
	for _, flags := range []int{500, 5000} {
		if err := measureWith(binary, flags); err != nil {
			return fmt.Errorf("measure with %d flags: %w", flags, err)
		}
	}
	return nil
}

// measureWith measures the agent on a table with this many flags of about 1 KB each.
func measureWith(binary string, flags int) error {
	cloud := localaws.New()
	defer cloud.Close()
	if err := fill(cloud, flags); err != nil {
		return err
	}
	server := httptest.NewServer(cloud.DynamoDB)
	defer server.Close()
	usual, err := medianStart(binary, server.URL)
	if err != nil {
		return err
	}
	p, _, err := start(binary, server.URL)
	if err != nil {
		return err
	}
	defer func() { _ = p.stop() }()
	before, err := p.memory()
	if err != nil {
		return err
	}
	for range 10 { // all flags in memory
		if _, err := p.post("/ofrep/v1/evaluate/flags"); err != nil {
			return err
		}
	}
	after, err := p.memory()
	if err != nil {
		return err
	}
	took := make([]time.Duration, 0, counts)
	for i := range warmup + counts {
		began := time.Now()
		if _, err := p.post(fmt.Sprintf("/ofrep/v1/evaluate/flags/flag-%d", i%flags)); err != nil {
			return err
		}
		if i >= warmup {
			took = append(took, time.Since(began))
		}
	}
	slices.Sort(took)
	fmt.Printf(
		"agent, %d flags: start until ready %.1f ms (median of %d), "+
			"memory %.0f MB at the start and %.0f MB with all flags, evaluation p50 %.3f ms, p99 %.3f ms\n",
		flags,
		ms(usual),
		starts,
		before,
		after,
		ms(took[counts/2]),
		ms(took[counts*99/100]),
	)
	return nil
}

// medianStart starts the agent several times and returns the median of the times until it is ready.
func medianStart(binary, endpoint string) (time.Duration, error) {
	var times []time.Duration
	for range starts {
		p, took, err := start(binary, endpoint)
		if err != nil {
			return 0, err
		}
		times = append(times, took)
		if err := p.stop(); err != nil {
			return 0, err
		}
	}
	slices.Sort(times)
	return times[starts/2], nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// fill writes flags of about 1 KB each, and a journal.
func fill(cloud *localaws.Cloud, flags int) error {
	cloud.CreateFlagTable(table)
	store, err := dynamostore.DataStore(table).Client(cloud.DynamoDB).Open(context.Background())
	if err != nil {
		return err
	}
	items := make([]st.KeyedSerializedItemDescriptor, flags)
	for i := range items {
		key := fmt.Sprintf("flag-%d", i)
		items[i] = st.KeyedSerializedItemDescriptor{
			Key: key,
			Item: st.SerializedItemDescriptor{Version: 1, SerializedItem: fmt.Appendf(nil,
				`{"key":%q,"version":1,"salt":"s","on":true,"variations":[true,false],"fallthrough":{"variation":1},`+
					`"rules":[{"id":"r","variation":0,"clauses":[{"attribute":"plan","op":"in","values":["gold"]},`+
					`{"attribute":"email","op":"in","negate":true,"values":[%q]}]}]}`,
				key, strings.Repeat("x", 700))},
		}
	}
	if err := store.Init([]st.SerializedCollection{{Kind: ldstoreimpl.Features(), Items: items}}); err != nil {
		return err
	}
	writer := &journal.Writer{Client: cloud.DynamoDB, Table: table, Region: region}
	return writer.Append(context.Background(), []change.Message{{}})
}

// process is a running agent that is ready.
type process struct {
	command *exec.Cmd
	url     string
}

// start starts the agent, and returns how long it took until it was ready.
func start(binary, endpoint string) (*process, time.Duration, error) {
	var stderr bytes.Buffer
	command := exec.Command(binary)
	command.Stderr = &stderr
	stdout, err := command.StdoutPipe()
	if err != nil {
		return nil, 0, err
	}
	command.Env = []string{
		"TABLE_NAME=" + table,
		"WARMFLAGS_ADDRESS=127.0.0.1:0",
		"AWS_REGION=" + region,
		"AWS_ENDPOINT_URL_DYNAMODB=" + endpoint,
		"AWS_ACCESS_KEY_ID=key",
		"AWS_SECRET_ACCESS_KEY=secret",
	}
	began := time.Now()
	if err := command.Start(); err != nil {
		return nil, 0, err
	}
	var listening struct{ Address string } // the first line of its log
	if err := json.NewDecoder(stdout).Decode(&listening); err != nil {
		return nil, 0, errors.Join(fmt.Errorf("read the agent's address: %w", err), command.Wait(),
			errors.New(stderr.String()))
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }() // ends when the agent does
	p := &process{command: command, url: "http://" + listening.Address}
	for {
		response, err := http.Get(p.url + "/status")
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return p, time.Since(began), nil
			}
		}
		if time.Since(began) > time.Minute {
			return nil, 0, errors.Join(errors.New("the agent is not ready"), p.stop(), errors.New(stderr.String()))
		}
		time.Sleep(200 * time.Microsecond)
	}
}

func (p *process) stop() error {
	return errors.Join(p.command.Process.Signal(os.Interrupt), p.command.Wait())
}

// memory returns the resident memory in MB (of a million bytes).
func (p *process) memory() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	var kib float64
	_, err = fmt.Sscan(rest, &kib)
	return kib * 1024 / 1e6, err
}

// post requests an evaluation and returns the size of the answer.
func (p *process) post(path string) (int64, error) {
	response, err := http.Post(p.url+path, "application/json", strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("evaluate %q: status %d", path, response.StatusCode)
	}
	return io.Copy(io.Discard, response.Body)
}
