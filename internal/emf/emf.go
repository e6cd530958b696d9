// Package emf writes log lines that CloudWatch also reads as metrics, in the embedded metric format. See AWS,
// "CloudWatch embedded metric format specification".
//
// The metrics' values are the line's own attributes, so one line for each batch is enough for people and for alarms.
// The logger must write JSON to standard output with attributes at the top level, as in Lambda. With any other logger
// the line is an ordinary log line.
package emf

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

// Namespace is the CloudWatch namespace of warmflags' metrics.
const Namespace = "warmflags"

// Metric is one value. Create it with [Count], [Seconds] or [Milliseconds].
type Metric struct {
	name  string // the name of the attribute in the line and of the metric in CloudWatch
	unit  string
	value float64
}

// Count returns the metric of a number.
func Count(name string, n int) Metric { return Metric{name, "Count", float64(n)} }

// Seconds returns the metric of a duration, in seconds.
func Seconds(name string, d time.Duration) Metric { return Metric{name, "Seconds", d.Seconds()} }

// Milliseconds returns the metric of a duration, in milliseconds.
func Milliseconds(name string, d time.Duration) Metric {
	return Metric{name, "Milliseconds", float64(d) / float64(time.Millisecond)}
}

// Dimension distinguishes metrics with the same name. CloudWatch bills each combination of values as one metric, so use
// few dimensions.
type Dimension struct{ Name, Value string }

// noValue replaces the empty string, because CloudWatch does not accept an empty dimension value.
const noValue = "-"

// encoded returns the value in a form that CloudWatch accepts. CloudWatch silently drops a metric if the value of a
// dimension is empty, blank, or has control or non-ASCII characters. So blanks, "%" and all bytes that are not
// printable ASCII are percent-encoded. The empty value becomes "-", and the value "-" becomes "%2D". Different values
// have different encodings.
func (d Dimension) encoded() string {
	switch d.Value {
	case "":
		return noValue
	case noValue:
		return "%2D"
	}
	var b strings.Builder
	for _, c := range []byte(d.Value) {
		if c <= ' ' || c > '~' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

type metadata struct {
	Timestamp         int64       `json:"Timestamp"`
	CloudWatchMetrics []directive `json:"CloudWatchMetrics"`
}

type directive struct {
	Namespace  string       `json:"Namespace"`
	Dimensions [][]string   `json:"Dimensions"`
	Metrics    []definition `json:"Metrics"`
}

type definition struct {
	Name string `json:"Name"`
	Unit string `json:"Unit"`
}

// Function returns the dimension FunctionName, which distinguishes two stacks in one account. Outside of Lambda it
// returns nil.
func Function() []Dimension {
	if lambdacontext.FunctionName == "" {
		return nil
	}
	return []Dimension{{Name: "FunctionName", Value: lambdacontext.FunctionName}}
}

// Attrs returns the attributes that make CloudWatch read a line as metrics: the values of metrics and dimensions, and
// their declarations. There may be at most 100 metrics and 30 dimensions. The metrics' time is at. Write the line with
// [Log].
func Attrs(at time.Time, dimensions []Dimension, metrics []Metric) []slog.Attr {
	d := directive{Namespace: Namespace, Dimensions: [][]string{{}}, Metrics: []definition{}}
	attrs := make([]slog.Attr, 0, len(dimensions)+len(metrics)+1)
	for _, dimension := range dimensions {
		d.Dimensions[0] = append(d.Dimensions[0], dimension.Name)
		attrs = append(attrs, slog.String(dimension.Name, dimension.encoded()))
	}
	for _, m := range metrics {
		d.Metrics = append(d.Metrics, definition{m.name, m.unit})
		attrs = append(attrs, slog.Float64(m.name, m.value))
	}
	return append(attrs, slog.Any("_aws", metadata{at.UnixMilli(), []directive{d}}))
}

// Log writes one line, whatever the logger's level is, because an alarm must not depend on the log level. If the logger
// would drop the line, Log raises the line's level to the lowest one that the logger writes, because Lambda's own
// filter compares the line's level too.
func Log(ctx context.Context, logger *slog.Logger, level slog.Level, message string, attrs ...slog.Attr) {
	for !logger.Enabled(ctx, level) && level < slog.LevelError {
		level += slog.LevelWarn - slog.LevelInfo
	}
	r := slog.NewRecord(time.Now(), level, message, 0)
	r.AddAttrs(attrs...)
	_ = logger.Handler().Handle(ctx, r) // slog's own methods ignore this error too
}
