//go:build linux

// Command coldstart measures the time from a process's start to its first evaluated flag: with LaunchDarkly's wrapper
// over its own DynamoDB store, with cachedstore over dynamostore, and with warmflags.Open, in turns, over DynamoDB's
// protocol on loopback.
//
//	go -C benchmarks run ./coldstart
//
// It prints tables in Markdown. It measures with and without TLS, at full speed, and limited to 7 % of a core by a
// control group, which is what a function of 128 MB gets after its start. The limit needs root; without root, its
// columns are omitted.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// programs are measured; each has a folder. The others are compared with the second one.
var programs = []struct{ folder, name string }{
	{"nothing", "a Go program that does nothing"},
	{"launchdarkly", "LaunchDarkly's wrapper and store"},
	{"store", "cachedstore over dynamostore"},
	{"warmflags", "warmflags.Open"},
}

const rival = 1 // in programs

// latency is the time the table takes to answer; DynamoDB takes one to several milliseconds.
const latency = time.Millisecond

func main() {
	starts := flag.Int("starts", 51, "how many starts of each program; at 7 %, a third of them")
	flag.Parse()
	folder, err := os.MkdirTemp("", "warmflags-coldstart-")
	if err != nil {
		log.Fatal(err)
	}
	err = measure(folder, *starts)
	_ = os.RemoveAll(folder)
	if err != nil {
		log.Fatal(err)
	}
}

func measure(folder string, starts int) error {
	build := exec.Command(
		"go",
		"build",
		"-trimpath",
		"-tags=lambda.norpc",
		"-ldflags=-s -w",
		"-o",
		folder+"/",
		"./coldstart/nothing",
		"./coldstart/launchdarkly",
		"./coldstart/store",
		"./coldstart/warmflags",
		"./coldstart/reconnect",
	)
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the programs: %w: %s", err, out)
	}
	t, err := newTable(folder)
	if err != nil {
		return err
	}
	defer t.close()
	conditions := []condition{
		{"plain", t.environment(t.plain), nil, starts},
		{"TLS", t.environment(t.tls), nil, starts},
	}
	group, err := newGroup()
	if err != nil {
		fmt.Printf("Not limited to %d %% of a core: %v\n\n", percent, err)
	} else {
		defer group.remove()
		limited := fmt.Sprintf(", %d %% of a core", percent)
		for _, c := range conditions {
			conditions = append(conditions, condition{c.name + limited, c.environment, group, starts / 3})
		}
	}
	var columns [][]stages
	for _, c := range conditions {
		column, err := c.measure(folder)
		if err != nil {
			return err
		}
		columns = append(columns, column)
	}
	printTotals(conditions, columns)
	printStages(conditions, columns)
	if err := printBinaries(folder, conditions[0].environment); err != nil {
		return err
	}
	return printReconnects(folder, t, group)
}

// condition describes how the programs are started.
type condition struct {
	name        string
	environment []string
	group       *group // nil: no limit
	starts      int
}

// measure returns the medians of each program. The programs take turns, so that other work of the machine affects
// them equally.
func (c condition) measure(folder string) ([]stages, error) {
	all := make([][]stages, len(programs))
	for round := range c.starts + 1 {
		for i, program := range programs {
			s, err := run(filepath.Join(folder, program.folder), c.environment, c.group)
			if err != nil {
				return nil, fmt.Errorf("run %s: %w", program.folder, err)
			}
			if round > 0 { // the first one warms up
				all[i] = append(all[i], s)
			}
		}
	}
	medians := make([]stages, len(programs))
	for i := range all {
		medians[i] = median(all[i])
	}
	return medians, nil
}
