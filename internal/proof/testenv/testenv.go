package testenv

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldmodel"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
)

// Environment is a whole LaunchDarkly environment.
type Environment struct {
	// Name is the file's name in testdata/, without its ending.
	Name     string
	Flags    []ldmodel.FeatureFlag
	Segments []ldmodel.Segment
}

// Small are the environments in testdata/.
func Small() []Environment {
	return []Environment{
		empty(), operators(), targeting(), segments(), bigSegments(), rollouts(), migrations(), visibility(), unicode(),
		values(), deleted(),
	}
}

// Large are environments that are not in testdata/: flags that just fit into a DynamoDB item, and 5,000 flags.
func Large() []Environment { return []Environment{heavy(), many(5000)} }

// JSON is the environment in LaunchDarkly's wire format. Equal environments have equal bytes.
func (e Environment) JSON() ([]byte, error) {
	flags, segments := map[string]any{}, map[string]any{}
	for _, f := range e.Flags {
		flags[f.Key] = f
	}
	for _, s := range e.Segments {
		segments[s.Key] = s
	}
	var out bytes.Buffer
	out.WriteString("{\"flags\": {")
	if err := writeItems(&out, flags); err != nil {
		return nil, fmt.Errorf("write flags of environment %q: %w", e.Name, err)
	}
	out.WriteString("},\n\"segments\": {")
	if err := writeItems(&out, segments); err != nil {
		return nil, fmt.Errorf("write segments of environment %q: %w", e.Name, err)
	}
	out.WriteString("}}\n")
	return out.Bytes(), nil
}

// writeItems writes an item a line, in the keys' order.
func writeItems(out *bytes.Buffer, items map[string]any) error {
	for i, key := range slices.Sorted(maps.Keys(items)) {
		if i > 0 {
			out.WriteByte(',')
		}
		name, err := compact(key)
		if err != nil {
			return err
		}
		item, err := compact(items[key])
		if err != nil {
			return fmt.Errorf("item %q: %w", key, err)
		}
		fmt.Fprintf(out, "\n%s: %s", name, item)
	}
	return nil
}

// compact is JSON in one line, with the properties of objects in order: LaunchDarkly's types do not keep one.
func compact(v any) ([]byte, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var plain any
	if err := decoder.Decode(&plain); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(plain); err != nil {
		return nil, err
	}
	return bytes.TrimRight(out.Bytes(), "\n"), nil
}

// Collections are what LaunchDarkly's SDK gives a persistent store's Init: segments, then flags.
func (e Environment) Collections() []ldstoretypes.SerializedCollection {
	features, segments := ldstoreimpl.Features(), ldstoreimpl.Segments()
	all := []ldstoretypes.SerializedCollection{{Kind: segments}, {Kind: features}}
	for i := range e.Segments {
		s := &e.Segments[i]
		all[0].Items = append(all[0].Items,
			serialized(segments, s.Key, ldstoretypes.ItemDescriptor{Version: s.Version, Item: s}, s.Deleted))
	}
	for i := range e.Flags {
		f := &e.Flags[i]
		all[1].Items = append(all[1].Items,
			serialized(features, f.Key, ldstoretypes.ItemDescriptor{Version: f.Version, Item: f}, f.Deleted))
	}
	return all
}

func serialized(kind ldstoretypes.DataKind, key string, item ldstoretypes.ItemDescriptor,
	deleted bool) ldstoretypes.KeyedSerializedItemDescriptor {
	if deleted {
		item.Item = nil // the SDK's form of a tombstone
	}
	return ldstoretypes.KeyedSerializedItemDescriptor{Key: key, Item: ldstoretypes.SerializedItemDescriptor{
		Version: item.Version, Deleted: deleted, SerializedItem: kind.Serialize(item),
	}}
}

// File is a file of testdata/.
type File struct {
	Name string
	Data []byte
}

// Files are all files of testdata/.
func Files() ([]File, error) {
	var files []File
	for _, e := range Small() {
		data, err := e.JSON()
		if err != nil {
			return nil, err
		}
		files = append(files, File{e.Name + ".json", data})
	}
	contexts, err := contextsJSON(Contexts())
	return append(files, File{"contexts.json", contexts}), err
}

func contextsJSON(contexts []ldcontext.Context) ([]byte, error) {
	var out bytes.Buffer
	out.WriteByte('[')
	for i, c := range contexts {
		if i > 0 {
			out.WriteByte(',')
		}
		line, err := compact(c)
		if err != nil {
			return nil, fmt.Errorf("write context %q: %w", c.FullyQualifiedKey(), err)
		}
		fmt.Fprintf(&out, "\n%s", line)
	}
	out.WriteString("\n]\n")
	return out.Bytes(), nil
}
