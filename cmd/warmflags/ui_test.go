package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// An interruption does not hide what else failed, such as what could not be removed.
func TestInterruptedCommandPrintsWhatElseFailed(t *testing.T) {
	canceled := fmt.Errorf("read row: %w", context.Canceled)
	left := errors.New(`remove item "probe-1" from table "flags": AccessDenied`)
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"alone":               {canceled, ""},
		"joined":              {errors.Join(canceled, left), "error: " + left.Error() + "\n"},
		"nested":              {errors.Join(canceled, errors.Join(left, context.Canceled)), "error: " + left.Error() + "\n"},
		"with a hint":         {errors.Join(canceled, withHint(left, "try again")), "error: " + left.Error() + "\nhint: try again\n"},
		"of several causes":   {fmt.Errorf("read parameter: %w: %w", left, context.Canceled), ""},
		"several that are it": {errors.Join(canceled, context.Canceled), ""},
	} {
		t.Run(name, func(t *testing.T) {
			var stderr strings.Builder
			root := program{&stderr, &stderr, func(string) string { return "" }, nil}.root()
			assert.Equal(t, exitFailed, finish(root, &stderr, c.err))
			assert.Equal(t, "error: interrupted\n"+c.want, stderr.String())
		})
	}
}
