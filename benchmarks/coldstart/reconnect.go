//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// printReconnects prints how long a poll of the journal takes if it needs a new TLS connection: the first poll of a
// process, and later ones. journal.ReconnectBudget must be longer.
func printReconnects(folder string, t *table, g *group) error {
	t.tls.Config.SetKeepAlivesEnabled(false)
	fmt.Printf(
		"A poll of the journal over a new TLS connection:\n\n" +
			"| | the first one | later, p50 | p99 | max |\n| --- | ---: | ---: | ---: | ---: |\n",
	)
	for _, limit := range []*group{nil, g} {
		name := "full speed"
		if limit != nil {
			name = fmt.Sprintf("%d %% of a core", percent)
		}
		var first, later []time.Duration
		for range 5 {
			polls, err := reconnects(filepath.Join(folder, "reconnect"), t.environment(t.tls), limit)
			if err != nil {
				return err
			}
			first, later = append(first, polls[0]), append(later, polls[1:]...)
		}
		slices.Sort(first)
		slices.Sort(later)
		milliseconds := func(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }
		fmt.Printf(
			"| %s | %s | %s | %s | %s |\n",
			name,
			milliseconds(first[len(first)-1]),
			milliseconds(later[len(later)/2]),
			milliseconds(later[len(later)*99/100]),
			milliseconds(later[len(later)-1]),
		)
		if g == nil {
			break
		}
	}
	fmt.Println()
	return nil
}

// reconnects runs the program in a group, and returns how long its polls took.
func reconnects(program string, environment []string, g *group) ([]time.Duration, error) {
	command := exec.Command("/bin/sh", "-c", `read go; exec "$0"`, program) //nolint:gosec // just built
	var stdout, stderr bytes.Buffer
	command.Env, command.Stdout, command.Stderr = environment, &stdout, &stderr
	stdin, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	err = g.add(command.Process.Pid)
	if err == nil {
		_, err = io.WriteString(stdin, "go\n")
	}
	if err := errors.Join(err, command.Wait()); err != nil {
		return nil, fmt.Errorf("run %s: %w: %s", program, err, &stderr)
	}
	var polls []time.Duration
	for {
		var nanoseconds int64
		if _, err := fmt.Fscan(&stdout, &nanoseconds); errors.Is(err, io.EOF) {
			return polls, nil
		} else if err != nil {
			return nil, err
		}
		polls = append(polls, time.Duration(nanoseconds))
	}
}
