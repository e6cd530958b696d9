package demo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/warmflags/warmflags/internal/local/launchdarkly"
)

// Config says what to run. Its zero value is not valid: see [Defaults].
type Config struct {
	Changes   int // flips; at least half of them travel alone
	Consumers int // LaunchDarkly clients, each with its own cache and queue
	Services  int // more clients, in services that poll the journal on a timer; 0 for none
	// more clients, in warm Lambdas, frozen at random, that poll the journal; 0 for none
	Lambdas  int
	Flags    int    // flags in the environment
	Segments int    // segments in the environment
	Seed     uint64 // of the order in which flags flip
	// breaks the path on purpose, and ends the run at the first fault that is seen; empty: not
	Sabotage Sabotage
	Patience time.Duration         // how long the next flips wait for consumers that have not seen the ones before
	Progress func(done, total int) // called after flips were seen; may be nil
}

// Defaults is the main job: 500 flips of 500 flags seen by 20 clients with queues, 3 services that poll and 3 warm
// Lambdas.
func Defaults() Config {
	return Config{Changes: 500, Consumers: 20, Services: 3, Lambdas: 3, Flags: 500, Segments: 20, Seed: 1,
		Patience: 5 * time.Second}
}

// Validate reports all that is wrong with the config. [Run] does so too.
func (c *Config) Validate() error {
	var errs []error
	for _, n := range []struct {
		name       string
		value, max int // the demo runs in one process: more would use up its memory
	}{{"changes", c.Changes, 1_000_000}, {"consumers", c.Consumers, 1000}, {"flags", c.Flags, 100_000}} {
		if n.value < 1 || n.value > n.max {
			errs = append(errs, fmt.Errorf("--%s %d: must be from 1 to %d", n.name, n.value, n.max))
		}
	}
	if c.Services < 0 {
		errs = append(errs, fmt.Errorf("services %d: must not be negative", c.Services))
	}
	if c.Lambdas < 0 {
		errs = append(errs, fmt.Errorf("lambdas %d: must not be negative", c.Lambdas))
	}
	if c.Segments < 0 {
		errs = append(errs, fmt.Errorf("segments %d: must not be negative", c.Segments))
	}
	if c.Patience <= 0 {
		errs = append(errs, fmt.Errorf("patience %v: must be positive", c.Patience))
	}
	return errors.Join(append(errs, c.Sabotage.validate())...)
}

// Run runs the demo and reports what it saw. A report with lost or stale reads is no error: see [Report.OK].
func Run(ctx context.Context, c Config) (report *Report, err error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	b := newBoard(c.Consumers + c.Services + c.Lambdas)
	p, err := startPath(ctx, c, b)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	start := time.Now()
	fault, err := flipAll(ctx, c, b, p)
	if err != nil {
		return nil, err
	}
	report = newReport(c, b, p, time.Since(start))
	report.Fault = fault
	return report, nil
}

// lastPatience is how long a flip that was late may still be seen at the end.
const lastPatience = time.Minute

// burst is the most flips that are made without waiting in between.
const burst = 12

// flipAll makes the flips: at least half alone, each once all consumers have seen the one before, the rest in bursts.
// With sabotage it stops at the first fault, and returns it.
func flipAll(ctx context.Context, c Config, b *board, p *path) (fault string, err error) {
	var stop <-chan struct{}
	if c.Sabotage != "" {
		stop = b.firstStale
	}
	random := rand.New(rand.NewPCG(c.Seed, 0))
	var all []*flip
	for left := c.Changes; left > 0; {
		n := 1
		if lone := b.lone; 2*lone > c.Changes-left && left > 1 {
			n = min(2+random.IntN(burst-1), left, max(1, 2*lone-(c.Changes-left)))
		}
		flips := make([]*flip, 0, n)
		for range n {
			f, err := p.flip(ctx, b, random.IntN(c.Flags), n == 1)
			if err != nil {
				return "", err
			}
			flips = append(flips, f)
		}
		left -= n
		if err := b.await(ctx, flips, c.Patience, stop); err != nil {
			return "", err
		}
		if c.Sabotage != "" {
			if fault := b.fault(flips); fault != "" {
				return fault, nil
			}
		}
		all = append(all, flips...)
		if c.Progress != nil {
			c.Progress(c.Changes-left, c.Changes)
		}
	}
	return "", b.await(ctx, all, lastPatience, stop) // late is not lost
}

// flip raises one flag's version in LaunchDarkly, which sends its webhook.
func (p *path) flip(ctx context.Context, b *board, flag int, alone bool) (*flip, error) {
	f := b.begin(flag, alone)
	version := p.ld.Flip(launchdarkly.FlagKey(flag))
	b.made(f, version)
	if err := launchdarkly.SendWebhook(ctx, p.webhookURL, webhookSecret, launchdarkly.FlagKey(flag),
		version); err != nil {
		return nil, fmt.Errorf("flip %q: %w", launchdarkly.FlagKey(flag), err)
	}
	b.queued(f)
	return f, nil
}
