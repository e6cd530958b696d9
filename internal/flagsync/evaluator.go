package flagsync

import (
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldmodel"

	"github.com/warmflags/warmflags/internal/table"
)

// model is LaunchDarkly's data model for Go, from a small module that does not import the server SDK.
var model = ldmodel.NewJSONDataModelSerialization()

// tombstone returns the item of a deleted key. Its JSON has all members that LaunchDarkly's SDKs write, because some
// SDKs need them.
func tombstone(kind, key string, version int) table.Item {
	const placeholder = "$deleted" // LaunchDarkly's keys have no dollar sign
	var json []byte
	if kind == segments {
		json, _ = model.MarshalSegment(ldmodel.Segment{Key: placeholder, Version: version, Deleted: true})
	} else {
		json, _ = model.MarshalFeatureFlag(ldmodel.FeatureFlag{Key: placeholder, Version: version, Deleted: true})
	}
	return table.Item{Key: key, Version: version, Deleted: true, JSON: string(json)}
}

// unparsable returns the entries whose new JSON LaunchDarkly's evaluator for Go cannot parse, each with the reason.
// They are written nevertheless: readers in other languages get the JSON that LaunchDarkly's stream would send them.
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
