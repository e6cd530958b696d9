package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDiffJSON(t *testing.T) {
	changes := diffJSON(
		`{"on":true,"rules":[{"id":"a"},{"id":"b"}],"n":18446744073709551615,"gone":null,"same":{"x":[1]}}`,
		`{"same":{"x":[1]},"on":false,"rules":[{"id":"c"}],"n":18446744073709551616,`+
			`"a/b":{"c":"`+strings.Repeat("x", 100)+`"}}`)
	var out strings.Builder
	printDiff(&out, changes)
	assert.Equal(t, `    + /a~1b {"c":"`+strings.Repeat("x", 54)+`...
    - /gone null
    ~ /n 18446744073709551615 -> 18446744073709551616
    ~ /on true -> false
    ~ /rules/0/id "a" -> "c"
    - /rules/1 {"id":"b"}
`, out.String())
	text, err := json.Marshal(changes[1:3])
	require.NoError(t, err)
	const want = `[{"path":"/gone","from":null},{"path":"/n","from":18446744073709551615,"to":18446744073709551616}]`
	//nolint:testifylint // JSONEq compares numbers as float64
	assert.Equal(t, want, string(text))
	assert.Empty(t, diffJSON(`{"a":1,"b":2}`, ` { "b" : 2, "a" : 1 } `))
	assert.Equal(t, []edit{{Path: "", To: json.RawMessage(`{"a":1}`)}}, diffJSON("", `{"a":1}`))
}
