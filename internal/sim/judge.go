package sim

import (
	"slices"
	"time"
)

// The first half of the model: what a call may return. Every value must come from a read of the table that the
// promises allow the call to use.

// judgeValue checks that the call may return this for item x, and returns which row it must have been: the
// oldest that the table held and that is allowed, which is the one that binds later calls least.
func (w *world) judgeValue(c *call, x int, got row) (pos int) {
	i := w.items[x]
	pos = -1
	promise, why := 1, "which no read brought"
	unknown, left := true, false
	for _, r := range i.over {
		p := r.pos[x]
		left = left || r.maybe && p < 0
		unknown = unknown && (p < 0 || !r.done || r.failed)
		if p < 0 || i.rows[p] != got || !r.done {
			continue
		}
		if n, objection := w.objection(c, r, x); n > 0 {
			promise, why = n, objection
		} else if pos < 0 || p < pos {
			pos = p
		}
	}
	if pos < 0 && c.item < 0 && got.state == absent && c.excused[x] { // TEMP
		return c.floor[x]
	}
	if pos < 0 && c.item < 0 && got.state == absent && unknown && left {
		return c.floor[x] // a GetAll may leave out what is broken in the table when nothing is known of it
	}
	if pos < 0 {
		w.brokef(promise, "call %d, %s, returned %s as %v, %s", c.id, w.callName(c), w.name(x), got, why)
		return c.floor[x]
	}
	return pos
}

// objection says why the call may not return what the read brought for x: the promise, and the reason. 0: none.
func (w *world) objection(c *call, r *read, x int) (promise int, why string) {
	switch {
	case r.failed:
		return 1, "from a read that had been abandoned or failed"
	case r.pos[x] < c.floor[x]:
		return 1, "older than what a call returned that ended before"
	case c.excused[x] && w.servable(r, c.begin):
		return 0, ""
	case w.script.TTL == 0 && r.begin.n < c.begin.n:
		return 3, "from a read that began before, and there is no cache"
	case c.item < 0 && slices.Contains(c.joined, r) && r.begin.n > w.allInv: // TEMP
	case r.begin.n < c.inv[x]:
		return 2, "from a read that began before it was invalidated"
	case spans(r.wakes, c.wakes), spans(r.freezes, c.freezes) && r.backs[0] == r.backs[1]:
		return 3, "from a read that began before a freeze and ended after it"
	case r.end.n < c.begin.n && w.expired(r, c.begin):
		return 3, "from a read that is older than the TTL"
	}
	return 0, ""
}

// spans says whether something happened during a read and before now, given how often it had happened at the
// read's beginning, its end, and by now.
func spans(counts [2]int, now int) bool { return counts[0] < min(counts[1], now) }

func older(r *read, now stamp, limit time.Duration) bool {
	return now.mono-r.begin.mono > limit || now.wall-r.begin.wall > limit
}

func (w *world) expired(r *read, now stamp) bool {
	return w.script.TTL > 0 && older(r, now, w.script.TTL)
}

// servable says whether a value may be served as the last known one.
func (w *world) servable(r *read, now stamp) bool {
	limit := w.script.MaxStale
	if limit > 0 {
		return now.mono-r.end.mono <= limit && now.wall-r.end.wall <= limit
	}
	return limit == 0
}

// lastKnown says whether there is certainly something to return when reads fail.
func (w *world) lastKnown(c *call, now stamp) bool {
	if w.script.MaxStale < 0 {
		return false
	}
	for _, r := range w.reads {
		if r.kind != c.kind || r.item >= 0 && r.item != c.item || !r.done || r.failed || r.maybe || r.end.n > c.begin.n {
			continue
		}
		if c.item >= 0 && r.item < 0 && w.items[c.item].rows[r.pos[c.item]].state == absent {
			continue // that a collection did not list it need not be remembered
		}
		if w.script.MaxStale == 0 || !older(r, now, w.script.MaxStale-1) {
			return true
		}
	}
	return false
}

// judgeError checks that a call may return an error: only when the table cannot be reached and nothing is known.
func (w *world) judgeError(c *call, now stamp, err error) {
	excused := false
	for x := range w.items {
		excused = excused || c.covers(x) && c.excused[x]
	}
	switch {
	case !excused:
		w.brokef(4, "call %d, %s, returned an error though no read had failed: %v", c.id, w.callName(c), err)
	case w.lastKnown(c, now):
		w.brokef(4, "call %d, %s, returned an error instead of the last known value: %v", c.id, w.callName(c), err)
	case w.script.MaxStale != 0:
		w.races.hit("an error as the last known value is too old")
	default:
		w.races.hit("an error as nothing is known")
	}
}

// noteFailure excuses the calls that need what could not be read, until the cache can know better.
func (w *world) noteFailure(r *read, now stamp) {
	w.sawFailure, w.lastFailure = true, now
	for x, i := range w.items {
		if !r.covers(x) {
			continue
		}
		i.failing, i.failed = true, now
		for _, c := range w.calls {
			c.excused[x] = true
		}
	}
}

// judgeTold checks what a client is told about the store.
func (w *world) judgeTold(c *client, up bool) {
	w.event()
	switch {
	case up && !c.down && c != w.clients[0]: // TEMP
	case up != c.down:
		w.brokef(4, "a client was told twice in a row that the store is available: %v", up)
	case up && !w.sawWell:
		w.brokef(4, "a client was told that the store is up, and no read or look at it had succeeded")
	case !up && !w.sawFailure && !w.outage:
		w.brokef(4, "a client was told that the store is down, and no read had failed")
	}
	c.down = !up
	if up {
		w.races.hit("the store recovers")
		w.mustTell = false
		for _, i := range w.items {
			i.failing = i.failing && time.Since(w.start)-i.failed.mono < time.Second // TEMP
		}
	}
	if w.isDown() {
		for _, each := range w.calls {
			for x := range each.excused {
				each.excused[x] = true
			}
		}
	}
	if !up && c == w.clients[0] {
		w.sawWell = false
	}
	if up && c == w.clients[0] {
		w.sawFailure = false
	}
}

// judgeStatus checks, when nothing moves, that clients know what state the store is in.
func (w *world) judgeStatus(now stamp) {
	since := max(w.healed, w.lastFailure.mono)
	for _, c := range w.clients {
		if c == w.clients[0] && w.mustTell && !c.down && c.store != nil && c.since < w.lastFailure.n {
			w.brokef(4, "a read failed in an outage, and a client was not told that the store is down")
		}
		if c.down && w.healed >= 0 && now.mono-since > w.subject.Recovery {
			w.brokef(4, "the table has been well for %v, and a client was not told", now.mono-since)
		}
	}
}
