package emulator

import (
	"path/filepath"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// rootCredentials are the credentials of the account's root in MiniStack.
var rootCredentials = credentials.NewStaticCredentialsProvider("test", "test", "")

// Cloud is a MiniStack with all services, for deployments of whole stacks. It checks signatures and IAM policies.
type Cloud struct{ process *process }

// StartCloud starts a MiniStack of its own. Its functions call AWS at the URL endpoint. The caller must stop it.
func StartCloud(name, endpoint string) (*Cloud, error) {
	port, err := ReservePort()
	if err != nil {
		return nil, err
	}
	program := filepath.Join(Home(), "..", "..", "test", "emulator", "corrected.py")
	p, err := start(command{
		name: name,
		file: program,
		env: []string{
			"BIND_HOST=127.0.0.1",
			"MINISTACK_HOST=127.0.0.1",
			"GATEWAY_PORT=" + strconv.Itoa(port),
			"IOT_MTLS_ENABLED=0",
			"SFTP_ENABLED=0", // these would listen on ports too
			"AUTH=true",
			"AWS_ACCESS_KEY_ID=test",
			"AWS_SECRET_ACCESS_KEY=test", // the credentials of the account's root
			"AWS_ENDPOINT_URL=" + endpoint,
			"AWS_LAMBDA_LOG_FORMAT=JSON", // as the template wants it, which MiniStack does not pass on
		},
		args: []string{Python(), program},
		path: "/_ministack/health",
	}, port)
	if err != nil {
		return nil, err
	}
	return &Cloud{p}, nil
}

// Endpoint returns the URL of the cloud.
func (c *Cloud) Endpoint() string { return c.process.endpoint }

// Config returns the AWS configuration of the account's root. Clients retry as the AWS SDK does by default.
func (c *Cloud) Config() aws.Config {
	all := config(c.process)
	all.Credentials = rootCredentials
	all.Retryer = nil
	return all
}

// Environment returns the variables with which programs, such as the SAM CLI, call the cloud as the account's root.
func (c *Cloud) Environment() []string {
	return []string{
		"AWS_ENDPOINT_URL=" + c.Endpoint(), "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test",
		"AWS_REGION=" + Region, "AWS_DEFAULT_REGION=" + Region,
	}
}

// Stop kills the cloud and waits until it has ended.
func (c *Cloud) Stop() { c.process.stop() }
