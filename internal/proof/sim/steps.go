package sim

import (
	"slices"
	"testing/synctest"
	"time"

	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	"github.com/launchdarkly/go-server-sdk/v7/interfaces"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"

	"github.com/warmflags/warmflags/change"
)

// do executes one step.
func (w *world) do(s Step) {
	switch s.Op {
	case Get:
		x := choices[s.B%len(choices)]
		w.call(s.A, x, kindOf[x])
	case GetAll:
		w.call(s.A, -1, s.B%5/4)
	case Write:
		w.mu.Lock()
		w.write(choices[s.A%len(choices)], s.B)
		w.mu.Unlock()
	case Deliver, Repeat, Drop, Rumor, InvalidateAll:
		w.message(s)
	case Answer, See, Table, Outage, Lag:
		w.answer(s)
	case Pass:
		const second = time.Second
		ttl := max(w.script.TTL, second)
		w.sleep([...]time.Duration{time.Millisecond, second, second, readLimit / 2, readLimit, ttl / 2, ttl - 1,
			ttl}[s.A%8])
	case Freeze, Wake, Back:
		w.moveClocks(s)
	case Wipe:
		w.mu.Lock()
		w.wipe()
		w.mu.Unlock()
	case Clients:
		w.mu.Lock()
		last := len(w.clients) - 1
		ready := w.ready()
		w.mu.Unlock()
		if ready && last == 0 {
			w.build()
		} else if ready {
			w.close(last)
		}
	}
}

// message delivers or drops a message of the stream.
func (w *world) message(s Step) {
	if s.Op == InvalidateAll {
		w.invalidate()
		return
	}
	w.mu.Lock()
	var m message
	if s.Op == Rumor {
		m.item = choices[s.A%len(choices)]
		m.version = w.items[m.item].last().version
	} else {
		if len(w.queue) == 0 {
			w.mu.Unlock()
			return
		}
		n := s.A % len(w.queue)
		m = w.queue[n]
		if n > 0 && s.Op == Deliver {
			w.races.hit("messages arrive in another order")
		}
		if s.Op != Repeat {
			w.queue = slices.Delete(w.queue, n, n+1)
		}
	}
	version := m.version
	switch s.B % 8 {
	case 5:
		version = 0
	case 6:
		version = max(0, version-1)
	case 7:
		version++
	}
	if s.Op == Drop {
		w.races.hit("a message is lost")
		w.mu.Unlock()
		return
	}
	w.messageRaces(s.Op, m.item, version)
	w.mu.Unlock()
	i := w.items[m.item]
	w.invalidate(change.Change{
		Kind: kinds[i.kind].GetName(), Key: i.key, Version: version, Deleted: i.last().state != live,
	})
}

// invalidate delivers changes. Without changes it invalidates everything.
func (w *world) invalidate(changes ...change.Change) {
	w.mu.Lock()
	now := w.event()
	w.tracef("invalidate %v", changes)
	if len(changes) == 0 {
		w.allInv = now
	}
	for x, i := range w.items {
		for _, c := range changes {
			if c.Key != i.key || c.Kind != kinds[i.kind].GetName() {
				continue
			}
			i.invalidated = now
		}
		if len(changes) == 0 {
			i.invalidated = now
		}
		if i.invalidated == now {
			w.invalidateRaces(x, len(changes) == 0)
		}
	}
	w.mu.Unlock()
	w.promptly(func() { change.Deliver(change.Message{Changes: changes}, w.system) }, "Invalidate")
}

// promptly calls f in a goroutine and checks that f returns without waiting for a read. The script continues if it does
// not. The lock must not be held.
func (w *world) promptly(f func(), name string) {
	returned := false
	go func() {
		f()
		w.mu.Lock()
		returned = true
		w.mu.Unlock()
	}()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !returned {
		w.brokef(2, "%s waits for a read", name)
	}
}

