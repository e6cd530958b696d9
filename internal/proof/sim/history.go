package sim

import (
	"strconv"
	"time"
)

// stamp is the time of an event.
type stamp struct {
	n          int           // its number in the order of all events of the run
	step       int           // the step in which it happened
	mono, wall time.Duration // the monotonic and the wall clock
}

// item is a key of the table, all rows that it ever had, and what the model knows about it.
type item struct {
	kind int
	key  string
	rows []row   // the last row is the current one
	over []*read // reads of it and of its collection, in the order in which they started

	invalidated stamp // its last invalidation
	floor       int   // the newest place that a completed call has returned
	shown       int   // the row that was returned last, or -1

	failing bool  // a read failed, and the cache cannot know yet that the table can be reached
	garbled bool  // the last failed read was of a collection with broken JSON for this item
	failed  stamp // when the last read failed
}

// row is the content of one key for a while. Rows with equal fields can occur several times in one history. So a row is
// identified by its place, which is its index in item.rows, never by its version.
type row struct {
	version int
	serial  int // identifies its JSON, unique except for resets to the same row; 0: no flag data
	state   rowState
}

// rowState distinguishes a missing row, a row with data and a tombstone.
type rowState byte

const (
	absent rowState = iota
	live
	tombstone
)

func (i *item) last() row { return i.rows[len(i.rows)-1] }

// lastLive returns the last row that was not absent, or the zero row if there was none.
func (i *item) lastLive() row {
	for n := len(i.rows) - 1; n >= 0; n-- {
		if i.rows[n].state != absent {
			return i.rows[n]
		}
	}
	return row{}
}

// json returns the row as LaunchDarkly's SDK stores it. The salt identifies the row.
func (i *item) json(r row) []byte {
	b := append(make([]byte, 0, 80), `{"key":"`...)
	b = append(b, i.key...)
	b = append(b, `","version":`...)
	b = strconv.AppendInt(b, int64(r.version), 10)
	if r.state == tombstone {
		return append(b, `,"deleted":true}`...)
	}
	b = append(b, `,"salt":"`...)
	b = strconv.AppendInt(b, int64(r.serial), 10)
	return append(b, `","on":true}`...)
}

// message is a change that is in the stream and was not delivered to the cache yet.
type message struct {
	item, version int
}

// write changes item x in the given way, and adds the change to the stream.
func (w *world) write(x, way int) {
	i := w.items[x]
	known := i.lastLive()
	w.serial++
	up := row{version: known.version + 1, serial: w.serial, state: live}
	switch way % 12 {
	case 5, 6: // a reset to an earlier row
		w.put(x, i.rows[way%len(i.rows)])
	case 7, 8:
		w.put(x, row{})
	case 9: // the same version with other data: an edit, or re-created after a removal
		if known.state == live {
			w.put(x, row{version: known.version, serial: w.serial, state: live})
		}
	case 10:
		w.put(x, row{version: up.version, state: tombstone})
	case 11: // a sync: all items get new or earlier data
		for n, each := range w.items {
			if way > 12 {
				w.put(n, each.rows[len(each.rows)/2])
			} else if last := each.last(); last.state == live {
				w.serial++
				w.put(n, row{version: last.version + 2, serial: w.serial, state: live})
			}
		}
	default:
		w.put(x, up)
	}
}

// wipe removes all rows and the marker, like an operator who re-creates a table, or restores the marker.
func (w *world) wipe() {
	if !w.subject.Marker {
		return
	}
	w.wiped = !w.wiped
	w.tracef("the table has lost its marker: %v", w.wiped)
	for x := range w.items {
		if w.wiped {
			w.put(x, row{})
		}
	}
	w.updateHealthy()
}

// knewLive reports whether the cache certainly knew that item x was live when r, a read of it, started.
func (w *world) knewLive(r *read, x int) bool {
	i := w.items[x]
	var latest *read
	for _, q := range i.over {
		if q.begin.n >= r.begin.n {
			break
		}
		if !q.done || q.end.step >= r.begin.step || q.item < 0 && w.overlapped(q, x) {
			return false
		}
		if !q.failed && q.pos[x] >= 0 {
			latest = q
		}
	}
	return latest != nil && i.rows[latest.pos[x]].state == live
}

// put writes a row. The change contains the version if the version rose, like streamhandler's.
func (w *world) put(x int, r row) {
	i := w.items[x]
	last := i.last()
	if r == last {
		return
	}
	i.rows = append(i.rows, r)
	m := message{item: x}
	if r.version > last.version && last.state != absent {
		m.version = r.version
	}
	w.queue = append(w.queue, m)
	w.tracef("table: %s is now %v", w.name(x), r)
}

func (r row) String() string {
	switch r.state {
	case absent:
		return "absent"
	case tombstone:
		return "tombstone v" + strconv.Itoa(r.version)
	}
	return "v" + strconv.Itoa(r.version) + "#" + strconv.Itoa(r.serial)
}
