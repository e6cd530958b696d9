package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/warmflags/warmflags/test/commandline"
	"github.com/warmflags/warmflags/test/emulator"
)

// commandLine runs the command's specifications against the stack. The program reaches AWS through the gate, because
// the queues and the topic refuse requests without TLS; as an HTTP proxy, the gate is also what knows the webhook's host name.
func commandLine(t *testing.T, e *environment) {
	python := filepath.Join(emulator.Home(), "venv", "bin") // has the AWS CLI
	stack := commandline.Stack{
		Root: root(),
		Env: append(world.cloud.Environment(), "AWS_ENDPOINT_URL="+world.gate.server.URL, "HTTP_PROXY="+world.gate.server.URL,
			"http_proxy="+world.gate.server.URL, "STREAM="+e.URL(), "LD_SDK_KEY="+sdkKey,
			"PATH="+python+string(os.PathListSeparator)+os.Getenv("PATH")),
		Flip:     func(key string) { e.flipKey(t, key) },
		Patience: patience,
	}
	t.Run("specifications", stack.Scripts)
}
