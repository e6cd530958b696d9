package main

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// results are values by "benchmark unit", such as "Get/bare-map ns/op": one a round, in the rounds' order.
type results struct {
	values map[string][]float64
	names  []string // of benchmarks, in the order they ran
}

var processors = regexp.MustCompile(`-\d+$`)

// parse reads what `go test -bench` prints.
func parse(r io.Reader) (*results, error) {
	found := &results{values: map[string][]float64{}}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := processors.ReplaceAllString(strings.TrimPrefix(fields[0], "Benchmark"), "")
		if !slices.Contains(found.names, name) {
			found.names = append(found.names, name)
		}
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("line %q: %w", lines.Text(), err)
			}
			key := name + " " + fields[i+1]
			found.values[key] = append(found.values[key], value)
		}
	}
	return found, lines.Err()
}

// median returns the median of a benchmark's unit; ok is false if there is none.
func (r *results) median(name, unit string) (value float64, ok bool) {
	return median(r.values[name+" "+unit])
}

// ratio returns the median of the rounds' ratios: other work of the machine affects both sides of a round.
func (r *results) ratio(name, to, unit string) (ratio float64, ok bool) {
	a, b := r.values[name+" "+unit], r.values[to+" "+unit]
	var ratios []float64
	for i := range min(len(a), len(b)) {
		if b[i] != 0 {
			ratios = append(ratios, a[i]/b[i])
		}
	}
	return median(ratios)
}

// best returns the ratio of the fastest rounds: other work of the machine can only make a round slower.
func (r *results) best(name, to, unit string) (ratio float64, ok bool) {
	a, b := r.values[name+" "+unit], r.values[to+" "+unit]
	if len(a) == 0 || len(b) == 0 || slices.Min(b) == 0 {
		return 0, false
	}
	return slices.Min(a) / slices.Min(b), true
}

func median(values []float64) (float64, bool) {
	if len(values) == 0 {
		return 0, false
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2, true
	}
	return sorted[middle], true
}
