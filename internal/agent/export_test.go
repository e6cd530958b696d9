package agent

import "context"

// NewLoader makes a loader without a server.
var NewLoader = newLoader

// Run calls run.
func (l *loader) Run(ctx context.Context) { l.run(ctx) }
