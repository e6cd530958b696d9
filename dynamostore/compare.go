package dynamostore

import (
	"context"
	"slices"

	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
)

// A difference is computed here, and made in write.go:
//
//	Compare:  for each kind, read its rows; place each item, and what is left of the rows, in a list
//	Write:    cut the writes into transactions; make one after the other
//	          a row was not as it had been read?  read it again, and keep it or try again
//
// Between the two anything can happen to the table. That is why each write remembers the row that it was
// computed from, and why nothing is decided by a row's version alone until it is known to have changed.

// Item is one entry of a [Difference].
type Item struct {
	// Kind and Key name the item. The kind is LaunchDarkly's, without the prefix.
	Kind, Key string
	// Version is the item's version in the new data; -1 when it is not there.
	Version int
	// Was is the version of the item's row in the table; -1 when there is none, or it cannot be read.
	Was int
	// Deleted is true when the item is a tombstone; of a removed one, when its row was.
	Deleted bool
	// Reason says why the item is refused; empty otherwise.
	Reason string
}

// Difference is what has to be written to make the table equal to new data. [Store.Compare] makes it, and
// [Store.Write] writes it, once. Each item of the new data is in exactly one list.
type Difference struct {
	// Added, Updated and Removed will be written.
	Added, Updated, Removed []Item
	// Unchanged items have a row of the same version with the same bytes or equal JSON.
	Unchanged []Item
	// Lower items have a lower version than their rows. They are written if the caller of Write says so.
	Lower []Item
	// Refused items do not fit into DynamoDB. Their rows, if any, stay.
	Refused []Item
	// Marker is true when LaunchDarkly's $inited marker is missing. It will be written, last.
	Marker bool

	writes []*write // in the order in which they are to be made
}

// write is a put or a removal of one row, conditional on the row as it was read.
//
// It belongs to one Difference, and to one goroutine at a time. Write changes only old, to the row as it is now, when the
// condition on it failed: so a Difference is written once.
type write struct {
	Item
	namespace string
	old       row                         // as it was read; nil: none
	item      st.SerializedItemDescriptor // what is put
	action    action
}

// action is what a write does. Put is the zero value; newWrite makes it lower where the row's version is higher, which
// is then left to the options of Write.
type action int

const (
	put action = iota
	lower
	remove
	mark // put the $inited marker, if it is not there
)

// Compare reads the rows of each given kind and says how they differ from the given items. It writes nothing.
// Kinds that are not given are not looked at. It retries throttled reads for at most 30 seconds each.
func (s *Store) Compare(ctx context.Context, all []st.SerializedCollection) (*Difference, error) {
	d := &Difference{}
	var removals []*write
	for _, c := range all {
		rows := make(map[string]row)
		var keys []string // in the table's order, so that the same difference is always written in the same order
		err := s.eachRow(ctx, s.namespace(c.Kind.GetName()), patiently, func(key string, r row) {
			rows[key] = r
			keys = append(keys, key)
		})
		if err != nil {
			return nil, err
		}
		for _, i := range lastOfEach(c.Items) {
			d.place(s.newWrite(c.Kind, i.Key, i.Item, rows[i.Key]))
			delete(rows, i.Key) // also of a refused item: its old row stays
		}
		// Nothing in the new data matches these rows.
		var gone []*write
		for _, key := range keys {
			if r, left := rows[key]; left {
				gone = append(gone, s.newRemoval(c.Kind, key, r))
			}
		}
		// The SDK gives what is referred to before what refers to it (segments, then flags); we remove in the
		// opposite order.
		removals = slices.Concat(gone, removals)
	}
	for _, w := range removals {
		d.place(w)
	}
	return d, s.compareMarker(ctx, d)
}

