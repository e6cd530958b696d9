package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/warmflags/warmflags/journal"
)

// copiesFlag is --journal-copies, of the commands that read or write a journal of a stack that may not be named.
type copiesFlag struct{ copies int }

func (f *copiesFlag) add(cmd *cobra.Command) {
	cmd.Flags().IntVar(&f.copies, "journal-copies", 1,
		"the number of the journal's copies, 0 for no journal; with --stack: the stack's")
}

// check returns an error if the flag's value is wrong.
func (f *copiesFlag) check() error {
	if f.copies < 0 || f.copies > journal.MaxCopies {
		return fmt.Errorf("--journal-copies %d: use 0 to %d", f.copies, journal.MaxCopies)
	}
	return nil
}

// fill sets the number to the stack's, if no flag gives it.
func (f *copiesFlag) fill(cmd *cobra.Command, t *target) (err error) {
	stacks := t.Parameters["JournalCopies"]
	if stacks == "" || cmd.Flags().Changed("journal-copies") {
		return nil
	}
	if f.copies, err = strconv.Atoi(stacks); err != nil {
		return fmt.Errorf("the stack's parameter JournalCopies is %q: it must be a number", stacks)
	}
	return nil
}
