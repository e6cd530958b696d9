package test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/test/emulator"
)

// openFeature is a process with OpenFeature's SDK for another language.
type openFeature struct {
	name  string
	in    io.Writer
	out   *bufio.Reader
	float string // its type of fractional numbers
	whole string // its type of integers
}

// details is the result of an evaluation.
type details struct {
	Value             any
	Variant           string
	Reason, ErrorCode string
}

// validKeys matches the keys that LaunchDarkly accepts for flags. These OpenFeature versions do not escape others in
// URLs.
var validKeys = regexp.MustCompile(`^[A-Za-z0-9][\w.-]*$`)

func startOpenFeature(t *testing.T, address string) []*openFeature {
	t.Helper()
	node := &openFeature{name: "Node.js", float: "number", whole: "number"}
	python := &openFeature{name: "Python", float: "number", whole: "integer"}
	node.run(t, address, "node", filepath.Join(emulator.Home(), "node", "evaluate.js"))
	python.run(t, address, emulator.Python(), "python/evaluate.py")
	return []*openFeature{node, python}
}

func (o *openFeature) run(t *testing.T, address string, command ...string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), command[0], command[1:]...)
	c.Stderr = t.Output()
	in, err := c.StdinPipe()
	require.NoError(t, err)
	out, err := c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	t.Cleanup(func() { _ = in.Close(); _ = c.Wait() })
	o.in, o.out = in, bufio.NewReader(out)
	_, err = fmt.Fprintln(in, "http://"+address)
	require.NoError(t, err)
}

// evaluate evaluates a flag with the method for the type of want.
func (o *openFeature) evaluate(t *testing.T, key string, context map[string]any, want ldvalue.Value) (d details) {
	t.Helper()
	step := map[string]any{"key": key, "context": context}
	switch {
	case want.IsBool():
		step["type"], step["default"] = "boolean", !want.BoolValue()
	case want.IsString():
		step["type"], step["default"] = "string", "default"
	case want.IsNumber() && strings.ContainsAny(want.JSONString(), ".eE"):
		step["type"], step["default"] = o.float, -4.5
	case want.IsNumber():
		step["type"], step["default"] = o.whole, -4
	default:
		step["type"], step["default"] = "object", defaultObject
	}
	line, err := json.Marshal(step)
	require.NoError(t, err)
	_, err = fmt.Fprintf(o.in, "%s\n", line)
	require.NoError(t, err)
	answer, err := o.out.ReadBytes('\n')
	require.NoError(t, err, "%s: %s", o.name, line)
	require.NoError(t, json.Unmarshal(answer, &d), "%s", answer)
	return d
}

var defaultObject = map[string]any{"default": true}

// asOpenFeature converts a LaunchDarkly context to an OpenFeature context.
func asOpenFeature(t *testing.T, c ldcontext.Context) map[string]any {
	t.Helper()
	text, err := json.Marshal(c)
	require.NoError(t, err)
	var all map[string]any
	require.NoError(t, json.Unmarshal(text, &all))
	rename := func(single map[string]any) {
		single["targetingKey"] = single["key"]
		delete(single, "key")
		if meta, found := single["_meta"].(map[string]any); found {
			single["privateAttributes"] = meta["privateAttributes"]
			delete(single, "_meta")
		}
	}
	if !c.Multiple() {
		rename(all)
		return all
	}
	for _, value := range all {
		if single, ok := value.(map[string]any); ok {
			rename(single)
		}
	}
	return all
}
