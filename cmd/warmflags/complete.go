package main

import (
	"context"
	"maps"
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
		s, err := f.openForCompletion(ctx)
		if err != nil || s.keys == nil {
			return nil, err
		}
		keys, err := s.keys(ctx, false)
		return slices.Collect(maps.Keys(keys)), err
	})(cmd, args, toComplete)
}

// completeKeys offers the keys of the table's items. It reads all of them.
func (f *getFlags) completeKeys(
	cmd *cobra.Command, args []string, toComplete string,
) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return offer(func(ctx context.Context) (keys []string, err error) {
		s, err := f.openForCompletion(ctx)
		if err != nil {
			return nil, err
		}
		return keys, s.environment.EachRow(ctx, f.kind(), func(key string, _ table.Row) { keys = append(keys, key) })
	})(cmd, args, toComplete)
}

func (f *sourceFlags) openForCompletion(ctx context.Context) (*source, error) {
	t, err := f.open(ctx, needTable)
	if err != nil {
		return nil, err
	}
	return f.loadSource(t)
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
