package test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
)

var names atomic.Int64 // how many names were made

// uniqueName is a name for a table, topic or queue that no other test has: the emulators keep theirs between tests.
func uniqueName(t *testing.T) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '-'
	}, t.Name())
	return fmt.Sprintf("%d-%s", names.Add(1), name[:min(len(name), 60)])
}