// CompareItems is [Store.Compare] for items of which it is known that they changed: it reads their rows only, one by
// one, and nothing is removed. It is for what follows a whole payload: the patches of LaunchDarkly's stream.
func (s *Store) CompareItems(ctx context.Context, changed []st.SerializedCollection) (*Difference, error) {
	d := &Difference{}
	for _, c := range changed {
		for _, i := range lastOfEach(c.Items) {
			w := s.newWrite(c.Kind, i.Key, i.Item, nil)
			if w.Reason == "" { // DynamoDB refuses to look for a key that it could not hold
				err := patiently(ctx, func(ctx context.Context) error {
					old, err := s.readRow(ctx, w.namespace, i.Key)
					w = s.newWrite(c.Kind, i.Key, i.Item, old)
					return err
				})
				if err != nil {
					return nil, err
				}
			}
			d.place(w)
		}
	}
	return d, nil
}

// compareMarker adds the $inited marker, last, if it is not in the table. Other LaunchDarkly SDKs look at it too: it must not
// be seen before all items are there.
func (s *Store) compareMarker(ctx context.Context, d *Difference) error {
	marker := s.namespace(markerInited)
	return patiently(ctx, func(ctx context.Context) error {
		r, err := s.readRow(ctx, marker, marker)
		if err == nil && r == nil {
			d.place(&write{Item: Item{Kind: markerInited, Key: marker}, namespace: marker, action: mark})
		}
		return err
	})
}

// newWrite makes the write of an item over its row, nil for none. It asks nobody: place decides by it what it is.
func (s *Store) newWrite(kind st.DataKind, key string, item st.SerializedItemDescriptor, old row) *write {
	w := &write{
		Item:      Item{Kind: kind.GetName(), Key: key, Version: item.Version, Was: unknownVersion, Deleted: item.Deleted},
		namespace: s.namespace(kind.GetName()),
		old:       old,
		item:      item,
	}
	w.Reason = refusal(w.row())
	// A row whose version cannot be read counts as older than anything: it is broken, and this write heals it.
	if v, err := parseVersion(old); err == nil {
		w.Was = v
		if w.Version < v {
			w.action = lower
		}
	}
	return w
}

// newRemoval makes the removal of a row that no new item matches. A removal has no version of its own.
func (s *Store) newRemoval(kind st.DataKind, key string, old row) *write {
	w := &write{
		Item:      Item{Kind: kind.GetName(), Key: key, Version: unknownVersion, Was: unknownVersion},
		namespace: s.namespace(kind.GetName()),
		old:       old,
		action:    remove,
	}
	// A broken row goes like any other; it was no tombstone that anybody could have read.
	if item, err := parseRow(old); err == nil {
		w.Was = item.Version
		parsed, err := kind.Deserialize(item.SerializedItem)
		w.Deleted = item.Deleted || err == nil && parsed.Item == nil
	}
	return w
}

// place puts a write into the list that it belongs to, and keeps it if there is something to write. The order of the cases
// matters: a refused item must not be written whatever its row is, and a lower one is never equal to its row.
func (d *Difference) place(w *write) {
	list := &d.Updated
	switch {
	case w.Reason != "":
		d.Refused = append(d.Refused, w.Item)
		return
	case w.action == mark:
		d.Marker = true
		d.writes = append(d.writes, w)
		return
	case w.action == remove:
		list = &d.Removed
	case w.action == lower:
		list = &d.Lower
	case w.old == nil:
		list = &d.Added
	case w.is(w.old):
		d.Unchanged = append(d.Unchanged, w.Item)
		return
	}
	*list = append(*list, w.Item)
	d.writes = append(d.writes, w)
}

// is says whether a row already holds what w puts.
func (w *write) is(r row) bool {
	item, err := parseRow(r)
	return err == nil && sameItem(item, w.item)
}

// row is the row that w puts.
func (w *write) row() row {
	if w.action == mark {
		return rowKey(w.namespace, w.Key)
	}
	return makeRow(w.namespace, w.Key, w.item)
}

// lastOfEach leaves one item for each key, the last: a transaction cannot write a row twice.
func lastOfEach(items []st.KeyedSerializedItemDescriptor) []st.KeyedSerializedItemDescriptor {
	last := make(map[string]int, len(items))
	for i, item := range items {
		last[item.Key] = i
	}
	if len(last) == len(items) {
		return items
	}
	var kept []st.KeyedSerializedItemDescriptor
	for i, item := range items {
		if last[item.Key] == i {
			kept = append(kept, item)
		}
	}
	return kept
}
