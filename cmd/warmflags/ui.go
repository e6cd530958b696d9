package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// The rules of the user interface, the same for every command:
//
//   - Results go to standard output; errors, hints and progress go to standard error.
//   - An error is printed once, here, as "error: what failed, with the names involved" and "hint: what to do".
//   - The exit code is 0 if all is well, 1 if the command failed, 2 if it was called wrongly, and 3 if it worked and
//     found a problem: then standard output says which.
//   - With --json, standard output is one JSON value, or one in each line for a command that goes on.
//   - Color and progress bars appear only on a terminal, and no color if NO_COLOR is set.
//   - Nothing is written to AWS by a command that only reports.
const (
	exitOK      = 0
	exitFailed  = 1
	exitUsage   = 2
	exitProblem = 3
)

// errProblem ends a command with exit code 3: it worked, and what it printed is a problem.
var errProblem = errors.New("the check found a problem")

// errReported ends a command with exit code 1 after it has printed why.
var errReported = errors.New("reported")

// usageError ends a command with exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// hinted is an error with advice for the person who reads it.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// withHint adds advice to err. Of nested hints, the innermost one is printed; of joined errors, all.
func withHint(err error, hint string, args ...any) error {
	return hinted{err, fmt.Sprintf(hint, args...)}
}

// finish prints err, if it is not printed yet, and returns the exit code.
func finish(cmd *cobra.Command, stderr io.Writer, err error) int {
	if err != nil && isTerminal(stderr) {
		_, _ = fmt.Fprint(stderr, clearLine) // a progress bar may be there
	}
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errProblem):
		return exitProblem
	case errors.Is(err, errReported):
		return exitFailed
	case errors.Is(err, context.Canceled):
		_, _ = fmt.Fprintln(stderr, "error: interrupted")
		if err = withoutCanceled(err); err == nil {
			return exitFailed
		}
	}
	text, hint := explain(err, cmd.Flag("region").Value.String())
	code := exitFailed
	if errors.As(err, &usageError{}) {
		code = exitUsage
		if hint == "" {
			hint = "run: " + cmd.CommandPath() + " --help"
		}
	}
	_, _ = fmt.Fprintln(stderr, "error: "+strings.ReplaceAll(text, "\n", "\nerror: "))
	if hint != "" {
		_, _ = fmt.Fprintln(stderr, "hint: "+strings.ReplaceAll(hint, "\n", "\nhint: "))
	}
	return code
}

// withoutCanceled returns what failed apart from the interruption, such as what could not be removed: of joined errors
// those that are not canceled, or nil.
func withoutCanceled(err error) error {
	if !errors.Is(err, context.Canceled) {
		return err
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || err.Error() != errors.Join(joined.Unwrap()...).Error() { // one error with several causes
		return nil
	}
	var others []error
	for _, e := range joined.Unwrap() {
		others = append(others, withoutCanceled(e))
	}
	return errors.Join(others...)
}

// printJSON prints v for programs, and for people who look at it.
func printJSON(out io.Writer, v any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// A progress bar or line ends without a line feed, so that what is printed next replaces it on a terminal.
const (
	clearRest = "\033[K"         // of the line, from the cursor on
	clearLine = "\r" + clearRest // the whole line
)

// color is an ANSI color.
type color string

const (
	red    color = "31"
	yellow color = "33"
	green  color = "32"
)

// paint returns text in a color if out is a terminal and NO_COLOR is unset (https://no-color.org).
func paint(out io.Writer, c color, text string) string {
	if os.Getenv("NO_COLOR") != "" || !isTerminal(out) {
		return text
	}
	return "\033[" + string(c) + "m" + text + "\033[0m"
}
