package streamhandler_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/streamhandler"
)

const ns = "prod:features"

func TestRecordsOfOneItemMakeOneChange(t *testing.T) {
	at := func(version string) image { return flag(ns, "a", version) }
	edited := with(at("2"), "item", events.NewStringAttribute(`{"key":"a","version":2,"on":false}`))
	tombstone := with(at("3"), "item", events.NewStringAttribute(`{"key":"a","version":3,"deleted":true}`))
	var none image
	tests := []struct {
		name    string
		steps   []image // the row before the first record, and after each
		version int
		deleted bool
	}{
		{"created", []image{none, at("1")}, 1, false},
		{"created with a higher version", []image{none, at("7")}, 7, false},
		{"rose", []image{at("1"), at("2")}, 2, false},
		{"rose, as numbers", []image{at("9"), at("10")}, 10, false},
		{"edited under the same version", []image{at("2"), edited}, 0, false},
		{"reset", []image{at("5"), at("2")}, 0, false},
		{"removed", []image{at("5"), none}, 0, true},
		{"tombstone", []image{at("2"), tombstone}, 3, true},
		{"tombstone undone", []image{tombstone, at("4")}, 4, false},
		{"the last of several", []image{none, at("1"), at("2"), at("3")}, 3, false},
		{"created and removed", []image{none, at("1"), none}, 0, true},
		{"removed and re-created, higher", []image{at("5"), none, at("6")}, 6, false},
		{"removed and re-created, the same", []image{at("5"), none, at("5")}, 0, false},
		{"reset, then edited", []image{at("9"), at("3"), at("4")}, 0, false},
		{"reset, then higher than before", []image{at("9"), at("3"), at("10")}, 10, false},
		{"edited, then rose", []image{at("2"), edited, at("3")}, 3, false},
		{"rose, then edited", []image{at("1"), at("2"), edited}, 0, false},
		{"lost its item", []image{at("1"), without(at("2"), "item")}, 0, true},
		{"got its item", []image{without(keys(ns, "a"), "none"), at("2")}, 0, false},
		{"version is not a number", []image{none, with(at("1"), "version", events.NewStringAttribute("2"))}, 0, false},
		{"version is missing", []image{at("1"), without(at("2"), "version")}, 0, false},
		{"version is not an integer", []image{at("1"), at("2.5")}, 0, false},
		{"version is too large", []image{at("1"), at("99999999999999999999")}, 0, false},
		{"version was unknown", []image{without(at("1"), "version"), at("2")}, 0, false},
		{"its item became one that no SDK reads", []image{at("1"), with(at("2"), "item",
			events.NewBinaryAttribute([]byte("{}")))}, 0, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var records []events.DynamoDBEventRecord
			for i := range test.steps[1:] {
				records = append(records, record("10"+string(rune('0'+i)), ns, "a", test.steps[i], test.steps[i+1]))
			}
			topic := &topic{}
			h := newHandler(topic)
			response, err := h.Handle(context.Background(), event(t, records...))
			require.NoError(t, err)
			assert.Empty(t, response.BatchItemFailures)
			assert.Equal(t, []change.Change{{
				Kind: "features", Key: "a", Version: test.version, Deleted: test.deleted, Time: recordTime,
			}}, topic.changes(t))
			assert.Equal(t, len(records)-1, h.Stats().Coalesced)
			assert.Equal(t, test.version == 0, h.Stats().Unknown == 1)
		})
	}
}

