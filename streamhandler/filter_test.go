package streamhandler_test

import (
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/proof/streamfilter"
)

// viewed returns the record that a stream with the view type has.
func viewed(r events.DynamoDBEventRecord, view string) events.DynamoDBEventRecord {
	r.Change.StreamViewType = view
	if view == "KEYS_ONLY" || view == "OLD_IMAGE" {
		r.Change.NewImage = nil
	}
	if view == "KEYS_ONLY" || view == "NEW_IMAGE" {
		r.Change.OldImage = nil
	}
	return r
}

var viewTypes = []string{"KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"}

// For every view type, each change of a flag or segment invokes the function, and no change of warmflags' own rows
// does. The function writes the journal after each batch, so otherwise it would invoke itself forever.
func TestTheTemplatesFilter(t *testing.T) {
	filter, err := streamfilter.Template()
	require.NoError(t, err)
	for namespace, want := range map[string]bool{
		"features": true, "segments": true, "prod:features": true, "prod:segments": true, "a:b:features": true,
		"$x:segments": true, "$inited": false, "prod:$inited": false, "$sync": false, "prod:$sync": false,
		"prod:$journal/eu-west-1/0": false, "features:$journal/eu-west-1/0": false, "big_segments_user": false,
		"prod:big_segments_metadata": false, "myfeatures": false,
	} {
		row := flag(namespace, "a", "1")
		for name, r := range map[string]events.DynamoDBEventRecord{
			"INSERT": record("1", namespace, "a", nil, row), "MODIFY": record("1", namespace, "a", row, row),
			"REMOVE": record("1", namespace, "a", row, nil),
		} {
			for _, view := range viewTypes {
				assert.Equal(t, want, filter.Match(viewed(r, view)), "%s of %q, view type %s", name, namespace, view)
			}
		}
	}
}
