package metrics

import (
	"encoding/json"
	"os"
	"sync"
	"time"

	"github.com/warmflags/warmflags"
)

// Lines prints the numbers to watch as lines that CloudWatch reads as metrics. A line has the counts since the line
// before.
type Lines struct {
	Flags *warmflags.Flags

	mu   sync.Mutex // guards the fields below
	next time.Time  // when a line is due
	last warmflags.Stats
}

// Print prints a line, at most once a minute. Call it at the end of each invocation.
func (l *Lines) Print() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, s := time.Now(), l.Flags.Stats()
	if now.Before(l.next) {
		return nil
	}
	line := map[string]any{
		"FunctionName": os.Getenv("AWS_LAMBDA_FUNCTION_NAME"),
		"StaleServes":  s.Cache.StaleServes - l.last.Cache.StaleServes,
		"FailedReads":  s.Cache.Errors - l.last.Cache.Errors,
		"FailedPolls":  s.Journal.Errors - l.last.Journal.Errors,
		"_aws": map[string]any{"Timestamp": now.UnixMilli(), "CloudWatchMetrics": []any{map[string]any{
			"Namespace": "flags", "Dimensions": [][]string{{"FunctionName"}},
			"Metrics": []map[string]string{
				{"Name": "StaleServes", "Unit": "Count"},
				{"Name": "FailedReads", "Unit": "Count"},
				{"Name": "FailedPolls", "Unit": "Count"},
			},
		}}},
	}
	l.next, l.last = now.Add(time.Minute), s
	return json.NewEncoder(os.Stdout).Encode(line)
}
