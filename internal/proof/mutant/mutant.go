package mutant

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// Suite is a package's test with the faults that it must notice.
type Suite struct {
	Package string        // its folder, relative to the working directory: "." is the package under test itself
	Run     string        // which tests, as in go test -run; it must not match the test that calls Check
	Args    []string      // further arguments for the test, such as "-sim.seeds=500"
	Timeout time.Duration // of one run of the test with a fault, which then counts as failed; 0 is 1 minute
	Mutants []Mutant
}

// Mutant is one planted fault.
type Mutant struct {
	Name  string
	Edits []Edit
}

// Edit replaces a piece of source.
type Edit struct {
	File string // its name in the package's folder
	Old  string // occurs exactly once in the file, after the edits before this one
	New  string
}

// Fault is a mutant of one edit, as most are.
func Fault(name, file, from, to string) Mutant {
	return Mutant{Name: name, Edits: []Edit{{File: file, Old: from, New: to}}}
}

var (
	// ErrSurvived is the cause of [Suite.Try]'s error if the test passed although the fault was planted.
	ErrSurvived = errors.New("survived: the test passes with the fault planted")
	// ErrText is the cause if a text to be replaced does not occur exactly once in the file.
	ErrText = errors.New("the text to replace must occur exactly once: rewrite the mutant")
	// ErrBuild is the cause when the mutated package does not compile.
	ErrBuild = errors.New("does not compile: rewrite the mutant")
)

// inChild is set in the environment of the tests that this package runs, so that they do not run Check again.
const inChild = "WARMFLAGS_MUTANT"

const (
	// runs is how often the test is run with a fault that it does not notice.
	runs = 3
	// patience is the timeout of the test without a fault: the machine may be busy.
	patience = 10 * time.Minute
)

// slots bounds the number of children that are built or run concurrently.
var slots = make(chan struct{}, 2)

// Check fails t unless the suite's test passes on the source as it is and fails with each mutant, which is a
// parallel subtest of its own. With -v it logs by what each was caught. With -short it builds and runs nothing, and
// only checks that the text of each edit is still in the source.
func Check(t *testing.T, s Suite) {
	t.Helper()
	if testing.Short() {
		for _, m := range s.Mutants {
			_, err := s.plant(m, t.TempDir())
			assert.NoErrorf(t, err, "mutant %q", m.Name)
		}
		return
	}
	binary, err := s.build(t.Context(), Mutant{}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if output, err := s.test(t.Context(), binary, patience); err != nil {
		t.Fatalf("test %q must pass before faults are planted: %v\n%s", s.Run, err, output)
	}
	for _, m := range s.Mutants {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			caught, err := s.Try(t.Context(), m, t.TempDir())
			if err != nil {
				t.Fatalf("mutant %q: %v", m.Name, err)
			}
			t.Log("caught:", caught)
		})
	}
}

// Try plants m and runs the test, with its files in the folder dir. It returns how the test failed, or an error
// that wraps [ErrSurvived], [ErrText], [ErrBuild] or ctx's. The test of concurrent code can notice some faults only in
// some orders of the goroutines, so it may miss a fault in two runs; the returned text says so.
func (s Suite) Try(ctx context.Context, m Mutant, dir string) (caught string, err error) {
	binary, err := s.build(ctx, m, dir)
	if err != nil {
		return "", err
	}
	var output string
	for run := range runs {
		if output, err = s.test(ctx, binary, cmp.Or(s.Timeout, time.Minute)); err == nil {
			continue
		}
		var failed *exec.ExitError
		if ctx.Err() != nil || !errors.As(err, &failed) {
			return "", cmp.Or(ctx.Err(), err)
		}
		caught = firstComplaint(output)
		if run > 0 {
			caught = fmt.Sprintf("in run %d: %s", run+1, caught)
		}
		return caught, nil
	}
	return "", fmt.Errorf("%w\n%s", ErrSurvived, output)
}

// build builds the tests with m in dir, and returns the test's path.
func (s Suite) build(ctx context.Context, m Mutant, dir string) (binary string, err error) {
	if os.Getenv(inChild) != "" {
		return "", fmt.Errorf("pattern %q matches the test that plants the faults", s.Run)
	}
	overlay, err := s.plant(m, dir)
	if err != nil {
		return "", err
	}
	slots <- struct{}{}
	defer func() { <-slots }()
	binary = filepath.Join(dir, "mutant.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay", overlay,
		"-o", binary, ".")
	build.Dir = s.Package
	if text, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %w\n%s", ErrBuild, err, text)
	}
	return binary, nil
}

// test runs the test in binary. The error is an [exec.ExitError] if it failed.
func (s Suite) test(ctx context.Context, binary string, timeout time.Duration) (output string, err error) {
	slots <- struct{}{}
	defer func() { <-slots }()
	test := exec.CommandContext(ctx, binary, append([]string{ //nolint:gosec // build made the binary
		"-test.run", s.Run, "-test.count=1", "-test.failfast", "-test.timeout", timeout.String()}, s.Args...)...)
	test.Dir = s.Package
	test.Env = append(os.Environ(), inChild+"=1")
	text, err := test.CombinedOutput()
	return string(text), err
}

// plant writes the mutated files and the overlay that puts them in the place of the real ones.
func (s Suite) plant(m Mutant, dir string) (overlay string, err error) {
	mutated := map[string]string{} // text by file
	for _, e := range m.Edits {
		path, err := filepath.Abs(filepath.Join(s.Package, e.File))
		if err != nil {
			return "", fmt.Errorf("plant fault in %q: %w", e.File, err)
		}
		text, ok := mutated[path]
		if !ok {
			read, err := os.ReadFile(path)
			if err != nil {
				return "", fmt.Errorf("plant fault: %w", err)
			}
			text = string(read)
		}
		if n := strings.Count(text, e.Old); n != 1 {
			return "", fmt.Errorf("plant fault: %w: found %d times in %q:\n%s", ErrText, n, e.File, e.Old)
		}
		mutated[path] = strings.Replace(text, e.Old, e.New, 1)
	}
	replace := map[string]string{}
	for path, text := range mutated {
		replace[path] = filepath.Join(dir, strconv.Itoa(len(replace))+".go")
		if err := os.WriteFile(replace[path], []byte(text), 0o600); err != nil {
			return "", fmt.Errorf("plant fault: %w", err)
		}
	}
	overlay = filepath.Join(dir, "overlay.json")
	file, err := json.Marshal(map[string]any{"Replace": replace})
	if err == nil {
		err = os.WriteFile(overlay, file, 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("plant fault: %w", err)
	}
	return overlay, nil
}

// complaint matches the lines in which a test reports a failure.
var complaint = regexp.MustCompile(`(?m)^\s*(panic: .*|fatal error: .*|[\w./-]+\.go:\d+: .*)$`)

// firstComplaint returns the first such line of a failed test's output.
func firstComplaint(output string) string {
	if found := complaint.FindStringSubmatch(output); found != nil {
		return found[1]
	}
	return strings.TrimSpace(output)
}
