// Package schema holds messages, as consumers get them, to the documented JSON Schema: docs/message.schema.json of the
// checkout. It is for tests.
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

// Check says what is wrong with a message's body; nil: nothing. It is safe for concurrent use.
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