func TestOtherViewTypes(t *testing.T) {
	v1, v2 := flag(ns, "a", "1"), flag(ns, "a", "2")
	noItem := with(flag(ns, "a", "2"), "item", events.NewBinaryAttribute([]byte("{}")))
	tests := []struct {
		view, event   string
		before, after image
		version       int
		deleted       bool
	}{
		{"KEYS_ONLY", "INSERT", nil, nil, 0, false},
		{"KEYS_ONLY", "MODIFY", nil, nil, 0, false},
		{"KEYS_ONLY", "REMOVE", nil, nil, 0, true},
		{"NEW_IMAGE", "INSERT", nil, v2, 2, false},
		{"NEW_IMAGE", "MODIFY", nil, v2, 0, false},
		{"NEW_IMAGE", "REMOVE", nil, nil, 0, true},
		{"OLD_IMAGE", "INSERT", nil, nil, 0, false},
		{"OLD_IMAGE", "MODIFY", v1, nil, 0, false},
		{"OLD_IMAGE", "REMOVE", v1, nil, 0, true},
		{"", "SOMETHING_NEW", nil, nil, 0, false},
		// A row without an item in the only image may have lost it, or may have gained one.
		{"NEW_IMAGE", "MODIFY", nil, noItem, 0, true},
		{"OLD_IMAGE", "MODIFY", noItem, nil, 0, false},
	}
	for _, test := range tests {
		t.Run(test.view+" "+test.event, func(t *testing.T) {
			r := record("1", ns, "a", test.before, test.after)
			r.EventName, r.Change.StreamViewType = test.event, test.view
			topic := &topic{}
			_, err := newHandler(topic).Handle(context.Background(), event(t, r))
			require.NoError(t, err)
			changes := topic.changes(t)
			require.Len(t, changes, 1)
			assert.Equal(t, test.version, changes[0].Version)
			assert.Equal(t, test.deleted, changes[0].Deleted)
		})
	}
	t.Run("a removal without a version", func(t *testing.T) {
		gone := record("1", ns, "a", nil, nil)
		gone.EventName = "REMOVE"
		topic := &topic{}
		_, err := newHandler(topic).Handle(context.Background(), event(t, gone, record("2", ns, "a", nil, v2)))
		require.NoError(t, err)
		assert.Zero(t, topic.changes(t)[0].Version, "the removed version may have been higher")
	})
}

func TestTombstones(t *testing.T) {
	tests := map[string]bool{
		`{"key":"a","version":2,"deleted":true}`: true,
		`null`:                                   true, // LaunchDarkly's stores for Java and .NET
		" null\n":                                true,
		`nulls`:                                  false,
		`"null"`:                                 false,
		`{"deleted":true} null`:                  false,
		`{ "deleted" : true, "key":"a"}`:         true,
		"{\"deleted\"\n:\ttrue}":                 true,
		`{"\u0064eleted":true}`:                  true,
		`{"rules":[{"deleted":false}],"\u0064eleted":true}`:        true,
		`{"delete\u0064":true}`:                                    true,
		`{"deleted":false,"deleted":true}`:                         true, // as JSON parsers read it
		`{"deleted":true,"deleted":false}`:                         false,
		`{"deleted":false}`:                                        false,
		`{"deleted":"true"}`:                                       false,
		`{"deleted":1}`:                                            false,
		`{"deleted":null}`:                                         false,
		`{"Deleted":true}`:                                         false,
		`{"undeleted":true}`:                                       false,
		`{"custom":{"deleted":true},"deleted":false}`:              false,
		`{"variations":["\"deleted\":true","{\"deleted\":true}"]}`: false,
		`{"variations":[{"deleted":true}]}`:                        false,
		`{"deleted":true`:                                          false, // invalid JSON is not a tombstone
		`[{"deleted":true}]`:                                       false,
		`"deleted":true`:                                           false,
		``:                                                         false,
		`{"variations":["` + strings.Repeat("x", 300_000) + `"],"deleted":true}`: true,
	}
	for item, deleted := range tests {
		topic := &topic{}
		row := with(flag(ns, "a", "2"), "item", events.NewStringAttribute(item))
		r := record("1", ns, "a", flag(ns, "a", "1"), row)
		_, err := newHandler(topic).Handle(context.Background(), event(t, r))
		require.NoError(t, err)
		assert.Equal(t, deleted, topic.changes(t)[0].Deleted, "%.80s", item)
		assert.Equal(t, 2, topic.changes(t)[0].Version, "%.80s", item)
	}
}

// The Relay Proxy's AutoConfig rows, and rows of other programs, have no item, or one that is not a string.
func TestRowsThatNoSDKReadsAreNotAnnounced(t *testing.T) {
	binary := func(version string) image {
		return with(flag(ns, "a", version), "item", events.NewBinaryAttribute([]byte(`{"key":"a"}`)))
	}
	for name, r := range map[string]events.DynamoDBEventRecord{
		"created": record("1", ns, "a", nil, binary("1")), "changed": record("1", ns, "a", binary("1"), binary("2")),
		"removed": record("1", ns, "a", binary("1"), nil), "without an item": record("1", ns, "a", nil, keys(ns, "a")),
	} {
		t.Run(name, func(t *testing.T) {
			topic := &topic{}
			h := newHandler(topic)
			_, err := h.Handle(context.Background(), event(t, r))
			require.NoError(t, err)
			assert.Zero(t, topic.calls)
			assert.Equal(t, map[streamhandler.Reason]int{streamhandler.SkippedNoItem: 1}, h.Stats().Skipped)
		})
	}
}

