package main

import (
	"context"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/warmflags/warmflags/internal/operate"
	"github.com/warmflags/warmflags/internal/table"
)

// completionTimeout bounds what a person waits for a shell's completion.
const completionTimeout = 3 * time.Second

type completer = func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective)

// complete offers a flag's values. It panics if the flag does not exist.
func complete(cmd *cobra.Command, flag string, values completer) {
	if err := cmd.RegisterFlagCompletionFunc(flag, values); err != nil {
		panic(err)
	}
}

// offer returns the completer of values, which it asks for within the completion's time. Errors offer nothing.
func offer(values func(ctx context.Context) ([]string, error)) completer {
	return func(cmd *cobra.Command, _ []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		ctx := cmd.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		ctx, cancel := context.WithTimeout(ctx, completionTimeout)
		defer cancel()
		all, err := values(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		all = slices.DeleteFunc(all, func(v string) bool { return !strings.HasPrefix(v, toComplete) })
		slices.Sort(all)
		return all, cobra.ShellCompDirectiveNoFileComp
	}
}

// completePrefixes offers the prefixes that have an SDK key.
func (f *sourceFlags) completePrefixes(
	cmd *cobra.Command, args []string, toComplete string,
) ([]string, cobra.ShellCompDirective) {
	return offer(func(ctx context.Context) ([]string, error) {
		t, err := f.open(ctx, needTable)
		if err != nil {
			return nil, err
		}
		s, err := f.loadSource(t)
		if err != nil || s.keys == nil {
			return nil, err
		}
		keys, err := s.keys(ctx, false)
		return slices.Collect(maps.Keys(keys)), err
	})(cmd, args, toComplete)
}

// many is the limit of a command that takes any number of keys.
const many = math.MaxInt

// completeKeys offers the keys of the environment's items of a kind, up to a limit of arguments. It reads all items.
func (f *sourceFlags) completeKeys(limit int, kind func() string) completer {
	return func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= limit {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return offer(func(ctx context.Context) (keys []string, err error) {
			t, err := f.open(ctx, needTable)
			if err != nil {
				return nil, err
			}
			s, err := f.openSource(ctx, t)
			if err != nil {
				return nil, err
			}
			err = s.environment.EachRow(ctx, kind(), func(key string, _ table.Row) { keys = append(keys, key) })
			return keys, err
		})(cmd, args, toComplete)
	}
}

// completeStacks offers the stacks of warmflags in the region.
func (f *targetFlags) completeStacks(
	cmd *cobra.Command, args []string, toComplete string,
) ([]string, cobra.ShellCompDirective) {
	return offer(func(ctx context.Context) ([]string, error) {
		c, err := f.connect(ctx, f.region)
		if err != nil {
			return nil, err
		}
		return operate.Stacks(ctx, c.aws)
	})(cmd, args, toComplete)
}
