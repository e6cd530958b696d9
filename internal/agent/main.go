package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"

	"github.com/warmflags/warmflags"
	"github.com/warmflags/warmflags/internal/dynamoclient"
	"github.com/warmflags/warmflags/internal/lambdaenv"
	"github.com/warmflags/warmflags/internal/table/layout"
	"github.com/warmflags/warmflags/journal"
)

// runtimeAPI is the environment variable with the address of Lambda's API for extensions.
const runtimeAPI = "AWS_LAMBDA_RUNTIME_API"

// Main runs the agent until ctx ends: as a Lambda extension if AWS_LAMBDA_RUNTIME_API is set, otherwise as a sidecar.
// A sidecar returns all configuration problems in one error. An extension logs them and answers every request with
// them, because Lambda ends the function if an extension exits.
func Main(ctx context.Context, executable, version string) error {
	logger := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	config, wrong := configure(version, logger)
	address := os.Getenv(runtimeAPI)
	if address == "" {
		if err := errors.Join(wrong, config.withDefaults().check()); err != nil {
			return err
		}
		a, err := Listen(ctx, config)
		if err != nil {
			return err
		}
		return a.Run(ctx)
	}
	if wrong != nil {
		config.Open = func(context.Context) (Opened, error) { return nil, wrong }
	}
	// With the variable, warmflags.Open would register an internal extension.
	if err := os.Unsetenv(runtimeAPI); err != nil {
		return fmt.Errorf("unset %s: %w", runtimeAPI, err)
	}
	a, err := Listen(ctx, config)
	if err != nil {
		logger.Error("the agent cannot listen; the function runs without it", "error", err)
	}
	Extension{Agent: a, Address: address, Name: filepath.Base(executable), Freezes: lambdaenv.Freezes(),
		Logger: logger}.Run(ctx)
	return nil
}

// configure reads the environment variables. It returns all problems in one error.
func configure(version string, logger *slog.Logger) (Config, error) {
	var problems []error
	duration := func(name string, fallback time.Duration) time.Duration {
		text := os.Getenv(name)
		if text == "" {
			return fallback
		}
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			problems = append(problems, fmt.Errorf("%s %q is not a duration. hint: use one such as 500ms", name, text))
		}
		return d
	}
	table := os.Getenv("TABLE_NAME")
	interval := duration("WARMFLAGS_POLL_INTERVAL", journal.DefaultInterval)
	budget := duration("WARMFLAGS_POLL_BUDGET", journal.DefaultBudget)
	if table == "" {
		problems = append(problems, errors.New("TABLE_NAME is not set. hint: set it to the flag table's name"))
	}
	if prefix := os.Getenv("PREFIX"); layout.CheckPrefix(prefix) != nil {
		problems = append(problems, fmt.Errorf("PREFIX %q: %w", prefix, layout.CheckPrefix(prefix)))
	}
	if _, err := dynamoclient.New(nil); err != nil {
		problems = append(problems, err)
	}
	launchDarkly := ld.Config{Logging: ldcomponents.Logging().MinLevel(ldlog.Warn)}
	launchDarkly.ServiceEndpoints.Events = os.Getenv("WARMFLAGS_EVENTS_URI")
	options := []warmflags.Option{
		warmflags.Logger(logger),
		warmflags.LaunchDarkly(launchDarkly),
		warmflags.Journal(journal.Budget(budget)),
	}
	return Config{
		Address: os.Getenv("WARMFLAGS_ADDRESS"), APIKey: os.Getenv("WARMFLAGS_API_KEY"),
		Version: version, Logger: logger,
		Open: OpenTable(table, os.Getenv("PREFIX"), os.Getenv("LD_SDK_KEY"), interval, options...),
	}, errors.Join(problems...)
}
