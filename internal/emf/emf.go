// Package emf writes log lines that CloudWatch reads as metrics too: the embedded metric format
// (https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html).
//
// The line's own attributes are the metrics' values, so one line per batch serves people and alarms. It needs a
// logger that writes JSON to standard output with attributes at the top level, as in Lambda. With any other logger the
// line is an ordinary log line.
package emf

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

// Namespace is where CloudWatch shows warmflags's metrics.
const Namespace = "warmflags"

// Metric is one value. Make it with [Count], [Bytes], [Seconds] or [Milliseconds].
type Metric struct {
	name  string // the attribute's name in the line, and the metric's in CloudWatch
	unit  string
	value float64
}

// Count returns the metric of a number of things.
func Count(name string, n int) Metric { return Metric{name, "Count", float64(n)} }

// Bytes returns the metric of a size in bytes.
func Bytes(name string, n int) Metric { return Metric{name, "Bytes", float64(n)} }

// Seconds returns the metric of a duration, in seconds.
func Seconds(name string, d time.Duration) Metric { return Metric{name, "Seconds", d.Seconds()} }

// Milliseconds returns the metric of a duration, in milliseconds.
func Milliseconds(name string, d time.Duration) Metric {
	return Metric{name, "Milliseconds", float64(d) / float64(time.Millisecond)}
}

// Dimension distinguishes metrics of one name. CloudWatch bills each combination of values as a metric of its own: use few.
type Dimension struct{ Name, Value string }

// noValue stands for the empty string: CloudWatch has no empty dimension value.
const noValue = "-"

// encoded returns the value as CloudWatch accepts it. CloudWatch drops a metric silently when a dimension's value is empty,
// blank, or has control or non-ASCII characters. So each byte outside of the printable ASCII characters, a blank and "%" are
// percent-encoded; the empty value is "-", and the value "-" is "%2D". Different values stay different.
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

// Function returns the dimension FunctionName, which distinguishes two stacks in one account. Outside of Lambda there is none.
func Function() []Dimension {
	if lambdacontext.FunctionName == "" {
		return nil
	}
	return []Dimension{{Name: "FunctionName", Value: lambdacontext.FunctionName}}
}

// Attrs returns the attributes that make CloudWatch read a line as metrics: the values of metrics and dimensions, and the
// declaration of both. At most 100 metrics and 30 dimensions; at is when they were measured. Write the line with [Log].
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

// Log writes one line whatever level the logger has. A line that the logger would drop gets the lowest level that it
// writes: Lambda's own filter compares the line's level too, and an alarm must not depend on how much is logged.
func Log(ctx context.Context, logger *slog.Logger, level slog.Level, message string, attrs ...slog.Attr) {
	for !logger.Enabled(ctx, level) && level < slog.LevelError {
		level += slog.LevelWarn - slog.LevelInfo
	}
	r := slog.NewRecord(time.Now(), level, message, 0)
	r.AddAttrs(attrs...)
	_ = logger.Handler().Handle(ctx, r) // as slog's own methods do: no caller can do anything about it
}
