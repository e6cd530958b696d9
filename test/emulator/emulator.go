package emulator

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

// Settings of every client. DynamoDB Local has a database for each access key and region; the emulators check neither.
const (
	Region    = "us-east-1"
	AccessKey = "integration"
	SecretKey = "integration"
)

// running holds the processes that Main started. It never changes while tests run.
var running struct{ dynamoDB, miniStack *process }

// Home returns the path of .tools/integration, which has the emulators and their logs.
func Home() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", ".tools", "integration")
}

// Python returns the path of the interpreter that has test/requirements.txt installed.
func Python() string { return filepath.Join(Home(), "venv", "bin", "python") }

// Main starts both emulators, runs the tests, stops the emulators and returns the program's status.
func Main(m *testing.M) (status int) {
	defer func() {
		for _, p := range []*process{running.dynamoDB, running.miniStack} {
			if p != nil {
				p.stop()
			}
		}
	}()
	if err := startBoth(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func startBoth() error {
	var starting sync.WaitGroup
	var errDynamoDB, errMiniStack error
	starting.Go(func() { running.dynamoDB, errDynamoDB = startDynamoDB() })
	starting.Go(func() { running.miniStack, errMiniStack = startMiniStack() })
	starting.Wait()
	return errors.Join(errDynamoDB, errMiniStack)
}

// startDynamoDB starts DynamoDB Local. It cannot be limited to one network interface.
func startDynamoDB() (*process, error) {
	port, err := ReservePort()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(Home(), "package", "emulator")
	return start(command{
		name: "dynamodb-local",
		file: filepath.Join(dir, "DynamoDBLocal.jar"),
		dir:  dir,
		args: []string{"java", "-Xmx1g", "-Djava.library.path=./DynamoDBLocal_lib", "-jar", "DynamoDBLocal.jar",
			"-inMemory", "-port", strconv.Itoa(port), "-disableTelemetry"},
		path: "/",
	}, port)
}

// startMiniStack starts MiniStack with SNS, SQS and SSM only.
func startMiniStack() (*process, error) {
	port, err := ReservePort()
	if err != nil {
		return nil, err
	}
	program := filepath.Join(Home(), "venv", "bin", "ministack")
	return start(command{
		name: "ministack",
		file: program,
		env: []string{
			"BIND_HOST=127.0.0.1",
			"MINISTACK_HOST=127.0.0.1",
			"GATEWAY_PORT=" + strconv.Itoa(port),
			"SERVICES=sns,sqs,ssm",
			"IOT_MTLS_ENABLED=0",
			"SFTP_ENABLED=0", // these would listen on ports too
		},
		args: []string{program},
		path: "/_ministack/health",
	}, port)
}

// DynamoDBEndpoint returns the URL of DynamoDB Local.
func DynamoDBEndpoint() string { return running.dynamoDB.endpoint }

// DynamoDB returns a client of DynamoDB Local. It never retries, so that a test sees each answer.
func DynamoDB() *dynamodb.Client {
	return dynamodb.NewFromConfig(config(running.dynamoDB))
}

// Streams returns a client of DynamoDB Local's streams.
func Streams() *dynamodbstreams.Client {
	return dynamodbstreams.NewFromConfig(config(running.dynamoDB))
}

// SNS returns a client of MiniStack's topics.
func SNS() *sns.Client { return sns.NewFromConfig(config(running.miniStack)) }

// SQS returns a client of MiniStack's queues.
func SQS() *sqs.Client { return sqs.NewFromConfig(config(running.miniStack)) }

// SSM returns a client of MiniStack's parameters.
func SSM() *ssm.Client { return ssm.NewFromConfig(config(running.miniStack)) }

// Environment returns the variables with which programs call the emulators.
func Environment() []string {
	return []string{
		"AWS_ENDPOINT_URL=" + running.miniStack.endpoint,
		"AWS_ENDPOINT_URL_DYNAMODB=" + running.dynamoDB.endpoint,
		"AWS_ACCESS_KEY_ID=" + AccessKey,
		"AWS_SECRET_ACCESS_KEY=" + SecretKey,
		"AWS_REGION=" + Region,
		"AWS_EC2_METADATA_DISABLED=true",
	}
}

func config(p *process) aws.Config {
	return aws.Config{
		Region: Region, BaseEndpoint: aws.String(p.endpoint),
		Credentials: credentials.NewStaticCredentialsProvider(AccessKey, SecretKey, ""),
		Retryer:     func() aws.Retryer { return aws.NopRetryer{} },
		HTTPClient:  wholeBodies{httpClient},
	}
}

// httpClient is shared, and keeps enough idle connections for parallel tests. It closes an idle connection before an
// emulator does, because a request on a connection that the emulator closes fails, and nothing here retries.
var httpClient = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100, IdleConnTimeout: 5 * time.Second}}

// wholeBodies passes a copy of each request's body to net/http. The AWS SDK closes its own body as soon as an answer
// begins. An emulator answers so early that net/http may not have read the body to its end, and then net/http drops the
// connection with the unread answer (https://github.com/aws/aws-sdk-go-v2/issues/2737).
type wholeBodies struct{ *http.Client }

func (c wholeBodies) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, fmt.Errorf("read the request's body: %w", err)
		}
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	return c.Client.Do(r) //nolint:gosec // requests of the AWS SDK to the emulators
}
