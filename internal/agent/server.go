package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// DefaultAddress is the address on which the agent listens by default.
const DefaultAddress = "127.0.0.1:8016"

// Limits of a connection.
const (
	headerTimeout  = 5 * time.Second
	readTimeout    = 10 * time.Second
	writeTimeout   = 30 * time.Second
	idleTimeout    = 5 * time.Minute
	maxHeaderBytes = 16 << 10

	// closeLimit bounds the time that a sidecar needs to finish its requests and to send the recorded events.
	closeLimit = 10 * time.Second
)

// Config configures an agent.
type Config struct {
	// Address is host:port; empty: DefaultAddress. Port 0 is any unused port. A host that is not loopback needs an
	// APIKey.
	Address string
	APIKey  string       // the key that requests must have; empty: no key is required
	Version string       // for GET /status
	Logger  *slog.Logger // nil: slog.Default()

	Open func(ctx context.Context) (Opened, error) // loads the flags; called again after an error
}

func (c Config) withDefaults() Config {
	if c.Address == "" {
		c.Address = DefaultAddress
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// check returns all problems of a configuration in one error. The configuration must have its defaults.
func (c Config) check() error {
	host, _, err := net.SplitHostPort(c.Address)
	if err != nil {
		err = fmt.Errorf("listen on %q: %w. hint: use host:port, such as %s", c.Address, err, DefaultAddress)
	} else if !isLoopbackHost(host) && c.APIKey == "" {
		err = fmt.Errorf("listen on %q: other machines could evaluate flags. hint: use a loopback address, or set "+
			"an API key", c.Address)
	}
	if c.Open == nil {
		err = errors.Join(err, errors.New("listen: Open is nil"))
	}
	return err
}

// Agent is a running agent. Make it with [Listen].
type Agent struct {
	config   Config
	loader   *loader
	listener net.Listener
	server   *http.Server
	running  sync.WaitGroup // the server and the loader
	stop     context.CancelFunc
}

// Listen starts an agent. The agent listens, logs the address, and loads the flags in the background. Listen returns
// all configuration problems in one error. The caller must close the agent.
func Listen(ctx context.Context, config Config) (*Agent, error) {
	config = config.withDefaults()
	if err := config.check(); err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", config.Address)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", config.Address, err)
	}
	config.Logger.Info("agent listening", "address", listener.Addr().String(), "version", config.Version)
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	a := &Agent{config: config, loader: newLoader(config.Open, config.Logger), listener: listener, stop: stop}
	a.server = &http.Server{
		Handler:           NewHandler(a.loader, config.APIKey, config.Version, config.Logger),
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(config.Logger.Handler(), slog.LevelWarn),
	}
	a.running.Go(func() {
		if err := a.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			config.Logger.Error("the agent stopped serving", "error", err)
		}
	})
	a.running.Go(func() { a.loader.run(life) })
	return a, nil
}

// Addr returns the address on which the agent listens.
func (a *Agent) Addr() net.Addr { return a.listener.Addr() }

// Run waits until ctx ends, and then closes the agent.
func (a *Agent) Run(ctx context.Context) error {
	<-ctx.Done()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
	defer cancel()
	return a.Close(end)
}

// Close finishes the current requests, sends the recorded events and ends the background work. It stops waiting when
// ctx ends.
func (a *Agent) Close(ctx context.Context) error {
	err := a.server.Shutdown(ctx)
	a.stop()
	a.running.Wait()
	if opened, _ := a.loader.current(); opened != nil {
		err = errors.Join(err, opened.Close(ctx))
	}
	return err
}
