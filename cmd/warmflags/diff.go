package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// edit is one difference between two JSON values. Path is a JSON pointer (RFC 6901); From or To is missing where there
// is no value.
type edit struct {
	Path string `json:"path"`
	From any    `json:"from,omitempty"`
	To   any    `json:"to,omitempty"`
}

// missing is the value of what is not there; null is a value of JSON.
type missing struct{}

// diffJSON compares two texts of JSON, of which either may be empty, and returns what differs in the order of names.
// Numbers are compared as they are written. What is not JSON is compared as text.
func diffJSON(from, to string) []edit { return diff(nil, "", parse(from), parse(to)) }

func parse(s string) (v any) {
	if s == "" {
		return missing{}
	}
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return s
	}
	return v
}

func diff(changes []edit, path string, from, to any) []edit {
	switch old := from.(type) {
	case map[string]any:
		if now, ok := to.(map[string]any); ok {
			names := slices.Sorted(maps.Keys(old))
			for name := range now {
				if _, ok := old[name]; !ok {
					names = append(names, name)
				}
			}
			slices.Sort(names)
			for _, name := range names {
				pointer := strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
				changes = diff(changes, path+"/"+pointer, member(old, name), member(now, name))
			}
			return changes
		}
	case []any:
		if now, ok := to.([]any); ok {
			for i := range max(len(old), len(now)) {
				changes = diff(changes, fmt.Sprintf("%s/%d", path, i), element(old, i), element(now, i))
			}
			return changes
		}
	}
	if !reflect.DeepEqual(from, to) {
		changes = append(changes, edit{path, raw(from), raw(to)})
	}
	return changes
}

func member(object map[string]any, name string) any {
	if v, ok := object[name]; ok {
		return v
	}
	return missing{}
}

func element(array []any, i int) any {
	if i < len(array) {
		return array[i]
	}
	return missing{}
}

// raw is a value's JSON, or nil for a missing value, so that encoding leaves it out, but not null.
func raw(v any) any {
	if _, ok := v.(missing); ok {
		return nil
	}
	text, _ := json.Marshal(v) // it came from JSON
	return json.RawMessage(text)
}

// printDiff prints changes for people, one a line. A value is shortened to what fits on a line.
func printDiff(out io.Writer, changes []edit) {
	for _, c := range changes {
		sign, text := "~", ""
		switch {
		case c.From == nil:
			sign, text = "+", short(c.To)
		case c.To == nil:
			sign, text = "-", short(c.From)
		default:
			text = short(c.From) + " -> " + short(c.To)
		}
		_, _ = fmt.Fprintf(out, "    %s %s %s\n", sign, c.Path, text)
	}
}

func short(v any) string {
	const width = 60
	text, _ := v.(json.RawMessage)
	if runes := []rune(string(text)); len(runes) > width {
		return string(runes[:width]) + "..."
	}
	return string(text)
}
