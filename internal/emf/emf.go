// Package emf makes a structured log line a CloudWatch metric too: the embedded metric format
// (https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html).
//
// The line's own attributes are the metrics' values, so one line a batch serves people and alarms. It needs a
// logger that writes JSON to standard output with attributes at the top level, as in Lambda; elsewhere the line is
// a line.
package emf

import (
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

// Namespace is where CloudWatch shows warmflags's metrics.
const Namespace = "warmflags"

// Units of CloudWatch.
const (
	Count        = "Count"
	Bytes        = "Bytes"
	Milliseconds = "Milliseconds"
	Seconds      = "Seconds"
)

// Metric is one value.
type Metric struct {
	Name  string // the attribute's name in the line, and the metric's in CloudWatch
	Unit  string // such as [Count]
	Value float64
}

// Dimension is what a metric is told apart by. CloudWatch bills each combination of values as a metric of its own: use few.
type Dimension struct{ Name, Value string }

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

// Function is the dimension that tells two stacks in one account apart: FunctionName. Outside of Lambda there is none.
func Function() []Dimension {
	if lambdacontext.FunctionName == "" {
		return nil
	}
	return []Dimension{{Name: "FunctionName", Value: lambdacontext.FunctionName}}
}

// Attrs are the attributes that make a line count: the metrics' and dimensions' values, and what says that they
// are. At most 100 metrics and 30 dimensions; at is when they were measured.
func Attrs(at time.Time, dimensions []Dimension, metrics []Metric) []slog.Attr {
	d := directive{Namespace: Namespace, Dimensions: [][]string{{}}, Metrics: []definition{}}
	attrs := make([]slog.Attr, 0, len(dimensions)+len(metrics)+1)
	for _, dimension := range dimensions {
		d.Dimensions[0] = append(d.Dimensions[0], dimension.Name)
		attrs = append(attrs, slog.String(dimension.Name, dimension.Value))
	}
	for _, m := range metrics {
		d.Metrics = append(d.Metrics, definition{m.Name, m.Unit})
		attrs = append(attrs, slog.Float64(m.Name, m.Value))
	}
	return append(attrs, slog.Any("_aws", metadata{at.UnixMilli(), []directive{d}}))
}
