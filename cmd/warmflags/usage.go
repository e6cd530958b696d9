package main

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

// checkArguments makes wrong arguments of every command a usage error, and also a command that only has subcommands and
// is called without one.
func checkArguments(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		checkArguments(sub)
		if sub.HasSubCommands() && !sub.Runnable() {
			sub.Use += " COMMAND"
			sub.Args = cobra.ArbitraryArgs
			sub.RunE = func(cmd *cobra.Command, args []string) error {
				if len(args) > 0 {
					return usageError{fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())}
				}
				return usageError{fmt.Errorf("%q needs a subcommand", cmd.CommandPath())}
			}
		}
	}
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usageError{err}
			}
			return nil
		}
	}
}

// unusedFlags are, for each command, the flags of all commands that it has no use for.
var unusedFlags = map[string][]string{
	"demo":         {"stack", "region", "table", "topic"},
	"get":          {"topic"},
	"list":         {"topic"},
	"reap":         {"table"},
	"sync":         {"topic"},
	"tail":         {"table"},
	"version":      {"stack", "region", "table", "topic"},
	"webhook send": {"table", "topic"},
}

// refuseFlags makes these flags a usage error of the command: who passes one expects that it has an effect.
func refuseFlags(cmd *cobra.Command, flags []string) {
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		var problems []error
		for _, name := range flags {
			if cmd.Flags().Changed(name) {
				problems = append(problems, fmt.Errorf("--%s: %q does not use it", name, cmd.CommandPath()))
			}
		}
		if len(problems) > 0 {
			return usageError{errors.Join(problems...)}
		}
		return nil
	}
}

// noArguments is the check of a command that takes only flags.
func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected argument %q", args[0])
	}
	return nil
}

// checkURL returns an error if a flag's value is not an http or https URL.
func checkURL(flag, value string) error {
	if u, err := url.Parse(value); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%s %q is not an http or https URL", flag, value)
	}
	return nil
}

// suggestion returns cobra's error for an unknown command, with what it suggests as a hint.
func suggestion(err error) error {
	text, names, found := strings.Cut(err.Error(), "\n\nDid you mean this?\n")
	if !found {
		return err
	}
	return withHint(errors.New(text), "did you mean: warmflags %s?", strings.Join(strings.Fields(names), ", "))
}

// plain replaces what packages strconv and time say of a flag's value.
func plain(err error) error {
	for function, want := range map[string]string{
		": strconv.ParseBool: ": "true or false", ": strconv.ParseFloat: ": "a number",
		": strconv.ParseInt: ": "a whole number", ": strconv.ParseUint: ": "a whole number that is not negative",
		": time: ": "a duration such as 90m or 24h",
	} {
		text, detail, found := strings.Cut(err.Error(), function)
		switch {
		case found && strings.HasSuffix(detail, "value out of range"):
			return errors.New(text + ": it is too large")
		case found:
			return errors.New(text + ": it must be " + want)
		}
	}
	return err
}
