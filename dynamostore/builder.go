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

// Builder configures a [Store]. Like LaunchDarkly's own integrations it is a [subsystems.ComponentConfigurer]: pass
// it to ldcomponents.PersistentDataStore or to cachedstore.New. Build and Open report all configuration errors at
// once. A Builder is not safe for concurrent use.
type Builder struct {
	table, prefix string
	client        API
	config        *aws.Config
}

// DataStore returns a builder for a store on the table of that name. By default the store has no prefix, and a client
// made from Lambda's environment variables. Outside of Lambda, use [Builder.AWSConfig] or [Builder.Client].
func DataStore(tableName string) *Builder { return &Builder{table: tableName} }

// Prefix sets the prefix, which identifies the LaunchDarkly environment in the table; at most 512 bytes. Default: "",
// no prefix.
func (b *Builder) Prefix(prefix string) *Builder { b.prefix = prefix; return b }

// Client sets the DynamoDB client. Default: a client made from the [Builder.AWSConfig].
func (b *Builder) Client(client API) *Builder { b.client = client; return b }

// AWSConfig sets the AWS configuration for the client, for example the result of config.LoadDefaultConfig. Default:
// region, credentials and endpoint are read from the environment variables that Lambda sets. Profiles, other kinds of
// roles and all other settings of the AWS SDK need an aws.Config. (This package does not import the AWS SDK's config
// package, because that adds several milliseconds to each cold start.)
func (b *Builder) AWSConfig(cfg aws.Config) *Builder { b.config = &cfg; return b }

// Build makes the store for a LaunchDarkly client. The SDK calls it. The store logs to the client's loggers. Build
// does not call DynamoDB.
func (b *Builder) Build(clientContext subsystems.ClientContext) (subsystems.PersistentDataStore, error) {
	s, err := b.Open(context.Background())
	if err != nil {
		return nil, err
	}
	loggers := clientContext.GetLogging().Loggers
	loggers.SetPrefix("dynamostore:")
	// The write needs no lock: no other goroutine has the store yet.
	s.warn = loggers.Warnf
	return s, nil
}

// Open makes the store for a program without a LaunchDarkly client. The store logs to [slog.Default]. Open does not
// call DynamoDB, and does not use its context.
func (b *Builder) Open(context.Context) (*Store, error) {
	var problems []error
	if b.table == "" {
		problems = append(problems, errors.New("the table's name is empty"))
	}
	if err := layout.CheckPrefix(b.prefix); err != nil {
		problems = append(problems, err)
	}
	if b.client != nil && b.config != nil {
		problems = append(problems, errors.New("Client and AWSConfig are both set: use one of them"))
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

// DescribeConfiguration returns the kind of store for LaunchDarkly's diagnostics.
func (b *Builder) DescribeConfiguration(subsystems.ClientContext) ldvalue.Value {
	return ldvalue.String("DynamoDB")
}
