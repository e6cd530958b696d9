package cachedstore

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
)

// decoded is an item and a hash of its JSON. It is immutable.
type decoded struct {
	version int
	sum     [sha256.Size]byte // of the JSON
	item    ldstoretypes.ItemDescriptor
}

// found reports whether the table has a row for the key, which may be a tombstone.
func (d *decoded) found() bool { return d.item.Version >= 0 }

// live reports whether the table has a row that is not a tombstone. The receiver may be nil.
func (d *decoded) live() bool { return d != nil && d.item.Item != nil }

// decodeError is the failure of a read that reached the table but could not decode the item.
type decodeError struct {
	cause  error
	logged bool // by the inner store
}

func (err *decodeError) Error() string { return err.cause.Error() }
func (err *decodeError) Unwrap() error { return err.cause }

// newlyUndecoded reports whether err, the failure of a read of e that has not been noted, must be logged. A row that
// cannot be decoded is logged once, until it can be decoded, or is invalidated and read again.
func newlyUndecoded(e *entry, err error) bool {
	var now, before *decodeError
	return errors.As(err, &now) && !now.logged && !errors.As(e.failure, &before)
}

// warnUndecodedLocked logs rows that cannot be decoded, in one line.
func (c *cache) warnUndecodedLocked(rows ...string) {
	if len(rows) > 0 {
		slices.Sort(rows)
		c.warnLocked("%s; last known values are served where there are any", strings.Join(rows, "; "))
	}
}

// decode decodes a row, as LaunchDarkly's own wrapper does. JSON that equals the JSON last decoded for the key is not
// decoded again: after an InvalidateAll or the TTL, most items are unchanged.
func (coll *collection) decode(key string, raw ldstoretypes.SerializedItemDescriptor) (*decoded, error) {
	if raw.Deleted || raw.SerializedItem == nil {
		return &decoded{item: ldstoretypes.ItemDescriptor{Version: raw.Version}}, nil
	}
	sum := sha256.Sum256(raw.SerializedItem)
	if e, ok := coll.entries.Load(key); ok {
		if d := e.read.Load(); d != nil && d.version == raw.Version && d.sum == sum {
			return d, nil
		}
	}
	item, err := coll.kind.Deserialize(raw.SerializedItem)
	if err != nil {
		if err.Error() == "" { // LaunchDarkly's JSON reader returns an empty error for an unknown literal
			err = cmp.Or(json.Unmarshal(raw.SerializedItem, new(any)), err)
		}
		return nil, &decodeError{cause: fmt.Errorf("decode %s %q: %w", coll.name, key, err)}
	}
	if raw.Version != 0 {
		item.Version = raw.Version // the version attribute takes precedence over the version in the JSON
	}
	return &decoded{raw.Version, sum, item}, nil
}
