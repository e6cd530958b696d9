// Package streamfilter evaluates the event source filter of template.yaml on stream records, so that tests get the
// same records as the deployed function. It supports the rules that the template uses, exact strings and suffixes,
// and panics for other rules.
package streamfilter

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"go.yaml.in/yaml/v3"
)

// Filter has the patterns of a FilterCriteria. A record passes if it matches one of them.
type Filter []map[string]any

// Template returns the filter of template.yaml in this checkout.
func Template() (Filter, error) {
	_, file, _, _ := runtime.Caller(0)
	text, err := os.ReadFile(filepath.Join(filepath.Dir(file), "..", "..", "..", "template.yaml"))
	if err != nil {
		return nil, err
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	criteria := find(&document, "FilterCriteria")
	if criteria == nil {
		return nil, errors.New("template.yaml has no FilterCriteria")
	}
	var decoded struct {
		Filters []struct {
			Pattern string `yaml:"Pattern"`
		} `yaml:"Filters"`
	}
	if err := criteria.Decode(&decoded); err != nil {
		return nil, err
	}
	var patterns []string
	for _, f := range decoded.Filters {
		patterns = append(patterns, f.Pattern)
	}
	return New(patterns...)
}

// find returns the first value of that name in the document.
func find(n *yaml.Node, name string) *yaml.Node {
	for i, child := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 1 && n.Content[i-1].Value == name {
			return child
		}
		if found := find(child, name); found != nil {
			return found
		}
	}
	return nil
}

// New returns the filter with these patterns.
func New(patterns ...string) (Filter, error) {
	var f Filter
	for _, text := range patterns {
		var pattern map[string]any
		if err := json.Unmarshal([]byte(text), &pattern); err != nil {
			return nil, fmt.Errorf("read pattern %q: %w", text, err)
		}
		f = append(f, pattern)
	}
	if len(f) == 0 {
		return nil, errors.New("a filter without patterns")
	}
	return f, nil
}

// Match reports whether a record passes, as Lambda decides it
// (https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html). It panics at a rule that it does not
// know.
func (f Filter) Match(r events.DynamoDBEventRecord) bool {
	text, err := json.Marshal(r)
	if err != nil {
		panic(fmt.Errorf("encode a record: %w", err))
	}
	var record map[string]any
	if err := json.Unmarshal(text, &record); err != nil {
		panic(fmt.Errorf("decode a record: %w", err))
	}
	return slices.ContainsFunc(f, func(pattern map[string]any) bool { return match(pattern, record) })
}

// match requires each field of a pattern: an object by its fields, a list by one of its rules.
func match(pattern map[string]any, record any) bool {
	fields, _ := record.(map[string]any) // of nil, every field is missing
	for name, want := range pattern {
		switch want := want.(type) {
		case map[string]any:
			if !match(want, fields[name]) {
				return false
			}
		case []any:
			if !slices.ContainsFunc(want, func(rule any) bool { return matchRule(rule, fields[name]) }) {
				return false
			}
		default:
			panic(fmt.Sprintf("field %q of a pattern: want an object or a list", name))
		}
	}
	return true
}

func matchRule(rule, value any) bool {
	text, isText := value.(string)
	switch rule := rule.(type) {
	case string:
		return isText && text == rule
	case map[string]any:
		if suffix, ok := rule["suffix"].(string); ok && len(rule) == 1 {
			return isText && strings.HasSuffix(text, suffix)
		}
	}
	panic(fmt.Sprintf("rule %v is not known", rule))
}
