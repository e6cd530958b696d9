// Command table runs the benchmarks in rounds, so that other work of the machine affects all rivals equally. It stores
// the raw results and prints medians and ratios beside the goals. Run it in benchmarks/.
//
//	go run ./table [-benchtime 0.1s] [-rounds 7] [-o results.txt]
//	go run ./table -from results.txt     prints the tables again
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

func main() {
	benchtime := flag.String("benchtime", "0.1s", "how long each benchmark runs in a round")
	rounds := flag.Int("rounds", 7, "how many rounds")
	out := flag.String("o", "results.txt", "the file for the raw results")
	from := flag.String("from", "", "print the raw results of this file instead of running benchmarks")
	flag.Parse()
	if err := run(*benchtime, *rounds, *out, *from); err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1)
	}
}

func run(benchtime string, rounds int, out, from string) error {
	if from == "" {
		if err := measure(benchtime, rounds, out); err != nil {
			return err
		}
		from = out
	}
	file, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	found, err := parse(file)
	if err != nil {
		return fmt.Errorf("read %q: %w", from, err)
	}
	return found.print(os.Stdout)
}

// part is a set of benchmarks, and the number of rounds in which they run.
type part struct {
	benchmarks, benchtime string
	rounds                int
}

// measure runs all parts and writes the benchmarks' output to a file.
func measure(benchtime string, rounds int, out string) error {
	folder, err := os.MkdirTemp("", "benchmarks")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	binary := filepath.Join(folder, "benchmarks.test")
	if err := command(os.Stderr, "go", "test", "-c", "-o", binary, "."); err != nil {
		return err
	}
	file, err := os.Create(out)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	for round := range rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, rounds)
		for _, p := range []part{
			{
				"^Benchmark(Get|GetParallel|GetAll|BoolVariation|AllFlagsState|Invalidate1Percent|Miss|KeyMap)$",
				benchtime, rounds,
			},
			{"Once$", "1x", 2},
		} {
			if round >= p.rounds {
				continue
			}
			if err := command(
				file,
				binary,
				"-test.run=^$",
				"-test.bench="+p.benchmarks,
				"-test.benchtime="+p.benchtime,
			); err != nil {
				return err
			}
		}
	}
	return file.Close()
}

func command(out io.Writer, name string, arguments ...string) error {
	c := exec.Command(name, arguments...)
	c.Stdout, c.Stderr = out, os.Stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("run %s %q: %w", filepath.Base(name), arguments, err)
	}
	return nil
}