// answer executes a step that affects reads.
func (w *world) answer(s Step) {
	w.mu.Lock()
	switch s.Op {
	case Outage:
		w.outage = !w.outage
		w.mustNotify = false
		w.tracef("outage: %v", w.outage)
		w.updateHealthy()
	case Lag:
		if w.script.Lag {
			w.lag = s.A % 4
		}
	case See:
		if len(w.inFlight) > 0 {
			w.seeRows(w.inFlight[s.A%len(w.inFlight)], true)
		}
	}
	w.mu.Unlock()
	switch s.Op {
	case Table:
		w.hold(s.A%4 > 0, s.A%4 > 2)
	case Answer:
		w.mu.Lock()
		var gate chan outcome
		if len(w.inFlight) > 0 {
			gate = w.inFlight[s.A%len(w.inFlight)].gate
		}
		w.mu.Unlock()
		if gate != nil {
			gate <- [24]outcome{20: fails, 21: fails, 22: breaks, 23: panics}[s.B%24]
		}
	}
}

// moveClocks moves the wall clock relative to the monotonic clock.
func (w *world) moveClocks(s Step) {
	ttl := max(w.script.TTL, time.Second)
	d := [...]time.Duration{time.Second, 2 * time.Second, ttl / 2, ttl - time.Second, ttl + 1, ttl + 1, time.Hour,
		24 * time.Hour}[s.A%8]
	w.mu.Lock()
	now := w.event()
	switch {
	case s.Op == Back:
		w.offset -= d
		w.backs++
		w.paused = 0 // the cache may not have detected an earlier freeze
		w.races.hit("the wall clock steps back")
	case s.Op == Freeze && d >= time.Second:
		w.offset += d
		w.freezes++
		w.leaps = append(w.leaps, leap{now.mono, d})
		if w.sweepInterval() == 0 && w.backs == 0 {
			w.paused = now.n
		}
	}
	w.tracef("%s %v", s.Op, d)
	wake := s.Op == Wake || s.Op == Freeze && s.B%2 == 1
	if wake {
		w.wakes++
		w.leaps, w.paused = nil, now.n
	}
	w.clockRaces(s.Op, wake)
	waker, ok := w.system.(change.Waker)
	w.mu.Unlock()
	if ok && wake {
		w.promptly(waker.Wake, "Wake")
	}
}

// client is a LaunchDarkly client, with the status last sent to it.
type client struct {
	w          *world
	store      subsystems.DataStore // nil while it is built
	since      int                  // event
	down       bool
	notifiedAt time.Duration // when it was notified
}

// UpdateStatus is called by the cache.
func (c *client) UpdateStatus(status interfaces.DataStoreStatus) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.w.tracef("notified: the store is available: %v", status.Available)
	c.w.checkNotification(c, status.Available)
}

// ready reports whether clients have been built.
func (w *world) ready() bool {
	return w.clients[0].store != nil
}

// build builds one more client. The first client's Build may wait for reads.
func (w *world) build() {
	w.mu.Lock()
	c := &client{w: w, since: w.event().n}
	w.clients = append(w.clients, c)
	first := len(w.clients) == 1
	if first && w.script.Preload {
		w.building = [len(kinds)]bool{true, true}
	}
	w.mu.Unlock()
	build := func() {
		store, err := w.system.Build(subsystems.BasicClientContext{
			DataStoreUpdateSink: c, Logging: subsystems.LoggingConfiguration{Loggers: ldlog.NewDisabledLoggers()},
		})
		w.mu.Lock()
		defer w.mu.Unlock()
		if err != nil {
			w.brokef(4, "Build: %v", err)
			return
		}
		c.store, w.building = store, [len(kinds)]bool{}
	}
	if first {
		go build()
		return
	}
	w.races.hit("a second client shares the cache")
	w.promptly(build, "a second client's Build")
}

// close closes a client.
func (w *world) close(n int) {
	c := w.clients[n]
	if n > 0 {
		w.clients = w.clients[:n]
	}
	if c.store != nil {
		w.promptly(func() { _ = c.store.Close() }, "Close")
	}
}
