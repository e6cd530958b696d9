package v4store

import (
	"log/slog"
)

// report contains what to log at the end of a read.
type report struct {
	failure   error            // the failure that started a failing period
	broken    map[string]error // rows that could not be decoded
	forgotten int              // number of unknown keys removed from memory
}

// log writes the report. It is called without a lock, because a logger can evaluate a flag.
func (p report) log(logger *slog.Logger, kind string) {
	if p.failure != nil {
		logger.Warn("v4store: reads of the table fail; last known values are served", slog.Any("error", p.failure))
	}
	if len(p.broken) > 0 {
		logger.Warn("v4store: rows cannot be decoded; their last known values are served",
			slog.String("kind", kind), slog.String("rows", listBroken(p.broken)))
	}
	if p.forgotten > 0 {
		logger.Warn("v4store: removed unknown keys from memory; are flag keys built from data?",
			slog.Int("keys", p.forgotten))
	}
}
