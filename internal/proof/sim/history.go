package sim

import (
	"strconv"
	"time"
)

// stamp says when something happened.
type stamp struct {
	n          int           // in the order of all events of the run
	step       int           // during this step
	mono, wall time.Duration // by the two hands
}

// item is a place in the table, everything that it ever held, and what the model knows about it.
type item struct {
	kind int
	key  string
	rows []row   // the last one is what the table holds
	over []*read // reads that cover it, in the order of their beginnings: its own and its collection's

	invalidated stamp // the last Invalidate or InvalidateAll that it was in
	floor       int   // the latest place that is known to have been returned by a call that ended
	shown       int   // the row that was returned last, or -1

	failing bool  // a read failed, and the cache cannot yet know that the table is well
	garbled bool  // its JSON was broken in the last one, of a collection
	failed  stamp // when the last one did
}

// row is what the table held in one place for a while. Rows with equal fields can follow in one history: so a row is
// named by its index in item.rows, its place, and never by its version.
type row struct {
	version int
	serial  int // of its JSON, unique but for resets to the same; 0: no flag data
	state   rowState
}

// rowState tells a row that is not there from one that says "deleted".
type rowState byte

const (
	absent rowState = iota
	live
	tombstone
)

func (i *item) last() row { return i.rows[len(i.rows)-1] }

// lastLive is the last row that was not absent; the zero row when there was none.
func (i *item) lastLive() row {
	for n := len(i.rows) - 1; n >= 0; n-- {
		if i.rows[n].state != absent {
			return i.rows[n]
		}
	}
	return row{}
}

// json is the row as LaunchDarkly's SDK stores it: the salt tells one row from all others.
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

// message is a change that the stream has and the cache does not know of yet.
type message struct {
	item, version int
}

// write lets a writer change item x in one of these ways, and the stream notice.
func (w *world) write(x, way int) {
	i := w.items[x]
	known := i.lastLive()
	w.serial++
	up := row{version: known.version + 1, serial: w.serial, state: live}
	switch way % 12 {
	case 5, 6: // a reset to what it was
		w.put(x, i.rows[way%len(i.rows)])
	case 7, 8:
		w.put(x, row{})
	case 9: // the same version with other data: an edit, or made again after a removal
		if known.state == live {
			w.put(x, row{version: known.version, serial: w.serial, state: live})
		}
	case 10:
		w.put(x, row{version: up.version, state: tombstone})
	case 11: // a sync: all items, to new data or back to old
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

// wipe removes all rows and the marker, as an operator does who creates a table again, or puts the marker back.
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
	w.heal()
}

// knewLive says whether the cache certainly knew that item x was live when the read r of it began.
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

// put makes the table hold a row. The stream says its version where it rose, as streamhandler does.
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
