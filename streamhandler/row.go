package streamhandler

import (
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/warmflags/warmflags/internal/table/layout"
)

// row is the content of one record: the change of one row of the table.
type row struct {
	id           itemID
	prefix, kind string
	// before and after are the row's versions before and after the change: 0 if there is no row, unknownVersion if the
	// record does not have the version. The version rose only if both are known.
	before, after int
	deleted       bool      // the row was removed, or is a tombstone
	time          time.Time // when it was written, to the second; zero if unknown
}

// readRow reads a record, or returns the reason to skip it. It accepts incomplete records without a version: records
// without images (because of the stream's view type), with an invalid version or with an unknown event name. A spurious
// change costs a read; a missed one leaves a stale flag. The event source filter in template.yaml only saves
// invocations; readRow decides what is published.
func readRow(r *record) (row, Reason) {
	if r.foreign {
		return row{}, SkippedForeign
	}
	prefix, kind, ok := readNamespace(r.namespace)
	if !ok || r.key == "" || !layout.IsSendable(r.key) {
		return row{}, SkippedMalformed
	}
	switch {
	case layout.IsMarker(kind):
		return row{}, SkippedOwn
	case strings.HasPrefix(kind, layout.BigSegments):
		return row{}, SkippedForeign
	}
	before, after := r.before, r.after
	// Without images (KEYS_ONLY), every row counts as an item. So does a row whose change is known by one image only:
	// it may have gained its item (OLD_IMAGE) or lost it (NEW_IMAGE).
	event := events.DynamoDBOperationType(r.event)
	complete := before.exists == after.exists || event == events.DynamoDBOperationTypeInsert ||
		event == events.DynamoDBOperationTypeRemove
	if !before.hasItem && !after.hasItem && (before.exists || after.exists) && complete {
		return row{}, SkippedNoItem
	}

	read := row{
		id: itemID{r.namespace, r.key}, prefix: prefix, kind: kind,
		before: before.knownVersion(), after: after.knownVersion(), time: sendableTime(r.time),
	}
	// The event's name is enough if an image is missing: before an INSERT there was no row, so any version is a rise
	// from 0; after a REMOVE there is no row.
	switch event {
	case events.DynamoDBOperationTypeInsert:
		read.before = 0
	case events.DynamoDBOperationTypeRemove:
		read.after, read.deleted = 0, true
	}
	switch {
	case after.hasItem:
		read.deleted = after.tombstone
	case after.exists: // the row has no item any more, so readers do not find it
		read.after, read.deleted = 0, true
	}
	return read, ""
}

// readNamespace splits a namespace. It reports false if the namespace is not "[prefix:]kind", and if it has a character
// that SNS refuses or a prefix that is too long for a journal: both would block the shard.
func readNamespace(namespace string) (prefix, kind string, ok bool) {
	prefix, kind, ok = layout.SplitNamespace(namespace)
	return prefix, kind, ok && layout.CheckPrefix(prefix) == nil && layout.IsSendable(kind)
}

// parseVersion returns a version, or 0 if a change cannot carry it. The SDKs write whole numbers above 0.
func parseVersion(number string) int {
	n, err := strconv.Atoi(number)
	if err != nil {
		return 0
	}
	return max(n, 0)
}

// knownVersion returns the image's version, or unknownVersion.
func (i image) knownVersion() int {
	if i.version == 0 {
		return unknownVersion
	}
	return i.version
}

// sendableTime returns the zero time if t is not set, or cannot be written in a message.
func sendableTime(t time.Time) time.Time {
	t = t.UTC()
	if t.Unix() <= 0 || t.Year() > 9999 {
		return time.Time{}
	}
	return t
}
