package table_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/table"
)

func TestVersionOf(t *testing.T) {
	for item, want := range map[string]int{
		`{"version":3}`: 3, ` { "a" : {"version":9} , "version" : 4 } `: 4, `{"version":1,"version":2}`: 2,
		`{"\u0076ersion":5}`:                        5,
		`{"a":"\"}","b":[1,{"c":"]"}],"version":6}`: 6, `{"version":0}`: 0,
	} {
		got, err := table.VersionOf(item)
		require.NoError(t, err, item)
		assert.Equal(t, want, got, item)
	}
	for item, want := range map[string]string{
		`{`: "not JSON", `null`: "not a JSON object", `[1]`: "not a JSON object", `{}`: "has no version",
		`{"Version":1}`:   "has no version",
		`{"version":"3"}`: `version "3" is not`, `{"version":1.0}`: "version 1.0 is not",
		`{"version":-1}`:                   "version -1 is not",
		`{"version":18446744073709551615}`: "is not a whole number", `{"version":null}`: "version null",
	} {
		_, err := table.VersionOf(item)
		require.ErrorContains(t, err, want, item)
	}
}

func TestSameJSON(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{`{"a":1,"b":[2]}`, ` { "b" : [ 2 ], "a" : 1 }`, true},
		{`{"a":[1,2]}`, `{"a":[2,1]}`, false},
		{`18446744073709551615`, `18446744073709551616`, false},
		{`1`, `1.0`, false},
		{`"\ud83d\ude00"`, `"😀"`, true},
		{`x`, `x`, true},
		{`x`, `y`, false},
		{`{"a":null}`, `{}`, false},
	} {
		assert.Equal(t, c.want, table.SameJSON(c.a, c.b), "%s and %s", c.a, c.b)
	}
}

// FuzzMembers compares Members with encoding/json for any valid JSON.
func FuzzMembers(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1}`, ` {"a" : "\\\"", "b":[{"c":"}"}],"a":-1.5e3 }`, `[{"a":1}]`, `"a"`,
		`{"\u0061":true,"":null}`, "{\"\xcd\":0}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !json.Valid([]byte(s)) {
			return
		}
		var want map[string]json.RawMessage
		if json.Unmarshal([]byte(s), &want) != nil {
			want = nil
		}
		got := map[string]json.RawMessage{}
		for name, value := range table.Members(s) {
			got[name] = json.RawMessage(value)
			assert.True(t, json.Valid([]byte(value)), "%q", value)
		}
		require.Len(t, got, len(want))
		for name, value := range want {
			assert.Equal(t, string(value), string(got[name]), "%q", name)
		}
	})
}
