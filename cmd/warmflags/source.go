package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/warmflags/warmflags/internal/flagsync"
	"github.com/warmflags/warmflags/internal/operate"
	"github.com/warmflags/warmflags/internal/table"
)

// keyVariable holds the SDK key. There is no flag for it: every user of a machine can list the arguments of its
// processes, and shells keep them in their history.
const keyVariable = "LD_SDK_KEY"

// sourceFlags say which LaunchDarkly environment a command works on. A stack's parameters are their defaults.
type sourceFlags struct {
	*targetFlags
	prefix, parameter, stream, filter string
	prefixGiven                       func() bool
}

func (f *sourceFlags) add(cmd *cobra.Command) {
	f.addPrefix(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.parameter, "sdk-key-parameter", "",
		"the SSM parameter with the SDK key; default: the stack's, or, without a stack, the key is in "+keyVariable)
	flags.StringVar(&f.stream, "stream-uri", "",
		"LaunchDarkly's streaming URI, such as https://stream.eu.launchdarkly.com "+
			"or a Relay Proxy's; default: the stack's, or https://stream.launchdarkly.com")
	flags.StringVar(&f.filter, "payload-filter", "",
		"the key of a LaunchDarkly payload filter; default: the stack's, or all flags")
}

func (f *sourceFlags) addPrefix(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.prefix, "prefix", f.getenv("PREFIX"),
		"the environment's prefix in the table; default: the only one that has an SDK key (PREFIX)")
	f.prefixGiven = func() bool { return cmd.Flags().Changed("prefix") || f.getenv("PREFIX") != "" }
	complete(cmd, "prefix", f.completePrefixes)
}

// source is a LaunchDarkly environment and its rows in the table.
type source struct {
	environment *table.Environment
	keys        flagsync.Keys // nil: there is no SDK key
}

// errNoKey says that neither a flag, a variable nor a stack has an SDK key.
var errNoKey = withHint(errors.New("no SDK key"), "%s",
	"pass --stack NAME or --sdk-key-parameter NAME, or set "+keyVariable)

// openSource finds the environment and fills in the prefix of the only one that has an SDK key, if none is given.
// Without an SDK key, the source's keys are nil. If the keys cannot be read, it returns the source and an error.
func (f *sourceFlags) openSource(ctx context.Context, t *target) (*source, error) {
	s, err := f.loadSource(t)
	if err != nil || s.keys == nil {
		return s, err
	}
	err = f.choosePrefix(ctx, s)
	if operate.HasCode(err, "ParameterNotFound") && t.Parameters["Sync"] == "false" { // such a stack needs no key
		s.keys, err = nil, nil
	}
	return s, err
}

// loadSource is openSource for a prefix that is given.
func (f *sourceFlags) loadSource(t *target) (*source, error) {
	s := &source{environment: &table.Environment{Client: t.account.DynamoDB, Table: t.Table, Prefix: f.prefix}}
	name := f.parameter
	if name == "" {
		name = t.Parameters["SdkKeyParameter"]
	}
	if f.stream == "" {
		f.stream = t.Parameters["StreamUri"]
	}
	if f.filter == "" {
		f.filter = t.Parameters["PayloadFilter"]
	}
	switch {
	case name != "":
		s.keys = flagsync.ParameterKeys(t.account.Parameters, name)
	case f.getenv(keyVariable) != "":
		keys, err := flagsync.ParseKeys(f.getenv(keyVariable))
		if err != nil {
			return nil, fmt.Errorf("read SDK key from %s: %w", keyVariable, err)
		}
		if key, single := keys[""]; single && len(keys) == 1 { // it is the prefix's, whichever it is
			keys = map[string]string{f.prefix: key}
		}
		s.keys = flagsync.StaticKeys(keys)
	}
	return s, nil
}

// choosePrefix fills in the prefix of the only environment that has an SDK key, if none is given.
func (f *sourceFlags) choosePrefix(ctx context.Context, s *source) error {
	if f.prefixGiven() {
		return nil
	}
	keys, err := s.keys(ctx, false)
	if err != nil {
		return err
	}
	if _, ok := keys[""]; ok {
		return nil
	}
	prefixes := slices.Sorted(maps.Keys(keys))
	if len(prefixes) > 1 {
		err := fmt.Errorf("there are several environments: %q", prefixes)
		return usageError{withHint(err, "pass --prefix NAME (PREFIX), once for each")}
	}
	s.environment.Prefix = prefixes[0]
	return nil
}

// options are those of every conversation with LaunchDarkly. Its warnings go to log.
func (f *sourceFlags) options(t *target, log slog.Handler) []flagsync.Option {
	removals, _ := strconv.ParseFloat(
		t.Parameters["MaxRemovals"],
		64,
	) // CloudFormation checked it; empty: 0, the default
	return []flagsync.Option{
		flagsync.Logger(slog.New(log)), flagsync.StreamURI(f.stream), flagsync.PayloadFilter(f.filter),
		flagsync.MaxRemovals(removals), flagsync.Timeout(t.account.Limit), // 0, except in tests: the default
	}
}
