package flagsync

import (
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldmodel"

	"github.com/warmflags/warmflags/internal/table"
)

// The model of LaunchDarkly's evaluator for Go is a small module of its own, without the server SDK.
var model = ldmodel.NewJSONDataModelSerialization()

// tombstone returns the item of a deleted key, in the JSON that LaunchDarkly's SDKs write: some of them need all
// members.
func tombstone(kind, key string, version int) table.Item {
	const placeholder = "$deleted" // no key of LaunchDarkly's has a dollar sign
	var json []byte
	if kind == segments {
		json, _ = model.MarshalSegment(ldmodel.Segment{Key: placeholder, Version: version, Deleted: true})
	} else {
		json, _ = model.MarshalFeatureFlag(ldmodel.FeatureFlag{Key: placeholder, Version: version, Deleted: true})
	}
	return table.Item{Key: key, Version: version, Deleted: true, JSON: string(json)}
}

// unparsable returns, with the reason, the entries whose new JSON LaunchDarkly's evaluator for Go cannot parse. They
// are written: readers in other languages get what their own stream would give them.
func unparsable(entries []table.Entry) (found []table.Entry) {
	for _, e := range entries {
		var err error
		if e.Kind == segments {
			_, err = model.UnmarshalSegment([]byte(e.New))
		} else {
			_, err = model.UnmarshalFeatureFlag([]byte(e.New))
		}
		if err != nil {
			e.Reason = err.Error()
			found = append(found, e)
		}
	}
	return found
}
