package sam_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// alarms are the template's, by their names.
func (all template) alarms() map[string]resource {
	alarms := map[string]resource{}
	for name, r := range all.Resources {
		if r.Type == "AWS::CloudWatch::Alarm" {
			alarms[name] = r
		}
	}
	return alarms
}

// metrics are the names of all metrics that an alarm reads, its expression's included.
func (r resource) metrics() (names []string) {
	if name, ok := r.Properties["MetricName"].(string); ok {
		return []string{fmt.Sprint(r.Properties["Namespace"], " ", name)}
	}
	for _, m := range list(r.Properties["Metrics"]) {
		if metric := at(m, "MetricStat", "Metric"); metric != nil {
			names = append(names, fmt.Sprint(at(metric, "Namespace"), " ", at(metric, "MetricName")))
		}
	}
	return names
}

// Each alarm has one meaning, and no metric is in two of them: one cause does not raise two alarms.
func TestAlarms(t *testing.T) {
	all := readTemplate(t)
	got, counted := map[string][]string{}, map[string]string{}
	for name, r := range all.alarms() {
		got[name] = r.metrics()
		for _, metric := range got[name] {
			assert.Empty(t, counted[metric], "%s is read by %s too", metric, name)
			counted[metric] = name
		}
		assert.Equal(t, "notBreaching", r.Properties["TreatMissingData"], "%s must be OK again by itself", name)
		assert.Equal(t, r.Properties["AlarmActions"], r.Properties["OKActions"], name)
		assert.NotEmpty(t, r.Properties["AlarmActions"], name)
		assert.NotContains(t, got[name], "AWS/SQS ApproximateNumberOfMessagesVisible", "a queue that a person must empty")
	}
	assert.Equal(t, map[string][]string{
		"FlagsNotSynced":      {"warmflags OldestSyncAge", "AWS/Scheduler InvocationAttemptCount"},
		"FlagsHeldBack":       {"warmflags RequestsHeld"},
		"WebhookErrors":       {"AWS/ApiGateway 5xx"},
		"WebhookRefused":      {"AWS/ApiGateway 4xx"},
		"ChangesNotPublished": {"AWS/Lambda IteratorAge", "AWS/Lambda Throttles", "AWS/SQS ApproximateAgeOfOldestMessage"},
		"NotificationsFailed": {"AWS/SNS NumberOfNotificationsFailed"},
	}, got)
}

func TestWhenAlarmsFire(t *testing.T) {
	alarms := readTemplate(t).alarms()
	late := map[string]any{"Ref": "SyncLateSeconds"}
	t.Run("one late environment is enough, and so are two scheduled requests that nothing handled", func(t *testing.T) {
		r := alarms["FlagsNotSynced"]
		// Without age: 999999 once the schedule has run twice, else 0, so that a fresh deployment raises no alarm.
		assert.Equal(t, "IF(FILL(scheduled, 0) > 1, FILL(age, 999999), FILL(age, 0))", at(r.Properties, "Metrics", 0, "Expression"))
		assert.Equal(t, late, r.Properties["Threshold"])
		for i, stat := range []string{"Maximum", "Sum"} {
			assert.Equal(t, stat, at(r.Properties, "Metrics", i+1, "MetricStat", "Stat"))
			assert.Equal(t, late, at(r.Properties, "Metrics", i+1, "MetricStat", "Period"))
		}
		assert.Equal(t, map[string]any{"Ref": "ScheduleGroup"}, at(r.Properties, "Metrics", 2, "MetricStat", "Metric", "Dimensions", 0, "Value"))
		for _, period := range readTemplate(t).Parameters["SyncLateSeconds"].AllowedValues {
			assert.Zero(t, period.(int)%60, "CloudWatch would refuse it")
			assert.Less(t, period.(int), 999999)
		}
	})
	t.Run("what is held counts until the next scheduled sync", func(t *testing.T) {
		assert.Equal(t, late, alarms["FlagsHeldBack"].Properties["Period"])
		assert.Equal(t, 1, alarms["FlagsHeldBack"].Properties["EvaluationPeriods"])
	})
	t.Run("whatever keeps changes from the topic", func(t *testing.T) {
		r := alarms["ChangesNotPublished"]
		assert.Equal(t, "IF(FILL(age, 0) >= 60000, 1, 0) + IF(FILL(reports, 0) >= 300, 1, 0) + FILL(throttles, 0)", at(r.Properties, "Metrics", 0, "Expression"))
		assert.Equal(t, []any{3, 2, 1}, []any{r.Properties["EvaluationPeriods"], r.Properties["DatapointsToAlarm"], r.Properties["Threshold"]})
	})
	t.Run("a webhook that fails or is refused is the API's status, and not an error of the function", func(t *testing.T) {
		for name, threshold := range map[string]int{"WebhookErrors": 2, "WebhookRefused": 5} {
			assert.Equal(t, threshold, alarms[name].Properties["Threshold"])
			assert.Equal(t, []any{map[string]any{"Name": "ApiId", "Value": map[string]any{"Ref": "WebhookApi"}}}, alarms[name].Properties["Dimensions"])
		}
	})
}

// The document has a row for each alarm, and no other.
func TestAlarmsAreDocumented(t *testing.T) {
	data, err := os.ReadFile("../docs/alarms.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(data), "\n## Alarms\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	var documented []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\|").FindAllStringSubmatch(section, -1) {
		documented = append(documented, m[1])
	}
	var alarms []string
	for name := range readTemplate(t).alarms() {
		alarms = append(alarms, name)
	}
	assert.ElementsMatch(t, alarms, documented)
}

var (
	ours    = regexp.MustCompile(`\["warmflags","\w+"(,"FunctionName","\$\{\w+}")?`)
	counted = regexp.MustCompile(`emf\.(?:Count|Seconds|Milliseconds|Bytes)\("(\w+)"`)
)

// Alarms and dashboard use the names under which the functions count, and look at this stack's functions only. Of flagsync,
// everything that is counted is read: a metric costs $0.30 a month, for each environment where it has a prefix.
func TestMetricsExist(t *testing.T) {
	read := func(files ...string) (code string) {
		for _, file := range files {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			code += string(data)
		}
		return code
	}
	flagsync := read("../internal/flagsync/handler.go", "../internal/flagsync/log.go")
	code, text := flagsync+read("../streamhandler/log.go", "../streamhandler/failure.go"), read("../template.yaml")
	for name, r := range readTemplate(t).alarms() {
		for _, metric := range r.metrics() {
			if own, found := strings.CutPrefix(metric, "warmflags "); found {
				assert.Contains(t, code, fmt.Sprintf("%q", own), name)
			}
		}
	}
	shown := ours.FindAllStringSubmatch(text, -1)
	assert.Len(t, shown, 2, "lists of metrics in the dashboard")
	for _, m := range shown {
		assert.NotEmpty(t, m[1], m[0])
	}
	var names []string
	for _, m := range counted.FindAllStringSubmatch(flagsync, -1) {
		names = append(names, m[1])
		assert.True(t, strings.Contains(text, `"`+m[1]+`"`) || strings.Contains(text, "MetricName: "+m[1]+",") ||
			strings.Contains(text, `MetricName=\"`+m[1]), "no alarm and no widget reads %s", m[1])
	}
	assert.ElementsMatch(t, []string{"RequestsHeld", "RequestsFailed", "RequestsUnreadable", "OldestSyncAge", "SyncDuration"}, slices.Compact(names))
}
