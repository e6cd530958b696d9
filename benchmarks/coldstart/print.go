//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
)

var ldTrue = ldvalue.Bool(true)

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/1e6) }

// dollarsPerSecond is the price of a function of 128 MB (x86, us-east-1, https://aws.amazon.com/lambda/pricing/).
const dollarsPerSecond = 0.0000166667 * 128 / 1024

// printTotals prints the time from each program's start to its first flag, under each condition, the ratio to the
// rival, and the cost of a million of these starts.
func printTotals(conditions []condition, columns [][]stages) {
	printTable("process start to the first flag", conditions, func(column, row int) string {
		total := columns[column][row].total()
		if row <= rival {
			return ms(total)
		}
		return fmt.Sprintf("%s (%.2f)", ms(total), float64(total)/float64(columns[column][rival].total()))
	})
	printTable("dollars for a million of these, 128 MB", conditions, func(column, row int) string {
		return fmt.Sprintf("%.3f", columns[column][row].total().Seconds()*1e6*dollarsPerSecond)
	})
}

// printTable prints a table with a column for each condition and a row for each program.
func printTable(title string, conditions []condition, cell func(column, row int) string) {
	fmt.Printf("| %s |", title)
	for _, c := range conditions {
		fmt.Printf(" %s |", c.name)
	}
	fmt.Printf("\n| --- |%s\n", strings.Repeat(" ---: |", len(conditions)))
	for row, program := range programs {
		fmt.Printf("| %s |", program.name)
		for column := range conditions {
			fmt.Printf(" %s |", cell(column, row))
		}
		fmt.Println()
	}
	fmt.Println()
}

// printStages prints the time of each stage.
func printStages(conditions []condition, columns [][]stages) {
	fmt.Println("| | | until main | until there is a client | until the first flag | CPU |")
	fmt.Println("| --- | --- | ---: | ---: | ---: | ---: |")
	for i, c := range conditions {
		for j, program := range programs {
			s := columns[i][j]
			fmt.Printf(
				"| %s | %s | %s | %s | %s | %s |\n",
				c.name,
				program.name,
				ms(s.main),
				ms(s.made),
				ms(s.first),
				ms(s.cpu),
			)
		}
	}
	fmt.Println()
}

var initLine = regexp.MustCompile(`(?m)^init (\S+) @\S+ ms, (\S+) ms clock`)

// printBinaries prints the binaries' sizes and the time of their packages' init functions.
func printBinaries(folder string, environment []string) error {
	fmt.Println("| | binary | init functions | of these the slowest |")
	fmt.Println("| --- | ---: | ---: | --- |")
	for _, program := range programs {
		binary := filepath.Join(folder, program.folder)
		info, err := os.Stat(binary)
		if err != nil {
			return err
		}
		var trace bytes.Buffer
		command := exec.Command(binary)
		command.Env, command.Stderr = append(environment, "GODEBUG=inittrace=1"), &trace
		if err := command.Run(); err != nil {
			return err
		}
		var total, most float64
		slowest := ""
		for _, m := range initLine.FindAllStringSubmatch(trace.String(), -1) {
			took, err := strconv.ParseFloat(m[2], 64)
			if err != nil {
				return err
			}
			if total += took; took > most {
				most, slowest = took, fmt.Sprintf("%s: %.1f ms", m[1], took)
			}
		}
		fmt.Printf("| %s | %.1f MB | %.1f ms | %s |\n", program.name, float64(info.Size())/1e6, total, slowest)
	}
	return nil
}
