package flagsync

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/warmflags/warmflags/internal/table"
)

// LaunchDarkly's streaming protocol: a put has the whole environment, a patch one item, a delete one key. An item's
// JSON is kept as it was received.
//
//	put     {"path": "/", "data": {"flags": {key: item}, "segments": {key: item}}}
//	patch   {"path": "/flags/key", "data": item}
//	delete  {"path": "/flags/key", "version": 7}

// The kinds of items in the table, in the order in which they are written: segments before the flags that refer to
// them.
const (
	segments = "segments"
	features = "features"
)

// streamKinds maps the kinds' names in the stream to the table's.
var streamKinds = map[string]string{"segments": segments, "flags": features}

// update is the content of one event.
type update struct {
	whole bool // the event is a put: the items are the whole environment
	items map[string][]table.Item
}

// parseEvent parses an event. An event that is about neither flags nor segments is an update that is not whole and
// has no items. An error means that the event is malformed: which items it was about is unknown.
func parseEvent(event, data string) (update, error) {
	var parse func(members map[string]string) (update, error)
	switch event {
	case "put":
		parse = parsePut
	case "patch":
		parse = parsePatch
	case "delete":
		parse = parseDelete
	default:
		return update{}, nil
	}
	// DynamoDB accepts only UTF-8. Parsers in other languages also replace invalid bytes, as the standard for event
	// streams requires.
	data = strings.ToValidUTF8(data, "\uFFFD")
	if !json.Valid([]byte(data)) {
		return update{}, fmt.Errorf("the event %q is not JSON", event)
	}
	members := map[string]string{}
	for name, value := range table.Members(data) {
		members[name] = value
	}
	u, err := parse(members)
	if err != nil {
		return update{}, fmt.Errorf("the event %q is malformed: %w", event, err)
	}
	return u, nil
}

// parsePut parses the whole environment. Some versions of the Relay Proxy send no path.
func parsePut(members map[string]string) (update, error) {
	if path, ok := table.Unquote(members["path"]); ok && path != "/" {
		return update{}, nil
	}
	data := members["data"]
	if !table.IsObject(data) {
		return update{}, errors.New("its data is not an object")
	}
	u := update{whole: true, items: map[string][]table.Item{}}
	for name, value := range table.Members(data) {
		kind, ok := streamKinds[name]
		if !ok || value == "null" {
			continue
		}
		if !table.IsObject(value) {
			return update{}, fmt.Errorf("its %q is not an object", name)
		}
		u.items[kind] = nil // of a repeated name, the last value counts
		for key, item := range table.Members(value) {
			u.items[kind] = append(u.items[kind], table.NewItem(key, item))
		}
	}
	u.items[features] = byPrerequisites(u.items[features])
	return u, nil
}

func parsePatch(members map[string]string) (update, error) {
	kind, key, err := parsePath(members)
	if kind == "" || err != nil {
		return update{}, err
	}
	item, ok := members["data"]
	if !ok {
		return update{}, errors.New("it has no data")
	}
	return update{items: map[string][]table.Item{kind: {table.NewItem(key, item)}}}, nil
}

func parseDelete(members map[string]string) (update, error) {
	kind, key, err := parsePath(members)
	if kind == "" || err != nil {
		return update{}, err
	}
	version, err := table.ParseVersion(members["version"])
	if err != nil {
		return update{}, err
	}
	return update{items: map[string][]table.Item{kind: {tombstone(kind, key, version)}}}, nil
}

// parsePath returns the kind and the key of a path. The kind is empty if the path names neither a flag nor a segment.
// The key is the rest of the path after the kind, verbatim.
func parsePath(members map[string]string) (kind, key string, err error) {
	path, ok := table.Unquote(members["path"])
	if !ok {
		return "", "", errors.New("it has no path")
	}
	name, key, ok := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if !ok || !strings.HasPrefix(path, "/") {
		return "", "", nil
	}
	return streamKinds[name], key, nil
}

// byPrerequisites sorts flags so that each comes after its prerequisites, as LaunchDarkly's SDKs write them. If the
// flags need several transactions, readers see them in that order. Otherwise the order is unchanged.
func byPrerequisites(flags []table.Item) []table.Item {
	at := make(map[string]int, len(flags))
	for i, f := range flags {
		at[f.Key] = i
	}
	sorted := make([]table.Item, 0, len(flags))
	visited := make([]bool, len(flags))
	var visit func(i int)
	visit = func(i int) {
		if visited[i] { // also while it is being visited: prerequisites can be circular
			return
		}
		visited[i] = true
		for _, key := range prerequisites(flags[i].JSON) {
			if j, ok := at[key]; ok {
				visit(j)
			}
		}
		sorted = append(sorted, flags[i])
	}
	for i := range flags {
		visit(i)
	}
	return sorted
}

// prerequisites returns the keys of a flag's prerequisites.
func prerequisites(flag string) (keys []string) {
	for name, value := range table.Members(flag) {
		if name != "prerequisites" || len(value) <= len("[]") {
			continue
		}
		var list []struct {
			Key string `json:"key"`
		}
		_ = json.Unmarshal([]byte(value), &list) // a value that is not a list of objects names no prerequisites
		for _, p := range list {
			keys = append(keys, p.Key)
		}
	}
	return keys
}
