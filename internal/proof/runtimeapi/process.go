//go:build unix

package runtimeapi

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// process is the runtime or an external extension, with everything that it starts: one process group.
type process struct {
	name    string
	pid     int
	command *exec.Cmd
	exited  chan struct{}
}

// launch starts a process. Words after the first one of its path are arguments.
func (c *container) launch(path string, arguments []string, api string) (*process, error) {
	words := strings.Fields(path)
	if len(words) == 0 {
		return nil, fmt.Errorf("start %q: no executable", path)
	}
	p := &process{name: "extension " + filepath.Base(words[0]), exited: make(chan struct{})}
	p.command = exec.Command(words[0], append(words[1:], arguments...)...) //nolint:gosec // what the test says
	p.command.Env = c.environment(api)
	p.command.Stdout, p.command.Stderr = c.config.Output, c.config.Output
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("start %q: %w", path, err)
	}
	p.pid = p.command.Process.Pid
	c.serving.Go(func() {
		_ = p.command.Wait()
		close(p.exited)
		c.exits <- p
	})
	return p, nil
}

// state describes how a process that exited did so.
func (p *process) state() string { return p.command.ProcessState.String() }

// environment is what Lambda sets (https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html), with
// credentials that are not valid anywhere.
func (c *container) environment(api string) []string {
	env := []string{
		"AWS_LAMBDA_RUNTIME_API=" + api,
		"AWS_LAMBDA_FUNCTION_NAME=" + c.config.Name,
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128",
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
		"_HANDLER=bootstrap",
		"LAMBDA_TASK_ROOT=/var/task",
		"TZ=:UTC",
		"AWS_REGION=" + region,
		"AWS_DEFAULT_REGION=" + region,
		"AWS_ACCESS_KEY_ID=local",
		"AWS_SECRET_ACCESS_KEY=local",
	}
	if c.config.Concurrency > 0 {
		env = append(env, fmt.Sprintf("AWS_LAMBDA_MAX_CONCURRENCY=%d", c.config.Concurrency))
	}
	return append(env, c.config.Env...)
}

// processes are those that were started.
func (c *container) processes() []*process {
	all := c.outside
	if c.runtime != nil {
		all = append([]*process{c.runtime}, all...)
	}
	return all
}

// signal signals all processes.
func (c *container) signal(s syscall.Signal) {
	for _, p := range c.processes() {
		_ = syscall.Kill(-p.pid, s) // it may have exited
	}
}
