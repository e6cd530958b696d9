package agent

import (
	"encoding/json"
	"testing"

	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseContext(t *testing.T) {
	for name, c := range map[string]struct{ context, want string }{
		"a key":              {`{"targetingKey":"ada"}`, `{"kind":"user","key":"ada"}`},
		"LaunchDarkly's key": {`{"key":"ada"}`, `{"kind":"user","key":"ada"}`},
		"both keys":          {`{"targetingKey":"ada","key":"bob"}`, `{"kind":"user","key":"ada"}`},
		"no targetingKey":    {`{"targetingKey":null,"key":"ada"}`, `{"kind":"user","key":"ada"}`},
		"a kind":             {`{"targetingKey":"acme","kind":"org"}`, `{"kind":"org","key":"acme"}`},
		"attributes": {
			`{"targetingKey":"ada","name":"Ada","anonymous":true,"age":36,"tags":["a",{"b":null}],` +
				`"address":{"city":"London"}}`,
			`{"kind":"user","key":"ada","name":"Ada","anonymous":true,"age":36,"tags":["a",{"b":null}],` +
				`"address":{"city":"London"}}`,
		},
		"null attributes are absent": {`{"targetingKey":"ada","plan":null,"name":null,"kind":null}`,
			`{"kind":"user","key":"ada"}`},
		"private attributes": {
			`{"targetingKey":"ada","email":"a@example.com","privateAttributes":["email","/address/city"]}`,
			`{"kind":"user","key":"ada","email":"a@example.com","_meta":{"privateAttributes":["email",` +
				`"/address/city"]}}`,
		},
		"LaunchDarkly's _meta is not an attribute": {`{"targetingKey":"ada","_meta":{"privateAttributes":["x"]}}`,
			`{"kind":"user","key":"ada"}`},
		"two kinds": {
			`{"kind":"multi","targetingKey":"ignored","requestId":"ignored","user":{"targetingKey":"ada",` +
				`"name":"Ada"},"org":{"key":"acme","privateAttributes":["plan"],"plan":"gold"}}`,
			`{"kind":"multi","org":{"key":"acme","plan":"gold","_meta":{"privateAttributes":["plan"]}},` +
				`"user":{"key":"ada","name":"Ada"}}`,
		},
		"one kind of several": {`{"kind":"multi","org":{"key":"acme"}}`, `{"kind":"org","key":"acme"}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, failed := parseContext(ldvalue.Parse([]byte(c.context)))
			require.Nil(t, failed)
			text, err := json.Marshal(got)
			require.NoError(t, err)
			assert.JSONEq(t, c.want, string(text))
		})
	}
}

func TestParseContextRefuses(t *testing.T) {
	for name, c := range map[string]struct{ context, code string }{
		"no context":           {`null`, codeTargetingKeyMissing},
		"no key":               {`{}`, codeTargetingKeyMissing},
		"null key":             {`{"targetingKey":null}`, codeTargetingKeyMissing},
		"empty key":            {`{"targetingKey":"","key":"ada"}`, codeTargetingKeyMissing},
		"number as key":        {`{"targetingKey":1}`, codeInvalidContext},
		"no object":            {`["ada"]`, codeInvalidContext},
		"text":                 {`"ada"`, codeInvalidContext},
		"number as kind":       {`{"targetingKey":"ada","kind":1}`, codeInvalidContext},
		"reserved kind":        {`{"targetingKey":"ada","kind":"kind"}`, codeInvalidContext},
		"kind with a space":    {`{"targetingKey":"ada","kind":"a b"}`, codeInvalidContext},
		"number as name":       {`{"targetingKey":"ada","name":1}`, codeInvalidContext},
		"text as anonymous":    {`{"targetingKey":"ada","anonymous":"yes"}`, codeInvalidContext},
		"text as private":      {`{"targetingKey":"ada","privateAttributes":"email"}`, codeInvalidContext},
		"multi without a kind": {`{"kind":"multi","targetingKey":"ada"}`, codeInvalidContext},
		"multi with an invalid one": {`{"kind":"multi","user":{"name":"Ada"},"org":{"key":"acme"}}`,
			codeTargetingKeyMissing},
		"multi in multi": {`{"kind":"multi","multi":{"key":"a"}}`, codeInvalidContext},
	} {
		t.Run(name, func(t *testing.T) {
			_, failed := parseContext(ldvalue.Parse([]byte(c.context)))
			require.NotNil(t, failed)
			assert.Equal(t, c.code, failed.code, failed.details)
			assert.NotEmpty(t, failed.details)
		})
	}
}

func FuzzParseContext(f *testing.F) {
	f.Add(`{"targetingKey":"ada","plan":["gold"]}`)
	f.Add(`{"kind":"multi","user":{"key":"ada"},"org":{"key":"acme"}}`)
	f.Fuzz(func(t *testing.T, text string) {
		attributes := ldvalue.Parse([]byte(text))
		got, failed := parseContext(attributes)
		require.NotEqual(t, got.IsDefined(), failed != nil, "either a context or a failure")
		if failed == nil {
			require.NoError(t, got.Err())
		}
	})
}
