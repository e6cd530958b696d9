package main

import (
	"bufio"
	"context"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A watch is not in testdata/: the test flips a flag while it runs, and reads both outputs line by line.
func TestSyncWatch(t *testing.T) {
	for name, c := range map[string]struct {
		args          []string
		first, second string
	}{
		"text": {nil, `^\d\d:\d\d:\d\d added features/flag-0 - -> 1$`, `^\d\d:\d\d:\d\d updated features/flag-0 1 -> 2$`},
		"json": {[]string{"--json"}, `^{"time":".+","change":"add","kind":"features","key":"flag-0","from":null,"to":1}$`,
			`^{"time":".+","change":"update","kind":"features","key":"flag-0","from":1,"to":2}$`},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAccount(t, 1)
			ctx, interrupt := context.WithCancel(t.Context()) // what main does at SIGINT and SIGTERM
			out, stdout := io.Pipe()
			problems, stderr := io.Pipe()
			code := make(chan int, 1)
			getenv := func(name string) string { return map[string]string{keyVariable: testKey}[name] }
			go func() {
				p := program{stdout, stderr, getenv, a.connect}
				args := []string{"sync", "--watch", "--table", "flags", "--stream-uri", a.ld.URL()}
				code <- p.run(ctx, append(args, c.args...)...)
				_ = stderr.Close()
			}()
			printed, said := bufio.NewScanner(out), bufio.NewScanner(problems)
			require.True(t, printed.Scan())
			assert.Regexp(t, c.first, printed.Text())
			require.True(t, printed.Scan(), "the segment")
			require.True(t, said.Scan())
			assert.Regexp(
				t,
				`^\d\d:\d\d:\d\d connected: the table is equal to LaunchDarkly; waiting for changes$`,
				said.Text(),
			)
			a.ld.Flip("flag-0")
			require.True(t, printed.Scan())
			assert.Regexp(t, c.second, printed.Text())
			interrupt()
			assert.Zero(t, <-code, "Ctrl-C is how a watch ends")
			assert.False(t, said.Scan(), "nothing else is said")
		})
	}
}
