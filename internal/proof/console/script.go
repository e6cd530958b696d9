package console

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/rogpeppe/go-internal/txtar"
)

// Prints returns the command "prints FILE" for the scripts in a folder: it fails unless what the last command printed,
// on standard output and then on standard error, is what the script's file holds, both normalized. With update, it
// writes a file that differs.
func Prints(folder string, update bool) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		if len(args) != 1 {
			ts.Fatalf("usage: prints file")
		}
		printed, name := ts.ReadFile("stdout")+ts.ReadFile("stderr"), args[0]
		script := filepath.Join(folder, ts.Name()+".txtar")
		archive, err := txtar.ParseFile(script)
		ts.Check(err)
		for i := range archive.Files {
			file := &archive.Files[i]
			if file.Name != name {
				continue
			}
			if got, want := Normalize(printed), Normalize(string(file.Data)); got == want {
				return
			} else if !update {
				ts.Fatalf("printed\n%s\n\n%s holds\n%s", got, name, want)
			}
			file.Data = []byte(trailing.ReplaceAllString(strings.Trim(printed, "\n"), "") + "\n")
			ts.Check(os.WriteFile(script, txtar.Format(archive), 0o600))
			return
		}
		ts.Fatalf("the script has no file %s", name)
	}
}

var trailing = regexp.MustCompile(`(?m) +$`) // spaces, of the last column

// Example is a run of a command in a script.
type Example struct {
	Text   string // of the comment "# doc: TEXT" before it
	Args   string // the command's line, without the program's name
	Exit   string // its exit code, where the script checks it
	Output string // of the file that "prints" compares
}

// Examples returns the runs of program that a script documents: a comment "# doc: TEXT", which may have several lines,
// a line that runs the program, and the "exit" and "prints" after it.
func Examples(script, program string) (examples []Example, err error) {
	archive, err := txtar.ParseFile(script)
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for _, f := range archive.Files {
		files[f.Name] = string(f.Data)
	}
	var next *Example
	for line := range strings.Lines(string(archive.Comment)) {
		line = strings.TrimSpace(line)
		verb, rest, _ := strings.Cut(line, " ")
		_, args, runs := strings.Cut(" "+line, " "+program+" ")
		switch {
		case strings.HasPrefix(line, "# doc: "):
			next = &Example{Text: strings.TrimPrefix(line, "# doc: ")}
		case next == nil:
		case verb == "#" && next.Args == "":
			next.Text += " " + rest
		case verb == "exit":
			next.Exit = rest
		case verb == "prints":
			next.Output = files[rest]
			examples = append(examples, *next)
			next = nil
		case runs:
			next.Args = args
		}
	}
	return examples, nil
}
