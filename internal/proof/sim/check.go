package sim

import (
	"time"
)

// This file is the first half of the model: what a call may return. Every value must come from a read of the table
// that the promises allow the call to use.

// checkValue checks that the call may return this row for item x, and returns the read that it must have come from. If
// several reads are allowed, it is the one with the oldest value, which restricts later calls least. It returns nil if
// there is none.
func (w *world) checkValue(c *call, x int, got row) (from *read) {
	i := w.items[x]
	promise, why := 1, "which no read returned"
	unknown, broken := true, false
	for _, r := range i.over {
		p := r.pos[x]
		broken = broken || r.done && !r.abandoned && p < 0
		unknown = unknown && (p < 0 || !r.done || r.failed || r.item < 0 && w.overlapped(r, x))
		if p < 0 || i.rows[p] != got || !r.done {
			continue
		}
		if n, violation := w.violation(c, r, x); n == 0 {
			if from == nil || w.place(r, x) < w.place(from, x) {
				from = r
			}
		} else if !r.failed || promise == 1 {
			promise, why = n, violation
		}
	}
	if from == nil && c.item < 0 && got.state == absent && unknown && broken {
		return nil // a GetAll may omit an item whose row is broken and that has no last known value
	}
	if from == nil {
		w.brokef(promise, "call %d, %s, returned %s as %v, %s", c.id, w.callName(c), w.name(x), got, why)
	}
	return from
}

// place returns the age of the value that a read returned: its place in the table's history. If reads may lag behind
// the table, it is the place of the read among all reads.
func (w *world) place(r *read, x int) int {
	if w.script.Lag {
		return r.begin.n
	}
	return r.pos[x]
}

// violation returns why the call may not return the read's value for x: the number of the promise, and the reason. The
// number is 0 if the call may. The order of the cases matters: first the violations without an excuse (a failed read, a
// value older than one that was returned), then the excuses of a table that cannot be reached, then the promises of
// freshness.
func (w *world) violation(c *call, r *read, x int) (promise int, why string) {
	switch {
	case r.failed:
		return 1, "from a read that had been abandoned or failed"
	case w.place(r, x) < c.floor[x]:
		return 1, "older than a value returned by a call that ended before"
	case r.vanished[x]:
		return 4, "although the table had lost its marker"
	case c.garbled[x]:
		return 0, "" // MaxStale is for a table that cannot be reached
	case c.excused[x] && (w.servable(r, c.begin) || w.servable(r, c.end)):
		return 0, ""
	case w.script.TTL == 0 && r.begin.n < c.begin.n:
		return 3, "from a read that started before the call, with TTL 0"
	case r.begin.n < c.inv[x]:
		return 2, "from a read that started before it was invalidated"
	case spans(r.wakes, c.wakes), spans(r.freezes, c.freezes) && r.backs[0] == r.backs[1]:
		return 3, "from a read that started before a freeze and ended after it"
	case r.end.n < c.begin.n && w.expired(r, c.begin) && !c.confused() && !w.waitedShortly(c):
		return 3, "from a read that is older than the TTL"
	}
	return 0, ""
}

// waitedShortly reports whether the call may return a value that has only expired, because reads are slow.
func (w *world) waitedShortly(c *call) bool {
	short := w.subject.ShortWait
	return short > 0 && c.settled && (c.slow || c.end.mono-c.begin.mono >= short)
}

// confused reports whether the call joined a read during which the wall clock was set back. The age of a read that
// replaces that one may not be measurable by either clock.
func (c *call) confused() bool {
	for _, r := range c.joined {
		if r.backs[0] < r.backs[1] {
			return true
		}
	}
	return false
}

// spans reports whether something happened during a read and before now, given how often it had happened at the start
// of the read, at its end, and by now.
func spans(counts [2]int, now int) bool { return counts[0] < min(counts[1], now) }

// older reports whether by at least one clock more than limit has passed since the read started.
func older(r *read, now stamp, limit time.Duration) bool {
	return now.mono-r.begin.mono > limit || now.wall-r.begin.wall > limit
}

// expired reports whether the value of a read is certainly past the TTL.
func (w *world) expired(r *read, now stamp) bool {
	return w.script.TTL > 0 && older(r, now, w.script.TTL)
}

