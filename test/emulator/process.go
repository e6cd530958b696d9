package emulator

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// answerLimit is how long an emulator may take until its first answer: some seconds, more on a busy machine.
const answerLimit = 5 * time.Minute

// process is a running emulator.
type process struct {
	endpoint string // http://127.0.0.1:port
	log      string // the file with its output
	shell    *exec.Cmd
	pipe     io.Closer // closing it ends the emulator
}

// guardian runs its arguments until its input ends, because the test program closes the pipe or has ended.
const guardian = `"$@" & child=$!; read -r _; kill -9 "$child"; wait "$child" 2>/dev/null`

// command describes how to start an emulator on a port.
type command struct {
	name string
	file string   // installed by make integration
	dir  string   // the working directory
	env  []string // in addition to PATH and HOME
	args []string
	path string // the path that answers once the emulator is ready
}

// start starts a command and waits until it answers.
func start(c command, port int) (*process, error) {
	if _, err := os.Stat(c.file); err != nil {
		return nil, fmt.Errorf("start %s: %w: install it with make integration", c.name, err)
	}
	log := filepath.Join(Home(), c.name+".log")
	output, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	defer func() { _ = output.Close() }()
	p := &process{endpoint: fmt.Sprintf("http://127.0.0.1:%d", port), log: log}
	p.shell = exec.Command(
		"sh",
		append([]string{"-c", guardian, "sh"}, c.args...)...) //nolint:gosec // commands of this package
	p.shell.Dir, p.shell.Stdout, p.shell.Stderr = c.dir, output, output
	p.shell.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + Home()}, c.env...)
	if p.pipe, err = p.shell.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	if err := p.shell.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	if err := p.waitUntilItAnswers(c.path); err != nil {
		p.stop()
		return nil, fmt.Errorf("start %s: %w; it said:\n%s", c.name, err, p.lastWords())
	}
	return p, nil
}

// waitUntilItAnswers sends requests until one is answered. An emulator does not report otherwise that it is ready.
func (p *process) waitUntilItAnswers(path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), answerLimit)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.endpoint+path, http.NoBody)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(request)
		if err == nil {
			return answer.Body.Close()
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("no answer on %s after %v: %w", p.endpoint, answerLimit, err)
		}
	}
}

// stop kills the emulator and waits for its end.
func (p *process) stop() {
	_ = p.pipe.Close()
	_ = p.shell.Wait() // the status of the shell has no meaning
}

// lastWords returns the end of the output.
func (p *process) lastWords() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}
