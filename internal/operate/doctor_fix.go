package operate

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/smithy-go"
)

// commands makes the commands that fix what was found, with all names filled in.
type commands struct{ region string }

// aws returns a command of the AWS CLI. The words of the service and the operation are not quoted.
func (c commands) aws(operation string, args ...string) string {
	words := []string{"aws", operation, "--region", quote(c.region)}
	for _, a := range args {
		words = append(words, quote(a))
	}
	return strings.Join(words, " ")
}

// quote quotes a word for a shell, if it needs quotes.
func quote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
			strings.ContainsRune("-_./:=,@%+", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// secretsManager is how SSM names a secret of Secrets Manager.
const secretsManager = "/aws/reference/secretsmanager/"

// putSecret stores a file's content in a parameter or secret. A value on the command line would be visible to the
// machine's other users, and stay in the shell's history.
func (c commands) putSecret(parameter, file string) string {
	if secret, ok := strings.CutPrefix(parameter, secretsManager); ok {
		return c.aws("secretsmanager put-secret-value", "--secret-id", secret, "--secret-string", "file://"+file)
	}
	return c.aws("ssm put-parameter", "--name", parameter, "--type", "SecureString", "--overwrite", "--value",
		"file://"+file)
}

func (c commands) createTable(name string) string {
	return c.aws("dynamodb create-table", "--table-name", name, "--billing-mode", "PAY_PER_REQUEST",
		"--attribute-definitions", "AttributeName=namespace,AttributeType=S", "AttributeName=key,AttributeType=S",
		"--key-schema", "AttributeName=namespace,KeyType=HASH", "AttributeName=key,KeyType=RANGE",
		"--stream-specification", streamOn)
}

// streamOn is the stream that a table must have, as the AWS CLI takes it.
const streamOn = "StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES"

func (c commands) setStream(table, specification string) string {
	return c.aws("dynamodb update-table", "--table-name", table, "--stream-specification", specification)
}

// deployStream deploys the stack again, with another stream of its table. The command runs in a checkout. It does not
// touch the mapping, which is CloudFormation's.
func (c commands) deployStream(s *Stack, stream string) string {
	words := []string{"sam build && sam deploy --region", quote(c.region), "--stack-name", quote(s.Name),
		"--parameter-overrides", quote("ExistingTableName=" + s.Table), quote("ExistingTableStreamArn=" + stream)}
	return strings.Join(words, " ")
}

func (c commands) createMapping(m mapping) string {
	args := []string{"--function-name", m.function, "--event-source-arn", m.source}
	if m.stream {
		args = append(args, "--starting-position", "TRIM_HORIZON")
	}
	return c.aws("lambda create-event-source-mapping", append(args, m.arguments()...)...)
}

func (c commands) updateMapping(uuid string, m mapping) string {
	return c.aws("lambda update-event-source-mapping", append([]string{"--uuid", uuid}, m.arguments()...)...)
}

func (c commands) enableMapping(uuid string) string {
	return c.aws("lambda update-event-source-mapping", "--uuid", uuid, "--enabled")
}

// arguments are a mapping's settings, as the AWS CLI takes them.
func (m mapping) arguments() []string {
	args := []string{"--batch-size", strconv.Itoa(int(m.batch)), "--function-response-types", "ReportBatchItemFailures"}
	if !m.stream {
		return args
	}
	return append(args, "--bisect-batch-on-function-error", "--maximum-retry-attempts", strconv.Itoa(int(m.retries)),
		"--maximum-record-age-in-seconds", strconv.Itoa(int(m.maxAge)),
		"--destination-config", toJSON(map[string]any{"OnFailure": map[string]any{"Destination": m.failure}}),
		"--filter-criteria", toJSON(map[string]any{"Filters": []any{map[string]any{"Pattern": m.filter}}}))
}

func (c commands) setTopicPolicy(topic, policy string) string {
	return c.aws("sns set-topic-attributes", "--topic-arn", topic, "--attribute-name", "Policy", "--attribute-value",
		policy)
}

func (c commands) setQueuePolicy(url, policy string) string {
	return c.aws(
		"sqs set-queue-attributes",
		"--queue-url",
		url,
		"--attributes",
		toJSON(map[string]any{"Policy": policy}),
	)
}

func (c commands) stackEvents(stack string) string {
	return c.aws("cloudformation describe-stack-events", "--stack-name", stack)
}

// logs shows what the functions logged.
func (c commands) logs(s Stack) string { return c.aws("logs tail", s.LogGroup, "--since", "15m") }

// toJSON encodes what always encodes: strings, numbers, and maps and lists of them.
func toJSON(v any) string {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(v)
	return strings.TrimSpace(text.String())
}

// unknown is the result of a check that could not be made.
func unknown(what string, err error) Check {
	return Check{State: CheckUnknown, Found: what + ": " + brief(err)}
}

// brief is an error without what AWS's SDK reports about the request.
func brief(err error) string {
	if HasNoCredentials(err) {
		return NoCredentials
	}
	if answer := smithy.APIError(nil); errors.As(err, &answer) {
		return fmt.Sprintf("%s: %s", answer.ErrorCode(), answer.ErrorMessage())
	}
	return WithoutNoise(err)
}

// noise is what AWS's client adds to an error and no reader needs.
var noise = regexp.MustCompile(`exceeded maximum number of attempts, \d+, |` +
	`https response error StatusCode: \d+, RequestID: [^,]*, |api error `)

// WithoutNoise returns the error's text without what AWS's client adds about attempts and requests.
func WithoutNoise(err error) string { return noise.ReplaceAllString(err.Error(), "") }

// NoCredentials is what [HasNoCredentials] means.
const NoCredentials = "there are no AWS credentials" //nolint:gosec // a text

// HasNoCredentials reports whether AWS's client found no credentials. It looks for a machine's role last, and its error
// is only about that.
func HasNoCredentials(err error) bool { return strings.Contains(err.Error(), "no EC2 IMDS role found") }

// HasCode reports whether AWS answered with one of these error codes.
func HasCode(err error, codes ...string) bool {
	answer := smithy.APIError(nil)
	return errors.As(err, &answer) && slices.Contains(codes, answer.ErrorCode())
}