func TestNamespaces(t *testing.T) {
	tests := []struct {
		namespace, prefix, kind string
		skipped                 streamhandler.Reason
	}{
		{namespace: "features", kind: "features"},
		{namespace: "segments", kind: "segments"},
		{namespace: "prod:features", prefix: "prod", kind: "features"},
		{namespace: "a:b:c:features", prefix: "a:b:c", kind: "features"},
		{namespace: "a::features", prefix: "a:", kind: "features"},
		{namespace: "prod:$inited", skipped: streamhandler.SkippedOwn},
		{namespace: "$sync", skipped: streamhandler.SkippedOwn},
		{namespace: "$prod:features", prefix: "$prod", kind: "features"},
		{namespace: "prod:$journal/eu-west-1/0", skipped: streamhandler.SkippedOwn},
		{namespace: "prod:", skipped: streamhandler.SkippedMalformed},
		{namespace: ":features", skipped: streamhandler.SkippedMalformed},
		{namespace: "", skipped: streamhandler.SkippedMalformed},
		{namespace: "pr\x00d:features", skipped: streamhandler.SkippedMalformed},
		{namespace: "pr\uFFFEd:features", skipped: streamhandler.SkippedMalformed},
		{namespace: "prod:big_segments_user", skipped: streamhandler.SkippedForeign},
		{namespace: "big_segments_metadata", skipped: streamhandler.SkippedForeign},
		{namespace: "prød:features", prefix: "prød", kind: "features"},
		{namespace: strings.Repeat("p", 512) + ":features", prefix: strings.Repeat("p", 512), kind: "features"},
		{namespace: strings.Repeat("p", 513) + ":features", skipped: streamhandler.SkippedMalformed},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%.40s", test.namespace), func(t *testing.T) {
			topic := &topic{}
			h := newHandler(topic)
			r := record("1", test.namespace, "a", nil, flag(test.namespace, "a", "1"))
			_, err := h.Handle(context.Background(), event(t, r))
			require.NoError(t, err)
			if test.skipped != "" {
				assert.Empty(t, topic.inputs)
				assert.Equal(t, map[streamhandler.Reason]int{test.skipped: 1}, h.Stats().Skipped)
				return
			}
			require.Len(t, topic.inputs, 1)
			attributes := topic.inputs[0].MessageAttributes
			assert.Equal(t, "String.Array", *attributes["kind"].DataType)
			assert.Equal(t, `["`+test.kind+`"]`, *attributes["kind"].StringValue)
			if test.prefix == "" {
				assert.NotContains(t, attributes, "prefix")
			} else {
				assert.Equal(t, "String", *attributes["prefix"].DataType)
				assert.Equal(t, test.prefix, *attributes["prefix"].StringValue)
			}
			assert.Equal(t, test.prefix, topic.messages(t)[0].Prefix)
		})
	}
}

func TestBadRecordsAreCountedAndTheOthersPublished(t *testing.T) {
	odd := func(keys image) events.DynamoDBEventRecord {
		r := record("666", ns, "a", nil, flag(ns, "a", "1"))
		r.Change.Keys = keys
		return r
	}
	strange := record("1", ns, "strange", nil, flag(ns, "strange", "1"))
	strange.Change.ApproximateCreationDateTime.Time = time.Unix(-1, 0)
	var log bytes.Buffer
	topic := &topic{}
	h := newHandler(topic, logTo(&log))
	response, err := h.Handle(context.Background(), events.DynamoDBEvent{Records: []events.DynamoDBEventRecord{
		{},
		odd(nil),
		odd(image{"id": events.NewStringAttribute("x")}),
		odd(image{"namespace": events.NewNumberAttribute("1"), "key": events.NewStringAttribute("a")}),
		odd(image{"namespace": events.NewStringAttribute(ns)}),
		odd(keys(ns, "")),
		odd(keys(ns, "bell\a")),
		record("2", ns, "other", nil, without(flag(ns, "other", "1"), "item")),
		record("3", ns, "good", flag(ns, "good", "1"), flag(ns, "good", "2")),
		strange,
	}})
	require.NoError(t, err)
	assert.Empty(t, response.BatchItemFailures)
	assert.Equal(t, []change.Change{
		{Kind: "features", Key: "good", Version: 2, Time: recordTime},
		{Kind: "features", Key: "strange", Version: 1},
	}, topic.changes(t))
	stats := h.Stats()
	assert.Equal(t, map[streamhandler.Reason]int{
		streamhandler.SkippedMalformed: 5, streamhandler.SkippedForeign: 2, streamhandler.SkippedNoItem: 1,
	}, stats.Skipped)
	assert.Equal(t, 10, stats.Records)
	assert.Contains(t, log.String(), `"malformed_sequence_numbers":["","666","666","666","666"]`, "the first five")
}
