package sim

import (
	"fmt"
	"strconv"
	"time"

	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldmodel"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
)

// call is a client's Get or GetAll, with the state of the model when the call started. The promises depend on that
// state: later events may excuse a call, but never demand more of it.
type call struct {
	id, kind int
	item     int // -1: GetAll
	begin    stamp
	end      stamp
	joined   []*read // reads in progress when it started, which it could have joined
	// Reads of its kind in progress when it started. A read of the whole kind may wait for them, and the call for it.
	ahead []*read

	floor   [items]int  // per item, the newest place that a call had returned
	inv     [items]int  // per item, the event of its latest invalidation
	freezes int         // freezes that the cache can have detected
	wakes   int         // calls of Wake
	excused [items]bool // the table could not be reached at some moment since the call started
	garbled [items]bool // like excused, because of broken JSON in a collection
	hit     bool        // everything it needs is cached and fresh: no read may start
	base    bool        // it is a GetAll of a cached collection: no read of the collection may start
	stale   [items]bool // for such a GetAll, the items that have to be read
	prompt  bool        // the store is known to be down, and there is a last known value
	settled bool        // the table was read since the last freeze that the cache has detected
	slow    bool        // reads were known to be slow at some moment since the call started

	wholes  int        // reads of its collection that ended since it started
	singles [items]int // per item, reads that ended since it started and since the last read of the collection ended
	inStep  bool       // the step in which it started has not ended
}

func (c *call) covers(x int) bool { return c.item == x || c.item < 0 && kindOf[x] == c.kind }

// call starts a Get of item x, or a GetAll of the kind if x is negative.
func (w *world) call(n, x, kind int) {
	w.mu.Lock()
	if !w.ready() {
		w.mu.Unlock()
		return
	}
	client := w.clients[n%len(w.clients)]
	if client.store == nil {
		client = w.clients[0]
	}
	c := w.beginCall(x, kind)
	store := client.store
	w.mu.Unlock()
	go func() {
		var err error
		var found [items]row
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic: %v", p)
			}
			w.endCall(c, found, err)
		}()
		if x >= 0 {
			var item ldstoretypes.ItemDescriptor
			item, err = store.Get(kinds[kind], keys[x])
			found[x] = content(item, keys[x])
			return
		}
		var all []ldstoretypes.KeyedItemDescriptor
		all, err = store.GetAll(kinds[kind])
		for _, each := range all {
			if y := itemOf(kind, each.Key); y < 0 || found[y] != (row{}) || each.Item.Version < 0 {
				err = fmt.Errorf("GetAll listed %q, version %d, twice or without a row", each.Key, each.Item.Version)
			} else {
				found[y] = content(each.Item, each.Key)
			}
		}
	}()
}

// itemOf returns the item of a kind with this key, or -1.
func itemOf(kind int, key string) int {
	for x := range keys {
		if kindOf[x] == kind && keys[x] == key {
			return x
		}
	}
	return -1
}

// content converts a data store's result for an item into a row. An inconsistent result becomes a row that no table
// ever contained.
func content(item ldstoretypes.ItemDescriptor, key string) row {
	nonsense := row{version: item.Version, serial: -2, state: live}
	var salt string
	switch data := item.Item.(type) {
	case nil:
		if item.Version < 0 {
			return row{}
		}
		return row{version: item.Version, state: tombstone}
	case *ldmodel.FeatureFlag:
		if data.Key != key || data.Version != item.Version {
			return nonsense
		}
		salt = data.Salt
	case *ldmodel.Segment:
		if data.Key != key || data.Version != item.Version {
			return nonsense
		}
		salt = data.Salt
	}
	serial, err := strconv.Atoi(salt)
	if err != nil {
		return nonsense
	}
	return row{version: item.Version, serial: serial, state: live}
}

// beginCall records a call and what the model expects of it. Item x is negative for a GetAll.
func (w *world) beginCall(x, kind int) *call {
	now := w.event()
	c := &call{id: now.n, kind: kind, item: x, begin: now, freezes: w.freezes, wakes: w.wakes, inStep: true}
	for _, l := range w.leaps { // the sweeper has not detected recent ones
		if now.mono-l.at < w.sweepInterval() {
			c.begin.wall -= l.by
			c.freezes--
		}
	}
	down := w.isDown()
	late := func(failed stamp) bool {
		if w.subject.NoStatus { // the retry of one key delays that of another
			return !w.outage && !w.reading() && now.mono-w.lastFailure.mono > w.subject.Recovery
		}
		return !w.outage && !w.wiped && now.mono-failed.mono > w.subject.Recovery
	}
	w.failing[kind] = w.failing[kind] && (w.subject.NoStatus || !late(w.failed[kind]))
	for y, i := range w.items {
		c.floor[y], c.inv[y] = i.floor, i.invalidated.n
		i.failing = i.failing && (w.subject.NoStatus || !late(i.failed))
		c.garbled[y] = i.failing && i.garbled
		c.excused[y] = down || w.unreachable || i.failing && !late(i.failed) || x < 0 && w.failing[kind] &&
			!late(w.failed[kind])
	}
	for _, r := range w.inFlight {
		if !r.done && r.kind == kind {
			c.ahead = append(c.ahead, r)
		}
		if !r.done && r.kind == kind && (x < 0 || r.item < 0 || r.item == x) {
			c.joined = append(c.joined, r)
		}
	}
	w.checkNeed(c, now)
	c.settled, c.slow = w.settled > w.paused, w.suspected
	c.prompt = down && w.script.TTL != 0 && len(c.joined) == 0 && w.lastKnown(c, now)
	w.calls = append(w.calls, c)
	w.callRaces(c)
	w.tracef("call %d: %s starts", c.id, w.callName(c))
	return c
}

func (w *world) callName(c *call) string {
	if c.item < 0 {
		return "GetAll " + kinds[c.kind].GetName()
	}
	return "Get " + w.name(c.item)
}

// endCall checks what a call returned, and raises the floor for all calls that start after it.
func (w *world) endCall(c *call, found [items]row, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.event()
	c.end = now
	for n, other := range w.calls {
		if other == c {
			w.calls = append(w.calls[:n], w.calls[n+1:]...)
			w.returned = append(w.returned, c)
			for _, r := range w.inFlight { // a read that the call requested may start after one of these
				if !r.done && r.kind == c.kind {
					c.ahead = append(c.ahead, r)
				}
			}
			break
		}
	}
	if err != nil {
		w.tracef("call %d ends: %v", c.id, err)
		w.checkError(c, now, err)
		return
	}
	for x, i := range w.items {
		if !c.covers(x) {
			continue
		}
		w.tracef("call %d returns %s %v", c.id, w.name(x), found[x])
		if from := w.checkValue(c, x, found[x]); from != nil {
			w.valueRaces(c, x, from.pos[x])
			i.floor = max(i.floor, w.place(from, x))
		}
	}
}

// sweepInterval returns the delay with which the cache may detect that time has passed.
func (w *world) sweepInterval() time.Duration {
	if w.script.Strict || w.script.Lambda && w.wakes == 0 {
		return 0
	}
	return w.subject.SweepInterval
}

// isDown reports whether a client was notified that the store is down, and not yet that it is up again.
func (w *world) isDown() bool {
	for _, c := range w.clients {
		if c.down {
			return true
		}
	}
	return false
}

// early returns how long before the end of the TTL a cache may read again.
func (w *world) early() time.Duration {
	if w.sweepInterval() == 0 {
		return 0
	}
	return w.subject.Early
}
