package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/dynamostore"
	"github.com/warmflags/warmflags/internal/local/launchdarkly"
	"github.com/warmflags/warmflags/test/commandline"
	"github.com/warmflags/warmflags/test/emulator"
)

// commandLine runs docs/operating.md, its policy and the command's specifications against a new stack. The programs
// reach AWS through the gate, because the queues and the topic refuse requests without TLS; as an HTTP proxy, the gate
// is also what knows the webhook's host name.
func commandLine(t *testing.T, e *environment) {
	python := filepath.Join(emulator.Home(), "venv", "bin") // has the AWS CLI
	stack := commandline.Stack{
		Root: root(),
		Env: append(
			world.cloud.Environment(),
			"AWS_ENDPOINT_URL="+world.gate.server.URL,
			"HTTP_PROXY="+world.gate.server.URL,
			"http_proxy="+world.gate.server.URL,
			"STREAM="+e.URL(),
			"LD_SDK_KEY="+sdkKey,
			"WARMFLAGS_STACK="+stackName,
			"PATH="+python+string(os.PathListSeparator)+os.Getenv("PATH"),
		),
		Flip:     func(key string) { e.flipKey(t, key) },
		Patience: patience,
	}
	t.Run("operating.md", func(t *testing.T) { stack.Page(t, "operating.md") })
	t.Run("the policy of operating.md", func(t *testing.T) { policyIsEnough(t, stack.Env) })
	t.Run("specifications", stack.Scripts)
}

// policyIsEnough runs the commands that only read with the policy that docs/operating.md shows, and no other.
func policyIsEnough(t *testing.T, env []string) {
	page, err := os.ReadFile(filepath.Join(root(), "docs", "operating.md"))
	require.NoError(t, err)
	_, text, found := strings.Cut(string(page), "```json\n")
	require.True(t, found)
	policy, _, _ := strings.Cut(text, "```")
	program := filepath.Join(commandline.Build(t, root()), "warmflags")
	run := func(policy string, args ...string) (string, error) {
		c := assumedRole(t, func(role string) {
			require.NoError(t, boto(t.Context(), "iam", "put_role_policy", map[string]any{
				"RoleName": role, "PolicyName": "operating", "PolicyDocument": policy,
			}, nil))
		}).Value
		command := exec.CommandContext(t.Context(), program, args...)
		command.Env = append(
			slices.Clone(env),
			"AWS_ACCESS_KEY_ID="+c.AccessKeyID,
			"AWS_SECRET_ACCESS_KEY="+c.SecretAccessKey,
			"AWS_SESSION_TOKEN="+c.SessionToken,
		)
		out, err := command.CombinedOutput()
		return string(out), err
	}
	for _, args := range [][]string{{"status"}, {"doctor"}, {"get", "flag-7"}, {"sync", "--dry-run"}} {
		printed, err := run(policy, args...)
		require.NoError(t, err, printed)
		assert.NotContains(t, printed, "AccessDenied", args)
	}
	printed, err := run(strings.Replace(policy, "lambda:ListEventSourceMappings", "lambda:ListFunctions", 1), "doctor")
	require.Error(t, err)
	assert.Contains(t, printed, "AccessDenied")
}

// filled waits until the schedule has filled the table: nothing else has requested a sync.
func filled(t *testing.T, table string) {
	store, err := dynamostore.DataStore(table).Client(dynamodb.NewFromConfig(world.gate.config())).Open(t.Context())
	require.NoError(t, err)
	for late := time.After(patience); ; {
		flag, err := store.Get(ldstoreimpl.Features(), launchdarkly.FlagKey(49))
		require.NoError(t, err)
		if flag.Version == 1 {
			return
		}
		select {
		case <-late:
			require.Fail(t, "the table is empty")
		case <-time.After(time.Second):
		}
	}
}
