package emulator

import (
	"path/filepath"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// rootCredentials are those that MiniStack takes for the account's root.
var rootCredentials = credentials.NewStaticCredentialsProvider("test", "test", "")

// Cloud is a MiniStack with all services, in which whole stacks can be deployed. It checks signatures and IAM policies.
type Cloud struct{ process *process }

// StartCloud starts a MiniStack for itself. Its functions call AWS at endpoint, a URL; the caller stops it.
func StartCloud(name, endpoint string) (*Cloud, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	program := filepath.Join(Home(), "..", "..", "test", "emulator", "mended.py")
	p, err := start(command{
		name: name,
		file: program,
		env: []string{
			"BIND_HOST=127.0.0.1", "MINISTACK_HOST=127.0.0.1", "GATEWAY_PORT=" + strconv.Itoa(port),
			"IOT_MTLS_ENABLED=0", "SFTP_ENABLED=0", // these would listen too
			"AUTH=true", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", // the account's root
			"AWS_ENDPOINT_URL=" + endpoint,
		},
		args: []string{Python(), program},
		path: "/_ministack/health",
	}, port)
	if err != nil {
		return nil, err
	}
	return &Cloud{p}, nil
}

// Endpoint is the cloud's URL.
func (c *Cloud) Endpoint() string { return c.process.endpoint }

// Config is what clients of the account's root are made from. They retry as the AWS SDK does by default.
func (c *Cloud) Config() aws.Config {
	all := config(c.process)
	all.Credentials = rootCredentials
	all.Retryer = nil
	return all
}

// Environment has programs, such as the SAM CLI, call the cloud as the account's root.
func (c *Cloud) Environment() []string {
	return []string{
		"AWS_ENDPOINT_URL=" + c.Endpoint(), "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test",
		"AWS_REGION=" + Region, "AWS_DEFAULT_REGION=" + Region,
	}
}

// Stop kills the cloud, and waits for its end.
func (c *Cloud) Stop() { c.process.stop() }
