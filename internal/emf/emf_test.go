package emf_test

import (
	"context"
	"log/slog"
	"os"
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
	logger := slog.New(slog.NewJSONHandler(os.Stdout, withoutTime))
	attrs := emf.Attrs(at, nil, []emf.Metric{{Name: "Records", Unit: emf.Count, Value: 3}})
	logger.LogAttrs(context.Background(), slog.LevelInfo, "stream batch", attrs...)
	// Output: {"level":"INFO","msg":"stream batch","Records":3,"_aws":{"Timestamp":1700000000123,"CloudWatchMetrics":[{"Namespace":"warmflags","Dimensions":[[]],"Metrics":[{"Name":"Records","Unit":"Count"}]}]}}
}

func TestEveryNameThatIsDeclaredIsInTheLine(t *testing.T) {
	var out strings.Builder
	attrs := emf.Attrs(at, []emf.Dimension{{Name: "Prefix", Value: "staging"}}, []emf.Metric{{Name: "Age", Unit: emf.Seconds, Value: 0.5}})
	slog.New(slog.NewJSONHandler(&out, nil)).LogAttrs(t.Context(), slog.LevelInfo, "line", attrs...)
	for _, want := range []string{`"Prefix":"staging"`, `"Age":0.5`, `"Dimensions":[["Prefix"]]`, `{"Name":"Age","Unit":"Seconds"}`} {
		assert.Contains(t, out.String(), want)
	}
}

func TestFunction(t *testing.T) {
	assert.Empty(t, emf.Function(), "outside of Lambda")
	defer func(name string) { lambdacontext.FunctionName = name }(lambdacontext.FunctionName)
	lambdacontext.FunctionName = "stack-Flagsync"
	assert.Equal(t, []emf.Dimension{{Name: "FunctionName", Value: "stack-Flagsync"}}, emf.Function())
}
