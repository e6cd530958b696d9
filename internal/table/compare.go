package table

import (
	"context"
	"slices"

	"github.com/warmflags/warmflags/internal/table/layout"
)

// Entry is one item in a list of a [Difference].
type Entry struct {
	// Kind and Key identify the item. The kind has no prefix.
	Kind, Key string
	// Version is the item's version in the new data; UnknownVersion if the new data does not have the item.
	Version int
	// Was is the version of the item's row; UnknownVersion if there is no row or its version cannot be read.
	Was int
	// Deleted is true if the item is a tombstone; for a removed item, if its row is one.
	Deleted bool
	// Reason is why the item is refused; empty otherwise.
	Reason string
	// Old and New are the JSON of the row and of the item; empty if there is no row or no item, and for unchanged
	// items.
	Old, New string
}

// Difference has the writes that make the table equal to new data. [Environment.Compare] returns it, and
// [Environment.Write] writes it, once. Each item of the new data is in exactly one list.
type Difference struct {
	// Added, Updated and Removed will be written.
	Added, Updated, Removed []Entry
	// Unchanged items have a row of the same version and the same value.
	Unchanged []Entry
	// Lower items have a lower version than their rows. They are written only with [WriteOptions].Lower.
	Lower []Entry
	// Refused items are not written: DynamoDB cannot hold them, or the item has a Reason. Their rows, if any, stay.
	Refused []Entry
	// Marker is true if LaunchDarkly's $inited marker is missing. It will be written last.
	Marker bool

	writes []*write // in the order in which they are written
}

// write is the put or removal of one row, with a condition on the row as it was read. It belongs to one Difference
// and one goroutine. After the condition failed, Write sets old to the current row; it changes nothing else.
type write struct {
	Entry
	namespace string
	old       Row  // the row as it was read; nil: no row
	item      Item // the item to put
	action    action
}

// action is the kind of a write.
type action int

const (
	put       action = iota
	lower            // put a lower version than the row's, if the option Lower of Write is set
	remove           // delete the row
	mark             // put the $inited marker, if it is missing
	unchanged        // nothing
	refuse           // nothing
)

// Compare reads the rows of each given kind and reports how they differ from the given items. It writes nothing.
// Other kinds are not read. It retries throttled reads for up to 30 seconds each.
func (e *Environment) Compare(ctx context.Context, all []Collection) (*Difference, error) {
	d := &Difference{}
	var removals []*write
	for _, c := range all {
		at := indexByKey(c.Items)
		writes := make([]*write, len(c.Items))
		var gone []*write // in the table's order, so that the order of the writes is deterministic
		err := e.eachRow(ctx, c.Kind, withRetry, func(key string, r Row) {
			if i, ok := at[key]; ok {
				writes[i] = e.newWrite(c.Kind, c.Items[i], r)
			} else {
				gone = append(gone, e.newRemoval(c.Kind, key, r))
			}
		})
		if err != nil {
			return nil, err
		}
		for i, item := range c.Items {
			if at[item.Key] != i { // a transaction can write a row only once: the last item of a key counts
				continue
			}
			if writes[i] == nil {
				writes[i] = e.newWrite(c.Kind, item, nil)
			}
			d.place(writes[i])
		}
		// The caller passes segments before the flags that refer to them. Removals need the opposite order.
		removals = slices.Concat(gone, removals)
	}
	for _, w := range removals {
		d.place(w)
	}
	return d, e.compareMarker(ctx, d)
}

// CompareItems is [Environment.Compare] for changed items only, such as the patches after a payload: it reads only
// their rows, one by one, and removes nothing.
func (e *Environment) CompareItems(ctx context.Context, changed []Collection) (*Difference, error) {
	d := &Difference{}
	for _, c := range changed {
		at := indexByKey(c.Items)
		for i, item := range c.Items {
			if at[item.Key] != i {
				continue
			}
			w := e.newWrite(c.Kind, item, nil)
			if w.action != refuse { // DynamoDB also refuses to read a key that it cannot hold
				err := withRetry(ctx, func(ctx context.Context) error {
					old, err := e.ReadRow(ctx, c.Kind, item.Key)
					w = e.newWrite(c.Kind, item, old)
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

// indexByKey returns the index of the last item of each key.
func indexByKey(items []Item) map[string]int {
	at := make(map[string]int, len(items))
	for i, item := range items {
		at[item.Key] = i
	}
	return at
}

// compareMarker adds the $inited marker as the last write, if it is missing. Other LaunchDarkly SDKs read the marker
// too, and must not find it before all items are written.
func (e *Environment) compareMarker(ctx context.Context, d *Difference) error {
	return withRetry(ctx, func(ctx context.Context) error {
		r, err := e.ReadMarker(ctx, layout.MarkerInited)
		if err == nil && r == nil {
			marker := e.Namespace(layout.MarkerInited)
			d.place(&write{Entry: Entry{Kind: layout.MarkerInited, Key: marker}, namespace: marker, action: mark})
		}
		return err
	})
}

// newWrite returns the write of an item over its row; old is nil if there is no row. The write of an unchanged item
// does not keep the row, so that an unchanged environment is not in memory twice.
func (e *Environment) newWrite(kind string, item Item, old Row) *write {
	w := &write{
		Entry:     Entry{Kind: kind, Key: item.Key, Version: item.Version, Was: UnknownVersion, Deleted: item.Deleted},
		namespace: e.Namespace(kind),
		item:      item,
	}
	if w.Reason = item.Reason; w.Reason == "" {
		w.Reason = refusal(w.row())
	}
	// A row that cannot be parsed counts as older than every version.
	stored, err := ParseRow(old)
	if err == nil {
		w.Was = stored.Version
	}
	switch {
	case w.Reason != "":
		w.action = refuse
		return w
	case old != nil && e.same(kind, old, item):
		w.action = unchanged
		return w
	case err == nil && item.Version < stored.Version && (item.Deleted || !stored.IsTombstone()):
		w.action = lower // but not over a tombstone: a key that was created again starts at version 1
	}
	w.old, w.Old, w.New = old, stored.JSON, item.JSON
	return w
}

// newRemoval returns the removal of a row without an item. A removal has no version.
func (e *Environment) newRemoval(kind, key string, old Row) *write {
	w := &write{
		Entry:     Entry{Kind: kind, Key: key, Version: UnknownVersion, Was: UnknownVersion},
		namespace: e.Namespace(kind),
		old:       old,
		action:    remove,
	}
	// A row that cannot be parsed is removed too. No reader treats it as a tombstone.
	if stored, err := ParseRow(old); err == nil {
		w.Was, w.Deleted, w.Old = stored.Version, stored.IsTombstone(), stored.JSON
	}
	return w
}

// place adds a write's entry to its list, and the write to d.writes unless it is unchanged or refused.
func (d *Difference) place(w *write) {
	list := &d.Updated
	switch {
	case w.action == refuse:
		d.Refused = append(d.Refused, w.Entry)
		return
	case w.action == unchanged:
		d.Unchanged = append(d.Unchanged, w.Entry)
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
	}
	*list = append(*list, w.Entry)
	d.writes = append(d.writes, w)
}

// row returns the row that w puts.
func (w *write) row() Row {
	if w.action == mark {
		return Key(w.namespace, w.Key)
	}
	return makeRow(w.namespace, w.item)
}