// servable reports whether a value may be served as the last known value. A cache may count its age from the start or
// the end of the read.
func (w *world) servable(r *read, now stamp) bool {
	limit := w.script.MaxStale
	if limit > 0 {
		return now.mono-r.end.mono <= limit && now.wall-r.end.wall <= limit || !older(r, now, limit)
	}
	return limit == 0
}

// lastKnown reports whether there is certainly a value to return if reads fail.
func (w *world) lastKnown(c *call, now stamp) bool {
	if w.script.MaxStale < 0 {
		return false
	}
	if c.item >= 0 && w.subject.Forgets {
		for _, r := range w.items[c.item].over {
			if p := r.pos[c.item]; p < 0 || w.items[c.item].rows[p].state == absent {
				return false // it may have been removed from memory since
			}
		}
	}
	for _, r := range w.reads {
		overlapped := false
		for x := range w.items {
			overlapped = overlapped || c.covers(x) && r.item < 0 && r.covers(x) && w.overlapped(r, x)
		}
		if overlapped {
			continue
		}
		if r.kind != c.kind || r.item >= 0 && r.item != c.item || !r.done || r.failed || r.maybe ||
			r.end.n > c.begin.n {
			continue
		}
		if w.script.MaxStale == 0 || len(c.joined) == 0 && r.contested == [items]bool{} && w.backs == 0 &&
			!older(r, now, w.script.MaxStale-1) {
			return true
		}
	}
	return false
}

// checkError checks that a call may return an error: only if the table cannot be reached and there is no last known
// value.
func (w *world) checkError(c *call, now stamp, err error) {
	excused := false
	for x := range w.items {
		excused = excused || c.covers(x) && c.excused[x]
	}
	switch {
	case !excused:
		w.brokef(4, "call %d, %s, returned an error although no read had failed: %v", c.id, w.callName(c), err)
	case w.lastKnown(c, now):
		w.brokef(4, "call %d, %s, returned an error instead of the last known value: %v", c.id, w.callName(c), err)
	case w.script.MaxStale != 0:
		w.races.hit("an error because the last known value is too old")
	default:
		w.races.hit("an error because there is no last known value")
	}
}

// noteFailure excuses the calls that need the items of a failed read, until the cache can know better.
func (w *world) noteFailure(r *read, now stamp) {
	w.sawFailure, w.lastFailure = !w.subject.NoStatus, now
	if r.item < 0 {
		w.failing[r.kind], w.failed[r.kind] = true, now
	}
	for x, i := range w.items {
		if !r.covers(x) {
			continue
		}
		i.failing, i.failed, i.garbled = true, now, r.maybe && r.pos[x] < 0
		for _, c := range w.calls {
			c.excused[x] = true
			c.garbled[x] = c.garbled[x] || i.garbled
		}
	}
}

// checkNotification checks a status of the store that was sent to a client.
func (w *world) checkNotification(c *client, up bool) {
	now := w.event()
	switch {
	case up != c.down:
		w.brokef(4, "a client was notified twice in a row of the same status, available: %v", up)
	case up && !w.sawWell && !w.subject.NoStatus:
		w.brokef(4, "a client was notified that the store is up, but no read or check had succeeded")
	case !up && !w.outage && (w.lastFailure.n == 0 || w.lastFailure.mono < c.notifiedAt):
		w.brokef(4, "a client was notified that the store is down, but no read had failed")
	}
	c.down, c.notifiedAt = !up, now.mono
	if up {
		w.races.hit("the store recovers")
		w.mustNotify = false
		if !w.subject.NoStatus {
			w.failing = [len(kinds)]bool{}
		}
		for _, i := range w.items {
			// A read that failed at this moment may have failed after the check that succeeded.
			i.failing = i.failing && (i.failed.mono >= now.mono || w.subject.NoStatus)
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

// checkStatus checks, when all goroutines are blocked, that clients were notified of the store's state.
func (w *world) checkStatus(now stamp) {
	if w.subject.NoStatus {
		return
	}
	since := max(w.healthySince, w.lastFailure.mono)
	for _, c := range w.clients {
		if w.mustNotify && now.mono >= w.mustNotifyBy && !c.down && c.store != nil && c.since < w.lastFailure.n {
			w.brokef(4, "a read failed in an outage, and a client was not notified that the store is down")
		}
		if c.down && w.healthySince >= 0 && now.mono-since > w.subject.Recovery {
			w.brokef(4, "the table has been reachable for %v, and a client was not notified", now.mono-since)
		}
	}
}
