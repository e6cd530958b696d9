package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"

	"github.com/warmflags/warmflags/internal/dynamoclient"
	"github.com/warmflags/warmflags/internal/table"
	"github.com/warmflags/warmflags/internal/table/layout"
)

// API is the part of the AWS SDK's dynamodb.Client that the store uses.
type API = table.API

var (
	_ subsystems.ComponentConfigurer[subsystems.PersistentDataStore] = (*Builder)(nil)
	_ subsystems.DiagnosticDescription                               = (*Builder)(nil)
)

// Builder configures a [Store]. It is a [subsystems.ComponentConfigurer], as LaunchDarkly's own integrations
// are: hand it to ldcomponents.PersistentDataStore or to cachedstore.New. Errors of configuration are
// reported by Build and Open, all at once. A Builder is not safe for concurrent use.
type Builder struct {
	table, prefix string
	client        API
	config        *aws.Config
}

// DataStore begins the configuration of a store on the table of that name. Without further options it has no prefix,
// and a client made from Lambda's environment. Outside of Lambda pass [Builder.AWSConfig] or [Builder.Client].
func DataStore(tableName string) *Builder { return &Builder{table: tableName} }

// Prefix identifies the LaunchDarkly environment within the table; at most 512 bytes. Default: "", no prefix.
func (b *Builder) Prefix(prefix string) *Builder { b.prefix = prefix; return b }

// Client sets the DynamoDB client. Default: one made from the [Builder.AWSConfig].
func (b *Builder) Client(client API) *Builder { b.client = client; return b }

// AWSConfig sets the AWS configuration that the client is made from, for example that of config.LoadDefaultConfig.
// Default: region, credentials and endpoint are read from the environment variables that Lambda sets; profiles, roles
// of other kinds, and everything else that AWS's SDK can be configured with, need an aws.Config. (The package that
// loads one takes several milliseconds of each cold start, so this package does not import it.)
func (b *Builder) AWSConfig(cfg aws.Config) *Builder { b.config = &cfg; return b }

// Build makes the store for a LaunchDarkly client, and logs to that client's loggers. It is called by the SDK.
// It does not call DynamoDB.
func (b *Builder) Build(clientContext subsystems.ClientContext) (subsystems.PersistentDataStore, error) {
	s, err := b.Open(context.Background())
	if err != nil {
		return nil, err
	}
	loggers := clientContext.GetLogging().Loggers
	loggers.SetPrefix("dynamostore:")
	// No other goroutine has the store yet.
	s.warn = loggers.Warnf
	return s, nil
}

// Open makes the store for programs without a LaunchDarkly client, and logs to [slog.Default]. It does not call
// DynamoDB, and so has no use for its context today.
func (b *Builder) Open(context.Context) (*Store, error) {
	var problems []error
	if b.table == "" {
		problems = append(problems, errors.New("the table's name is empty"))
	}
	if err := layout.CheckPrefix(b.prefix); err != nil {
		problems = append(problems, err)
	}
	if b.client != nil && b.config != nil {
		problems = append(problems, errors.New("Client and AWSConfig are both set: leave one out"))
	}
	client := b.client
	if client == nil {
		made, err := dynamoclient.New(b.config)
		if err != nil {
			problems = append(problems, err)
		}
		client = made
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("configure store on table %q: %w", b.table, errors.Join(problems...))
	}
	warn := func(format string, args ...any) { slog.Warn("dynamostore: " + fmt.Sprintf(format, args...)) }
	return &Store{rows: table.Environment{Client: client, Table: b.table, Prefix: b.prefix}, warn: warn}, nil
}

// DescribeConfiguration names the kind of store in LaunchDarkly's diagnostics.
func (b *Builder) DescribeConfiguration(subsystems.ClientContext) ldvalue.Value {
	return ldvalue.String("DynamoDB")
}
