// Package schema checks messages, in the form in which consumers get them, against the documented JSON Schema:
// docs/message.schema.json of the checkout. It is for tests.
package schema

import (
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

var compiled = sync.OnceValues(func() (*jsonschema.Schema, error) {
	_, file, _, _ := runtime.Caller(0)
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	return compiler.Compile(filepath.Join(filepath.Dir(file), "..", "..", "..", "docs", "message.schema.json"))
})

// Check returns an error if a message's body does not match the schema. It is safe for concurrent use.
func Check(body string) error {
	s, err := compiled()
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
	if err != nil {
		return err
	}
	return s.Validate(value)
}
