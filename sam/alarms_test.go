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

// alarms returns the template's alarms by name.
func (all template) alarms() map[string]resource {
	alarms := map[string]resource{}
	for name, r := range all.Resources {
		if r.Type == "AWS::CloudWatch::Alarm" {
			alarms[name] = r
		}
	}
	return alarms
}

// metrics returns the names of all metrics that an alarm reads, including those in its expression.
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

// Each alarm has one meaning. No two alarms read the same metric, so that one cause does not raise two alarms.
func TestAlarms(t *testing.T) {
	all := readTemplate(t)
	got, counted := map[string][]string{}, map[string]string{}
	for name, r := range all.alarms() {
		got[name] = r.metrics()
		for _, metric := range got[name] {
			assert.Empty(t, counted[metric], "%s is read by %s too", metric, name)
			counted[metric] = name
		}
		assert.Equal(t, "notBreaching", r.Properties["TreatMissingData"], "%s must return to OK by itself", name)
		assert.Equal(t, r.Properties["AlarmActions"], r.Properties["OKActions"], name)
		assert.NotEmpty(t, r.Properties["AlarmActions"], name)
		assert.NotContains(t, got[name], "AWS/SQS ApproximateNumberOfMessagesVisible", "an operator must empty it")
	}
	assert.Equal(t, map[string][]string{
		"FlagsNotSynced": {"warmflags OldestSyncAge", "AWS/Scheduler InvocationAttemptCount"},
		"FlagsHeldBack":  {"warmflags RequestsHeld"},
		"WebhookErrors":  {"AWS/ApiGateway 5xx"},
		"WebhookRefused": {"AWS/ApiGateway 4xx"},
		"ChangesNotPublished": {
			"AWS/Lambda IteratorAge", "AWS/Lambda Throttles", "AWS/SQS ApproximateAgeOfOldestMessage",
		},
		"NotificationsFailed": {"AWS/SNS NumberOfNotificationsFailed"},
	}, got)
}

func TestWhenAlarmsFire(t *testing.T) {
	alarms := readTemplate(t).alarms()
	late := map[string]any{"Ref": "SyncLateSeconds"}
	t.Run("for one late environment, or two scheduled requests that are not handled", func(t *testing.T) {
		r := alarms["FlagsNotSynced"]
		// Without age: 999999 after two runs of the schedule, otherwise 0, so that a new deployment raises no alarm.
		assert.Equal(t, "IF(FILL(scheduled, 0) > 1, FILL(age, 999999), FILL(age, 0))",
			at(r.Properties, "Metrics", 0, "Expression"))
		assert.Equal(t, late, r.Properties["Threshold"])
		for i, stat := range []string{"Maximum", "Sum"} {
			assert.Equal(t, stat, at(r.Properties, "Metrics", i+1, "MetricStat", "Stat"))
			assert.Equal(t, late, at(r.Properties, "Metrics", i+1, "MetricStat", "Period"))
		}
		group := at(r.Properties, "Metrics", 2, "MetricStat", "Metric", "Dimensions", 0, "Value")
		assert.Equal(t, map[string]any{"Ref": "ScheduleGroup"}, group)
		for _, period := range readTemplate(t).Parameters["SyncLateSeconds"].AllowedValues {
			assert.Zero(t, period.(int)%60, "CloudWatch accepts only whole minutes")
			assert.Less(t, period.(int), 999999)
		}
	})
	t.Run("a held request counts until the next scheduled sync", func(t *testing.T) {
		assert.Equal(t, late, alarms["FlagsHeldBack"].Properties["Period"])
		assert.Equal(t, 1, alarms["FlagsHeldBack"].Properties["EvaluationPeriods"])
	})
	t.Run("for everything that prevents publishing", func(t *testing.T) {
		r := alarms["ChangesNotPublished"]
		assert.Equal(t, "IF(FILL(age, 0) >= 60000, 1, 0) + IF(FILL(reports, 0) >= 300, 1, 0) + FILL(throttles, 0)",
			at(r.Properties, "Metrics", 0, "Expression"))
		assert.Equal(t, 3, r.Properties["EvaluationPeriods"])
		assert.Equal(t, 2, r.Properties["DatapointsToAlarm"])
		assert.Equal(t, 1, r.Properties["Threshold"])
	})
	t.Run("for failed or refused webhooks by the API's status, not by the function's errors", func(t *testing.T) {
		api := []any{map[string]any{"Name": "ApiId", "Value": map[string]any{"Ref": "WebhookApi"}}}
		for name, threshold := range map[string]int{"WebhookErrors": 2, "WebhookRefused": 5} {
			assert.Equal(t, threshold, alarms[name].Properties["Threshold"])
			assert.Equal(t, api, alarms[name].Properties["Dimensions"])
		}
	})
}

// docs/alarms.md has one row for each alarm and no other rows.
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
	counted = regexp.MustCompile(`emf\.(?:Count|Seconds|Milliseconds)\("(\w+)"`)
)

// Alarms and dashboard use the metric names of the functions, and read only this stack's functions. Every metric is
// read, by an alarm, the dashboard or a page, because a metric costs $0.30 a month, and one with a prefix costs that
// for each environment.
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
	streamhandler, text := read("../streamhandler/log.go"), read("../template.yaml")
	for name, r := range readTemplate(t).alarms() {
		for _, metric := range r.metrics() {
			if own, found := strings.CutPrefix(metric, "warmflags "); found {
				assert.Contains(t, flagsync+streamhandler, fmt.Sprintf("%q", own), name)
			}
		}
	}
	shown := ours.FindAllStringSubmatch(text, -1)
	assert.Len(t, shown, 2, "lists of metrics in the dashboard")
	for _, m := range shown {
		assert.NotEmpty(t, m[1], m[0])
	}
	isRead := func(name string) bool {
		return strings.Contains(text, `"`+name+`"`) || strings.Contains(text, "MetricName: "+name+",") ||
			strings.Contains(text, `MetricName=\"`+name)
	}
	var names []string
	for _, m := range counted.FindAllStringSubmatch(flagsync, -1) {
		names = append(names, m[1])
		assert.True(t, isRead(m[1]), "no alarm and no widget reads %s", m[1])
	}
	want := []string{"RequestsHeld", "RequestsFailed", "RequestsUnreadable", "OldestSyncAge", "SyncDuration"}
	assert.ElementsMatch(t, want, slices.Compact(names))

	page, number := read("../docs/messages.md"), 0
	for _, m := range counted.FindAllStringSubmatch(streamhandler, -1) {
		number++
		skipped := strings.HasPrefix(m[1], "Skipped") && strings.Contains(page, "`Skipped...`")
		assert.True(t, isRead(m[1]) || skipped || strings.Contains(page, "`"+m[1]+"`"), "nothing reads %s", m[1])
	}
	assert.Positive(t, number)
	assert.Contains(t, read("../docs/cost.md"), fmt.Sprintf("`streamhandler` writes its %d metrics", number))
	failure := read("../streamhandler/failure.go")
	assert.NotContains(t, failure, "[]emf.Metric", "nothing reads a metric of streamfailure")
}
