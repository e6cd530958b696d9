package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

const (
	ours    = "warmflags"
	wrapper = "launchdarkly"
	bareMap = "bare-map"
)

// goal is an upper limit for a value of warmflags, or for its ratio to a rival's.
type goal struct {
	what, benchmark, rival, unit string
	to                           string // the rival of the ratio; empty: the value itself is limited
	limit                        float64
	below                        bool // less than the limit, instead of at most
}

var goals = []goal{
	{what: "Get hit, serial", benchmark: "Get", to: wrapper, limit: 1. / 5},
	{what: "Get hit, serial: allocations", benchmark: "Get", unit: "allocs/op"},
	{what: "Get hit, parallel", benchmark: "GetParallel", to: wrapper, limit: 1. / 5},
	{what: "Get hit, parallel: allocations", benchmark: "GetParallel", unit: "allocs/op"},
	{what: "Get hit against the bare map", benchmark: "Get", to: bareMap, limit: 1.3},
	{what: "GetAll hit, 500 flags", benchmark: "GetAll", to: wrapper, limit: 1. / 5},
	{what: "GetAll hit: allocations", benchmark: "GetAll", unit: "allocs/op"},
	{what: "BoolVariation through a client", benchmark: "BoolVariation", to: bareMap, limit: 1.05},
	{what: "AllFlagsState after one of 500 changed: GetItems", benchmark: "ChangeOnce", unit: "GetItem/op", limit: 1},
	{what: "AllFlagsState after one of 500 changed: Queries", benchmark: "ChangeOnce", unit: "Query/op"},
	{what: "expiry storm: reads", benchmark: "StormOnce", unit: "reads/op", limit: 1},
	{
		what:      "expiry storm with RefreshAhead: reads",
		benchmark: "StormOnce",
		rival:     ours + "-ahead",
		unit:      "reads/op",
		limit:     1,
	},
	{
		what:      "expiry storm with RefreshAhead: p99 wait, ns (a read takes 5 ms)",
		benchmark: "StormOnce",
		rival:     ours + "-ahead",
		unit:      "p99-wait-ns",
		limit:     5e6,
		below:     true,
	},
}

// print writes the goals and all measurements.
func (r *results) print(w io.Writer) error {
	var lines strings.Builder
	r.printGoals(&lines)
	r.printAll(&lines)
	_, err := io.WriteString(w, lines.String())
	return err
}

func (r *results) printGoals(lines *strings.Builder) {
	fmt.Fprintf(lines, "| goal | at most | %s | %s | %s | against | ratio | best | met |\n", ours, wrapper, bareMap)
	fmt.Fprintln(lines, "| --- | --: | --: | --: | --: | --- | --: | --: | --- |")
	missed := 0
	for _, g := range goals {
		if g.unit == "" {
			g.unit = "ns/op"
		}
		if g.rival == "" {
			g.rival = ours
		}
		measured, ok := r.median(g.benchmark+"/"+g.rival, g.unit)
		ratio, best := "", ""
		if g.to != "" {
			var value float64
			value, ok = r.ratio(g.benchmark+"/"+g.rival, g.benchmark+"/"+g.to, g.unit)
			measured, ratio = value, fmt.Sprintf("%.2f", value)
			if value, ok := r.best(g.benchmark+"/"+g.rival, g.benchmark+"/"+g.to, g.unit); ok {
				best = fmt.Sprintf("%.2f", value)
			}
		}
		met, sign := "yes", ""
		if g.below {
			sign = "< "
		}
		switch {
		case !ok:
			met = "not measured"
		case measured > g.limit || g.below && measured == g.limit:
			met = "NO"
			missed++
		}
		fmt.Fprintf(lines, "| %s | %s%s | %s | %s | %s | %s | %s | %s | %s |\n", g.what, sign, number(g.limit),
			r.cell(g.benchmark+"/"+g.rival, g.unit), r.cell(g.benchmark+"/"+wrapper, g.unit),
			r.cell(g.benchmark+"/"+bareMap, g.unit), g.to, ratio, best, met)
	}
	fmt.Fprintf(
		lines,
		"\nGoals missed: %d of %d. "+
			"Each ratio is the median of the rounds' own; best is the ratio of the fastest rounds.\n\n",
		missed,
		len(goals),
	)
}

// printAll writes a line for each benchmark and unit, with a column for each rival.
func (r *results) printAll(lines *strings.Builder) {
	var rivals, rows []string
	for _, name := range r.names {
		benchmark, rival := cut(name)
		if !slices.Contains(rivals, rival) {
			rivals = append(rivals, rival)
		}
		if !slices.Contains(rows, benchmark) {
			rows = append(rows, benchmark)
		}
	}
	fmt.Fprintf(
		lines,
		"| medians | %s |\n| --- |%s\n",
		strings.Join(rivals, " | "),
		strings.Repeat(" --: |", len(rivals)),
	)
	for _, benchmark := range rows {
		for _, unit := range []string{
			"ns/op", "allocs/op", "p50-wait-ns", "p99-wait-ns", "reads/op", "GetItem/op", "Query/op",
			"B/flag", "B/binary", "init-ns",
		} {
			cells, some := make([]string, len(rivals)), false
			for i, rival := range rivals {
				cells[i] = r.cell(benchmark+"/"+rival, unit)
				value, ok := r.median(benchmark+"/"+rival, unit)
				some = some || ok && (value > 0 || unit != "ns/op")
			}
			if some {
				fmt.Fprintf(lines, "| %s %s | %s |\n", benchmark, unit, strings.Join(cells, " | "))
			}
		}
	}
}

// cut splits a name into the benchmark and the rival, which is its last part.
func cut(name string) (benchmark, rival string) {
	i := strings.LastIndex(name, "/")
	return name[:max(i, 0)], name[i+1:]
}

func (r *results) cell(name, unit string) string {
	value, ok := r.median(name, unit)
	if !ok {
		return ""
	}
	return number(value)
}

// number formats a value with three significant digits.
func number(v float64) string {
	switch {
	case v == float64(int64(v)) && v < 1e5:
		return fmt.Sprint(int64(v))
	case v >= 1e5:
		return fmt.Sprintf("%.3gM", v/1e6)
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}
