package sim

// Races counts how often each named race occurred. It contains all names from the start.
type Races map[string]int

// names are the races that must occur in a campaign.
var names = []string{
	"a client reads an unknown flag",
	"a flag that was known to be absent is created",
	"a freeze during a read",
	"a Get joins a read that is then discarded",
	"a Get uses the value of a read that ended before its own",
	"a Get waits for a second read",
	"a last known value is served in an outage",
	"a message is lost",
	"a message is repeated",
	"a message with a newer version than the table's",
	"a message with an older version than the table's",
	"a message without a version",
	"a read succeeds after a discarded read",
	"a read fails after a discarded read",
	"a read fails with an error or a panic",
	"a read is abandoned",
	"a read lags behind the table",
	"a client sees that a flag was removed",
	"a reset is followed",
	"a row that is re-created with the same version is followed",
	"a second client shares the cache",
	"a tombstone is seen",
	"a wake during a read",
	"an abandoned read ends during the next read",
	"an abandoned read ends late",
	"an error because there is no last known value",
	"an error because the last known value is too old",
	"an expired entry by the monotonic clock, after the wall clock stepped back",
	"an expired entry by the wall clock only",
	"an item's read ends during its collection's",
	"a collection's read ends during an item's",
	"a collection contains broken JSON",
	"calls share a read",
	"GetAll over a cached collection with an invalidated flag",
	"invalidate all during a read",
	"invalidate during a collection's read",
	"invalidate during a preload",
	"invalidate during an item's read",
	"invalidate twice during a read",
	"messages arrive in another order",
	"the store recovers",
	"the wall clock steps back",
	"the wall clock steps back during a read",
}

// NewRaces returns a zero count for each race.
func NewRaces() Races {
	r := Races{}
	for _, name := range names {
		r[name] = 0
	}
	return r
}

// Add adds the counts of other.
func (r Races) Add(other Races) {
	for name, n := range other {
		r[name] += n
	}
}

// hit counts a race. It panics if the name is not in the list, because no campaign would notice that the race is
// missing.
func (r Races) hit(name string) {
	if _, ok := r[name]; !ok {
		panic("sim: race " + name + " is not in the list of names")
	}
	r[name]++
}

func (w *world) hitIf(condition bool, name string) {
	if condition {
		w.races.hit(name)
	}
}

func (w *world) messageRaces(op Op, x, version int) {
	held := w.items[x].last().version
	w.hitIf(op == Repeat, "a message is repeated")
	w.hitIf(version == 0, "a message without a version")
	w.hitIf(version > 0 && version < held, "a message with an older version than the table's")
	w.hitIf(version > held, "a message with a newer version than the table's")
}

func (w *world) invalidateRaces(x int, all bool) {
	w.hitIf(w.clients[0].store == nil && w.script.Preload, "invalidate during a preload")
	for _, r := range w.inFlight {
		if r.done || !r.covers(x) {
			continue
		}
		w.hitIf(all, "invalidate all during a read")
		w.hitIf(r.item < 0 && !all, "invalidate during a collection's read")
		w.hitIf(r.item >= 0 && !all, "invalidate during an item's read")
		w.hitIf(r.discarded[x], "invalidate twice during a read")
		r.discarded[x] = true
	}
}

func (w *world) clockRaces(op Op, wake bool) {
	for _, r := range w.inFlight {
		if r.done {
			continue
		}
		w.hitIf(op == Freeze, "a freeze during a read")
		w.hitIf(wake, "a wake during a read")
		w.hitIf(op == Back, "the wall clock steps back during a read")
	}
}

func (w *world) callRaces(c *call) {
	if c.item < 0 {
		n := 0
		for x := range c.stale {
			if c.stale[x] {
				n++
			}
		}
		w.hitIf(c.base && n > 0, "GetAll over a cached collection with an invalidated flag")
		return
	}
	i := w.items[c.item]
	w.hitIf(len(i.rows) == 1 && i.last().state == absent, "a client reads an unknown flag")
	for _, r := range c.joined {
		w.hitIf(r.item == c.item && r.begin.n > c.inv[c.item] && w.script.TTL != 0, "calls share a read")
	}
	if len(i.over) == 0 {
		return
	}
	last := i.over[len(i.over)-1]
	if !last.done || last.failed || w.script.TTL <= 0 || last.begin.n < i.invalidated.n {
		return
	}
	mono, wall := c.begin.mono-last.begin.mono > w.script.TTL, c.begin.wall-last.begin.wall > w.script.TTL
	w.hitIf(mono && !wall, "an expired entry by the monotonic clock, after the wall clock stepped back")
	w.hitIf(wall && !mono, "an expired entry by the wall clock only")
}

// valueRaces counts races of a call that returned the row at pos for x.
func (w *world) valueRaces(c *call, x, pos int) {
	i := w.items[x]
	now := i.rows[pos]
	last := i.over[len(i.over)-1]
	w.hitIf(c.excused[x] && (last.failed || last.begin.n < i.invalidated.n),
		"a last known value is served in an outage")
	w.hitIf(now.state == tombstone, "a tombstone is seen")
	if i.shown >= 0 && pos > i.shown {
		before := i.rows[i.shown]
		w.hitIf(before.state != absent && now.state == absent, "a client sees that a flag was removed")
		w.hitIf(before.state == absent && now.state == live, "a flag that was known to be absent is created")
		w.hitIf(now.state == live && now.version < before.version, "a reset is followed")
		w.hitIf(now.state == live && now.version == before.version && now.serial != before.serial,
			"a row that is re-created with the same version is followed")
	}
	i.shown = pos
	if c.item < 0 {
		return
	}
	for _, r := range c.joined {
		if r.item != x {
			continue
		}
		w.hitIf(r.done && r.discarded[x] && r.begin.n > c.inv[x], "a Get joins a read that is then discarded")
		w.hitIf(r.done && r.begin.n < c.inv[x] && last != r, "a Get waits for a second read")
		w.hitIf(r.done && r.contested[x] && r.pos[x] != pos,
			"a Get uses the value of a read that ended before its own")
	}
}

// readRaces counts races of a read that has ended.
func (w *world) readRaces(r *read) {
	w.hitIf(r.failed && !r.abandoned, "a read fails with an error or a panic")
	w.hitIf(r.maybe, "a collection contains broken JSON")
	for _, other := range w.inFlight {
		if other.done || other == r || other.kind != r.kind {
			continue
		}
		w.hitIf(other.item < 0, "an item's read ends during its collection's")
		w.hitIf(r.item < 0, "a collection's read ends during an item's")
	}
	if r.item < 0 {
		return
	}
	over := w.items[r.item].over
	for n := len(over) - 2; n >= 0; n-- {
		if over[n].item == r.item && over[n] != r {
			w.hitIf(over[n].discarded[r.item] && r.failed, "a read fails after a discarded read")
			w.hitIf(over[n].discarded[r.item] && !r.failed, "a read succeeds after a discarded read")
			return
		}
	}
}
