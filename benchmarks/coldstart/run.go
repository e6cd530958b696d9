//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// stages are the times of one start's steps.
type stages struct {
	main  time.Duration // from the start of the process to main: the Go runtime and all init functions
	made  time.Duration // from there to the client
	first time.Duration // from there to the first evaluated flag
	cpu   time.Duration // used by the process on all cores until it ended
}

func (s stages) total() time.Duration { return s.main + s.made + s.first }

// median returns the median of each stage. (The sum of medians is not the median of sums, but close to it.)
func median(all []stages) stages {
	of := func(stage func(stages) time.Duration) time.Duration {
		var times []time.Duration
		for _, s := range all {
			times = append(times, stage(s))
		}
		slices.Sort(times)
		return times[len(times)/2]
	}
	return stages{
		main:  of(func(s stages) time.Duration { return s.main }),
		made:  of(func(s stages) time.Duration { return s.made }),
		first: of(func(s stages) time.Duration { return s.first }),
		cpu:   of(func(s stages) time.Duration { return s.cpu }),
	}
}

// run starts a program, in the group if there is one. There, a shell waits until it is in the group and then replaces
// itself by the program: the program is limited from its start, and the start of the shell does not count.
func run(program string, environment []string, g *group) (stages, error) {
	command := exec.Command(program)
	if g != nil {
		command = exec.Command("/bin/sh", "-c", `read go; exec "$0"`, program)
	}
	var stdout, stderr bytes.Buffer
	command.Env, command.Stdout, command.Stderr = environment, &stdout, &stderr
	stdin, err := command.StdinPipe()
	if err != nil {
		return stages{}, err
	}
	began := time.Now()
	if err := command.Start(); err != nil {
		return stages{}, err
	}
	if g != nil {
		if err := g.add(command.Process.Pid); err != nil {
			return stages{}, errors.Join(err, command.Process.Kill(), command.Wait())
		}
		began = time.Now()
		_, err = io.WriteString(stdin, "go\n")
	}
	if err := errors.Join(err, command.Wait()); err != nil {
		return stages{}, fmt.Errorf("%w: %s", err, &stderr)
	}
	var main, made, first int64
	if _, err := fmt.Sscan(stdout.String(), &main, &made, &first); err != nil {
		return stages{}, fmt.Errorf("read %q: %w", &stdout, err)
	}
	return stages{
		main: time.Duration(
			main - began.UnixNano(),
		),
		made:  time.Duration(made - main),
		first: time.Duration(first - made),
		cpu:   command.ProcessState.UserTime() + command.ProcessState.SystemTime(),
	}, nil
}

// The limit of a group, and the period in which it is enforced: a process that has used its share stops until the
// period is over.
const (
	percent = 7
	period  = 20 * time.Millisecond
)

// group is a control group whose processes together get a share of one core.
type group struct{ folder string }

// newGroup makes a group, with control groups of version 2 or 1.
func newGroup() (*group, error) {
	periodMicros, quotaMicros := strconv.Itoa(
		int(period.Microseconds()),
	), strconv.Itoa(
		int(period.Microseconds()*percent/100),
	)
	for _, version := range []struct {
		root   string
		limits map[string]string // by file
	}{
		{"/sys/fs/cgroup", map[string]string{"cpu.max": quotaMicros + " " + periodMicros}},
		{"/sys/fs/cgroup/cpu", map[string]string{"cpu.cfs_period_us": periodMicros, "cpu.cfs_quota_us": quotaMicros}},
	} {
		g := &group{filepath.Join(version.root, "warmflags-"+strconv.Itoa(os.Getpid()))}
		if os.Mkdir(g.folder, 0o750) != nil {
			continue
		}
		var errs []error
		for file, value := range version.limits {
			errs = append(errs, g.write(file, value))
		}
		if errors.Join(errs...) == nil {
			return g, nil
		}
		g.remove()
	}
	return nil, errors.New("no control group with a limit can be made here: it needs root")
}

// add moves a process into the group; a nil group has no limit.
func (g *group) add(pid int) error {
	if g == nil {
		return nil
	}
	return g.write("cgroup.procs", strconv.Itoa(pid))
}

// write writes a file that the kernel created. It fails in an ordinary folder, which has no such file.
func (g *group) write(file, value string) error {
	f, err := os.OpenFile(filepath.Join(g.folder, file), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// remove removes the group. No process may be in it.
func (g *group) remove() { _ = os.Remove(g.folder) }
