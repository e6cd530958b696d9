package flagsync_test

import (
	"testing"

	"github.com/warmflags/warmflags/internal/flagsync"
)

// FuzzEvent parses arbitrary text as an event of LaunchDarkly's stream. It must not panic, and an event of an unknown
// kind must not be an error.
func FuzzEvent(f *testing.F) {
	for _, data := range []string{
		`{"path":"/","data":{"flags":{"a":{"key":"a","version":1,"prerequisites":[{"key":"b"}]}},` +
			`"segments":{"s":{"key":"s","version":2}}}}`,
		`{"path":"/flags/a","data":{"key":"a","version":2}}`, `{"path":"/segments/a","version":3}`,
		`{"data":{"flags":null}}`, "{\"path\":\"/flags/\xff\",\"version\":1}",
		`{"path":"/flags/a","data":[[]],"version":1e9}`,
		`{"p\u0061th":"/","data":{"flags":{"\ud83d\ude00":{"deleted":true}}}}`, ``, `null`,
	} {
		for _, event := range []string{"put", "patch", "delete", "other"} {
			f.Add(event, data)
		}
	}
	f.Fuzz(func(t *testing.T, event, data string) {
		if err := flagsync.ParseEvent(event, data); err != nil && event != "put" && event != "patch" &&
			event != "delete" {
			t.Fatal(err)
		}
	})
}
