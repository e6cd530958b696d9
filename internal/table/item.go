package table

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
)

// nullItem is the JSON of a tombstone that LaunchDarkly's store for Java wrote. It has no version.
const nullItem = "null"

// Item is one flag or segment.
type Item struct {
	Key string
	// Version is the item's version. For a row it is the attribute version, which can differ from the JSON's.
	Version int
	// Deleted is true for a tombstone. [ParseRow] sets it only where the JSON is null; see [Item.IsTombstone].
	Deleted bool
	// JSON is LaunchDarkly's JSON, without further checks.
	JSON string
	// Reason is why the item cannot be written; empty if it can.
	Reason string

	foreign bool // the row's attribute version is not a whole number, so the row is rewritten
}

// IsTombstone reports whether the item marks a deletion, by its field Deleted or by its JSON.
func (i Item) IsTombstone() bool {
	if i.Deleted || i.JSON == nullItem {
		return true
	}
	if !strings.Contains(i.JSON, "deleted") && !strings.Contains(i.JSON, `\u`) || !json.Valid([]byte(i.JSON)) {
		return false
	}
	deleted := false
	for name, value := range Members(i.JSON) {
		if name == "deleted" {
			deleted = value == "true"
		}
	}
	return deleted
}

// Collection has all items of one kind, or only the changed ones.
type Collection struct {
	Kind  string
	Items []Item
}

// VersionOf returns the version in an item's JSON. It returns an error if the text is not a JSON object, or if the
// version is missing or is not a whole number of at least 0.
func VersionOf(item string) (int, error) {
	if !json.Valid([]byte(item)) {
		return UnknownVersion, errors.New("it is not JSON")
	}
	if !IsObject(item) {
		return UnknownVersion, errors.New("it is not a JSON object")
	}
	version := ""
	for name, value := range Members(item) {
		if name == "version" {
			version = value // a repeated member: the last one counts, as in most JSON parsers
		}
	}
	return ParseVersion(version)
}

// ParseVersion parses the JSON of a version. It returns an error if the JSON is empty, which means that there is no
// version, or is not a whole number of at least 0.
func ParseVersion(version string) (int, error) {
	if version == "" {
		return UnknownVersion, errors.New("it has no version")
	}
	n, err := strconv.Atoi(version)
	if err != nil || n < 0 {
		return UnknownVersion, fmt.Errorf("its version %s is not a whole number of at least 0", shorten(version))
	}
	return n, nil
}

// shorten limits the length of a value in an error.
func shorten(s string) string {
	const maxLength = 40
	if len(s) > maxLength {
		return strings.ToValidUTF8(s[:maxLength], "") + "..."
	}
	return s
}

// same reports whether a row already holds the item.
func (e *Environment) same(kind string, r Row, i Item) bool {
	stored, err := ParseRow(r)
	if err != nil || stored.foreign || stored.Version != i.Version {
		return false
	}
	if e.Same != nil {
		return e.Same(kind, stored, i)
	}
	return SameJSON(stored.JSON, i.JSON)
}

// SameJSON reports whether two texts are equal, or are JSON of equal values. The order of members does not matter.
// Numbers are compared as text, because two different large numbers can be equal as float64.
func SameJSON(a, b string) bool {
	if a == b {
		return true
	}
	x, errX := decode(a)
	y, errY := decode(b)
	return errX == nil && errY == nil && reflect.DeepEqual(x, y)
}

// decode decodes one JSON value, with numbers as text.
func decode(s string) (v any, err error) {
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	if err = d.Decode(&v); err == nil && !errors.Is(d.Decode(new(any)), io.EOF) {
		err = errors.New("there is more after the JSON")
	}
	return v, err
}

// NewItem returns the item with this key and JSON, which must be valid. If the JSON is not an object with a key and a
// version, the item's Reason says what is missing.
func NewItem(key, valid string) Item {
	item := Item{Key: key, Version: UnknownVersion, JSON: valid}
	if !IsObject(valid) {
		item.Reason = "it is not a JSON object"
		return item
	}
	hasKey, version := false, ""
	for name, value := range Members(valid) {
		switch name {
		case "key":
			hasKey = len(value) > len(`""`) && value[0] == '"'
		case "version":
			version = value
		case "deleted":
			item.Deleted = value == "true"
		}
	}
	var err error
	if item.Version, err = ParseVersion(version); err != nil {
		item.Reason = err.Error()
	} else if !hasKey {
		item.Reason = "it has no key"
	}
	return item
}
