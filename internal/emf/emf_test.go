package emf_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/stretchr/testify/assert"

	"github.com/warmflags/warmflags/internal/emf"
)

var at = time.UnixMilli(1_700_000_000_123)

func ExampleAttrs() {
	withoutTime := &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}
	var line bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&line, withoutTime))
	attrs := emf.Attrs(at, nil, []emf.Metric{emf.Count("Records", 3)})
	logger.LogAttrs(context.Background(), slog.LevelInfo, "stream batch", attrs...)
	var indented bytes.Buffer
	_ = json.Indent(&indented, line.Bytes(), "", "  ")
	fmt.Println(indented.String())
	// Output:
	// {
	//   "level": "INFO",
	//   "msg": "stream batch",
	//   "Records": 3,
	//   "_aws": {
	//     "Timestamp": 1700000000123,
	//     "CloudWatchMetrics": [
	//       {
	//         "Namespace": "warmflags",
	//         "Dimensions": [
	//           []
	//         ],
	//         "Metrics": [
	//           {
	//             "Name": "Records",
	//             "Unit": "Count"
	//           }
	//         ]
	//       }
	//     ]
	//   }
	// }
}

func TestTheLineHasEveryDeclaredName(t *testing.T) {
	var out strings.Builder
	attrs := emf.Attrs(at, []emf.Dimension{{Name: "Prefix", Value: "staging"}}, []emf.Metric{
		emf.Seconds("Age", 500*time.Millisecond), emf.Count("Size", 7), emf.Milliseconds("Took", 1500*time.Microsecond),
	})
	emf.Log(t.Context(), slog.New(slog.NewJSONHandler(&out, nil)), slog.LevelInfo, "line", attrs...)
	for _, want := range []string{
		`"Prefix":"staging"`, `"Dimensions":[["Prefix"]]`, `"Age":0.5`, `{"Name":"Age","Unit":"Seconds"}`,
		`"Size":7`, `{"Name":"Size","Unit":"Count"}`, `"Took":1.5`, `{"Name":"Took","Unit":"Milliseconds"}`,
	} {
		assert.Contains(t, out.String(), want)
	}
}

// CloudWatch silently drops metrics with values that it does not accept:
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Dimension.html
func TestDimensionsAreEncoded(t *testing.T) {
	for value, want := range map[string]string{
		"staging": "staging", "eu:production/1": "eu:production/1", "": "-", "-": "%2D", "--": "--",
		"größe": "gr%C3%B6%C3%9Fe", " ": "%20", "a\tb": "a%09b", "100%": "100%25", "%2D": "%252D",
		"\xff\x7f": "%FF%7F",
	} {
		attrs := emf.Attrs(at, []emf.Dimension{{Name: "Prefix", Value: value}}, nil)
		assert.Equal(t, want, attrs[0].Value.String(), "%q", value)
	}
}

func TestLogWritesMetricsAtEveryLevel(t *testing.T) {
	for level, want := range map[slog.Level]string{
		slog.LevelDebug: "INFO", slog.LevelInfo: "INFO", slog.LevelWarn: "WARN", slog.LevelError: "ERROR",
		slog.LevelError + 4: "ERROR",
	} {
		var out strings.Builder
		logger := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: level}))
		attrs := emf.Attrs(at, nil, []emf.Metric{emf.Count("Records", 3)})
		emf.Log(t.Context(), logger, slog.LevelInfo, "line", attrs...)
		assert.Contains(t, out.String(), `"level":"`+want+`"`, "a logger of level %v", level)
		assert.Contains(t, out.String(), `"Records":3`)
	}
}

func TestFunction(t *testing.T) {
	assert.Empty(t, emf.Function(), "outside of Lambda")
	defer func(name string) { lambdacontext.FunctionName = name }(lambdacontext.FunctionName)
	lambdacontext.FunctionName = "stack-Flagsync"
	assert.Equal(t, []emf.Dimension{{Name: "FunctionName", Value: "stack-Flagsync"}}, emf.Function())
}
