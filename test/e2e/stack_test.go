package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/test/emulator"
)

// What every stack here has; stackName is the one with everything.
const (
	stackName       = "warmflags"
	sdkKeyParameter = "/warmflags/sdk-key"
	secretParameter = "/warmflags/webhook-secret"
	sdkKey          = "sdk-e2e"
	secret          = "a webhook's secret"
)

// world is what all tests share.
var world struct {
	gate  *gate
	cloud *emulator.Cloud
	dir   string // build/ is where sam build put the stack
}

func TestMain(m *testing.M) {
	os.Exit(func() int {
		world.gate = newGate()
		defer world.gate.server.Close()
		dir, err := os.MkdirTemp("", "warmflags-e2e-")
		if err == nil {
			defer func() { _ = os.RemoveAll(dir) }()
			world.dir = dir
			world.cloud, err = emulator.StartCloud("ministack-e2e", world.gate.server.URL)
		}
		if err == nil {
			defer world.cloud.Stop()
			err = setUp()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// setUp is what comes before the first deployment: secrets, and the build, of this machine's architecture.
func setUp() error {
	target, err := url.Parse(world.cloud.Endpoint())
	if err != nil {
		return err
	}
	world.gate.target.Store(target)
	for name, value := range map[string]string{sdkKeyParameter: sdkKey, secretParameter: secret} {
		err := boto(
			context.Background(),
			"ssm",
			"put_parameter",
			map[string]any{"Name": name, "Value": value, "Type": "SecureString"},
			nil,
		)
		if err != nil {
			return err
		}
	}
	return buildTemplate(context.Background(), filepath.Join(root(), "template.yaml"), build())
}

// buildTemplate runs sam build for this machine's architecture: with a copy of the template that differs in that one
// line. The functions are those of the checkout, whatever the template.
func buildTemplate(ctx context.Context, file, into string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text := strings.NewReplacer(
		"Architectures: [arm64]", "Architectures: ["+architecture()+"]",
		"Architectures: [!Ref Architecture]", "Architectures: ["+architecture()+"]", // of the first release
		"LicenseUrl: ", "LicenseUrl: "+root()+"/", "ReadmeUrl: ", "ReadmeUrl: "+root()+"/", // relative to the template
	).Replace(string(data))
	local := into + ".yaml"
	if err := os.WriteFile(local, []byte(text), 0o600); err != nil {
		return err
	}
	base := root()
	if strings.HasPrefix(file, filepath.Join(base, "examples")) {
		base = filepath.Dir(file)
	}
	_, err = sam(ctx, "build", "--template-file", local, "--base-dir", base, "--build-dir", into)
	return err
}

// architecture is this machine's, as Lambda calls it.
func architecture() string {
	if runtime.GOARCH == "arm64" {
		return "arm64"
	}
	return "x86_64"
}

// build is where sam build put the stack.
func build() string { return filepath.Join(world.dir, "build") }

func root() string {
	absolute, err := filepath.Abs(filepath.Join(emulator.Home(), "..", ".."))
	if err != nil {
		panic(err) // the working directory is gone
	}
	return absolute
}

// sam runs the SAM CLI in the checkout, and returns what it said.
func sam(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Minute) // on a fresh machine it compiles everything
	defer cancel()
	config := filepath.Join(world.dir, "samconfig.toml") // that of the checkout is for people
	if err := os.WriteFile(config, []byte("version = 0.1\n"), 0o600); err != nil {
		return "", err
	}
	args = append(args, "--config-file", config)
	command := exec.CommandContext(ctx, filepath.Join(root(), ".tools", "venv", "bin", "sam"), args...)
	command.Dir = root()
	command.Env = append(os.Environ(), world.cloud.Environment()...)
	command.Env = append(
		command.Env,
		"TEMPLATE="+filepath.Join(world.dir, "build.yaml"),
		"SAM_CLI_TELEMETRY=0",
		"__SAM_CLI_APP_DIR="+filepath.Join(root(), ".tools", "sam"),
	)
	said, err := command.CombinedOutput()
	if err != nil {
		return string(said), fmt.Errorf("sam %s: %w:\n%s", strings.Join(args, " "), err, said)
	}
	return string(said), nil
}

// deploy deploys the template with parameters, NAME=VALUE, and returns the stack's outputs.
func deploy(t *testing.T, stack string, parameters ...string) map[string]string {
	t.Helper()
	_, err := tryDeploy(t, stack, parameters...)
	require.NoError(t, err)
	return outputs(t, stack)
}

func tryDeploy(t *testing.T, stack string, parameters ...string) (string, error) {
	t.Helper()
	return deployBuilt(t, build(), stack, parameters...)
}

// deployBuilt deploys what sam build put into a folder.
func deployBuilt(t *testing.T, built, stack string, parameters ...string) (string, error) {
	t.Helper()
	args := append([]string{
		"deploy",
		"--template-file",
		filepath.Join(built, "template.yaml"),
		"--stack-name",
		stack,
		"--resolve-s3",
		"--capabilities",
		"CAPABILITY_IAM",
		"--no-confirm-changeset",
		"--no-progressbar",
		"--no-fail-on-empty-changeset",
	}, overrides(parameters)...)
	return sam(t.Context(), args...)
}

// overrides are the arguments for parameters, with values in quotes: SAM would end them at a blank.
func overrides(parameters []string) []string {
	if len(parameters) == 0 {
		return nil
	}
	all := make([]string, len(parameters), len(parameters)+1)
	for i, p := range parameters {
		name, value, _ := strings.Cut(p, "=")
		all[i] = fmt.Sprintf("%s=%q", name, value)
	}
	return append([]string{"--parameter-overrides"}, all...)
}

func outputs(t *testing.T, stack string) map[string]string {
	t.Helper()
	said, err := sam(t.Context(), "list", "stack-outputs", "--stack-name", stack, "--output", "json")
	require.NoError(t, err)
	var list []struct{ OutputKey, OutputValue string }
	require.NoError(t, json.Unmarshal([]byte(said[max(0, strings.Index(said, "[")):]), &list), said)
	all := map[string]string{}
	for _, o := range list {
		all[o.OutputKey] = o.OutputValue
	}
	return all
}

// boto calls AWS with Python's client, for services whose Go client nothing else here needs. Its answer goes to out, if
// any.
func boto(ctx context.Context, service, method string, in map[string]any, out any) error {
	const program = `
import boto3, json, sys
answer = getattr(boto3.client(sys.argv[1]), sys.argv[2])(**json.loads(sys.argv[3]))
print(json.dumps(answer, default=str))`
	arguments, err := json.Marshal(in)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	command := exec.CommandContext(ctx, emulator.Python(), "-c", program, service, method, string(arguments))
	command.Env = append(os.Environ(), world.cloud.Environment()...)
	var problems bytes.Buffer
	command.Stderr = &problems
	said, err := command.Output()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", service, method, err, &problems)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(said, out)
}
