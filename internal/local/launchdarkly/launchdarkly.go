// Package launchdarkly simulates LaunchDarkly for demonstrations and tests. It has an environment of flags and
// segments made with LaunchDarkly's own builders, serves LaunchDarkly's streaming protocol on a real port with the
// SDK's test service, and sends webhooks that are signed like LaunchDarkly's.
//
// Each flag's value is its version, so an evaluation shows which version the client has.
package launchdarkly

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"

	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldbuilders"
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldmodel"
	"github.com/launchdarkly/go-server-sdk/v7/testhelpers/ldservices"
	"github.com/launchdarkly/go-test-helpers/v3/httphelpers"
)

// Environment is one LaunchDarkly environment and the service that streams it. Safe for concurrent use.
type Environment struct {
	sdkKey string
	server *httptest.Server

	mu       sync.Mutex // guards the fields below, and the order of a stream's first payload and its patches
	flags    map[string]int
	segments map[string]ldmodel.Segment
	streams  map[httphelpers.SSEStreamControl]struct{}
	served   int
}

// SegmentKey is the key of the i-th segment.
func SegmentKey(i int) string { return fmt.Sprintf("segment-%d", i) }

// FlagKey is the key of the i-th flag.
func FlagKey(i int) string { return flagPrefix + strconv.Itoa(i) }

const flagPrefix = "flag-"

// FlagIndex is the reverse of [FlagKey]; false for other keys.
func FlagIndex(key string) (int, bool) {
	digits, ok := strings.CutPrefix(key, flagPrefix)
	i, err := strconv.Atoi(digits)
	return i, ok && err == nil
}

// Start serves an environment with flags and segments, all at version 1, on a free loopback port.
func Start(sdkKey string, flags, segments int) *Environment {
	e := &Environment{
		sdkKey: sdkKey, flags: map[string]int{}, segments: map[string]ldmodel.Segment{},
		streams: map[httphelpers.SSEStreamControl]struct{}{},
	}
	for i := range flags {
		e.flags[FlagKey(i)] = 1
	}
	for i := range segments {
		key := SegmentKey(i)
		e.segments[key] = ldbuilders.NewSegmentBuilder(key).Version(1).Included("user-" + strconv.Itoa(i)).Build()
	}
	e.server = httptest.NewServer(http.HandlerFunc(e.stream))
	return e
}

// URL is where the SDK finds the streaming service.
func (e *Environment) URL() string { return e.server.URL }

// Streams is how many streams were opened so far.
func (e *Environment) Streams() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.served
}

// Close ends all streams and the service.
func (e *Environment) Close() {
	e.server.CloseClientConnections() // not the streams' own Close: it panics when it meets a client that leaves
	e.server.Close()
}

// Flip raises a flag's version by one, sends the patch to the open streams and returns the new version.
func (e *Environment) Flip(key string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.flags[key]++
	version := e.flags[key]
	patch, err := json.Marshal(map[string]any{"path": "/flags/" + key, "data": e.flag(key, version)})
	if err != nil {
		panic(fmt.Sprintf("marshal patch of %q: %v", key, err)) // the builders' own types always marshal
	}
	for s := range e.streams {
		s.Enqueue(httphelpers.SSEEvent{Event: "patch", Data: string(patch)})
	}
	return version
}

// flag builds a flag whose variation is its version, whether a segment's rule decides or the fallthrough.
func (e *Environment) flag(key string, version int) ldmodel.FeatureFlag {
	b := ldbuilders.NewFlagBuilder(key).Version(version).On(true).
		Variations(ldvalue.Int(version), ldvalue.Int(version)).
		OffVariation(0).FallthroughVariation(0)
	if n := len(e.segments); n > 0 {
		segment := SegmentKey(len(key) % n)
		b.AddRule(ldbuilders.NewRuleBuilder().ID("in-segment").Variation(1).
			Clauses(ldbuilders.SegmentMatchClause(segment)))
	}
	return b.Build()
}

// stream serves one connection: the whole environment as it is now, then each patch.
func (e *Environment) stream(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != e.sdkKey {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	e.mu.Lock()
	data := ldservices.NewServerSDKData()
	for key, version := range e.flags {
		data.FlagsMap[key] = e.flag(key, version)
	}
	for key, segment := range e.segments {
		data.SegmentsMap[key] = segment
	}
	handler, control := ldservices.ServerSideStreamingServiceHandler(data.ToPutEvent())
	e.streams[control] = struct{}{}
	e.served++
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		delete(e.streams, control)
		e.mu.Unlock()
	}()
	handler.ServeHTTP(w, r)
}

// SendWebhook posts a change's notice to url, signed with secret as LaunchDarkly does
// (https://launchdarkly.com/docs/home/infrastructure/webhooks), and expects a 2xx answer.
func SendWebhook(ctx context.Context, url, secret, key string, version int) error {
	body, err := json.Marshal(map[string]any{
		"kind": "flag", "name": key, "titleVerb": "updated the flag", "version": version,
	})
	if err != nil {
		return fmt.Errorf("marshal webhook: %w", err)
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make webhook: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-LD-Signature", hex.EncodeToString(mac.Sum(nil)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("send webhook: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("send webhook: answer %s", resp.Status)
	}
	return nil
}
