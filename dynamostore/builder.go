package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
)

// API is the part of [dynamodb.Client] that the store uses.
type API interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	UpdateItem(context.Context, *dynamodb.UpdateItemInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error)
	TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error)
}

var (
	_ API                                                            = (*dynamodb.Client)(nil)
	_ subsystems.ComponentConfigurer[subsystems.PersistentDataStore] = (*Builder)(nil)
	_ subsystems.DiagnosticDescription                               = (*Builder)(nil)
)

// configLimit is how long reading the AWS configuration may take in [Builder.Build], which has no context.
const configLimit = 10 * time.Second

// Builder configures a [Store]. It is a [subsystems.ComponentConfigurer], as LaunchDarkly's own integrations
// are: hand it to ldcomponents.PersistentDataStore or to cachedstore.New. Errors of configuration are
// reported by Build and Open, all at once. A Builder is not safe for concurrent use.
type Builder struct {
	table, prefix string
	client        API
	config        *aws.Config
}

// DataStore begins the configuration of a store on a table. Without further options it has no prefix, and takes
// region, credentials and endpoint from the environment, as every AWS program does
// (https://docs.aws.amazon.com/sdkref/latest/guide/environment-variables.html).
func DataStore(table string) *Builder { return &Builder{table: table} }

// Prefix sets the name of the LaunchDarkly environment within the table. Default: "", no prefix.
func (b *Builder) Prefix(prefix string) *Builder { b.prefix = prefix; return b }

// Client sets the DynamoDB client. Default: one made from the AWS configuration.
func (b *Builder) Client(client API) *Builder { b.client = client; return b }

// AWSConfig sets the AWS configuration that the client is made from. Default: the environment's.
func (b *Builder) AWSConfig(cfg aws.Config) *Builder { b.config = &cfg; return b }

// Build makes the store for a LaunchDarkly client, and logs to that client's loggers. It is called by the SDK.
// It does not call DynamoDB.
func (b *Builder) Build(clientContext subsystems.ClientContext) (subsystems.PersistentDataStore, error) {
	ctx, cancel := context.WithTimeout(context.Background(), configLimit)
	defer cancel()
	s, err := b.Open(ctx)
	if err != nil {
		return nil, err
	}
	loggers := clientContext.GetLogging().Loggers
	loggers.SetPrefix("dynamostore:")
	// Nobody else has the store yet.
	s.warn = loggers.Warnf
	return s, nil
}

// Open makes the store for programs without a LaunchDarkly client, and logs to [slog.Default]. It does not call
// DynamoDB.
func (b *Builder) Open(ctx context.Context) (*Store, error) {
	var problems []error
	if b.table == "" {
		problems = append(problems, errors.New("the table's name is empty"))
	}
	if b.client != nil && b.config != nil {
		problems = append(problems, errors.New("Client and AWSConfig are both set: leave one out"))
	}
	client := b.client
	if client == nil {
		var err error
		if client, err = b.newClient(ctx); err != nil {
			problems = append(problems, err)
		}
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("configure store on table %q: %w", b.table, errors.Join(problems...))
	}
	warn := func(format string, args ...any) { slog.Warn("dynamostore: " + fmt.Sprintf(format, args...)) }
	return &Store{api: client, table: b.table, prefix: b.prefix, warn: warn}, nil
}

// newClient makes a client from the given AWS configuration, or the environment's. Reading that can ask other services for
// a region or credentials, and so has a context.
func (b *Builder) newClient(ctx context.Context) (API, error) {
	cfg := b.config
	if cfg == nil {
		c, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			return nil, fmt.Errorf("load AWS configuration: %w", err)
		}
		cfg = &c
	}
	if cfg.Region == "" {
		return nil, errors.New("there is no AWS region: set AWS_REGION, or a region in the profile")
	}
	return dynamodb.NewFromConfig(*cfg), nil
}

// DescribeConfiguration names the kind of store in LaunchDarkly's diagnostics.
func (b *Builder) DescribeConfiguration(subsystems.ClientContext) ldvalue.Value {
	return ldvalue.String("DynamoDB")
}
