package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/cachedstore"
	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/dynamostore"
	"github.com/warmflags/warmflags/internal/local/launchdarkly"
	"github.com/warmflags/warmflags/subscriber"
)

// patience is how long a change may take from LaunchDarkly to every client, retries after failures included. The
// longest is the first sync: the schedule's, within a minute. A request that was lost in a killed sync would be
// redelivered after 130 s. It is long because machines pause; only a test that fails waits that long.
const patience = 5 * time.Minute

// consumer is a service in daemon mode, with a cache for an hour: only a message makes it look again.
type consumer struct {
	client *ld.LDClient
	all    atomic.Int64  // how often everything was invalidated
	heard  chan struct{} // gets something after each delivery
	change.Sink
}

// startConsumers starts services with a queue each, and waits until they can miss nothing, and have invalidated
// everything for the last time because they began: a minute and more, after which only messages bring what changes.
// What it also returns stops them, which needs the stack's policies.
func startConsumers(t *testing.T, stack map[string]string, prefix string, n int) (consumers []*consumer, stop func()) {
	t.Helper()
	config := clientConfig(t, stack)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	consumers = make([]*consumer, n)
	for i := range consumers {
		store := cachedstore.New(
			dynamostore.DataStore(stack["TableName"]).Prefix(prefix).Client(dynamodb.NewFromConfig(config)),
			cachedstore.TTL(time.Hour),
			cachedstore.Preload(),
			cachedstore.ReadLimit(patience),
		)
		client, err := ld.MakeCustomClient("sdk-key", ld.Config{
			DataStore: store, DataSource: ldcomponents.ExternalUpdatesOnly(), Events: ldcomponents.NoEvents(),
			DiagnosticOptOut: true, Logging: ldcomponents.Logging().MinLevel(ldlog.None),
		}, time.Second)
		require.NoError(t, err)
		t.Cleanup(func() { _ = client.Close() })
		c := &consumer{client: client, heard: make(chan struct{}, 1), Sink: store}
		queue := subscriber.Queue(stack["TopicArn"], c, subscriber.Prefix(prefix), subscriber.AWSConfig(config),
			subscriber.Logger(slog.New(slog.DiscardHandler)))
		running.Go(func() { assert.NoError(t, queue.Run(ctx)) })
		consumers[i] = c
	}
	for _, c := range consumers {
		c.await(t, "begin to listen", func() bool { return c.all.Load() > 1 })
	}
	return consumers, stop
}

// clientConfig is that of a program whose role has the policies that the stack hands out, and no other.
func clientConfig(t *testing.T, stack map[string]string) aws.Config {
	t.Helper()
	config := world.gate.config()
	config.Credentials = assumedRole(t, func(role string) {
		for _, policy := range []string{"ReaderPolicyArn", "SubscriberPolicyArn"} {
			require.NoError(
				t,
				boto(
					t.Context(),
					"iam",
					"attach_role_policy",
					map[string]any{"RoleName": role, "PolicyArn": stack[policy]},
					nil,
				),
			)
		}
	})
	return config
}

// assumedRole returns the credentials of a new role that has the policies that permit gives it, and no other.
func assumedRole(t *testing.T, permit func(role string)) credentials.StaticCredentialsProvider {
	t.Helper()
	name := fmt.Sprintf("client-%d", roles.Add(1))
	var made struct{ Role struct{ Arn string } }
	require.NoError(t, boto(t.Context(), "iam", "create_role", map[string]any{
		"RoleName":                 name,
		"AssumeRolePolicyDocument": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}`,
	}, &made))
	permit(name)
	var session struct {
		Credentials struct{ AccessKeyId, SecretAccessKey, SessionToken string } //nolint:revive // AWS's names
	}
	require.NoError(
		t,
		boto(
			t.Context(),
			"sts",
			"assume_role",
			map[string]any{"RoleArn": made.Role.Arn, "RoleSessionName": name},
			&session,
		),
	)
	c := session.Credentials
	return credentials.NewStaticCredentialsProvider(c.AccessKeyId, c.SecretAccessKey, c.SessionToken)
}

var roles atomic.Int64 // that were made

// Invalidate implements [change.Sink].
func (c *consumer) Invalidate(changes ...change.Change) {
	c.Sink.Invalidate(changes...)
	c.ring()
}

// InvalidateAll implements [change.Sink].
func (c *consumer) InvalidateAll() {
	c.Sink.InvalidateAll()
	c.all.Add(1)
	c.ring()
}

func (c *consumer) ring() {
	select {
	case c.heard <- struct{}{}:
	default:
	}
}

// await waits until it is so. It looks after each delivery, and now and then, as a read of the table may have failed;
// but with its TTL the cache reads again only what was invalidated.
func (c *consumer) await(t *testing.T, what string, so func() bool) {
	t.Helper()
	late := time.After(patience)
	for !so() {
		select {
		case <-c.heard:
		case <-time.After(time.Second):
		case <-late:
			require.Fail(t, "not after "+patience.String(), what)
		}
	}
}

// version is what a client evaluates: a flag's value is its version.
func (c *consumer) version(flag string) int {
	v, _ := c.client.IntVariation(flag, ldcontext.New("user"), -1)
	return v
}

// requireSeen waits until every consumer evaluates each flag as its version or a later one.
func requireSeen(t *testing.T, consumers []*consumer, versions map[string]int) {
	t.Helper()
	for i, c := range consumers {
		for flag, version := range versions {
			c.await(
				t,
				fmt.Sprintf("consumer %d sees %s at version %d", i, flag, version),
				func() bool { return c.version(flag) >= version },
			)
		}
	}
}

// environment is a LaunchDarkly whose webhook goes to a stack.
type environment struct {
	*launchdarkly.Environment
	webhook string
}

// flip flips flags, each with its webhook, and returns their versions.
func (e *environment) flip(t *testing.T, flags ...int) map[string]int {
	t.Helper()
	versions := map[string]int{}
	for _, i := range flags {
		key := launchdarkly.FlagKey(i)
		versions[key] = e.flipKey(t, key)
	}
	return versions
}

// flipKey flips a flag, with its webhook, and returns its version.
func (e *environment) flipKey(t *testing.T, key string) int {
	t.Helper()
	version := e.Flip(key)
	require.NoError(t, launchdarkly.SendWebhook(t.Context(), e.webhook, secret, key, version))
	return version
}

// webhookProxy forwards to MiniStack, which knows an HTTP API by a host name that only it resolves. It returns the URL
// that stands for the stack's WebhookUrl.
func webhookProxy(t *testing.T, webhookURL string) string {
	t.Helper()
	host, path, found := strings.Cut(strings.TrimPrefix(webhookURL, "http://"), "/")
	require.True(t, found, webhookURL)
	_, port, err := net.SplitHostPort(host)
	require.NoError(t, err)
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	}}
	t.Cleanup(transport.CloseIdleConnections)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := r.Clone(r.Context())
		out.RequestURI, out.URL.Scheme, out.URL.Host, out.Host = "", "http", host, host
		answer, err := transport.RoundTrip(out)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer func() { _ = answer.Body.Close() }()
		w.WriteHeader(answer.StatusCode)
	}))
	t.Cleanup(server.Close)
	return server.URL + "/" + path
}
