package streamhandler_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/internal/proof/schema"
)

// A message that the schema accepts can be read.
func TestTheSchemaAcceptsOnlyReadableMessages(t *testing.T) {
	const good = `{"specversion":"1.0","id":"1","source":"/warmflags/streamhandler","type":"warmflags.changed.v1",
		"time":"2026-01-02T03:04:05.678Z","datacontenttype":"application/json","data":{"prefix":"p","changes":[
		{"kind":"features","key":"a","version":7,"deleted":false,"time":"2026-01-02T03:04:05Z"}]}}`
	tests := []struct{ name, from, to, complaint string }{
		{"good", "", "", ""},
		{"no changes", good[strings.Index(good, `[`) : strings.Index(good, `]`)+1], "[]", ""},
		{"more members", `"data":{`, `"actor":"x","data":{"x":1,`, ""},
		{"no time", `"time":"2026-01-02T03:04:05.678Z",`, "", ""},
		{"another event", "changed.v1", "changed.v2", "/type"},
		{"another version of CloudEvents", "1.0", "2.0", "/specversion"},
		{"no id", `"id":"1"`, `"id":""`, "/id"},
		{"no prefix", `"prefix":"p",`, "", "prefix"},
		{"null changes", good[strings.Index(good, `[`) : strings.Index(good, `]`)+1], "null", "/data/changes"},
		{"no key", `"key":"a",`, "", "key"},
		{"empty key", `"key":"a"`, `"key":""`, "/data/changes/0/key"},
		{"version as text", `:7`, `:"7"`, "/data/changes/0/version"},
		{"negative version", `:7`, `:-7`, "/data/changes/0/version"},
		{"invalid date", "2026-01-02T03:04:05Z", "today", "/data/changes/0/time"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			body := strings.Replace(good, test.from, test.to, 1)
			err := schema.Check(body)
			if test.complaint == "" {
				require.NoError(t, err)
				_, err = change.Parse([]byte(body))
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			assert.Contains(t, err.Error(), test.complaint)
		})
	}
}

func TestTheDocumentedExampleIsAMessage(t *testing.T) {
	document, err := os.ReadFile("../docs/messages.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(document), "```json\n")
	require.True(t, found)
	example, _, _ := strings.Cut(rest, "```")
	require.NoError(t, schema.Check(example))
	m, err := change.Parse([]byte(example))
	require.NoError(t, err)
	assert.Equal(t, "production", m.Prefix)
	assert.Len(t, m.Changes, 2)
}
